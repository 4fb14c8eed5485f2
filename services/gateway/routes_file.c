/* Reads the file of routes: INI like ogent.conf, with sections [upstream NAME], [route NAME], [cors NAME] and
 * [defaults]. First all its lines are collected, then each section is made from the defaults, its built-in namesake and
 * its own lines, by a table of what may stand in it. To add a setting, add a line to such a table. */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/option_value.h"
#include "io/address.h"
#include "io/dns.h"
#include "routes.h"

#define NAME_MAX_LEN 32
#define MAX_ENTRIES 2000
#define DEFAULT_BODY (100ull * 1024 * 1024) /* the roles' own limits are lower; this one stops what no route takes */

enum section_kind { SECTION_DEFAULTS, SECTION_UPSTREAM, SECTION_ROUTE, SECTION_CORS, SECTION_KINDS };
static const char *const section_names[SECTION_KINDS] = {"defaults", "upstream", "route", "cors"};

struct entry {
	enum section_kind kind;
	const char *section, *name, *value;
	unsigned line;
};

struct loader {
	const struct routes_source *source;
	struct arena *arena; /* of the routes being made */
	struct error *err;

	/* Reading. */
	FILE *file;
	unsigned line;
	bool failed;
	struct entry *entries;
	size_t n, cap;

	/* Making. */
	struct cors *cors;
	size_t n_cors;
	struct upstream_settings *upstreams;
	size_t n_upstreams;
	struct gateway_route *routes;
	size_t n_routes, cap_routes;
};

static int fail(struct loader *l, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int fail(struct loader *l, unsigned line, const char *fmt, ...)
{
	char reason[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	return error_set(l->err, "routes_invalid", "%s line %u: %s", l->source->file, line, reason);
}

/* ---- Reading ---- */

/* inih cuts a line that does not fit its buffer in two: this refuses it instead. */
static char *read_line(char *ret, int size, void *arg)
{
	struct loader *l = arg;

	if (l->failed || !fgets(ret, size, l->file))
		return NULL;
	l->line++;
	if (strchr(ret, '\n') || feof(l->file))
		return ret;
	fail(l, l->line, "longer than %d bytes: lists can go on in lines of their own", size - 2);
	l->failed = true;
	return NULL;
}

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	return n && n <= NAME_MAX_LEN &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static int read_section(struct loader *l, const char *section, struct entry *ret)
{
	struct str rest = str_of(section), kind = str_cut(&rest, ' '), name = str_trim(rest);

	for (ret->kind = 0; ret->kind < SECTION_KINDS; ret->kind++)
		if (str_is(kind, section_names[ret->kind]))
			break;
	if (ret->kind == SECTION_KINDS)
		return fail(l, l->line, "[%s]: sections are [defaults], [upstream NAME], [route NAME], [cors NAME]",
			    section);
	ret->section = arena_strndup(l->arena, name.p ? name.p : "", name.n);
	if ((ret->kind == SECTION_DEFAULTS) == (*ret->section != 0) || (*ret->section && !is_name(ret->section)))
		return fail(l, l->line, "[%s]: a name has 1 to %d letters, digits, '.', '_' or '-'%s", section,
			    NAME_MAX_LEN, ret->kind == SECTION_DEFAULTS ? "; [defaults] has none" : "");
	return 0;
}

static int on_value(void *arg, const char *section, const char *name, const char *value)
{
	struct loader *l = arg;
	struct entry e = {.line = l->line};

	if (l->failed)
		return 0;
	l->failed = true;
	if (l->n == MAX_ENTRIES) {
		fail(l, l->line, "more than %d lines with a value", MAX_ENTRIES);
		return 0;
	}
	if (read_section(l, section, &e))
		return 0;
	l->failed = false;
	e.name = arena_strdup(l->arena, name);
	e.value = arena_strdup(l->arena, value);
	if (l->n == l->cap) {
		l->cap = MAX(64, l->cap * 2);
		l->entries = xrealloc(l->entries, l->cap * sizeof(*l->entries));
	}
	l->entries[l->n++] = e;
	return 1;
}

static int read_file(struct loader *l)
{
	int line;

	l->file = fopen(l->source->file, "re");
	if (!l->file)
		return error_set(l->err, "routes_invalid", "the file of routes %s cannot be read: %s", l->source->file,
				 strerror(errno));
	line = ini_parse_stream(read_line, l, on_value, l);
	fclose(l->file);
	if (l->failed)
		return -EINVAL;
	return line ? fail(l, (unsigned)line, "not of the form name = value, nor a [section]") : 0;
}

/* ---- Values ---- */

enum field_type {
	FIELD_TEXT,
	FIELD_LIST,
	FIELD_NUMBER,
	FIELD_SIGNED,
	FIELD_MS,
	FIELD_BYTES,
	FIELD_BOOL,
	FIELD_METHODS
};

struct texts {
	const char **items;
	size_t n;
};

struct field {
	const char *name;
	enum field_type type;
	size_t offset;
	int64_t min, max; /* of numbers, ms and bytes; max 0 = no limit */
};

static const enum option_type option_types[] = {[FIELD_NUMBER] = OPTION_INT,
						[FIELD_SIGNED] = OPTION_INT,
						[FIELD_MS] = OPTION_MS,
						[FIELD_BYTES] = OPTION_BYTES,
						[FIELD_BOOL] = OPTION_BOOL};

static int read_number(struct loader *l, const struct field *f, const struct entry *e, int64_t *ret)
{
	struct option_def def = {.name = f->name, .type = option_types[f->type], .min = f->min, .max = f->max};
	_cleanup_(buf_deinit) struct buf place = BUF_INIT;

	buf_printf(&place, "%s line %u: %s", l->source->file, e->line, e->name);
	return option_value_read(&def, e->value, place.p, ret, l->err);
}

/* Of `text`, at commas and blanks. */
static void add_words(struct loader *l, struct texts *t, const char *text)
{
	char *copy = arena_strdup(l->arena, text), *rest = copy, *word;

	while ((word = strsep(&rest, ", \t"))) {
		const char **items;

		if (!*word)
			continue;
		items = arena_alloc(l->arena, (t->n + 1) * sizeof(*items));
		if (t->n)
			memcpy(items, t->items, t->n * sizeof(*items));
		items[t->n++] = word;
		t->items = items;
	}
}

static int read_methods(struct loader *l, const struct entry *e, unsigned *ret)
{
	struct texts names = {0};

	add_words(l, &names, e->value);
	for (size_t i = 0; i < names.n; i++) {
		unsigned m = HTTP_DELETE_;

		while (m < HTTP_METHODS && strcmp(names.items[i], http_method_name((enum http_method)m)))
			m++;
		if (m == HTTP_METHODS)
			return fail(l, e->line,
				    "methods: \"%s\" is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
				    names.items[i]);
		*ret |= 1u << m;
	}
	return 0;
}

static int set_field(struct loader *l, const struct field *f, const struct entry *e, void *object)
{
	void *at = (char *)object + f->offset;
	int64_t number;

	if (f->type == FIELD_TEXT) {
		if (!*e->value)
			return fail(l, e->line, "%s has no value", e->name);
		*(const char **)at = e->value;
		return 0;
	}
	if (f->type == FIELD_LIST) {
		add_words(l, at, e->value);
		return 0;
	}
	if (f->type == FIELD_METHODS)
		return read_methods(l, e, at);
	if (read_number(l, f, e, &number))
		return -EINVAL;
	if (f->type == FIELD_BOOL)
		*(bool *)at = number;
	else if (f->type == FIELD_NUMBER)
		*(unsigned *)at = (unsigned)number;
	else if (f->type == FIELD_SIGNED)
		*(int *)at = (int)number;
	else
		*(uint64_t *)at = (uint64_t)number;
	return 0;
}

static bool is_repeated(const struct loader *l, const struct entry *e)
{
	for (const struct entry *before = l->entries; before < e; before++)
		if (before->kind == e->kind && !strcmp(before->section, e->section) && !strcmp(before->name, e->name))
			return true;
	return false;
}

/* Writes the lines of one section into `object`. A list's first line replaces what was there. */
static int apply(struct loader *l, enum section_kind kind, const char *section, const struct field *fields, size_t n,
		 void *object)
{
	for (const struct entry *e = l->entries; e < l->entries + l->n; e++) {
		size_t i = 0;

		if (e->kind != kind || strcmp(e->section, section))
			continue;
		while (i < n && strcmp(fields[i].name, e->name))
			i++;
		if (i == n)
			return fail(l, e->line, "there is no \"%s\" in a section [%s]", e->name, section_names[kind]);
		if (fields[i].type == FIELD_LIST || fields[i].type == FIELD_METHODS) {
			if (!is_repeated(l, e))
				memset((char *)object + fields[i].offset, 0,
				       fields[i].type == FIELD_LIST ? sizeof(struct texts) : sizeof(unsigned));
		} else if (is_repeated(l, e)) {
			return fail(l, e->line, "%s stands twice in this section: keep one", e->name);
		}
		if (set_field(l, &fields[i], e, object))
			return -EINVAL;
	}
	return 0;
}

/* The first line of a section, 0 = there is none. */
static unsigned line_of(const struct loader *l, enum section_kind kind, const char *section)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->entries[i].kind == kind && !strcmp(l->entries[i].section, section))
			return l->entries[i].line;
	return 0;
}

/* Of a section's setting; where it is not, its section. */
static unsigned line_of_name(const struct loader *l, enum section_kind kind, const char *section, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->entries[i].kind == kind && !strcmp(l->entries[i].section, section) &&
		    !strcmp(l->entries[i].name, name))
			return l->entries[i].line;
	return line_of(l, kind, section);
}

/* Calls fn for each section of a kind, in the order of the file. */
static int each_section(struct loader *l, enum section_kind kind, int (*fn)(struct loader *l, const char *name))
{
	for (size_t i = 0; i < l->n; i++) {
		const struct entry *e = &l->entries[i];

		if (e->kind == kind && line_of(l, kind, e->section) == e->line && fn(l, e->section))
			return -EINVAL;
	}
	return 0;
}

/* ---- [cors NAME] ---- */

struct cors_draft {
	struct texts origins, methods, headers, expose;
	bool credentials;
	uint64_t max_age_ms;
};

#define FIELD(type, object, field, ...)                                           \
	{                                                                         \
#field, FIELD_##type, offsetof(struct object, field), __VA_ARGS__ \
	}

static const struct field cors_fields[] = {
	FIELD(LIST, cors_draft, origins),
	FIELD(LIST, cors_draft, methods),
	FIELD(LIST, cors_draft, headers),
	FIELD(LIST, cors_draft, expose),
	FIELD(BOOL, cors_draft, credentials),
	{"max_age", FIELD_MS, offsetof(struct cors_draft, max_age_ms), 0, 86400000},
};

static const char *join(struct loader *l, const struct texts *t, const char *otherwise)
{
	_cleanup_(buf_deinit) struct buf all = BUF_INIT;

	if (!t->n)
		return otherwise;
	for (size_t i = 0; i < t->n; i++)
		buf_printf(&all, "%s%s", i ? ", " : "", t->items[i]);
	return arena_strdup(l->arena, all.p);
}

static int take_origins(struct loader *l, const struct cors_draft *d, unsigned line, struct cors *ret)
{
	struct str *origins = arena_alloc(l->arena, MAX(d->origins.n, 1) * sizeof(*origins));

	if (!d->origins.n)
		return fail(l, line, "origins is missing: name the origins that may, such as https://app.example.org");
	for (size_t i = 0; i < d->origins.n; i++) {
		const char *origin = d->origins.items[i];

		if (!strcmp(origin, "*"))
			ret->any = true;
		else if (!cors_is_origin(str_of(origin)))
			return fail(l, line,
				    "\"%s\" is no origin: write scheme, host and port in lower case, without a path",
				    origin);
		else
			origins[ret->n_origins++] = str_of(origin);
	}
	ret->origins = origins;
	if (ret->any && d->credentials)
		return fail(l, line,
			    "origins = * and credentials = true together would let every site act for the "
			    "people who are signed in: name the origins");
	return 0;
}

static int make_cors(struct loader *l, const char *name)
{
	struct cors_draft d = {.max_age_ms = 600000};
	struct cors *c = &l->cors[l->n_cors];

	if (apply(l, SECTION_CORS, name, cors_fields, ARRAY_SIZE(cors_fields), &d))
		return -EINVAL;
	*c = (struct cors){
		.name = name,
		.credentials = d.credentials,
		.methods = join(l, &d.methods, "GET, HEAD, POST, PUT, PATCH, DELETE"),
		.headers = join(l, &d.headers,
				"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
				"X-Request-Id, traceparent"),
		.expose = join(l, &d.expose, "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"),
		.max_age = arena_printf(l->arena, "%llu", (unsigned long long)d.max_age_ms / 1000),
	};
	if (take_origins(l, &d, line_of_name(l, SECTION_CORS, name, "origins"), c))
		return -EINVAL;
	l->n_cors++;
	return 0;
}

/* ---- [upstream NAME] ---- */

struct upstream_draft {
	struct upstream_settings s;
	struct texts endpoints;
	const char *dns, *srv;
};

#define UPSTREAM_FIELD(name, type, field, ...)                                            \
	{                                                                                 \
		name, FIELD_##type, offsetof(struct upstream_draft, s.field), __VA_ARGS__ \
	}
#define DAY_MS 86400000ll

static const struct field upstream_fields[] = {
	{"endpoint", FIELD_LIST, offsetof(struct upstream_draft, endpoints)},
	{"dns", FIELD_TEXT, offsetof(struct upstream_draft, dns)},
	{"srv", FIELD_TEXT, offsetof(struct upstream_draft, srv)},
	UPSTREAM_FIELD("dns_stale", MS, dns_stale_ms, 0, 7 * DAY_MS),
	UPSTREAM_FIELD("health_path", TEXT, health_path),
	UPSTREAM_FIELD("health_interval", MS, health_interval_ms, 100, DAY_MS),
	UPSTREAM_FIELD("health_timeout", MS, health_timeout_ms, 50, 600000),
	UPSTREAM_FIELD("health_rise", NUMBER, health_rise, 1, 100),
	UPSTREAM_FIELD("health_fall", NUMBER, health_fall, 1, 100),
	UPSTREAM_FIELD("eject_after", NUMBER, balance.eject_after, 0, 10000),
	UPSTREAM_FIELD("eject_time", MS, balance.eject_ms, 100, 300000),
	UPSTREAM_FIELD("slow_start", MS, balance.slow_start_ms, 0, 3600000),
	UPSTREAM_FIELD("retry_budget", NUMBER, balance.retry_percent, 0, 100),
	UPSTREAM_FIELD("retry_floor", NUMBER, balance.retry_floor, 0, 10000),
	UPSTREAM_FIELD("max_requests", NUMBER, max_requests, 1, 1000000),
	UPSTREAM_FIELD("max_pending", NUMBER, max_pending, 1, 1000000),
	UPSTREAM_FIELD("max_connections", NUMBER, max_connections, 1, 1000000),
	UPSTREAM_FIELD("max_idle", NUMBER, max_idle, 1, 100000),
	UPSTREAM_FIELD("idle_timeout", MS, idle_ms, 100, DAY_MS),
	UPSTREAM_FIELD("max_age", MS, max_age_ms, 100, 30 * DAY_MS),
};

/* ADDRESS, and weight=N behind an address. */
static int take_endpoints(struct loader *l, struct upstream_draft *d, unsigned line)
{
	struct upstream_address *items = arena_alloc(l->arena, d->endpoints.n * sizeof(*items)), *last = NULL;
	struct address parsed;
	size_t n = 0;

	for (size_t i = 0; i < d->endpoints.n; i++) {
		struct str word = str_of(d->endpoints.items[i]);
		uint64_t weight;

		if (last && str_has_prefix(word, STR("weight="))) {
			if (str_to_u64((struct str){word.p + 7, word.n - 7}, 1000, &weight) || !weight)
				return fail(l, line, "endpoint: a weight is a number from 1 to 1000");
			last->weight = (unsigned)weight;
			continue;
		}
		if (address_parse(word.p, &parsed))
			return fail(l, line,
				    "endpoint: \"%s\" is no address: write HOST:PORT or unix:PATH, and "
				    "weight=N behind it",
				    word.p);
		last = &items[n++];
		*last = (struct upstream_address){word.p, 1, 0};
	}
	if (n > DNS_MAX_ENDPOINTS * 4)
		return fail(l, line, "more than %d endpoints", DNS_MAX_ENDPOINTS * 4);
	d->s.kind = DISCOVER_LIST;
	d->s.addresses = items;
	d->s.n_addresses = n;
	return 0;
}

static int take_name(struct loader *l, struct upstream_draft *d, unsigned line)
{
	char *name = arena_strdup(l->arena, d->dns ? d->dns : d->srv), *colon = strrchr(name, ':');
	uint64_t port = 0;

	d->s.kind = d->dns ? DISCOVER_HOST : DISCOVER_SRV;
	d->s.n_addresses = 0;
	if (d->dns && (!colon || str_to_u64(str_of(colon + 1), 65535, &port) || !port))
		return fail(l, line, "dns: write NAME:PORT");
	if (d->dns)
		*colon = '\0';
	if (!*name || strlen(name) > 253 || strpbrk(name, ":/ "))
		return fail(l, line, "%s: \"%s\" is no name", d->dns ? "dns" : "srv", name);
	d->s.dns_name = name;
	d->s.dns_port = (unsigned)port;
	return 0;
}

static int make_upstream(struct loader *l, const char *name)
{
	struct upstream_draft d = {.s = upstream_defaults};
	unsigned line = line_of(l, SECTION_UPSTREAM, name), ways;

	for (size_t i = 0; i < l->source->n_upstreams; i++)
		if (!strcmp(l->source->upstreams[i].name, name))
			d.s = l->source->upstreams[i];
	d.s.name = name;
	if (apply(l, SECTION_UPSTREAM, name, upstream_fields, ARRAY_SIZE(upstream_fields), &d))
		return -EINVAL;
	if (d.s.health_path && d.s.health_path[0] != '/')
		return fail(l, line_of_name(l, SECTION_UPSTREAM, name, "health_path"), "health_path begins with /");
	ways = (d.endpoints.n > 0) + (d.dns != NULL) + (d.srv != NULL);
	if (ways > 1)
		return fail(l, line, "[upstream %s]: endpoint, dns and srv do not go together: keep one kind", name);
	if (d.endpoints.n && take_endpoints(l, &d, line_of_name(l, SECTION_UPSTREAM, name, "endpoint")))
		return -EINVAL;
	if ((d.dns || d.srv) && take_name(l, &d, line_of_name(l, SECTION_UPSTREAM, name, d.dns ? "dns" : "srv")))
		return -EINVAL;
	if (d.s.kind == DISCOVER_LIST && !d.s.n_addresses)
		return fail(l, line, "[upstream %s]: say where it is: endpoint, dns or srv", name);
	l->upstreams[l->n_upstreams++] = d.s;
	return 0;
}

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
	unsigned line = line_of_name(l, SECTION_ROUTE, d->route.name, "path");

	if (!path.n || path.p[0] != '/' || strpbrk(path.p, "?#% \\") || strstr(path.p, "/../") ||
	    strstr(path.p, "/./") || strstr(path.p, "//"))
		return fail(l, line, "path: \"%s\" is no path: write it decoded, beginning with /",
			    d->path ? d->path : "");
	while (path.n && path.p[path.n - 1] == '/')
		path.n--;
	d->route.prefix = (struct str){arena_strndup(l->arena, path.p, path.n), path.n};
	return 0;
}

static int take_hosts(struct loader *l, struct route_draft *d)
{
	unsigned line = line_of_name(l, SECTION_ROUTE, d->route.name, "host");

	for (size_t i = 0; i < d->hosts.n; i++) {
		const char *host = d->hosts.items[i], *name = strncmp(host, "*.", 2) ? host : host + 2;
		char *copy;

		if (!*name || strpbrk(name, "*/:@") || (name == host && *host == '*'))
			return fail(l, line,
				    "host: \"%s\" is no name: write it without a port, or *.NAME for all below it",
				    host);
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
	unsigned line = line_of_name(l, SECTION_ROUTE, name, "cors");

	if (!d->cors || !strcmp(d->cors, "none"))
		return 0;
	for (size_t i = 0; i < l->n_cors && !d->route.cors; i++)
		if (!strcmp(l->cors[i].name, d->cors))
			d->route.cors = &l->cors[i];
	if (d->route.cors)
		return 0;
	return fail(l, line ? line : line_of_name(l, SECTION_DEFAULTS, "", "cors"), "cors: there is no [cors %s]",
		    d->cors);
}

static int check_limit(struct loader *l, const struct route_draft *d)
{
	unsigned line = line_of_name(l, SECTION_ROUTE, d->route.name, "rate_limit");

	if (!d->route.rate_limit || limit_rules_find(l->source->limits, str_of(d->route.rate_limit)))
		return 0;
	return fail(l, line ? line : line_of_name(l, SECTION_DEFAULTS, "", "rate_limit"),
		    "rate_limit: the option rate_limits has no limit \"%s\"", d->route.rate_limit);
}

static int check_upstream(struct loader *l, const struct route_draft *d)
{
	const char *name = d->route.name;

	for (size_t i = 0; d->upstream && i < l->n_upstreams; i++)
		if (!strcmp(l->upstreams[i].name, d->upstream))
			return 0;
	if (!d->upstream)
		return fail(l, line_of(l, SECTION_ROUTE, name), "[route %s] has no upstream", name);
	return fail(l, line_of_name(l, SECTION_ROUTE, name, "upstream"), "upstream: there is no [upstream %s]",
		    d->upstream);
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
	unsigned line = line_of(l, SECTION_ROUTE, d->route.name);

	if (apply(l, SECTION_ROUTE, d->route.name, route_fields, ARRAY_SIZE(route_fields), d))
		return -EINVAL;
	if (!d->is_on)
		return 0;
	if (take_path(l, d) || take_hosts(l, d) || take_cors(l, d) || check_limit(l, d) || check_upstream(l, d))
		return -EINVAL;
	if (d->is_public && d->route.permission)
		return fail(l, line, "[route %s]: a public route asks for no permission: remove one of the two",
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
	return apply(l, SECTION_DEFAULTS, "", default_fields, ARRAY_SIZE(default_fields), d);
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

static int make_route(struct loader *l, const char *name)
{
	struct route_draft d;

	if (find_builtin(name)) /* was made with the others */
		return 0;
	return begin_route(l, name, &d) ? -EINVAL : finish_route(l, &d);
}

/* ---- The whole ---- */

static size_t count_sections(const struct loader *l)
{
	size_t n = 1;

	for (size_t i = 0; i < l->n; i++)
		n += line_of(l, l->entries[i].kind, l->entries[i].section) == l->entries[i].line;
	return n;
}

static int make_all(struct loader *l)
{
	const struct routes_source *s = l->source;
	size_t n = count_sections(l);

	l->cors = arena_alloc(l->arena, n * sizeof(*l->cors));
	l->upstreams = arena_alloc(l->arena, (n + s->n_upstreams) * sizeof(*l->upstreams));
	for (size_t i = 0; i < s->n_upstreams; i++)
		if (!line_of(l, SECTION_UPSTREAM, s->upstreams[i].name))
			l->upstreams[l->n_upstreams++] = s->upstreams[i];
	if (each_section(l, SECTION_CORS, make_cors) || each_section(l, SECTION_UPSTREAM, make_upstream))
		return -EINVAL;
	for (size_t i = 0; i < builtin_routes_n; i++)
		if (make_builtin_route(l, &builtin_routes[i]))
			return -EINVAL;
	return each_section(l, SECTION_ROUTE, make_route);
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
		struct upstream *u = upstreams_get(l->source->registry, s, l->err);

		if (!u) {
			error_prefix(l->err, "%s line %u", l->source->file, line_of(l, SECTION_UPSTREAM, s->name));
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
	return 0;
}

int routes_load(const struct routes_source *source, struct routes **ret, struct error *err)
{
	struct arena *arena = arena_new();
	struct routes *r = arena_new_of(arena, struct routes);
	struct loader l = {.source = source, .arena = arena, .err = err};
	int result = *source->file ? read_file(&l) : 0;

	atomic_init(&r->refs, 1);
	r->arena = arena;
	r->file = arena_strdup(arena, source->file);
	r->loaded_us = clock_now_us();
	if (!result)
		result = make_all(&l);
	if (!result)
		result = put_together(&l, r);
	free(l.entries);
	free(l.routes);
	if (result)
		routes_unref(r);
	else
		*ret = r;
	return result;
}
