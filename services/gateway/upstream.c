#include "upstream.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "upstream_internal.h"

const struct upstream_settings upstream_defaults = {
	.role = -1,
	.dns_stale_ms = 600000,
	.balance =
		{.eject_after = 5, .eject_ms = 10000, .slow_start_ms = 10000, .retry_percent = 20, .retry_floor = 10},
	.health_interval_ms = 5000,
	.health_timeout_ms = 2000,
	.health_rise = 2,
	.health_fall = 3,
	.max_requests = 10000,
	.max_pending = 1000,
	.max_connections = 4096,
	.max_idle = 64,
	.idle_ms = 55000, /* less than the roles' own */
	.max_age_ms = 3600000,
};

uint64_t upstream_now(void)
{
	return clock_coarse_ms();
}

/* ---- One upstream ---- */

static void write_settings(const struct upstream_settings *s, struct buf *to)
{
	buf_printf(to, "%s %d %s %u %llu|", s->name, s->kind, s->dns_name ? s->dns_name : "-", s->dns_port,
		   (unsigned long long)s->dns_stale_ms);
	for (size_t i = 0; i < s->n_addresses; i++)
		buf_printf(to, "%s %u|", s->addresses[i].address, s->addresses[i].weight);
	buf_printf(to, "%u %llu %llu %u %u|", s->balance.eject_after, (unsigned long long)s->balance.eject_ms,
		   (unsigned long long)s->balance.slow_start_ms, s->balance.retry_percent, s->balance.retry_floor);
	buf_printf(to, "%s %llu %llu %u %u|", s->health_path ? s->health_path : "-",
		   (unsigned long long)s->health_interval_ms, (unsigned long long)s->health_timeout_ms, s->health_rise,
		   s->health_fall);
	buf_printf(to, "%u %u %u %u %llu %llu", s->max_requests, s->max_pending, s->max_connections, s->max_idle,
		   (unsigned long long)s->idle_ms, (unsigned long long)s->max_age_ms);
}

char *upstream_settings_text(const struct upstream_settings *s)
{
	struct buf text = BUF_INIT;

	write_settings(s, &text);
	return buf_steal(&text, NULL);
}

static const char *copy(struct arena *a, const char *text)
{
	return text ? arena_strdup(a, text) : NULL;
}

static void copy_settings(struct upstream *u, const struct upstream_settings *from)
{
	struct upstream_settings *s = &u->settings;

	*s = *from;
	s->name = copy(u->arena, from->name);
	s->dns_name = copy(u->arena, from->dns_name);
	s->health_path = copy(u->arena, from->health_path);
	s->addresses = arena_alloc(u->arena, MAX(from->n_addresses, 1) * sizeof(*s->addresses));
	for (size_t i = 0; i < from->n_addresses; i++) {
		s->addresses[i] = from->addresses[i];
		s->addresses[i].address = copy(u->arena, from->addresses[i].address);
	}
}

struct upstream *upstream_new(const struct upstream_settings *settings)
{
	struct upstream *u = xcalloc(1, sizeof(*u));
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	atomic_init(&u->refs, 1);
	u->arena = arena_new();
	copy_settings(u, settings);
	write_settings(settings, &text);
	u->text = arena_strdup(u->arena, text.p);
	pthread_mutex_init(&u->lock, NULL);
	u->balancer.settings = settings->balance;
	u->balancer.random = clock_mono_us() * 2685821657736338717ull | 1;
	list_init(&u->link);
	if (settings->kind == DISCOVER_LIST)
		upstream_set_endpoints(u, u->settings.addresses, u->settings.n_addresses);
	return u;
}

struct upstream *upstream_ref(struct upstream *u)
{
	atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
	return u;
}

void upstream_unref(struct upstream *u)
{
	if (!u || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < u->balancer.n; i++)
		endpoint_unref(u->balancer.items[i]);
	free(u->balancer.items);
	pthread_mutex_destroy(&u->lock);
	arena_free(u->arena);
	free(u);
}

void upstream_count(struct upstream *u, enum upstream_counter c)
{
	pthread_mutex_lock(&u->lock);
	u->counters[c]++;
	pthread_mutex_unlock(&u->lock);
}

/* ---- Its endpoints ---- */

static struct endpoint *find(struct endpoint *const *items, size_t n, const char *address)
{
	for (size_t i = 0; i < n; i++)
		if (items[i] && !strcmp(items[i]->address, address))
			return items[i];
	return NULL;
}

static struct endpoint *make(struct upstream *u, const struct upstream_address *a)
{
	struct endpoint *e = find(u->balancer.items, u->balancer.n, a->address);

	if (e) {
		endpoint_ref(e);
		e->weight = a->weight;
		e->priority = a->priority;
		return e;
	}
	e = endpoint_new(a->address, a->weight, a->priority);
	if (u->is_resolved && u->balancer.n && u->settings.balance.slow_start_ms)
		e->warm_from = MAX(upstream_now(), 1);
	return e;
}

/* They take no new requests; what is on them goes on. Returns how many went. */
static unsigned let_go(struct endpoint **before, size_t n_before, struct endpoint *const *now, size_t n)
{
	unsigned gone = 0;

	for (size_t i = 0; i < n_before; i++) {
		if (!find(now, n, before[i]->address)) {
			atomic_store(&before[i]->is_gone, true);
			gone++;
		}
		endpoint_unref(before[i]);
	}
	free(before);
	return gone;
}

void upstream_set_endpoints(struct upstream *u, const struct upstream_address *addresses, size_t n)
{
	struct endpoint **items = xcalloc(MAX(n, 1), sizeof(struct endpoint *)), **before;
	size_t n_before, used = 0;

	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < n; i++)
		if (!find(items, used, addresses[i].address)) /* two records may name the same */
			items[used++] = make(u, &addresses[i]);
	before = u->balancer.items;
	n_before = u->balancer.n;
	u->balancer.items = items;
	u->balancer.n = used;
	u->is_resolved = true;
	if (let_go(before, n_before, items, used) && u->registry)
		upstreams_endpoints_gone(u->registry);
	pthread_mutex_unlock(&u->lock);
}

void upstream_inherit(struct upstream *u, struct upstream *from)
{
	pthread_mutex_lock(&from->lock);
	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < from->balancer.n; i++) {
		struct endpoint *old = from->balancer.items[i];
		struct endpoint *e = find(u->balancer.items, u->balancer.n, old->address);

		if (e) {
			e->is_down = old->is_down;
			e->failures = old->failures;
			e->ejections = old->ejections;
			e->ejected_until = old->ejected_until;
			e->returned_at = old->returned_at;
			e->warm_from = old->warm_from;
		}
	}
	/* Until its names are resolved, it has the endpoints of its namesake. */
	if (u->settings.kind != DISCOVER_LIST && !u->balancer.n && from->balancer.n) {
		u->balancer.items = xcalloc(from->balancer.n, sizeof(struct endpoint *));
		for (size_t i = 0; i < from->balancer.n; i++) {
			const struct endpoint *old = from->balancer.items[i];

			u->balancer.items[u->balancer.n++] = endpoint_new(old->address, old->weight, old->priority);
		}
	}
	memcpy(u->counters, from->counters, sizeof(u->counters));
	memcpy(u->balancer.budget, from->balancer.budget, sizeof(u->balancer.budget));
	pthread_mutex_unlock(&u->lock);
	pthread_mutex_unlock(&from->lock);
}

void upstream_retire(struct upstream *u)
{
	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < u->balancer.n; i++)
		atomic_store(&u->balancer.items[i]->is_gone, true);
	pthread_mutex_unlock(&u->lock);
}

/* ---- A request ---- */

static void take(struct upstream *u, struct upstream_use *use, struct endpoint *e)
{
	use->endpoint = endpoint_ref(e);
	use->is_pending = true;
	u->pending++;
	e->active++;
	e->n_requests++;
}

enum upstream_verdict upstream_begin(struct upstream *u, struct upstream_use *use)
{
	enum upstream_verdict verdict = UPSTREAM_OK;
	struct endpoint *e = NULL;
	uint64_t now;

	pthread_mutex_lock(&u->lock);
	now = upstream_now();
	if (u->active >= u->settings.max_requests || u->pending >= u->settings.max_pending)
		verdict = UPSTREAM_FULL;
	else if (!(e = balance_pick(&u->balancer, NULL, 0, now)))
		verdict = UPSTREAM_EMPTY;
	u->counters[UPSTREAM_REQUESTS]++;
	if (e) {
		balance_count_request(&u->balancer, now);
		u->active++;
		take(u, use, e);
	} else {
		u->counters[verdict == UPSTREAM_FULL ? UPSTREAM_OVERFLOWS : UPSTREAM_NOBODY]++;
	}
	pthread_mutex_unlock(&u->lock);
	if (e)
		use->upstream = upstream_ref(u);
	return verdict;
}

static void no_longer_pending(struct upstream_use *use)
{
	if (use->is_pending)
		use->upstream->pending--;
	use->is_pending = false;
}

void upstream_sent(struct upstream_use *use)
{
	if (!use->is_pending)
		return;
	pthread_mutex_lock(&use->upstream->lock);
	no_longer_pending(use);
	pthread_mutex_unlock(&use->upstream->lock);
}

/* The attempt is over. Under the lock. */
static void report(struct upstream_use *use, enum upstream_outcome outcome, uint64_t now)
{
	struct upstream *u = use->upstream;
	struct endpoint *e = use->endpoint;
	bool failed = outcome == OUTCOME_FAILURE || outcome == OUTCOME_NO_CONNECT;

	no_longer_pending(use);
	e->active--;
	if (failed)
		u->counters[UPSTREAM_FAILURES]++;
	if (outcome == OUTCOME_NO_CONNECT) {
		u->counters[UPSTREAM_CONNECT_FAILURES]++;
		e->n_connect_failures++;
		/* The name may stand for others by now. */
		if (u->settings.kind != DISCOVER_LIST)
			atomic_store(&u->wants_dns, true);
	}
	if (outcome != OUTCOME_NONE && balance_report(&u->balancer, e, failed, now))
		u->counters[UPSTREAM_EJECTIONS]++;
}

static void keep_tried(struct upstream_use *use)
{
	use->tried[use->n_tried++] = use->endpoint; /* with its reference */
	use->endpoint = NULL;
}

bool upstream_retry(struct upstream_use *use, enum upstream_outcome outcome)
{
	struct upstream *u = use->upstream;
	uint64_t now = upstream_now();
	struct endpoint *e = NULL;

	pthread_mutex_lock(&u->lock);
	report(use, outcome, now);
	keep_tried(use);
	if (use->n_tried < BALANCE_MAX_TRIED)
		e = balance_pick(&u->balancer, use->tried, use->n_tried, now);
	/* What never reached a server is no extra load for it. */
	if (e && outcome != OUTCOME_NO_CONNECT && !balance_take_retry(&u->balancer, now)) {
		u->counters[UPSTREAM_RETRIES_REFUSED]++;
		e = NULL;
	}
	if (e) {
		u->counters[UPSTREAM_RETRIES]++;
		take(u, use, e);
	}
	pthread_mutex_unlock(&u->lock);
	if (atomic_load(&u->wants_dns))
		upstreams_wake(u->registry);
	return e != NULL;
}

void upstream_end(struct upstream_use *use, enum upstream_outcome outcome)
{
	struct upstream *u = use->upstream;
	bool wakes;

	if (!u)
		return;
	pthread_mutex_lock(&u->lock);
	if (use->endpoint)
		report(use, outcome, upstream_now());
	u->active--;
	wakes = atomic_load(&u->wants_dns);
	pthread_mutex_unlock(&u->lock);
	if (wakes)
		upstreams_wake(u->registry);
	endpoint_unref(use->endpoint);
	for (unsigned i = 0; i < use->n_tried; i++)
		endpoint_unref(use->tried[i]);
	upstream_unref(u);
	*use = (struct upstream_use){0};
}
