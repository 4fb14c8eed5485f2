/* Signed-in sessions: made by set-up, registration and sign-in, gone on by refresh. */
#pragma once

#include "account.h"
#include "auth.h"
#include "client.h"

/* What the caller gets: an access token, a refresh token, the account. */
struct session_grant {
	struct account account;
	struct refresh_token token;
	int64_t idle_ends_at; /* us */
};

/* Inside a write job: a new session. Returns 0 or -errno. */
int session_create(struct db_conn *c, const struct auth *auth, struct arena *a, const char *user_id,
		   const struct client *client, struct session_grant *ret);
/* Inside a write job: what a refresh token leads to. Families of OAuth clients (sessions.client is SESSION_OAUTH) and
 * others are not each other's. GRANTED: *ret_grant has the successor. REUSED: the family has ended; feed_wake when it
 * is committed. Returns 0 or -errno. */
#define SESSION_OAUTH "oauth"
enum refresh_outcome { REFRESH_GRANTED, REFRESH_REFUSED, REFRESH_REUSED };
int session_rotate(struct db_conn *c, const struct auth *auth, struct arena *a, const struct refresh_token *token,
		   bool is_oauth, enum refresh_outcome *ret, struct session_grant *ret_grant);
/* Inside a write job: ends one session, or all of a user's; their access tokens end with the one by itself, with all
 * when his rights are raised too (feed_add_user). feed_wake when it is committed. Returns 0 or -errno. */
int session_revoke(struct db_conn *c, const char *session_id, const char *reason);
int session_revoke_all(struct db_conn *c, const char *user_id, const char *reason);

/* Answers with the session as the client wants it: cookie or body. */
void session_reply(struct exchange *x, int status, const struct client *client, const struct session_grant *grant);
/* Signs an access token. session_id may be "". In the arena. */
const char *session_access_token(const struct auth *auth, struct arena *a, const struct account *account,
				 const char *session_id);
/* access_token, token_type and expires_in. */
void session_add_access_token(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct auth *auth, struct arena *a,
			      const struct account *account, const char *session_id);
