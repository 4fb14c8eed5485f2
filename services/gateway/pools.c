#include "pools.h"

#include <stdlib.h>

#include "base/alloc.h"

#define SWEEP_MS 5000 /* between two looks at what is gone and still busy */

struct pools {
	uv_loop_t *loop;
	struct wheel *wheel;
	struct upstreams *registry;
	unsigned slot, generation;
	struct list entries; /* struct entry */
	struct deadline sweep;
};

struct entry {
	struct list link;
	struct endpoint *endpoint; /* referenced */
	struct http_pool *pool;
};

static void entry_free(struct pools *p, struct entry *e)
{
	list_remove(&e->link);
	e->endpoint->pools[p->slot] = NULL;
	http_pool_free(e->pool);
	endpoint_unref(e->endpoint);
	free(e);
}

static bool is_quiet(const struct http_pool *pool)
{
	struct http_pool_stats stats;

	http_pool_stats(pool, &stats);
	return stats.open == stats.idle && !stats.waiting;
}

static void sweep(struct pools *p)
{
	bool is_busy = false;
	struct entry *e;

	list_foreach (e, &p->entries, struct entry, link) {
		if (!atomic_load(&e->endpoint->is_gone))
			continue;
		if (is_quiet(e->pool))
			entry_free(p, e);
		else
			is_busy = true;
	}
	if (is_busy)
		deadline_set(p->wheel, &p->sweep, SWEEP_MS);
}

static void on_sweep(struct deadline *d)
{
	sweep(container_of(d, struct pools, sweep));
}

struct pools *pools_new(uv_loop_t *loop, struct wheel *wheel, struct upstreams *registry, unsigned slot)
{
	struct pools *p = xcalloc(1, sizeof(*p));

	p->loop = loop;
	p->wheel = wheel;
	p->registry = registry;
	p->slot = slot;
	p->generation = upstreams_generation(registry);
	list_init(&p->entries);
	deadline_init(&p->sweep, on_sweep);
	return p;
}

void pools_free(struct pools *p)
{
	struct entry *e;

	if (!p)
		return;
	deadline_clear(&p->sweep);
	list_foreach (e, &p->entries, struct entry, link)
		entry_free(p, e);
	free(p);
}

static struct http_pool *add(struct pools *p, const struct upstream_settings *s, struct endpoint *endpoint)
{
	struct http_pool_limits limits = {
		.max_connections = s->max_connections,
		.max_idle = s->max_idle,
		.idle_ms = s->idle_ms,
		.max_age_ms = s->max_age_ms,
	};
	struct entry *e = xcalloc(1, sizeof(*e));

	e->endpoint = endpoint_ref(endpoint);
	e->pool = http_pool_new(p->loop, p->wheel, endpoint->address, &limits);
	list_init(&e->link);
	list_append(&p->entries, &e->link);
	endpoint->pools[p->slot] = e->pool;
	return e->pool;
}

struct http_pool *pools_get(struct pools *p, const struct upstream *u, struct endpoint *e)
{
	unsigned generation = upstreams_generation(p->registry);

	if (generation != p->generation) {
		p->generation = generation;
		sweep(p);
	}
	return e->pools[p->slot] ? e->pools[p->slot] : add(p, &u->settings, e);
}
