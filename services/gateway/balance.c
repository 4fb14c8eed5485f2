#include "balance.h"

#include <stdlib.h>

#include "base/alloc.h"

#define EJECT_MAX_MS 300000
#define COLDEST 0.1
#define FORGIVEN_AFTER 10 /* times eject_ms without an ejection: the next one is short again */

struct endpoint *endpoint_new(const char *address, unsigned weight, unsigned priority)
{
	struct endpoint *e = xcalloc(1, sizeof(*e));

	atomic_init(&e->refs, 1);
	e->address = xstrdup(address);
	e->weight = weight;
	e->priority = priority;
	return e;
}

struct endpoint *endpoint_ref(struct endpoint *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

void endpoint_unref(struct endpoint *e)
{
	if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) > 1)
		return;
	free(e->address);
	free(e);
}

/* ---- Who may ---- */

static void start_slowly(const struct balancer *b, struct endpoint *e, uint64_t now)
{
	e->warm_from = b->settings.slow_start_ms ? MAX(now, 1) : 0;
}

bool balance_is_available(struct balancer *b, struct endpoint *e, uint64_t now)
{
	if (e->ejected_until && now >= e->ejected_until) {
		e->returned_at = e->ejected_until;
		e->ejected_until = 0;
		e->failures = 0;
		start_slowly(b, e, now);
	}
	return !e->is_down && !e->ejected_until;
}

double balance_warmth(const struct balancer *b, const struct endpoint *e, uint64_t now)
{
	uint64_t age = now - e->warm_from;

	if (!e->warm_from || age >= b->settings.slow_start_ms)
		return 1;
	return MAX(COLDEST, (double)age / (double)b->settings.slow_start_ms);
}

/* ---- The draw ---- */

static bool was_tried(const struct endpoint *e, struct endpoint *const *tried, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (tried[i] == e)
			return true;
	return false;
}

struct draw {
	struct balancer *b;
	struct endpoint *const *tried;
	unsigned n_tried;
	uint64_t now;
	bool any;          /* also those that are not available */
	unsigned priority; /* only those of this one */
	double total;      /* their weights */
};

static double weight_of(const struct draw *d, struct endpoint *e)
{
	if (was_tried(e, d->tried, d->n_tried) || (!d->any && !balance_is_available(d->b, e, d->now)))
		return 0;
	return e->weight * balance_warmth(d->b, e, d->now);
}

/* Looks for the first group of priority in which somebody may. False: there is nobody. */
static bool draw_begin(struct draw *d)
{
	bool found = false;

	d->total = 0;
	for (size_t i = 0; i < d->b->n; i++) {
		struct endpoint *e = d->b->items[i];
		double weight = weight_of(d, e);

		if (weight <= 0 || (found && e->priority > d->priority))
			continue;
		if (!found || e->priority < d->priority)
			d->total = 0;
		found = true;
		d->priority = e->priority;
		d->total += weight;
	}
	return found;
}

/* xorshift64*, in [0, 1). */
static double draw_number(struct balancer *b)
{
	b->random ^= b->random >> 12;
	b->random ^= b->random << 25;
	b->random ^= b->random >> 27;
	return (double)((b->random * 2685821657736338717ull) >> 11) / 9007199254740992.0;
}

static struct endpoint *draw_one(struct draw *d, const struct endpoint *but)
{
	double total = d->total - (but ? weight_of(d, (struct endpoint *)but) : 0), at = draw_number(d->b) * total;
	struct endpoint *last = NULL;

	for (size_t i = 0; i < d->b->n; i++) {
		struct endpoint *e = d->b->items[i];
		double weight = e == but || e->priority != d->priority ? 0 : weight_of(d, e);

		if (weight <= 0)
			continue;
		last = e;
		at -= weight;
		if (at < 0)
			break;
	}
	return last;
}

static double load_of(const struct draw *d, struct endpoint *e)
{
	return e->active / weight_of(d, e);
}

struct endpoint *balance_pick(struct balancer *b, struct endpoint *const *tried, unsigned n_tried, uint64_t now)
{
	struct draw d = {.b = b, .tried = tried, .n_tried = n_tried, .now = now};
	struct endpoint *one, *other;

	if (b->n == 1)
		return was_tried(b->items[0], tried, n_tried) ? NULL : b->items[0];
	if (!draw_begin(&d)) {
		d.any = true;
		if (!draw_begin(&d))
			return NULL;
	}
	one = draw_one(&d, NULL);
	other = draw_one(&d, one);
	return other && load_of(&d, other) < load_of(&d, one) ? other : one;
}

/* ---- Ejection ---- */

static bool may_eject(struct balancer *b, uint64_t now)
{
	size_t out = 0;

	for (size_t i = 0; i < b->n; i++)
		out += !balance_is_available(b, b->items[i], now);
	return (out + 1) * 2 <= b->n;
}

static void eject(struct balancer *b, struct endpoint *e, uint64_t now)
{
	if (now - e->returned_at > FORGIVEN_AFTER * b->settings.eject_ms)
		e->ejections = 0;
	e->ejections++;
	e->n_ejections++;
	e->ejected_until = now + MIN(b->settings.eject_ms * e->ejections, EJECT_MAX_MS);
}

bool balance_report(struct balancer *b, struct endpoint *e, bool is_failure, uint64_t now)
{
	if (!is_failure) {
		e->failures = 0;
		return false;
	}
	e->failures++;
	e->n_failures++;
	if (!b->settings.eject_after || e->failures < b->settings.eject_after || e->ejected_until ||
	    atomic_load(&e->is_gone) || !may_eject(b, now))
		return false;
	eject(b, e, now);
	return true;
}

void balance_set_down(struct balancer *b, struct endpoint *e, bool is_down, uint64_t now)
{
	if (e->is_down && !is_down) {
		e->failures = 0;
		start_slowly(b, e, now);
	}
	e->is_down = is_down;
}

/* ---- Budget ---- */

static unsigned slot_of(struct balancer *b, uint64_t now)
{
	uint64_t second = now / 1000;
	unsigned i = second % BUDGET_SLOTS;

	if (b->budget[i].second != second) {
		b->budget[i].second = second;
		b->budget[i].requests = b->budget[i].retries = 0;
	}
	return i;
}

void balance_count_request(struct balancer *b, uint64_t now)
{
	b->budget[slot_of(b, now)].requests++;
}

bool balance_take_retry(struct balancer *b, uint64_t now)
{
	unsigned at = slot_of(b, now);
	uint64_t requests = 0, retries = 0;

	for (unsigned i = 0; i < BUDGET_SLOTS; i++) {
		if (b->budget[i].second + BUDGET_SLOTS <= now / 1000)
			continue;
		requests += b->budget[i].requests;
		retries += b->budget[i].retries;
	}
	if (retries >= b->settings.retry_floor + requests * b->settings.retry_percent / 100)
		return false;
	b->budget[at].retries++;
	return true;
}
