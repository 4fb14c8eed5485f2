/* The routes' handlers, one file a resource. The table is in routes.c. */
#pragma once

#include "auth.h"

extern const struct route auth_routes[];
extern const size_t auth_routes_n;

route_handler auth_setup_get, auth_setup_post, auth_setup_link; /* setup.c */
route_handler auth_settings_get, auth_settings_patch;           /* settings.c */
route_handler auth_register;                                    /* register.c */
route_handler auth_login;                                       /* login.c */
route_handler login_code, login_passkey_options, login_passkey; /* mfa/second_step.c */
route_handler factors_get, factors_patch, factors_totp_new, factors_totp_on, factors_totp_off,
	factors_codes;                                                             /* mfa/factors_api.c */
route_handler passkeys_options, passkeys_create, passkeys_rename, passkeys_delete; /* mfa/passkeys_api.c */
route_handler auth_verify;                                                         /* verify.c */
route_handler auth_forgot, users_send_reset;                                       /* forgot.c */
route_handler auth_reset, auth_link;                                               /* reset.c */
route_handler auth_accept;                                                         /* accept.c */
route_handler invitations_create, invitations_list, invitations_delete;            /* invitations.c */
route_handler auth_email, auth_email_confirm;                                      /* email_change.c */
route_handler auth_password;                                                       /* password_change.c */
route_handler auth_reauth, auth_reauth_options;                                    /* reauth.c */
route_handler confirmations_options, confirmations_create, confirmations_check;    /* mfa/confirmations.c */
route_handler sessions_list, sessions_end, sessions_end_others;                    /* session_list.c */
route_handler users_sessions_list, users_sessions_end, users_sessions_end_all;
route_handler mails_list;                                                     /* mail/mails.c */
route_handler auth_refresh;                                                   /* refresh.c */
route_handler auth_logout;                                                    /* logout.c */
route_handler auth_me, auth_me_patch, auth_me_delete;                         /* me.c */
route_handler auth_local;                                                     /* local.c */
route_handler auth_jwks, keys_list, keys_rotate;                              /* keys.c */
route_handler users_list, users_create, users_get, users_patch, users_delete; /* users.c, user_changes.c */
route_handler auth_revocations;                                               /* feed.c */
route_handler audit_list, audit_verify;                                       /* audit/ */
route_handler roles_create, roles_get, roles_patch, roles_delete;             /* rbac/role_changes.c */
route_handler user_permissions_get, user_permissions_put;                     /* rbac/user_permissions.c */
route_handler users_rights;                                                   /* rights.c */
route_handler users_data;                                                     /* user_data.c */
route_handler tokens_list, tokens_create, tokens_revoke, tokens_lookup;       /* tokens/ */
route_handler service_accounts_create;                                        /* tokens/service_account.c */
route_handler permissions_check;                                              /* rbac/check.c */
route_handler roles_list, permissions_list;                                   /* roles.c */
