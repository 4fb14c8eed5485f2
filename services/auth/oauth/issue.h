/* Tokens for OAuth clients, and the answer that brings them. */
#pragma once

#include "oauth/oauth.h"
#include "sessions.h"

/* A row of oauth_grants. Strings live in the arena. */
struct oauth_grant {
	const char *session_id, *client_id, *user_id, *scope;
	const char *resource, *nonce; /* may be NULL */
	int64_t auth_time;            /* s */
};

/* 1 found, 0 none, -errno. */
int oauth_grant_load(struct db_conn *c, struct arena *a, const char *session_id, struct oauth_grant *ret);
/* Inside a write job: ends the sessions that a client has, of one user or (NULL) of all. feed_wake when it is
 * committed. Returns 0 or -errno. */
int oauth_end_sessions(struct db_conn *c, struct arena *a, const char *client_id, const char *user_id,
		       const char *reason);
/* Inside a write job: what clients had of a user who is being deleted. 0 or -errno. */
int oauth_forget_user(struct db_conn *c, const char *user_id);
/* 200 with access_token, token_type, expires_in, refresh_token, scope and, for the scope openid, id_token. `scope` is
 * what this access token is for: the grant's, or less. */
void oauth_reply_tokens(struct exchange *x, const struct oauth_grant *grant, const struct session_grant *session,
			const char *scope);
