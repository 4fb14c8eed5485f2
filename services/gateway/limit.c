#include "limit.h"

#include <sodium.h>
#include <stdlib.h>
#include <uv.h>

#include "base/alloc.h"

#define SETS 4096
#define WAYS 4

struct client_limit {
	uint64_t key;     /* keyed hash of the client's name; 0 = free */
	uint64_t full_at; /* when the whole allowance is there again */
};

struct limiter {
	uv_mutex_t mutex;     /* of the sets */
	uint64_t interval_us; /* one request's share of the time */
	uint64_t window_us;   /* of the whole allowance */
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	struct client_limit sets[SETS][WAYS];
};

struct limiter *limiter_new(unsigned rate, unsigned burst)
{
	struct limiter *l = xcalloc(1, sizeof(*l));

	l->interval_us = MAX(1000000u / rate, 1u);
	l->window_us = l->interval_us * burst;
	crypto_shorthash_keygen(l->hash_key);
	uv_mutex_init(&l->mutex);
	return l;
}

void limiter_free(struct limiter *l)
{
	if (!l)
		return;
	uv_mutex_destroy(&l->mutex);
	free(l);
}

/* The client's place, or that of the one in its set whose allowance is the fullest. */
static struct client_limit *find(struct limiter *l, struct str name)
{
	uint64_t key;

	crypto_shorthash((uint8_t *)&key, (const uint8_t *)name.p, name.n, l->hash_key);
	key |= !key;

	struct client_limit *set = l->sets[key % SETS], *best = set;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].full_at < best->full_at)
			best = &set[i];
	}
	*best = (struct client_limit){.key = key};
	return best;
}

static unsigned seconds_up(uint64_t us)
{
	return (unsigned)((us + 999999) / 1000000);
}

void limiter_take(struct limiter *l, struct str key, uint64_t now_us, struct limit_verdict *ret)
{
	uv_mutex_lock(&l->mutex);

	struct client_limit *c = find(l, key);
	uint64_t full_at = MAX(c->full_at, now_us) + l->interval_us;

	ret->allowed = full_at <= now_us + l->window_us;
	ret->retry_after = ret->allowed ? 0 : seconds_up(full_at - now_us - l->window_us);
	if (ret->allowed)
		c->full_at = full_at;
	ret->full_s = seconds_up(MAX(c->full_at, now_us) - now_us);
	ret->remaining = (unsigned)((now_us + l->window_us - MAX(c->full_at, now_us)) / l->interval_us);
	uv_mutex_unlock(&l->mutex);
}
