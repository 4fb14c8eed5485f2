/* The handlers of this room. The table is in ../routes.c. */
#pragma once

#include "service/service.h"

route_handler oauth_server_metadata, oauth_resource_metadata;                 /* metadata.c */
route_handler oauth_authorize, oauth_authorize_post;                          /* authorize.c */
route_handler oauth_token;                                                    /* token.c */
route_handler oauth_revoke;                                                   /* revoke.c */
route_handler oauth_introspect;                                               /* introspect.c */
route_handler oauth_userinfo;                                                 /* userinfo.c */
route_handler oauth_register;                                                 /* client_register.c */
route_handler oauth_clients_list, oauth_clients_create, oauth_clients_delete; /* client_admin.c */
route_handler oauth_authorization_show, oauth_authorization_decide;           /* consent.c */
route_handler oauth_consents_list, oauth_consents_delete;                     /* consents.c */
