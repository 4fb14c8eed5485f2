/* Makes a set of routes: those built in, and those of the file, whose sections [route NAME] and [defaults] are read
 * here. Each is made from the defaults, its built-in namesake and its own lines. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "routes_loader.h"

#define DEFAULT_BODY (100ull * 1024 * 1024) /* the roles' own limits are lower; this one stops what no route takes */

/* ---- [route NAME], [defaults] ---- */

/* The values of a route before references are resolved. */
struct route_draft {
	struct gateway_route route;
	const char *path, *upstream, *cors;
	struct texts hosts;
	bool is_on, is_public, upgrades, gets_cookies, below, strips;
};

#define ROUTE_FIELD(name, type, field, ...)                                          \
	{                                                                            \
		name, FIELD_##type, offsetof(struct route_draft, field), __VA_ARGS__ \
	}
/* Those of [defaults] too. */
#define COMMON_FIELDS                                                                       \
	ROUTE_FIELD("rate_limit", TEXT, route.rate_limit), ROUTE_FIELD("cors", TEXT, cors), \
		ROUTE_FIELD("connect_timeout", MS, route.connect_ms, 10, 60000),            \
		ROUTE_FIELD("first_byte_timeout", MS, route.first_byte_ms, 10, DAY_MS),     \
		ROUTE_FIELD("idle_timeout", MS, route.idle_ms, 10, DAY_MS),                 \
		ROUTE_FIELD("total_timeout", MS, route.total_ms, 0, DAY_MS),                \
		ROUTE_FIELD("body_limit", BYTES, route.max_body, 0, 1ll << 40),             \
		ROUTE_FIELD("retries", NUMBER, route.retries, 0, BALANCE_MAX_TRIED - 1)

static const struct field default_fields[] = {COMMON_FIELDS};
static const struct field route_fields[] = {
	COMMON_FIELDS,
	ROUTE_FIELD("path", TEXT, path),
	ROUTE_FIELD("host", LIST, hosts),
	ROUTE_FIELD("methods", METHODS, route.methods),
	ROUTE_FIELD("priority", SIGNED, route.priority, -1000, 1000),
	ROUTE_FIELD("upstream", TEXT, upstream),
	ROUTE_FIELD("permission", TEXT, route.permission),
	ROUTE_FIELD("enabled", BOOL, is_on),
	ROUTE_FIELD("public", BOOL, is_public),
	ROUTE_FIELD("websocket", BOOL, upgrades),
	ROUTE_FIELD("cookies", BOOL, gets_cookies),
	ROUTE_FIELD("below_only", BOOL, below),
	ROUTE_FIELD("strip_prefix", BOOL, strips),
};

static int take_path(struct loader *l, struct route_draft *d)
{
	struct str path = str_of(d->path);
	unsigned line = sections_line_of(&l->file, SECTION_ROUTE, d->route.name, "path");

	if (!path.n || path.p[0] != '/' || strpbrk(path.p, "?#% \\") || strstr(path.p, "/../") ||
	    strstr(path.p, "/./") || strstr(path.p, "//"))
		return sections_fail(&l->file, line, "path: \"%s\" is no path: write it decoded, beginning with /",
				     d->path ? d->path : "");
	while (path.n && path.p[path.n - 1] == '/')
		path.n--;
	d->route.prefix = (struct str){arena_strndup(l->arena, path.p, path.n), path.n};
	return 0;
}

static int take_hosts(struct loader *l, struct route_draft *d)
{
	unsigned line = sections_line_of(&l->file, SECTION_ROUTE, d->route.name, "host");

	for (size_t i = 0; i < d->hosts.n; i++) {
		const char *host = d->hosts.items[i], *name = strncmp(host, "*.", 2) ? host : host + 2;
		char *copy;

		if (!*name || strpbrk(name, "*/:@") || (name == host && *host == '*'))
			return sections_fail(
				&l->file, line,
				"host: \"%s\" is no name: write it without a port, or *.NAME for all below it", host);
		copy = arena_strdup(l->arena, host);
		for (char *c = copy; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		d->hosts.items[i] = copy;
	}
	return 0;
}

static int take_cors(struct loader *l, struct route_draft *d)
{
	const char *name = d->route.name;
	unsigned line = sections_line_of(&l->file, SECTION_ROUTE, name, "cors");

	if (!d->cors || !strcmp(d->cors, "none"))
		return 0;
	for (size_t i = 0; i < l->n_cors && !d->route.cors; i++)
		if (!strcmp(l->cors[i].name, d->cors))
			d->route.cors = &l->cors[i];
	if (d->route.cors)
		return 0;
	return sections_fail(&l->file, line ? line : sections_line_of(&l->file, SECTION_DEFAULTS, "", "cors"),
			     "cors: there is no [cors %s]", d->cors);
}

static int check_limit(struct loader *l, const struct route_draft *d)
{
	unsigned line = sections_line_of(&l->file, SECTION_ROUTE, d->route.name, "rate_limit");

	if (!d->route.rate_limit || limit_rules_find(l->source->limits, str_of(d->route.rate_limit)))
		return 0;
	return sections_fail(&l->file, line ? line : sections_line_of(&l->file, SECTION_DEFAULTS, "", "rate_limit"),
			     "rate_limit: the option rate_limits has no limit \"%s\"", d->route.rate_limit);
}

static int check_upstream(struct loader *l, const struct route_draft *d)
{
	const char *name = d->route.name;

	for (size_t i = 0; d->upstream && i < l->n_upstreams; i++)
		if (!strcmp(l->upstreams[i].name, d->upstream))
			return 0;
	if (!d->upstream)
		return sections_fail(&l->file, sections_line(&l->file, SECTION_ROUTE, name),
				     "[route %s] has no upstream", name);
	return sections_fail(&l->file, sections_line_of(&l->file, SECTION_ROUTE, name, "upstream"),
			     "upstream: there is no [upstream %s]", d->upstream);
}

static void add_route(struct loader *l, const struct route_draft *d, const char *host)
{
	struct gateway_route *r;

	if (l->n_routes == l->cap_routes) {
		l->cap_routes = MAX(64, l->cap_routes * 2);
		l->routes = xrealloc(l->routes, l->cap_routes * sizeof(*l->routes));
	}
	r = &l->routes[l->n_routes++];
	*r = d->route;
	r->host = host;
	r->upstream = NULL;
	r->flags = (d->is_public ? PATH_PUBLIC : 0) | (d->upgrades ? PATH_UPGRADE : 0) |
		   (d->gets_cookies ? PATH_COOKIES : 0) | (d->below ? PATH_BELOW : 0) | (d->strips ? PATH_STRIP : 0);
	r->upstream_name = d->upstream;
}

static int finish_route(struct loader *l, struct route_draft *d)
{
	unsigned line = sections_line(&l->file, SECTION_ROUTE, d->route.name);

	if (sections_apply(&l->file, SECTION_ROUTE, d->route.name, route_fields, ARRAY_SIZE(route_fields), d))
		return -EINVAL;
	if (!d->is_on)
		return 0;
	if (take_path(l, d) || take_hosts(l, d) || take_cors(l, d) || check_limit(l, d) || check_upstream(l, d))
		return -EINVAL;
	if (d->is_public && d->route.permission)
		return sections_fail(&l->file, line,
				     "[route %s]: a public route asks for no permission: remove one of the two",
				     d->route.name);
	for (size_t i = 0; i < d->hosts.n; i++)
		add_route(l, d, d->hosts.items[i]);
	if (!d->hosts.n)
		add_route(l, d, NULL);
	return 0;
}

static int begin_route(struct loader *l, const char *name, struct route_draft *d)
{
	*d = (struct route_draft){
		.route = {.name = name,
			  .first_byte_ms = 60000,
			  .idle_ms = 120000,
			  .connect_ms = 5000,
			  .max_body = DEFAULT_BODY,
			  .retries = 1},
		.is_on = true,
	};
	return sections_apply(&l->file, SECTION_DEFAULTS, "", default_fields, ARRAY_SIZE(default_fields), d);
}

static const struct builtin_route *find_builtin(const char *name)
{
	for (size_t i = 0; i < builtin_routes_n; i++)
		if (!strcmp(builtin_routes[i].name, name))
			return &builtin_routes[i];
	return NULL;
}

static int make_builtin_route(struct loader *l, const struct builtin_route *b)
{
	struct route_draft d;

	if (begin_route(l, b->name, &d))
		return -EINVAL;
	d.path = b->path;
	d.upstream = b->upstream;
	d.is_public = b->flags & PATH_PUBLIC;
	d.upgrades = b->flags & PATH_UPGRADE;
	d.gets_cookies = b->flags & PATH_COOKIES;
	d.below = b->flags & PATH_BELOW;
	if (b->first_byte_s)
		d.route.first_byte_ms = b->first_byte_s * 1000ull;
	return finish_route(l, &d);
}

static int make_route(void *loader, const char *name)
{
	struct loader *l = loader;
	struct route_draft d;

	if (find_builtin(name)) /* was made with the others */
		return 0;
	return begin_route(l, name, &d) ? -EINVAL : finish_route(l, &d);
}

/* ---- The whole ---- */

static int make_all(struct loader *l)
{
	const struct routes_source *s = l->source;
	size_t n = sections_count(&l->file) + 1;

	l->cors = arena_alloc(l->arena, n * sizeof(*l->cors));
	l->upstreams = arena_alloc(l->arena, (n + s->n_upstreams) * sizeof(*l->upstreams));
	for (size_t i = 0; i < s->n_upstreams; i++)
		if (!sections_line(&l->file, SECTION_UPSTREAM, s->upstreams[i].name))
			l->upstreams[l->n_upstreams++] = s->upstreams[i];
	if (sections_each(&l->file, SECTION_CORS, loader_make_cors, l) ||
	    sections_each(&l->file, SECTION_UPSTREAM, loader_make_upstream, l))
		return -EINVAL;
	for (size_t i = 0; i < builtin_routes_n; i++)
		if (make_builtin_route(l, &builtin_routes[i]))
			return -EINVAL;
	return sections_each(&l->file, SECTION_ROUTE, make_route, l);
}

static int host_rank(const struct gateway_route *r)
{
	return !r->host ? 0 : r->host[0] == '*' ? 1 : 2;
}

/* The order in which they are tried. */
static int compare(const void *a, const void *b)
{
	const struct gateway_route *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (host_rank(x) != host_rank(y))
		return host_rank(y) - host_rank(x);
	if (x->prefix.n != y->prefix.n)
		return x->prefix.n > y->prefix.n ? -1 : 1;
	if (!x->methods != !y->methods)
		return x->methods ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int get_upstreams(struct loader *l, struct routes *r)
{
	r->upstreams = arena_alloc(r->arena, MAX(l->n_upstreams, 1) * sizeof(*r->upstreams));
	for (; r->n_upstreams < l->n_upstreams; r->n_upstreams++) {
		const struct upstream_settings *s = &l->upstreams[r->n_upstreams];
		struct upstream *u = upstreams_get(l->source->registry, s, l->file.err);

		if (!u) {
			error_prefix(l->file.err, "%s line %u", l->source->file,
				     sections_line(&l->file, SECTION_UPSTREAM, s->name));
			return -EINVAL;
		}
		r->upstreams[r->n_upstreams] = u;
	}
	return 0;
}

static struct upstream *find_upstream(const struct routes *r, const char *name)
{
	for (size_t i = 0; i < r->n_upstreams; i++)
		if (!strcmp(r->upstreams[i]->settings.name, name))
			return r->upstreams[i];
	return NULL;
}

static int put_together(struct loader *l, struct routes *r)
{
	if (get_upstreams(l, r))
		return -EINVAL;
	r->items = arena_alloc(r->arena, l->n_routes * sizeof(*r->items));
	r->n = l->n_routes;
	if (r->n)
		memcpy(r->items, l->routes, r->n * sizeof(*r->items));
	for (size_t i = 0; i < r->n; i++) {
		r->items[i].upstream = find_upstream(r, r->items[i].upstream_name);
		r->has_hosts = r->has_hosts || r->items[i].host;
	}
	if (r->n)
		qsort(r->items, r->n, sizeof(*r->items), compare);
	routes_index(r);
	return 0;
}

int routes_load(const struct routes_source *source, struct routes **ret, struct error *err)
{
	struct arena *arena = arena_new();
	struct routes *r = arena_new_of(arena, struct routes);
	struct loader l = {
		.source = source, .file = {.file = source->file, .arena = arena, .err = err}, .arena = arena};
	int result = *source->file ? sections_read(&l.file) : 0;

	atomic_init(&r->refs, 1);
	r->arena = arena;
	r->file = arena_strdup(arena, source->file);
	r->loaded_us = clock_now_us();
	if (!result)
		result = make_all(&l);
	if (!result)
		result = put_together(&l, r);
	sections_deinit(&l.file);
	free(l.routes);
	if (result)
		routes_unref(r);
	else
		*ret = r;
	return result;
}
