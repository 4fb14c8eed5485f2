/* What happens between the open database and the first request: migrations, keys, seeds, the set-up token. */
#pragma once

#include "auth.h"

/* The steps of the schema, oldest first. */
extern const struct migration auth_migrations[];
extern const size_t auth_migrations_n;

/* Opens and migrates the database (option auth_db_url). Returns 0, or -errno with err. */
int start_database(struct auth *auth, struct error *err);
/* Loads the keys, seeds the database in one transaction and publishes the key set; runs the loop until that is done.
 * Returns 0, or -errno with err. */
int start_seed(struct auth *auth, struct error *err);
