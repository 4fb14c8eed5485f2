#include "fields.h"

#include <strings.h>

/* Of one connection, or ours to write (framing, Host, Date), or about who the client is, which only we know. All that
 * begins with x-user-, x-internal-, x-forwarded- is dropped as well. */
static const struct str dropped_from_client[] = {
	STR("te"),
	STR("host"),
	STR("cookie"), /* but see PATH_COOKIES */
	STR("expect"),
	STR("upgrade"),
	STR("trailer"),
	STR("forwarded"),
	STR("x-real-ip"),
	STR("connection"),
	STR("keep-alive"),
	STR("traceparent"),
	STR("x-request-id"),
	STR("content-length"),
	STR("http2-settings"),
	STR("x-ogent-service"),
	STR("proxy-connection"),
	STR("transfer-encoding"),
	STR("proxy-authenticate"),
	STR("proxy-authorization"),
};

static const struct str dropped_from_role[] = {
	STR("te"),
	STR("date"),
	STR("server"),
	STR("upgrade"),
	STR("trailer"),
	STR("connection"),
	STR("keep-alive"),
	STR("x-powered-by"),
	STR("content-length"),
	STR("proxy-connection"),
	STR("transfer-encoding"),
	STR("proxy-authenticate"),
};

static bool is_one_of(struct str name, const struct str *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].n == name.n && !strncasecmp(list[i].p, name.p, name.n))
			return true;
	return false;
}

static bool has_prefix(struct str name, struct str prefix)
{
	return name.n >= prefix.n && !strncasecmp(name.p, prefix.p, prefix.n);
}

/* What a Connection field names is for this connection only (RFC 9110 section 7.6.1). `connection`: its value, of all
 * its fields the one that names more than the usual. */
static bool is_named(struct str name, const struct http_headers *h, bool names_fields)
{
	return names_fields && http_is_hop_by_hop(h, name);
}

static bool connection_names_fields(const struct http_headers *h)
{
	for (size_t i = 0; i < h->n; i++) {
		struct str v = h->items[i].value;

		if (h->items[i].name.n == 10 && !strncasecmp(h->items[i].name.p, "connection", 10) &&
		    !str_ieq(v, STR("keep-alive")) && !str_ieq(v, STR("close")) && !str_ieq(v, STR("upgrade")))
			return true;
	}
	return false;
}

void fields_add(struct http_headers *h, struct str name, struct str value)
{
	if (h->n == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 24;
		struct http_header *items = arena_alloc(h->arena, cap * sizeof(*items));

		if (h->n)
			memcpy(items, h->items, h->n * sizeof(*items));
		h->items = items;
		h->cap = cap;
	}
	h->items[h->n++] = (struct http_header){name, value};
}

static bool passes_to_role(struct str name, const struct public_path *path)
{
	if (is_one_of(name, dropped_from_client, ARRAY_SIZE(dropped_from_client)))
		return (path->flags & PATH_COOKIES) && str_ieq(name, STR("cookie"));
	/* A name with an underscore can stand for one with a hyphen in what reads it. */
	if (memchr(name.p, '_', name.n))
		return false;
	return !(name.p[0] == 'x' || name.p[0] == 'X') ||
	       (!has_prefix(name, STR("x-user-")) && !has_prefix(name, STR("x-internal-")) &&
		!has_prefix(name, STR("x-forwarded-")));
}

static struct str forwarded(const struct http_request *r, const struct client *client, const char *name, struct str def)
{
	struct str v = client->is_trusted ? http_header_get(&r->headers, name) : (struct str){0};

	return v.n ? v : def;
}

void fields_for_upstream(const struct http_request *r, const struct public_path *path, const struct request_fields *f,
			 struct http_headers *ret)
{
	const struct http_headers *h = &r->headers;
	bool names_fields = connection_names_fields(h);

	for (size_t i = 0; i < h->n; i++) {
		struct str name = h->items[i].name;

		if (passes_to_role(name, path) && !is_named(name, h, names_fields))
			fields_add(ret, name, h->items[i].value);
	}
	if (f->is_upgrade)
		fields_add(ret, STR("Upgrade"), http_header_get(h, "Upgrade"));
	fields_add(ret, STR("X-Request-Id"), str_of(f->request_id));
	fields_add(ret, STR("traceparent"), str_of(f->traceparent));
	fields_add(ret, STR("X-Forwarded-For"), str_of(f->client->address));
	fields_add(ret, STR("X-Forwarded-Proto"), forwarded(r, f->client, "X-Forwarded-Proto", STR("http")));
	fields_add(ret, STR("X-Forwarded-Host"),
		   forwarded(r, f->client, "X-Forwarded-Host", http_header_get(h, "Host")));
}

static bool has(const struct http_headers *h, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (h->items[i].name.n == name.n && !strncasecmp(h->items[i].name.p, name.p, name.n))
			return true;
	return false;
}

void fields_for_client(const struct http_headers *from, bool is_upgrade, struct http_headers *ret)
{
	bool names_fields = connection_names_fields(from);
	size_t ours = ret->n;

	for (size_t i = 0; i < from->n; i++) {
		struct str name = from->items[i].name;

		if (!is_one_of(name, dropped_from_role, ARRAY_SIZE(dropped_from_role)) &&
		    !is_named(name, from, names_fields) && !has(ret, ours, name))
			fields_add(ret, name, from->items[i].value);
	}
	if (is_upgrade) {
		fields_add(ret, STR("Connection"), STR("Upgrade"));
		fields_add(ret, STR("Upgrade"), http_header_get(from, "Upgrade"));
	}
}
