#include "trailers.h"

#include <strings.h>

/* Besides the fields that http_field.c knows, of which none passes. In lower case. */
static const struct str forbidden[] = {
	STR("age"),
	STR("allow"),
	STR("cache-control"),
	STR("clear-site-data"),
	STR("content-encoding"),
	STR("content-language"),
	STR("content-location"),
	STR("content-range"),
	STR("content-security-policy"),
	STR("expires"),
	STR("if-match"),
	STR("if-modified-since"),
	STR("if-none-match"),
	STR("if-range"),
	STR("if-unmodified-since"),
	STR("last-event-id"),
	STR("location"),
	STR("max-forwards"),
	STR("pragma"),
	STR("prefer"),
	STR("proxy-authentication-info"),
	STR("range"),
	STR("refresh"),
	STR("retry-after"),
	STR("set-cookie"),
	STR("strict-transport-security"),
	STR("tracestate"),
	STR("vary"),
	STR("via"),
	STR("warning"),
	STR("www-authenticate"),
};

static bool has_prefix(struct str name, struct str prefix)
{
	return name.n >= prefix.n && !strncasecmp(name.p, prefix.p, prefix.n);
}

static bool is_forbidden(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
		if (str_ieq(name, forbidden[i]))
			return true;
	return has_prefix(name, STR("access-control-")) || has_prefix(name, STR("sec-"));
}

/* What a client must not say of himself in the head (fields.c), it must not say behind the body either. */
static bool is_claim(struct str name)
{
	return memchr(name.p, '_', name.n) || has_prefix(name, STR("x-user-")) ||
	       has_prefix(name, STR("x-internal-")) || has_prefix(name, STR("x-forwarded-"));
}

static bool passes(enum trailer_side side, const struct http_headers *head, struct str name)
{
	return http_is_token(name) && http_field_find(name) == FIELD_OTHER && !is_forbidden(name) &&
	       !(side == TRAILERS_OF_CLIENT && is_claim(name)) && !http_is_hop_by_hop(head, name);
}

const struct http_headers *trailers_passing(struct arena *a, enum trailer_side side, const struct http_headers *head,
					    const struct http_headers *from)
{
	struct http_headers *kept = NULL;

	for (size_t i = 0; from && i < from->n; i++) {
		const struct http_header *h = &from->items[i];

		if (!passes(side, head, h->name))
			continue;
		if (!kept) {
			kept = arena_new_of(a, struct http_headers);
			kept->arena = a;
		}
		http_header_put(kept, h->name, h->value);
	}
	return kept;
}

static void add_names(struct buf *out, enum trailer_side side, const struct http_headers *head, struct str list)
{
	while (list.p) {
		struct str name = str_trim(str_cut(&list, ','));

		if (!passes(side, head, name))
			continue;
		if (out->n)
			buf_add_str(out, ", ");
		buf_add(out, name.p, name.n);
	}
}

struct str trailers_announced(struct arena *a, enum trailer_side side, const struct http_headers *head)
{
	_cleanup_(buf_deinit) struct buf names = BUF_INIT;

	if (!http_field_get(head, FIELD_TRAILER).p)
		return (struct str){0};
	for (size_t i = 0; i < head->n; i++)
		if (head->items[i].field == FIELD_TRAILER)
			add_names(&names, side, head, head->items[i].value);
	return names.n ? arena_str(a, buf_str(&names)) : (struct str){0};
}

bool trailers_wanted(const struct http_headers *head)
{
	return http_field_get(head, FIELD_TE).n && http_has_token(http_field_get(head, FIELD_TE), "trailers") &&
	       http_has_token(http_field_get(head, FIELD_CONNECTION), "te");
}
