/* Verdicts on tokens that were checked and found good, so that a token is checked once and not at every request.
 * Bounded: 4 places for each of the 1,024 hashes; the one used longest ago makes room. A verdict dies with the token's
 * exp, with token_cache_clear (when keys change), and when it is revoked. */
#pragma once

#include "service/revocation.h"

struct token_cache;

struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache *c);
void token_cache_clear(struct token_cache *c);
/* The identity's strings belong to a verdict that stays at least as long as the arena. */
bool token_cache_get(struct token_cache *c, struct str token, int64_t now, struct arena *a, struct identity *ret);
/* What is revoked; outlives the cache. Without it, nothing is. */
void token_cache_set_revocations(struct token_cache *c, struct revocations *r);
/* It counts until that time (s since 1970). */
void token_cache_put(struct token_cache *c, struct str token, const struct identity *id, int64_t until);
