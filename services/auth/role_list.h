/* Roles, and lists of roles in requests. */
#pragma once

#include "account.h"

#define ROLE_LIST_MAX 32

struct role_list {
	const char *names[ROLE_LIST_MAX + 1]; /* none twice, NULL at the end */
};

/* Reads an array of names from a body; answers 422 and returns false when one is no text or there twice. */
bool role_list_read(struct exchange *x, yyjson_val *arr, struct role_list *ret);
void role_list_one(struct role_list *ret, const char *name);
/* "admin member", in the arena. */
const char *role_list_join(struct arena *a, const struct role_list *list);

/* Inside a job: whether the roles exist and hold nothing that the giver lacks. Returns ACTOR_OK, ACTOR_FORBIDDEN_ROLE,
 * ACTOR_UNKNOWN_ROLE or -errno. */
int roles_may_be_given(struct db_conn *c, const struct account *giver, const struct role_list *roles);
/* The answers for those two and for what actor_refuse knows. */
void roles_refuse(struct exchange *x, int state);
