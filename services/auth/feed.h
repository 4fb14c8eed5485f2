/* The feed of what is revoked: a row in the transaction that revokes, and word to the services that follow (they ask
 * GET /revocations and are answered when there is something). */
#pragma once

#include "auth.h"

#define FEED_REASON_MAX 32

/* Inside a write job. 0 or -errno. After the commit, feed_wake. */
int feed_add_session(struct db_conn *c, const char *session_id, const char *reason);
int feed_add_token(struct db_conn *c, const char *token_id, const char *reason);
/* Every token that the user has now is revoked; his row's permission epoch has been raised already, or (is_gone) he is
 * deleted. */
int feed_add_user(struct db_conn *c, const char *user_id, bool is_gone, const char *reason);
/* The permissions of a role have changed: all who have it get new tokens. Raises their epochs. */
int feed_add_role(struct db_conn *c, const char *role_id);

/* On the loop, when a job that may have revoked something is committed. */
void feed_wake(struct auth *auth);
void feed_init(struct auth *auth);
/* Answers all that wait. */
void feed_drain(struct auth *auth);
