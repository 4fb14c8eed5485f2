/* What the database holds from the first start on: permissions, roles, the owner. */
#pragma once

#include "base/id.h"
#include "data/db.h"

struct permission_seed {
	const char *name, *description;
};
struct role_seed {
	const char *name, *description;
	const char *permissions[24]; /* names and patterns, NULL at the end */
};
extern const struct permission_seed permission_seeds[];
extern const size_t permission_seeds_n;
extern const struct role_seed role_seeds[];
extern const size_t role_seeds_n;

/* Inside a write job; may run any number of times. A role that exists is left as the administrators made it. Returns 0
 * or -errno. */
int seed_rights(struct db_conn *c);
/* The owner of this installation: the row 'local' with the role admin, made once. Returns 0 or -errno. */
int seed_owner(struct db_conn *c, char ret_id[static ID_SIZE]);
