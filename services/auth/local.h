/* The key of the command line on this machine: DATA/secrets/cli.token, bound to the owner. */
#pragma once

#include "auth.h"

/* Appends the key, made when the file is missing. Returns 0, or -EINVAL with err. */
int local_key_load(struct auth *auth, struct buf *ret_key, struct error *err);
/* Inside a write job at start: the database knows the key's hash, and no other local one. Returns 0 or -errno. */
int local_key_seed(struct db_conn *c, struct str key, const char *owner_id);
