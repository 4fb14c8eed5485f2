#include "throttle.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/alloc.h"

#define WAYS 8 /* slots a name may be in */

struct slot {
	uint64_t name; /* keyed hash, 0 = empty */
	uint64_t seen_ms;
	uint64_t closed_until_ms;
	unsigned failures;
	unsigned in_flight;
	bool has_passed;
};

struct throttle {
	struct throttle_policy policy;
	uint8_t key[crypto_shorthash_KEYBYTES];
	size_t n_sets;
	struct slot slots[];
};

struct throttle *throttle_new(const struct throttle_policy *policy, size_t slots)
{
	size_t n_sets = MAX(slots / WAYS, 1u);
	struct throttle *t = xcalloc(1, sizeof(*t) + n_sets * WAYS * sizeof(struct slot));

	t->policy = *policy;
	t->n_sets = n_sets;
	crypto_shorthash_keygen(t->key);
	return t;
}

void throttle_free(struct throttle *t)
{
	free(t);
}

static uint64_t hash_name(struct throttle *t, struct str name)
{
	uint64_t h;

	crypto_shorthash((uint8_t *)&h, (const uint8_t *)name.p, name.n, t->key);
	return h ? h : 1;
}

static bool is_stale(const struct throttle *t, const struct slot *s, uint64_t now_ms)
{
	return now_ms > s->seen_ms + t->policy.forget_ms;
}

/* The name's slot, or NULL. A slot that was quiet for long is as good as none. */
static struct slot *find(struct throttle *t, uint64_t h, uint64_t now_ms)
{
	struct slot *set = t->slots + (h % t->n_sets) * WAYS;

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].name == h)
			return is_stale(t, &set[i], now_ms) ? NULL : &set[i];
	return NULL;
}

static struct slot *take(struct throttle *t, uint64_t h, uint64_t now_ms)
{
	struct slot *set = t->slots + (h % t->n_sets) * WAYS, *oldest = set;
	struct slot *s = find(t, h, now_ms);

	if (s)
		return s;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].name == h) {
			oldest = &set[i];
			break;
		}
		if (set[i].seen_ms < oldest->seen_ms)
			oldest = &set[i];
	}
	*oldest = (struct slot){.name = h, .seen_ms = now_ms};
	return oldest;
}

uint64_t throttle_begin(struct throttle *t, struct str name, uint64_t now_ms)
{
	struct slot *s = take(t, hash_name(t, name), now_ms);

	if (now_ms < s->closed_until_ms)
		return s->closed_until_ms - now_ms;
	if (s->failures >= t->policy.free && s->in_flight > 0)
		return t->policy.first_ms;
	s->in_flight++;
	s->seen_ms = now_ms;
	return 0;
}

static uint64_t wait_after(const struct throttle_policy *p, unsigned failures)
{
	unsigned doublings;

	if (failures < p->free)
		return 0;
	doublings = MIN(failures - p->free, 30u);
	return MIN(p->first_ms << doublings, p->max_ms);
}

void throttle_end(struct throttle *t, struct str name, enum throttle_outcome outcome, uint64_t now_ms)
{
	struct slot *s = take(t, hash_name(t, name), now_ms);

	if (s->in_flight > 0)
		s->in_flight--;
	if (outcome == THROTTLE_UNKNOWN)
		return;
	s->seen_ms = now_ms;
	if (outcome == THROTTLE_PASSED) {
		s->failures = 0;
		s->closed_until_ms = 0;
		s->has_passed = true;
		return;
	}
	s->failures++;
	s->closed_until_ms = now_ms + wait_after(&t->policy, s->failures);
}

bool throttle_has_passed(struct throttle *t, struct str name, uint64_t now_ms)
{
	struct slot *s = find(t, hash_name(t, name), now_ms);

	return s && s->has_passed;
}
