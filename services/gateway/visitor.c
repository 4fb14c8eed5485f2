#include "visitor.h"

#include "forwarded.h"

#include <arpa/inet.h>
#include <string.h>

/* What inet_ntop does with a printf for each byte; this is done for every request. */
static void write_v4(const uint8_t b[static 4], char *to)
{
	for (unsigned i = 0; i < 4; i++) {
		if (i)
			*to++ = '.';
		if (b[i] >= 100)
			*to++ = (char)('0' + b[i] / 100);
		if (b[i] >= 10)
			*to++ = (char)('0' + b[i] / 10 % 10);
		*to++ = (char)('0' + b[i] % 10);
	}
	*to = '\0';
}

static void set_client(struct client *c, const struct in6_addr *address)
{
	bool is_v4 = IN6_IS_ADDR_V4MAPPED(address);

	memcpy(c->key_bytes, address, sizeof(c->key_bytes));
	c->key = (struct str){(const char *)c->key_bytes, is_v4 ? 16 : 8};
	if (is_v4)
		write_v4(address->s6_addr + 12, c->address);
	else
		inet_ntop(AF_INET6, address, c->address, sizeof(c->address));
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
	struct in6_addr address;

	*ret = (struct client){.address = "unix", .key = STR("unix")};
	if (ip_parse(str_of(r->peer), &address)) {
		ret->is_trusted = trusted->has_unix;
	} else {
		set_client(ret, &address);
		ret->is_trusted = networks_contain(trusted, &address);
	}
	if (ret->is_trusted && by_forwarded)
		follow_forwarded(r, trusted, ret);
	else if (ret->is_trusted)
		follow_proxies(r, trusted, ret);
}
