/* Asks each endpoint of an upstream in turn how it is. Its first answer decides at once; afterwards it takes some good
 * ones in a row to come up, and some bad ones to go down. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "io/http_client.h"
#include "upstream_internal.h"

#define ANSWER_MAX 65536

struct check {
	struct list link;          /* in health.checks */
	struct health *health;     /* NULL: nobody wants the answer any more */
	struct endpoint *endpoint; /* referenced */
	struct http_pool *pool;
	struct http_fetch *fetch; /* under way, or NULL */
	unsigned good, bad;       /* in a row */
	bool is_seen;             /* while the endpoints are compared */
};

struct health {
	struct upstream *upstream; /* outlives it */
	uv_loop_t *loop;
	struct wheel *wheel;
	struct deadline next;
	struct list checks;
};

static void check_free(struct check *c)
{
	http_pool_free(c->pool);
	endpoint_unref(c->endpoint);
	free(c);
}

/* Its memory waits for the end of the question that is under way. */
static void check_stop(struct check *c)
{
	list_remove(&c->link);
	c->health = NULL;
	if (c->fetch)
		http_fetch_cancel(c->fetch);
	else
		check_free(c);
}

static void tell(const struct check *c, bool is_down)
{
	log_event(is_down ? LOG_WARN : LOG_INFO, is_down ? "an endpoint is down" : "an endpoint is up again",
		  "upstream", c->health->upstream->settings.name, "endpoint", c->endpoint->address, NULL);
}

static void judge(struct check *c, bool is_good)
{
	struct upstream *u = c->health->upstream;
	const struct upstream_settings *s = &u->settings;
	bool is_first = !c->good && !c->bad, was_down, is_down;

	c->good = is_good ? c->good + 1 : 0;
	c->bad = is_good ? 0 : c->bad + 1;
	pthread_mutex_lock(&u->lock);
	if (!is_good)
		u->counters[UPSTREAM_HEALTH_FAILURES]++;
	was_down = is_down = c->endpoint->is_down;
	if (is_good && (is_first || c->good >= s->health_rise))
		is_down = false;
	else if (!is_good && (is_first || c->bad >= s->health_fall))
		is_down = true;
	if (was_down != is_down)
		balance_set_down(&u->balancer, c->endpoint, is_down, upstream_now());
	pthread_mutex_unlock(&u->lock);
	if (was_down != is_down)
		tell(c, is_down);
}

static void on_fetched(void *arg, int err, int status, struct str body)
{
	struct check *c = arg;

	c->fetch = NULL;
	if (!c->health)
		check_free(c);
	else if (err != -ECANCELED)
		judge(c, !err && status >= 200 && status < 400);
}

static void ask(struct check *c)
{
	const struct upstream_settings *s = &c->health->upstream->settings;

	if (c->fetch)
		return;
	c->fetch = http_fetch(c->pool, "GET", s->health_path, NULL, NULL, (struct str){0}, ANSWER_MAX,
			      s->health_timeout_ms, on_fetched, c);
}

static struct check *find(struct health *h, const struct endpoint *e)
{
	struct check *c;

	list_foreach (c, &h->checks, struct check, link)
		if (c->endpoint == e)
			return c;
	return NULL;
}

static void add(struct health *h, struct endpoint *e)
{
	const struct upstream_settings *s = &h->upstream->settings;
	struct http_pool_limits limits = {.max_connections = 2, .max_idle = 1, .connect_ms = s->health_timeout_ms};
	struct check *c = xcalloc(1, sizeof(*c));

	c->health = h;
	c->endpoint = endpoint_ref(e);
	c->pool = http_pool_new(h->loop, h->wheel, e->address, &limits);
	c->is_seen = true;
	list_init(&c->link);
	list_append(&h->checks, &c->link);
}

/* The endpoints may have changed since. */
static void compare(struct health *h)
{
	struct upstream *u = h->upstream;
	struct check *c;

	list_foreach (c, &h->checks, struct check, link)
		c->is_seen = false;
	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < u->balancer.n; i++) {
		c = find(h, u->balancer.items[i]);
		if (c)
			c->is_seen = true;
		else
			add(h, u->balancer.items[i]);
	}
	pthread_mutex_unlock(&u->lock);
	list_foreach (c, &h->checks, struct check, link)
		if (!c->is_seen)
			check_stop(c);
}

static void on_next(struct deadline *at)
{
	struct health *h = container_of(at, struct health, next);
	uint64_t interval = h->upstream->settings.health_interval_ms;
	struct check *c;

	compare(h);
	list_foreach (c, &h->checks, struct check, link)
		ask(c);
	/* Several gateways shall not ask all at the same time. */
	deadline_set(h->wheel, &h->next, interval - interval / 10 + (uint64_t)random() % (interval / 5 + 1));
}

struct health *health_new(struct upstream *u, uv_loop_t *loop, struct wheel *wheel)
{
	struct health *h = xcalloc(1, sizeof(*h));

	h->upstream = u;
	h->loop = loop;
	h->wheel = wheel;
	list_init(&h->checks);
	deadline_init(&h->next, on_next);
	deadline_set(wheel, &h->next, 0);
	return h;
}

void health_free(struct health *h)
{
	struct check *c;

	if (!h)
		return;
	list_foreach (c, &h->checks, struct check, link)
		check_stop(c);
	deadline_clear(&h->next);
	free(h);
}
