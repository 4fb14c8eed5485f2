/* The other roles: one pool each, and the tokens for calling them. */
#include "service/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define ASSERTIONS_MAX 256
#define ASSERTION_USE_S 30 /* half of its life: it must not expire on the way */

struct peer {
	struct list link; /* in service.peers until the end */
	struct http_pool *pool;
	char role[];
};

/* A signed token: signing costs more than all else in a call, and a burst of calls is usually for one user. */
struct assertion {
	struct list link; /* in service.assertions, the oldest first; dropped when too old or too many */
	char *callee, *user_id, *token;
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

static double count_open(void *pool)
{
	struct http_pool_stats stats;

	http_pool_stats(pool, &stats);
	return stats.open;
}

static double count_busy(void *pool)
{
	struct http_pool_stats stats;

	http_pool_stats(pool, &stats);
	return (double)stats.open - stats.idle;
}

static double count_waiting(void *pool)
{
	struct http_pool_stats stats;

	http_pool_stats(pool, &stats);
	return stats.waiting;
}

static void add_metrics(struct peer *p)
{
	char *labels = xasprintf("to=\"%s\"", p->role);

	metric_gauge_fn("ogent_upstream_connections", "Connections to another role", labels, count_open, p->pool);
	metric_gauge_fn("ogent_upstream_busy", "Connections to another role with a request on them", labels, count_busy,
			p->pool);
	metric_gauge_fn("ogent_upstream_waiting", "Requests that wait for a connection to another role", labels,
			count_waiting, p->pool);
	free(labels);
}

struct http_pool *service_peer(struct service *s, const char *role)
{
	struct peer *p;

	list_foreach (p, &s->peers, struct peer, link)
		if (!strcmp(p->role, role))
			return p->pool;

	char *address = service_address(s, role, "url");
	p = xcalloc(1, sizeof(*p) + strlen(role) + 1);
	strcpy(p->role, role);
	p->pool = http_pool_new(&s->loop, s->wheel, address, NULL);
	list_append(&s->peers, &p->link);
	add_metrics(p);
	free(address);
	return p->pool;
}

static void assertion_free(struct assertion *a)
{
	list_remove(&a->link);
	sodium_memzero(a->token, strlen(a->token));
	free(a->callee);
	free(a->user_id);
	free(a->token);
	free(a);
}

/* The token to call `callee` for `user_id`; valid until the next call of this function. */
static const char *assertion_get(struct service *s, const char *callee, const char *user_id)
{
	_cleanup_(buf_deinit) struct buf token = BUF_INIT;
	uint64_t now = uv_now(&s->loop);
	unsigned n = 0;
	struct assertion *a;

	list_foreach (a, &s->assertions, struct assertion, link) {
		if (now - a->made_ms > ASSERTION_USE_S * 1000)
			assertion_free(a);
		else if (!strcmp(a->callee, callee) && !strcmp(a->user_id, user_id))
			return a->token;
		else
			n++;
	}
	if (n >= ASSERTIONS_MAX)
		assertion_free(list_first(&s->assertions, struct assertion, link));

	a = xcalloc(1, sizeof(*a));
	token_sign_internal(&s->key, s->role, callee, user_id, &token);
	a->callee = xstrdup(callee);
	a->user_id = xstrdup(user_id);
	a->token = buf_steal(&token, NULL);
	a->made_ms = now;
	list_append(&s->assertions, &a->link);
	return a->token;
}

struct http_headers *service_peer_headers(struct service *s, const char *callee, const char *user_id,
					  const char *request_id, const char *traceparent, struct arena *a)
{
	struct http_headers *h = arena_new_of(a, struct http_headers);

	h->arena = a;
	http_header_set(h, "Authorization", arena_printf(a, "Bearer %s", assertion_get(s, callee, user_id)));
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
		http_pool_free(p->pool);
		free(p);
	}
}
