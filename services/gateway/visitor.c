#include "visitor.h"

#include "forwarded.h"

#include <string.h>

static void set_client(struct client *c, const struct in6_addr *address)
{
	memcpy(c->key_bytes, address, sizeof(c->key_bytes));
	c->key = (struct str){(const char *)c->key_bytes, IN6_IS_ADDR_V4MAPPED(address) ? 16 : 8};
	ip_write(address, c->address);
}

/* Walks the X-Forwarded-For fields from the last address to the first, as far as the proxies can be trusted. */
static void follow_proxies(const struct http_request *r, const struct networks *trusted, struct client *c)
{
	for (size_t i = r->headers.n; i > 0; i--) {
		const struct http_header *h = &r->headers.items[i - 1];
		struct str list = h->value;

		if (!str_ieq(h->name, STR("X-Forwarded-For")))
			continue;
		while (list.p) {
			const char *comma = list.n ? memrchr(list.p, ',', list.n) : NULL;
			struct str last = comma ? (struct str){comma + 1, list.n - (size_t)(comma + 1 - list.p)} : list;
			struct in6_addr address;

			if (ip_parse(last, &address))
				return;
			set_client(c, &address);
			if (!networks_contain(trusted, &address))
				return;
			list = comma ? (struct str){list.p, (size_t)(comma - list.p)} : (struct str){0};
		}
	}
}

static bool is_host(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || memchr("/?#@\\,;", s.p[i], 7))
			return false;
	return s.n;
}

/* The same with the elements of Forwarded. False: go no further. */
static bool follow_elements(const struct forwarded *list, int n, const struct networks *trusted, struct client *c)
{
	while (n-- > 0) {
		const struct forwarded *f = &list[n];
		struct in6_addr address;

		if (ip_parse(f->client, &address))
			return false;
		set_client(c, &address);
		if (str_ieq(f->proto, STR("http")) || str_ieq(f->proto, STR("https")))
			c->proto = f->proto;
		if (is_host(f->host))
			c->host = f->host;
		if (!networks_contain(trusted, &address))
			return false;
	}
	return true;
}

static void follow_forwarded(const struct http_request *r, const struct networks *trusted, struct client *c)
{
	struct forwarded list[FORWARDED_MAX];
	bool goes_on = true;

	c->has_forwarded = true;
	for (size_t i = r->headers.n; i > 0 && goes_on; i--) {
		const struct http_header *h = &r->headers.items[i - 1];

		if (str_ieq(h->name, STR("Forwarded"))) {
			int n = forwarded_parse(h->value, list);

			goes_on = n > 0 && follow_elements(list, n, trusted, c);
		}
	}
}

void visitor_find(const struct http_request *r, const struct networks *trusted, bool by_forwarded, struct client *ret)
{
	*ret = (struct client){.address = "unix", .key = STR("unix")};
	if (r->peer)
		set_client(ret, r->peer);
	ret->is_trusted = r->peer ? networks_contain(trusted, r->peer) : trusted->has_unix;
	if (ret->is_trusted && by_forwarded)
		follow_forwarded(r, trusted, ret);
	else if (ret->is_trusted)
		follow_proxies(r, trusted, ret);
}
