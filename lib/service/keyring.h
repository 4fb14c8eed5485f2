/* The keys that this service trusts and where they come from: people's by /.well-known/jwks.json of auth, the other
 * services' from DATA/keys/<role>.jwk. Both are read at the start and again when a token names an unknown key, at most
 * once a second; auth's also every five minutes. */
#pragma once

#include <uv.h>

#include "io/http_client.h"
#include "io/wheel.h"
#include "service/revocation.h"

struct keyring;

/* A request that waits for keys. Embedded; alive until done or key_wait_cancel. */
struct key_wait {
	struct list link; /* in the keyring's list while it waits */
	void (*done)(struct key_wait *w);
};

/* role: whose audience internal tokens must have. auth: the pool to the auth service, NULL where people's tokens are
 * not checked by fetched keys (auth itself, which adds its own, and the demo model). */
struct keyring *keyring_new(struct wheel *wheel, const char *data_dir, const char *role, struct http_pool *auth);
/* Cancels a fetch; those who wait never hear of it. The memory must stay until the loop has run out. */
void keyring_stop(struct keyring *k);
void keyring_free(struct keyring *k);
/* What is revoked is not good any more. Outlives the keyring. */
void keyring_set_revocations(struct keyring *k, struct revocations *r);
/* Where people find the platform, without a last slash: the audiences of its resources begin with it. */
void keyring_set_public_url(struct keyring *k, const char *url);
struct token_keys *keyring_keys(struct keyring *k);
/* NULL when people's keys are there, otherwise why not. On any thread. */
const char *keyring_missing(void *keyring);

/* The verdict on a token at this path, from the cache if it was good before. Reads the key files again for an unknown
 * key. */
enum token_result keyring_check_at(struct keyring *k, struct str token, struct str path, struct arena *a,
				   struct identity *ret);
/* The same apart from any path: tokens for one resource only are refused. */
enum token_result keyring_check(struct keyring *k, struct str token, struct arena *a, struct identity *ret);
/* Personal access tokens are looked up at auth from now on, by this service (its key and role live on). */
void keyring_set_lookup(struct keyring *k, struct http_pool *auth, const struct token_key *key, const char *role);
/* After TOKEN_UNKNOWN_KEY: asks auth again, or about this personal access token. True: w->done comes later, then check
 * again. False: there is nothing newer. */
bool keyring_wait(struct keyring *k, struct str token, struct key_wait *w);
/* After TOKEN_UNKNOWN_KEY: auth did not answer, so nobody can tell. */
bool keyring_cannot_tell(struct keyring *k);
void key_wait_cancel(struct key_wait *w);
