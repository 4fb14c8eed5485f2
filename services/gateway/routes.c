#include "routes.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"

struct routes *routes_ref(struct routes *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void routes_unref(struct routes *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < r->n_upstreams; i++)
		upstream_unref(r->upstreams[i]);
	arena_free(r->arena); /* has `r` itself */
}

static bool has_host(const struct gateway_route *route, struct str host)
{
	struct str wanted;

	if (!route->host)
		return true;
	wanted = str_of(route->host);
	if (wanted.p[0] != '*')
		return str_ieq(host, wanted);
	wanted.p++;
	wanted.n--;
	return host.n > wanted.n && !strncasecmp(host.p + host.n - wanted.n, wanted.p, wanted.n);
}

static bool has_path(const struct gateway_route *route, struct str path)
{
	size_t n = route->prefix.n;

	/* Where the prefix ends tells most routes apart, and costs less than to compare. */
	if (path.n <= n ? path.n < n || route->flags & PATH_BELOW : path.p[n] != '/')
		return false;
	return !memcmp(path.p, route->prefix.p, n);
}

/* Without its port. */
static struct str bare_host(struct str host)
{
	const char *end = host.n && host.p[0] == '[' ? memchr(host.p, ']', host.n) : NULL;
	const char *colon = end || !host.n ? NULL : memchr(host.p, ':', host.n);

	if (end)
		host.n = (size_t)(end + 1 - host.p);
	else if (colon)
		host.n = (size_t)(colon - host.p);
	return host;
}

const struct gateway_route *routes_find(const struct routes *r, const struct route_wanted *w, unsigned *ret_allowed)
{
	struct str host = bare_host(w->host);

	*ret_allowed = 0;
	for (size_t i = 0; i < r->n; i++) {
		const struct gateway_route *route = &r->items[i];

		if (!has_path(route, w->path) || !has_host(route, host))
			continue;
		if (!route->methods || route->methods & 1u << w->method)
			return route;
		*ret_allowed |= route->methods;
	}
	return NULL;
}

bool route_leads_inside(const struct gateway_route *route, struct str path)
{
	static const char *const inside[] = {"/healthz", "/readyz", "/metrics", "/routes"};

	if (route->upstream->settings.role < 0 || (route->prefix.n && !(route->flags & PATH_STRIP)))
		return false;
	if (route->flags & PATH_STRIP) {
		path.p += route->prefix.n;
		path.n -= route->prefix.n;
	}
	for (size_t i = 0; i < ARRAY_SIZE(inside); i++)
		if (str_is(path, inside[i]))
			return true;
	return false;
}
