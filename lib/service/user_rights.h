/* What users may, for services' tokens that act for them: such a token is worth what both the service and the user may.
 * Auth is asked (GET /users/{id}/rights) once a minute for each user in use; what auth tells in its feed counts at
 * once. On the loop's thread. */
#pragma once

#include "io/http_client.h"
#include "service/revocation.h"

struct user_rights;
struct key_wait;

/* auth: where to ask. key, role: of the service that asks; they live on. */
struct user_rights *user_rights_new(struct http_pool *auth, const struct token_key *key, const char *role);
/* Cancels what is under way; those who wait never hear of it. */
void user_rights_stop(struct user_rights *u);
void user_rights_free(struct user_rights *u);

enum user_rights_state {
	USER_RIGHTS_KNOWN,   /* the identity's permissions are those of both now, in the arena */
	USER_RIGHTS_UNKNOWN, /* they must be asked for */
	USER_RIGHTS_GONE     /* the user is disabled or removed */
};
/* r may be NULL. */
enum user_rights_state user_rights_apply(struct user_rights *u, struct revocations *r, struct identity *id,
					 struct arena *a);
/* w->done comes later. False: too many are asked for already. */
bool user_rights_ask(struct user_rights *u, const char *user_id, struct key_wait *w);
/* Auth did not answer just now: nobody can tell. */
bool user_rights_failed(const struct user_rights *u);
