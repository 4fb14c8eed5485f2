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
	bool is_new;          /* it has just been made: the device is known from now on */
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

/* Inside a write job: ends all of a user's but this one (NULL: all), each told to the services. feed_wake when it is
 * committed. Returns how many, or -errno. */
int session_revoke_others(struct db_conn *c, const char *user_id, const char *but, const char *reason);

/* Acts that need a password given a short while ago. */
#define SESSION_FRESH_US (5 * 60 * INT64_C(1000000))
/* Inside a job: actor_check, and whether the session's user gave a password or another factor within that time;
 * ACTOR_STALE if not. The key of this machine's command line is always fresh. */
int actor_check_fresh(struct db_conn *c, struct exchange *x, struct account *ret);

/* The session that a web client's cookie stands for, or NULL. In the arena. */
const char *session_of_cookie(struct exchange *x, const struct client *client);

/* Answers with the session as the client wants it: cookie or body. */
void session_reply(struct exchange *x, int status, const struct client *client, const struct session_grant *grant);
/* Signs an access token for life_s seconds. session_id may be "". In the arena. */
const char *session_access_token(const struct auth *auth, struct arena *a, const struct account *account,
				 const char *session_id, int64_t life_s);
/* The same for an OAuth client that acts for the user, with no more than these permissions. */
struct token_client {
	const char *id, *scope;
	const char *audience; /* a resource's URL; NULL: TOKEN_AUDIENCE */
	const char *const *permissions;
};
const char *session_client_token(const struct auth *auth, struct arena *a, const struct account *account,
				 const char *session_id, int64_t life_s, const struct token_client *client);
/* access_token, token_type and expires_in. */
void session_add_access_token(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct auth *auth, struct arena *a,
			      const struct account *account, const char *session_id, int64_t life_s);
