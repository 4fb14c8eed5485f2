#include "cors.h"

#include <strings.h>

#include "fields.h"

bool cors_is_preflight(const struct http_request *r)
{
	return r->method == HTTP_OPTIONS_ && http_field_get(&r->headers, FIELD_ORIGIN).n &&
	       http_header_get(&r->headers, "Access-Control-Request-Method").n;
}

bool cors_wanted_method(const struct http_request *r, enum http_method *ret)
{
	struct str name = http_header_get(&r->headers, "Access-Control-Request-Method");

	for (unsigned m = HTTP_DELETE_; m < HTTP_METHODS; m++) {
		if (str_is(name, http_method_name((enum http_method)m))) {
			*ret = (enum http_method)m;
			return true;
		}
	}
	return false;
}

bool cors_allows(const struct cors *c, const struct http_request *r)
{
	struct str origin = http_field_get(&r->headers, FIELD_ORIGIN);

	if (!origin.n || c->any)
		return origin.n > 0;
	for (size_t i = 0; i < c->n_origins; i++)
		if (str_eq(c->origins[i], origin))
			return true;
	return false;
}

void cors_add(const struct cors *c, const struct http_request *r, struct http_headers *answer)
{
	if (!c->any) /* also without an origin: a cache must not give this answer to a page */
		fields_add(answer, STR("Vary"), STR("Origin"));
	if (!cors_allows(c, r))
		return;
	fields_add(answer, STR("Access-Control-Allow-Origin"),
		   c->any ? STR("*") : http_field_get(&r->headers, FIELD_ORIGIN));
	if (c->credentials)
		fields_add(answer, STR("Access-Control-Allow-Credentials"), STR("true"));
	if (*c->expose)
		fields_add(answer, STR("Access-Control-Expose-Headers"), str_of(c->expose));
}

void cors_add_preflight(const struct cors *c, struct http_headers *answer)
{
	fields_add(answer, STR("Access-Control-Allow-Methods"), str_of(c->methods));
	fields_add(answer, STR("Access-Control-Allow-Headers"), str_of(c->headers));
	fields_add(answer, STR("Access-Control-Max-Age"), str_of(c->max_age));
}

bool cors_is_ours(struct str name)
{
	static const struct str prefix = STR("access-control-");

	return name.n > prefix.n && !strncasecmp(name.p, prefix.p, prefix.n);
}

static bool is_host_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == ':' || c == '[' ||
	       c == ']';
}

bool cors_is_origin(struct str text)
{
	bool is_tls = str_has_prefix(text, STR("https://"));
	struct str host = text;

	if (!is_tls && !str_has_prefix(text, STR("http://")))
		return false;
	host.p += is_tls ? 8 : 7;
	host.n -= is_tls ? 8 : 7;
	for (size_t i = 0; i < host.n; i++)
		if (!is_host_byte(host.p[i]))
			return false;
	return host.n && !str_has_suffix(host, is_tls ? STR(":443") : STR(":80"));
}
