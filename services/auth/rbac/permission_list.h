/* Names and patterns of permissions in requests: "agents.read", "agents.*", "*". */
#pragma once

#include "account.h"

#define PERMISSION_MAX 100        /* bytes of one */
#define PERMISSION_LIST_MAX 64    /* of a role, of a user's grants, of his denials, of a token's scopes */
#define PERMISSION_BYTES_MAX 2048 /* of all of a list: they travel in tokens */

struct permission_list {
	const char *items[PERMISSION_LIST_MAX + 1]; /* none twice, NULL at the end */
	size_t n;
};

/* Reads an array of a body; `field` is its name there. NULL is an empty list. Answers 422 and returns false when
 * something in it is no permission's form or there twice. */
bool permission_list_read(struct exchange *x, yyjson_val *arr, const char *field, struct permission_list *ret);
/* Their names with blanks between them, in the arena. */
const char *permission_list_join(struct arena *a, const struct permission_list *list);
bool permission_list_has(const struct permission_list *list, const char *permission);

/* Inside a job: whether there is such a permission: a name of the table, a pattern that covers one at least, or what
 * is below one that has things below (channels.read.NAME). 1, 0 or -errno. */
int permission_is_known(struct db_conn *c, const char *permission);

/* ---- Who may give what ---- */

enum give_outcome { GIVE_OK, GIVE_UNKNOWN, GIVE_LACKING };

/* Inside a job: whether all of them are known and covered by what the giver has (with the token of his request).
 * Returns a give_outcome with *ret_which set, or -errno. */
int permissions_may_be_given(struct db_conn *c, const struct account *giver, const struct permission_list *list,
			     const char **ret_which);
/* Answers 422 `unknown_permission` or 403 `forbidden`. */
void permissions_refuse(struct exchange *x, int outcome, const char *which);
