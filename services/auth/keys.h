/* The signing keys and the set of public ones that other services check with. The pairs are in the database, sealed
 * with secrets/auth-keys.key; key_plan.h says when one is made, signs, and goes. */
#pragma once

#include "auth.h"
#include "key_plan.h"

struct keys; /* what keys.c keeps, in auth.keys */

/* One key, as it is read. */
struct key_entry {
	struct key_row row;
	const char *public_key, *secret; /* members of the JWK; sealed pair */
};
struct key_set {
	struct key_entry items[KEYS_MAX];
	struct key_row rows[KEYS_MAX]; /* the same, for key_plan */
	size_t n;
	struct key_plan plan;
	struct arena *arena; /* of the texts */
};

/* Loads the key that seals the pairs and the key of the refresh tokens (made when missing). Returns 0, or -EINVAL with
 * err. */
int keys_load(struct auth *auth, struct error *err);
/* Inside a write job: removes what is gone, makes what is due, and reads what there is. force: a new pair is due in any
 * case; at_once: it signs now, and the others are removed. Returns 0 or -errno (-EBUSY: one is coming already). */
int keys_look(struct db_conn *c, struct auth *auth, bool force, bool at_once, struct key_set *ret);
/* On the loop: the set becomes the published one, and its active key signs. Returns 0, or -EINVAL with err. */
int keys_publish(struct auth *auth, struct key_set *set, struct error *err);
/* From now on keys are looked after when it is time. */
void keys_start(struct auth *auth);
void keys_stop(struct auth *auth);
void keys_free(struct keys *k);
