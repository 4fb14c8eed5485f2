#include "routes.h"

#include <endian.h>
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

#define WORDS(r) (((r)->n + 63) / 64)

void routes_index(struct routes *r)
{
	size_t size = ROUTE_LENGTHS * WORDS(r) * sizeof(*r->ending);

	r->ending = memset(arena_alloc(r->arena, size), 0, size);
	for (size_t i = 0; i < r->n; i++) {
		size_t length = MIN(r->items[i].prefix.n, (size_t)ROUTE_LENGTHS - 1);

		r->ending[length * WORDS(r) + i / 64] |= UINT64_C(1) << i % 64;
	}
}

/* A bit for each of eight bytes, the first one's the lowest: whether it is a slash. */
static uint64_t slashes_of(const char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	x = le64toh(x) ^ EVERY_BYTE('/');
	/* The highest bit of each byte that is 0 now; no sum reaches a neighbour. */
	x = ~(((x & EVERY_BYTE(0x7f)) + EVERY_BYTE(0x7f)) | x | EVERY_BYTE(0x7f));
	return (x >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

/* The lengths at which a prefix of the path can end, a bit for each: in front of a slash or at the end. */
static uint64_t ends_of(struct str path)
{
	size_t n = MIN(path.n, (size_t)ROUTE_LENGTHS - 1);
	uint64_t ends = UINT64_C(1) << n;

	for (size_t i = 0; i + 8 <= n; i += 8)
		ends |= slashes_of(path.p + i) << i;
	for (size_t i = n & ~(size_t)7; i < n; i++)
		ends |= (uint64_t)(path.p[i] == '/') << i;
	return ends;
}

/* Those of 64 routes whose prefix has the right length; every request looks for its route among all. */
static uint64_t candidates(const struct routes *r, size_t word, uint64_t ends)
{
	uint64_t found = 0;

	for (; ends; ends &= ends - 1)
		found |= r->ending[(size_t)__builtin_ctzll(ends) * WORDS(r) + word];
	return found;
}

const struct gateway_route *routes_find(const struct routes *r, const struct route_wanted *w, unsigned *ret_allowed)
{
	struct str host = bare_host(w->host);
	uint64_t ends = ends_of(w->path);

	*ret_allowed = 0;
	for (size_t word = 0; word < WORDS(r); word++) {
		for (uint64_t left = candidates(r, word, ends); left; left &= left - 1) {
			const struct gateway_route *route = &r->items[word * 64 + (size_t)__builtin_ctzll(left)];

			if (!has_path(route, w->path) || !has_host(route, host))
				continue;
			if (!route->methods || route->methods & 1u << w->method)
				return route;
			*ret_allowed |= route->methods;
		}
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
