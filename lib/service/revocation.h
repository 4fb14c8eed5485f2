/* What was revoked and could still be in use: access tokens live for minutes, and a session that is ended, a user who
 * is disabled or whose rights change, must be felt at once. auth numbers what it revokes (its table `revocations`);
 * every service follows that feed (revocation_feed.c) and keeps what is younger than a token can be.
 *
 * A token is revoked when its session or itself is, or its user was disabled or removed since it was made (its claim
 * `pe`, the user's permission epoch, tells). When only his rights have changed since, the token is good and has the
 * rights that he has now. */
#pragma once

#include "service/token.h"

#define REVOCATIONS_MAX 100000         /* beyond them, all tokens older than the oldest of them are refused */
#define RIGHTS_GONE ((int64_t)1 << 52) /* the epoch of a user who is not there any more */

enum revocation_kind { REVOKED_SESSION, REVOKED_TOKEN, REVOKED_USER };

struct revocation {
	int64_t number; /* rises by one */
	enum revocation_kind kind;
	const char *subject; /* the session's id, the token's jti, the user's id */
	int64_t rights;      /* of a user: his permission epoch; tokens with a smaller one… */
	/* …have these permissions now (NULL at the end); NULL: they are revoked */
	const char *const *permissions;
	const char *reason; /* "logout", "refresh_reuse", "user_disabled", "user_deleted", "rights_changed"… */
	int64_t at_us;      /* us since 1970, by auth's clock */
};

/* The set. All functions are for any thread. */
struct revocations;

struct revocations *revocations_new(void);
void revocations_free(struct revocations *r);
/* Rises with every change: who has found a token good in this generation need not look again. */
uint64_t revocations_generation(const struct revocations *r);
/* Whether this person's token is revoked. Tokens of services on their own behalf never are. */
bool revocations_cover(struct revocations *r, const struct identity *id);
/* Whether it is, or has other rights by now than the identity says. */
bool revocations_concern(struct revocations *r, const struct identity *id);
/* Returns false when it is revoked, or scoped and the user's rights have changed since; otherwise the identity has the
 * permissions of now, in the arena. */
bool revocations_apply(struct revocations *r, struct identity *id, struct arena *a);
/* They are kept until window_s have passed since then. */
void revocations_add(struct revocations *r, const struct revocation *list, size_t n, int64_t window_s);
/* Forgets what is too old to matter at that time. */
void revocations_sweep(struct revocations *r, int64_t now_us);
size_t revocations_count(const struct revocations *r);

struct service;
/* Who wants to hear of each on the service's loop, within a second of its commit: to end what lasts longer than a
 * request. The set has it already. Some come again after a reconnection. */
void revocation_on_change(struct service *s, void (*fn)(void *arg, const struct revocation *what), void *arg);
/* The service's set; NULL in a service that checks no people's tokens. */
struct revocations *service_revocations(struct service *s);
