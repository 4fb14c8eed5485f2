/* The other roles: one pool each, and the tokens for calling them. */
#include "service/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define ASSERTIONS_MAX 256
#define ASSERTION_USE_S 30 /* half of its life: it must not expire on the way */

#define POOLS_MAX 65 /* the service's own and one for each other thread */

struct peer {
	struct list link;                   /* in service.peers until the end */
	struct http_pool *pools[POOLS_MAX]; /* first the service's own; the others belong to whoever asked for them */
	unsigned n_pools;
	char role[];
};

/* A signed token: signing costs more than all else in a call, and a burst of calls is usually for one user. */
struct assertion {
	struct list link; /* in service.assertions, the oldest first; dropped when too old or too many */
	char *callee, *user_id, *token;
	char *actor;      /* "" = the service itself */
	uint64_t made_ms; /* loop time */
};

char *service_address(const struct service *s, const char *role, const char *which)
{
	_cleanup_(buf_deinit) struct buf name = BUF_INIT;

	buf_printf(&name, "%s_%s", role, which);
	const char *address = option_str(s->options, name.p);
	if (!*address)
		return xasprintf("unix:%s/run/%s.sock", service_data_dir(s), role);
	return xstrdup(!strncmp(address, "http://", 7) ? address + 7 : address);
}

static struct http_pool_stats sum(const struct peer *p)
{
	struct http_pool_stats all = {0}, one;

	for (unsigned i = 0; i < p->n_pools; i++) {
		http_pool_stats(p->pools[i], &one);
		all.open += one.open;
		all.idle += one.idle;
		all.waiting += one.waiting;
	}
	return all;
}

static double count_open(void *peer)
{
	return sum(peer).open;
}

static double count_busy(void *peer)
{
	struct http_pool_stats all = sum(peer);

	return all.open > all.idle ? all.open - all.idle : 0;
}

static double count_waiting(void *peer)
{
	return sum(peer).waiting;
}

static void add_metrics(struct peer *p)
{
	char *labels = xasprintf("to=\"%s\"", p->role);

	metric_gauge_fn("ogent_upstream_connections", "Connections to another role", labels, count_open, p);
	metric_gauge_fn("ogent_upstream_busy", "Connections to another role with a request on them", labels, count_busy,
			p);
	metric_gauge_fn("ogent_upstream_waiting", "Requests that wait for a connection to another role", labels,
			count_waiting, p);
	free(labels);
}

static struct http_pool *pool_new(struct service *s, const char *role, uv_loop_t *loop, struct wheel *wheel)
{
	char *address = service_address(s, role, "url");
	struct http_pool *pool = http_pool_new(loop, wheel, address, NULL);

	free(address);
	return pool;
}

static struct peer *find_peer(struct service *s, const char *role)
{
	struct peer *p;

	list_foreach (p, &s->peers, struct peer, link)
		if (!strcmp(p->role, role))
			return p;
	p = xcalloc(1, sizeof(*p) + strlen(role) + 1);
	strcpy(p->role, role);
	p->pools[p->n_pools++] = pool_new(s, role, &s->loop, s->wheel);
	list_append(&s->peers, &p->link);
	add_metrics(p);
	return p;
}

struct http_pool *service_peer(struct service *s, const char *role)
{
	return find_peer(s, role)->pools[0];
}

struct http_pool *service_peer_on(struct service *s, const char *role, uv_loop_t *loop, struct wheel *wheel)
{
	struct peer *p = find_peer(s, role);
	struct http_pool *pool = pool_new(s, role, loop, wheel);

	if (p->n_pools < POOLS_MAX)
		p->pools[p->n_pools++] = pool;
	return pool;
}

static void assertion_free(struct assertion *a)
{
	list_remove(&a->link);
	sodium_memzero(a->token, strlen(a->token));
	free(a->callee);
	free(a->user_id);
	free(a->actor);
	free(a->token);
	free(a);
}

/* The token to call `callee` for `user_id`; valid until the next call of this function. */
static const char *assertion_get(struct service *s, const char *callee, const char *user_id, const char *actor)
{
	_cleanup_(buf_deinit) struct buf token = BUF_INIT;
	uint64_t now = uv_now(&s->loop);
	unsigned n = 0;
	struct assertion *a;

	list_foreach (a, &s->assertions, struct assertion, link) {
		if (now - a->made_ms > ASSERTION_USE_S * 1000)
			assertion_free(a);
		else if (!strcmp(a->callee, callee) && !strcmp(a->user_id, user_id) && !strcmp(a->actor, actor))
			return a->token;
		else
			n++;
	}
	if (n >= ASSERTIONS_MAX)
		assertion_free(list_first(&s->assertions, struct assertion, link));

	a = xcalloc(1, sizeof(*a));
	token_sign_delegated(&s->key, s->role, callee, user_id, *actor ? actor : NULL, &token);
	a->callee = xstrdup(callee);
	a->user_id = xstrdup(user_id);
	a->actor = xstrdup(actor);
	a->token = buf_steal(&token, NULL);
	a->made_ms = now;
	list_append(&s->assertions, &a->link);
	return a->token;
}

struct http_headers *service_peer_headers(struct service *s, const char *callee, const char *user_id,
					  const char *request_id, const char *traceparent, struct arena *a)
{
	return service_peer_headers_of(s, callee, user_id, "", request_id, traceparent, a);
}

struct http_headers *service_peer_headers_of(struct service *s, const char *callee, const char *user_id,
					     const char *actor, const char *request_id, const char *traceparent,
					     struct arena *a)
{
	struct http_headers *h = arena_new_of(a, struct http_headers);

	h->arena = a;
	http_header_set(h, "Authorization", arena_printf(a, "Bearer %s", assertion_get(s, callee, user_id, actor)));
	if (request_id && *request_id)
		http_header_set(h, "X-Request-Id", request_id);
	if (traceparent && *traceparent)
		http_header_set(h, "traceparent", traceparent);
	return h;
}

void peers_free(struct service *s)
{
	while (!list_is_empty(&s->assertions))
		assertion_free(list_first(&s->assertions, struct assertion, link));
	while (!list_is_empty(&s->peers)) {
		struct peer *p = list_first(&s->peers, struct peer, link);

		list_remove(&p->link);
		http_pool_free(p->pools[0]);
		free(p);
	}
}
