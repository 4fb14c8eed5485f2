#include "limit.h"

#include <sched.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/id.h"

#define SETS 4096 /* a power of two */
#define WAYS 4
#define SPINS 64
#define ASK_US 200000 /* for this long at most, nothing is asked twice */

/* One client of one limit. */
struct limit_client {
	uint64_t key;     /* 0 = free */
	uint64_t full_at; /* when his whole allowance is there again, by what this process let through */

	/* The lease; of another generation: there is none. */
	uint32_t generation;
	uint32_t held, used;    /* requests that can still be made; made, and not told yet */
	uint32_t want;          /* what was asked for last; grows while he keeps coming */
	uint32_t left;          /* what was free in Redis then, for anybody */
	uint64_t until;         /* the lease's end */
	uint64_t refused_until; /* Redis had nothing to give */
	uint64_t retry_at;
	const void *asker; /* is asking, until */
	uint64_t asking_until;
};

/* Held for some ten nanoseconds, so that a thread that finds it locked waits by looking again. */
struct limit_set {
	atomic_flag lock;
	struct limit_client clients[WAYS];
};

struct limit_table {
	uint8_t hash_key[crypto_shorthash_KEYBYTES]; /* secret, so that nobody can aim at one set */
	char name[LIMIT_TABLE_NAME];
	_Atomic uint32_t generation;
	struct limit_set sets[SETS];
};

struct limit_table *limit_table_new(void)
{
	struct limit_table *t = xcalloc(1, sizeof(*t)); /* a clear atomic_flag is zero, with gcc and clang */

	crypto_shorthash_keygen(t->hash_key);
	secret_new(t->name, sizeof(t->name), "", 12);
	atomic_init(&t->generation, 1);
	return t;
}

const char *limit_table_name(const struct limit_table *t)
{
	return t->name;
}

void limit_table_free(struct limit_table *t)
{
	free(t);
}

uint32_t limit_generation(const struct limit_table *t)
{
	return atomic_load(&t->generation);
}

uint32_t limit_generation_next(struct limit_table *t)
{
	return atomic_fetch_add(&t->generation, 1) + 1;
}

/* ---- Sets ---- */

static uint64_t key_of(const struct limit_table *t, const struct limit_claim *c)
{
	uint64_t key;

	crypto_shorthash((uint8_t *)&key, (const uint8_t *)c->client.p, c->client.n, t->hash_key);
	key = (key ^ c->rule->salt) * UINT64_C(0xff51afd7ed558ccd);
	key ^= key >> 32;
	return key | !key;
}

static void lock(struct limit_set *s)
{
	for (unsigned i = 1; atomic_flag_test_and_set_explicit(&s->lock, memory_order_acquire); i++)
		if (i % SPINS == 0)
			sched_yield(); /* who holds it may wait for this processor */
}

static void unlock(struct limit_set *s)
{
	atomic_flag_clear_explicit(&s->lock, memory_order_release);
}

/* The sets of some clients, each once, in the order in which everybody locks them. */
struct limit_locks {
	struct limit_set *sets[LIMITS_MAX];
	size_t n;
};

static void locks_add(struct limit_locks *l, struct limit_set *s)
{
	size_t at = 0;

	while (at < l->n && l->sets[at] < s)
		at++;
	if (at < l->n && l->sets[at] == s)
		return;
	memmove(&l->sets[at + 1], &l->sets[at], (l->n - at) * sizeof(*l->sets));
	l->sets[at] = s;
	l->n++;
}

/* The client's place, or that of the one in its set whose allowance is the fullest. No claim takes another's place. */
static struct limit_client *find(struct limit_set *s, uint64_t key, struct limit_client *const *taken, size_t n_taken)
{
	struct limit_client *best = NULL;

	for (size_t i = 0; i < WAYS; i++) {
		struct limit_client *c = &s->clients[i];
		bool is_taken = false;

		if (c->key == key)
			return c;
		for (size_t j = 0; j < n_taken; j++)
			is_taken |= taken[j] == c;
		if (!is_taken && (!best || c->full_at < best->full_at))
			best = c;
	}
	*best = (struct limit_client){.key = key};
	return best;
}

/* ---- Leases ---- */

static bool has_lease(const struct limit_client *c, uint32_t generation, uint64_t now)
{
	return c->generation == generation && now < c->until;
}

/* What of the last lease Redis is to count: of one that ended, all, as Redis does when it sees its end first. */
static uint32_t take_used(struct limit_client *c, uint32_t generation, uint64_t now)
{
	uint32_t used = c->generation == generation ? c->used : 0;

	if (c->generation != generation || now >= c->until) {
		used += c->generation == generation ? c->held : 0;
		c->held = 0;
	}
	c->used = 0;
	return used;
}

/* Who keeps coming gets twice as much each time, so that one who seldom comes takes nothing away from other gateways.
 */
static void ask(struct limit_client *c, const struct limit_claim *claim, uint32_t generation, uint64_t now,
		const void *asker, struct limit_ask *ret)
{
	c->want = has_lease(c, generation, now) ? MAX(MIN(c->want * 2, claim->rule->slice), 1u) : 1;
	*ret = (struct limit_ask){.claim = *claim, .want = c->want, .used = take_used(c, generation, now)};
	c->asker = asker;
	c->asking_until = now + ASK_US;
}

void limit_grant(struct limit_table *t, const struct limit_claim *claim, uint32_t generation, uint64_t sent_us,
		 uint32_t granted, uint32_t left, uint64_t retry_us)
{
	uint64_t key = key_of(t, claim);
	struct limit_set *s = &t->sets[key % SETS];
	struct limit_client *c;

	lock(s);
	c = find(s, key, NULL, 0);
	if (generation == limit_generation(t)) {
		if (!has_lease(c, generation, sent_us)) {
			/* What is left of one that ended counts as used; of another generation nothing is left. */
			c->used = c->generation == generation ? c->used + c->held : 0;
			c->held = 0;
			c->until = 0;
			c->generation = generation;
		}
		c->held += granted;
		c->until = MAX(sent_us + LIMIT_LEASE_US, c->until);
		c->left = left;
		c->refused_until = granted ? 0 : sent_us + MIN(retry_us, (uint64_t)LIMIT_REFUSAL_US);
		c->retry_at = granted ? 0 : sent_us + retry_us;
	}
	c->asking_until = 0;
	unlock(s);
}

/* ---- Requests ---- */

struct limit_request {
	const struct limit_claim *claims;
	size_t n;
	uint64_t now;
	const void *asker;
	uint32_t generation;
	struct limit_client *clients[LIMITS_MAX];
	struct limit_verdict *verdicts;
};

/* What one limit says, without counting. */
static enum limit_outcome look(const struct limit_request *q, size_t i)
{
	const struct limit_rule *rule = q->claims[i].rule;
	const struct limit_client *c = q->clients[i];
	uint64_t next = MAX(c->full_at, q->now) + rule->interval_us;

	if (next > q->now + rule->window_us) {
		q->verdicts[i].retry_us = next - q->now - rule->window_us;
		return LIMIT_REFUSED;
	}
	if (!q->asker || (has_lease(c, q->generation, q->now) && c->held))
		return LIMIT_OK;
	if (c->generation == q->generation && c->refused_until > q->now) {
		q->verdicts[i].retry_us = MAX(c->retry_at - q->now, (uint64_t)1);
		return LIMIT_REFUSED;
	}
	return LIMIT_ASK;
}

static void count(const struct limit_request *q, size_t i, struct limit_ask *asks, size_t *n_asks)
{
	const struct limit_rule *rule = q->claims[i].rule;
	struct limit_client *c = q->clients[i];

	c->full_at = MAX(c->full_at, q->now) + rule->interval_us;
	if (!q->asker)
		return;
	c->held--;
	c->used++;
	/* The next ones are asked for before the last is used, once more than one was wanted. */
	if (c->want > 1 && c->held <= c->want / 4 && q->now >= c->asking_until)
		ask(c, &q->claims[i], q->generation, q->now, q->asker, &asks[(*n_asks)++]);
}

static void describe(const struct limit_request *q, size_t i)
{
	const struct limit_rule *rule = q->claims[i].rule;
	const struct limit_client *c = q->clients[i];
	struct limit_verdict *v = &q->verdicts[i];
	uint64_t full_at = MAX(c->full_at, q->now);

	v->full_us = full_at - q->now;
	v->remaining =
		(uint32_t)((q->now + rule->window_us - MIN(full_at, q->now + rule->window_us)) / rule->interval_us);
	if (q->asker && c->generation == q->generation)
		v->remaining = MIN(v->remaining, c->held + c->left);
}

/* All limits or none. */
static enum limit_outcome judge(const struct limit_request *q, struct limit_ask *asks, size_t *n_asks)
{
	enum limit_outcome all = LIMIT_OK, each[LIMITS_MAX];

	for (size_t i = 0; i < q->n; i++) {
		each[i] = look(q, i);
		if (all != LIMIT_REFUSED && each[i] != LIMIT_OK)
			all = each[i];
	}
	for (size_t i = 0; i < q->n; i++) {
		struct limit_client *c = q->clients[i];

		if (all == LIMIT_OK)
			count(q, i, asks, n_asks);
		else if (all == LIMIT_ASK && each[i] == LIMIT_ASK &&
			 (c->asker != q->asker || q->now >= c->asking_until))
			ask(c, &q->claims[i], q->generation, q->now, q->asker, &asks[(*n_asks)++]);
		describe(q, i);
	}
	return all;
}

enum limit_outcome limit_take(struct limit_table *t, const struct limit_claim *claims, size_t n, uint64_t now_us,
			      const void *asker, struct limit_verdict *verdicts, struct limit_ask *asks,
			      size_t *ret_n_asks)
{
	struct limit_request q = {claims,  MIN(n, (size_t)LIMITS_MAX), now_us, asker, limit_generation(t), {0},
				  verdicts};
	struct limit_locks locks = {.n = 0};
	uint64_t keys[LIMITS_MAX];
	size_t n_asks = 0;
	enum limit_outcome r;

	for (size_t i = 0; i < q.n; i++) {
		keys[i] = key_of(t, &claims[i]);
		locks_add(&locks, &t->sets[keys[i] % SETS]);
		verdicts[i] = (struct limit_verdict){0};
	}
	for (size_t i = 0; i < locks.n; i++)
		lock(locks.sets[i]);
	for (size_t i = 0; i < q.n; i++)
		q.clients[i] = find(&t->sets[keys[i] % SETS], keys[i], q.clients, i);
	r = judge(&q, asks, &n_asks);
	for (size_t i = 0; i < locks.n; i++)
		unlock(locks.sets[i]);
	if (ret_n_asks)
		*ret_n_asks = n_asks;
	return r;
}
