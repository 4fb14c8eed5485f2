/* A user with roles and rights, as read from the database, and the forms in which it goes out. */
#pragma once

#include "service/service.h"

struct account {
	const char *id, *kind, *name, *email; /* email may be NULL */
	bool disabled;
	int64_t created_at;
	int64_t rights;           /* the permission epoch: rises whenever they change */
	const char **roles;       /* names in order, NULL at the end */
	const char **permissions; /* patterns of all roles and direct grants, none twice; denials as "!PATTERN"; NULL at
				     the end */
	const struct identity *via; /* actor_check: whose token asks; NULL: none */
};

/* 1 found, 0 none, -errno. Strings live in the arena. */
int account_load(struct db_conn *c, struct arena *a, const char *id, struct account *ret);
/* Whether his rights, and the token by which he asks, hold a permission or cover a pattern. */
bool account_may(const struct account *account, const char *permission);
/* Whether `a` has every right that is given to `b`. */
bool account_covers(const struct account *a, const struct account *b);
/* id, name, email, kind, roles and created_at. */
void account_add_common(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct account *account);
/* The answer of /api/auth/me, also in a session. */
void account_add_me(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct account *account);
/* An array member of names. The names must live as long as the document. */
void account_add_names(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const char *const *names);

/* What a request's token allows right now: it may be ten minutes old, the database is not. */
enum actor_state { ACTOR_OK, ACTOR_GONE, ACTOR_FORBIDDEN, ACTOR_FORBIDDEN_ROLE, ACTOR_UNKNOWN_ROLE, ACTOR_STALE };
/* Inside a job: whether the user of x->who still exists, is not disabled, has the session and the route's permission.
 * Returns an actor_state or -errno. ret may be NULL. */
int actor_check(struct db_conn *c, struct exchange *x, struct account *ret);
/* Answers for ACTOR_GONE (401), ACTOR_FORBIDDEN (403) and ACTOR_STALE (403 reauth_required). */
void actor_refuse(struct exchange *x, enum actor_state state);

/* A display name from outside: trimmed, not blank, at most 100 characters, no control characters. Returns the name in
 * the arena, or NULL with err. */
const char *account_name_check(struct arena *a, const char *given, struct error *err);
