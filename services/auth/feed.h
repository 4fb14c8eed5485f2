/* The feed of what is revoked: a row in the transaction that revokes, and word to the services that follow (they ask
 * GET /revocations and are answered when there is something). */
#pragma once

#include "auth.h"

#define FEED_REASON_MAX 32

/* Inside a write job. 0 or -errno. After the commit, feed_wake. */
int feed_add_session(struct db_conn *c, const char *session_id, const char *reason);
int feed_add_token(struct db_conn *c, const char *token_id, const char *reason);
/* Every token that the user has now is revoked: he is disabled, which has raised his permission epoch, or deleted. */
int feed_add_user(struct db_conn *c, const char *user_id, const char *reason);
/* His rights have changed and his permission epoch has been raised: his tokens have those of now. */
int feed_add_rights(struct db_conn *c, const char *user_id);
/* The permissions of a role have changed: the same for all who have it. Raises their epochs. */
int feed_add_role(struct db_conn *c, const char *role_id);

/* On the loop, when a job that may have revoked something is committed. */
void feed_wake(struct auth *auth);
void feed_init(struct auth *auth);
/* Answers all that wait. */
void feed_drain(struct auth *auth);
