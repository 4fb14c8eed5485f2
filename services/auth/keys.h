/* The signing key and the set of public ones that other services check with. */
#pragma once

#include "auth.h"

/* Loads secrets/auth-signing.key (made when missing) and the key of the refresh tokens. Returns 0, or -EINVAL with err.
 * The kid follows from the public key, so the file needs to hold no more than the seed. */
int keys_load(struct auth *auth, struct error *err);
/* Inside a write job at start: records the public key if it is new and collects those that still count. Returns 0 or
 * -errno. */
int keys_seed(struct db_conn *c, struct auth *auth, struct buf *ret_jwks);
/* The set as keys_seed made it becomes the published and trusted one. Returns 0, or -EINVAL with err. */
int keys_publish(struct auth *auth, struct buf *jwks, struct error *err);
