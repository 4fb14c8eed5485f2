#include "fields.h"

#include <strings.h>

/* Of one connection, or ours to write (framing, Host, Date), or about who the client is, which only we know. All that
 * begins with x-user-, x-internal-, x-forwarded- is dropped as well. */
#define DROPPED_FROM_CLIENT                                                                                           \
	(FIELD_BIT(FIELD_TE) | FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_COOKIE) /* but see PATH_COOKIES */ |           \
	 FIELD_BIT(FIELD_EXPECT) | FIELD_BIT(FIELD_UPGRADE) | FIELD_BIT(FIELD_TRAILER) | FIELD_BIT(FIELD_FORWARDED) | \
	 FIELD_BIT(FIELD_X_REAL_IP) | FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_KEEP_ALIVE) |                     \
	 FIELD_BIT(FIELD_TRACEPARENT) | FIELD_BIT(FIELD_X_REQUEST_ID) | FIELD_BIT(FIELD_CONTENT_LENGTH) |             \
	 FIELD_BIT(FIELD_HTTP2_SETTINGS) | FIELD_BIT(FIELD_X_OGENT_SERVICE) | FIELD_BIT(FIELD_PROXY_CONNECTION) |     \
	 FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_PROXY_AUTHENTICATE) |                                   \
	 FIELD_BIT(FIELD_PROXY_AUTHORIZATION) | FIELD_BIT(FIELD_X_FORWARDED_FOR))

#define DROPPED_FROM_ROLE                                                                                      \
	(FIELD_BIT(FIELD_TE) | FIELD_BIT(FIELD_DATE) | FIELD_BIT(FIELD_SERVER) | FIELD_BIT(FIELD_UPGRADE) |    \
	 FIELD_BIT(FIELD_TRAILER) | FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_KEEP_ALIVE) |                \
	 FIELD_BIT(FIELD_X_POWERED_BY) | FIELD_BIT(FIELD_CONTENT_LENGTH) | FIELD_BIT(FIELD_PROXY_CONNECTION) | \
	 FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_PROXY_AUTHENTICATE))

/* What the gateway says itself counts for more than what the role says. */
#define FROM_BOTH (FIELD_BIT(FIELD_X_REQUEST_ID) | FIELD_BIT(FIELD_RATELIMIT) | FIELD_BIT(FIELD_RATELIMIT_POLICY))

static bool has_prefix(struct str name, struct str prefix)
{
	return name.n >= prefix.n && !strncasecmp(name.p, prefix.p, prefix.n);
}

/* What a Connection field names is for this connection only (RFC 9110 section 7.6.1); usually it names nothing else. */
static bool connection_names_fields(const struct http_headers *h)
{
	struct str v = http_field_get(h, FIELD_CONNECTION);

	if (!v.p)
		return false;
	return http_field_is_repeated(h, FIELD_CONNECTION) ||
	       (!str_ieq(v, STR("keep-alive")) && !str_ieq(v, STR("close")) && !str_ieq(v, STR("upgrade")));
}

void fields_add(struct http_headers *h, struct str name, struct str value)
{
	http_header_put_as(h, (struct http_header){name, value, FIELD_OTHER});
}

static bool passes_to_role(const struct http_header *h, const struct gateway_route *path)
{
	struct str name = h->name;

	if (h->field != FIELD_OTHER)
		return !(FIELD_BIT(h->field) & DROPPED_FROM_CLIENT) ||
		       (h->field == FIELD_COOKIE && path->flags & PATH_COOKIES);
	/* A name with an underscore can stand for one with a hyphen in what reads it. */
	if (memchr(name.p, '_', name.n))
		return false;
	return !(name.p[0] == 'x' || name.p[0] == 'X') ||
	       (!has_prefix(name, STR("x-user-")) && !has_prefix(name, STR("x-internal-")) &&
		!has_prefix(name, STR("x-forwarded-")));
}

/* told: what Forwarded says, where that counts. */
static struct str forwarded(const struct http_request *r, const struct client *client, const char *name,
			    struct str told, struct str def)
{
	struct str v = {0};

	if (client->is_trusted)
		v = client->has_forwarded ? told : http_header_get(&r->headers, name);
	return v.n ? v : def;
}

void fields_for_upstream(const struct http_request *r, const struct gateway_route *path, const struct request_fields *f,
			 struct http_headers *ret)
{
	const struct http_headers *h = &r->headers;
	bool names_fields = connection_names_fields(h);

	for (size_t i = 0; i < h->n; i++) {
		if (passes_to_role(&h->items[i], path) && !(names_fields && http_is_hop_by_hop(h, h->items[i].name)))
			http_header_put_as(ret, h->items[i]);
	}
	if (f->is_upgrade)
		fields_add(ret, STR("Upgrade"), http_field_get(h, FIELD_UPGRADE));
	if (f->wants_trailers)
		fields_add(ret, STR("TE"), STR("trailers"));
	if (f->announced.p)
		fields_add(ret, STR("Trailer"), f->announced);
	fields_add(ret, STR("X-Request-Id"), str_of(f->request_id));
	fields_add(ret, STR("traceparent"), str_of(f->traceparent));
	fields_add(ret, STR("X-Forwarded-For"), str_of(f->client->address));
	fields_add(ret, STR("X-Forwarded-Proto"),
		   forwarded(r, f->client, "X-Forwarded-Proto", f->client->proto, STR("http")));
	fields_add(ret, STR("X-Forwarded-Host"),
		   forwarded(r, f->client, "X-Forwarded-Host", f->client->host, http_field_get(h, FIELD_HOST)));
}

static bool has(const struct http_headers *h, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (h->items[i].name.n == name.n && !strncasecmp(h->items[i].name.p, name.p, name.n))
			return true;
	return false;
}

void fields_of_interim(const struct http_headers *from, struct http_headers *ret)
{
	bool names_fields = connection_names_fields(from);

	for (size_t i = 0; i < from->n; i++) {
		const struct http_header *h = &from->items[i];

		if (!(FIELD_BIT(h->field) & (DROPPED_FROM_ROLE | FROM_BOTH)) &&
		    !(names_fields && http_is_hop_by_hop(from, h->name)) && !cors_is_ours(h->name))
			http_header_put_as(ret, *h);
	}
}

void fields_for_client(const struct http_headers *from, bool is_upgrade, const struct cors *cors,
		       struct http_headers *ret)
{
	bool names_fields = connection_names_fields(from);
	size_t ours = ret->n;

	for (size_t i = 0; i < from->n; i++) {
		const struct http_header *h = &from->items[i];

		if (FIELD_BIT(h->field) & DROPPED_FROM_ROLE || (names_fields && http_is_hop_by_hop(from, h->name)))
			continue;
		if (cors && h->field == FIELD_OTHER && cors_is_ours(h->name))
			continue;
		if (!(FIELD_BIT(h->field) & FROM_BOTH) || !has(ret, ours, h->name))
			http_header_put_as(ret, *h);
	}
	if (is_upgrade) {
		fields_add(ret, STR("Connection"), STR("Upgrade"));
		fields_add(ret, STR("Upgrade"), http_field_get(from, FIELD_UPGRADE));
	}
}
