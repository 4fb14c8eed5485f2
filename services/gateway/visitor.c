#include "visitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* Text of an IPv4 or IPv6 address without port or brackets. */
static int parse_plain(struct str text, struct in6_addr *ret)
{
	char copy[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if (!text.n || text.n >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	if (inet_pton(AF_INET, copy, &v4) == 1) {
		memset(ret, 0, sizeof(*ret));
		ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
		memcpy(ret->s6_addr + 12, &v4, 4);
		return 0;
	}
	return inet_pton(AF_INET6, copy, ret) == 1 ? 0 : -EINVAL;
}

int visitor_address_parse(struct str text, struct in6_addr *ret)
{
	text = str_trim(text);
	if (text.n && text.p[0] == '[') {
		const char *end = memchr(text.p, ']', text.n);

		return end ? parse_plain((struct str){text.p + 1, (size_t)(end - text.p - 1)}, ret) : -EINVAL;
	}

	const char *colon = text.n ? memchr(text.p, ':', text.n) : NULL;
	if (colon && !memchr(colon + 1, ':', text.n - (size_t)(colon + 1 - text.p)))
		text.n = (size_t)(colon - text.p); /* one colon: a port */
	return parse_plain(text, ret);
}

static int parse_network(struct str text, struct network *ret)
{
	struct str rest = text, address = str_cut(&rest, '/');
	uint64_t bits = 128;

	if (parse_plain(address, &ret->address))
		return -EINVAL;

	bool is_v4 = IN6_IS_ADDR_V4MAPPED(&ret->address);
	if (rest.p && str_to_u64(rest, is_v4 ? 32 : 128, &bits))
		return -EINVAL;
	ret->bits = (unsigned)bits + (is_v4 && rest.p ? 96 : 0);
	return 0;
}

int networks_parse(struct networks *n, const char *text, struct error *err)
{
	struct str rest = str_of(text);

	*n = (struct networks){0};
	while (rest.p) {
		struct str item = str_trim(str_cut(&rest, ','));

		if (!item.n)
			continue;
		if (str_is(item, "unix")) {
			n->has_unix = true;
			continue;
		}
		if (n->n == NETWORKS_MAX)
			return error_set(err, "trusted_proxies", "trusted_proxies has more than %d entries.",
					 NETWORKS_MAX);
		if (parse_network(item, &n->items[n->n++]))
			return error_set(err, "trusted_proxies",
					 "trusted_proxies: \"%.*s\" is no address or network such as 10.0.0.0/8.",
					 STR_ARG(item));
	}
	return 0;
}

static bool matches(const struct network *n, const struct in6_addr *address)
{
	unsigned bytes = n->bits / 8, bits = n->bits % 8;

	if (memcmp(n->address.s6_addr, address->s6_addr, bytes))
		return false;
	return !bits || !((n->address.s6_addr[bytes] ^ address->s6_addr[bytes]) >> (8 - bits));
}

bool networks_contain(const struct networks *n, const struct in6_addr *address)
{
	for (size_t i = 0; i < n->n; i++)
		if (matches(&n->items[i], address))
			return true;
	return false;
}

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

			if (visitor_address_parse(last, &address))
				return;
			set_client(c, &address);
			if (!networks_contain(trusted, &address))
				return;
			list = comma ? (struct str){list.p, (size_t)(comma - list.p)} : (struct str){0};
		}
	}
}

void visitor_find(const struct http_request *r, const struct networks *trusted, struct client *ret)
{
	struct in6_addr address;

	*ret = (struct client){.address = "unix", .key = STR("unix")};
	if (visitor_address_parse(str_of(r->peer), &address)) {
		ret->is_trusted = trusted->has_unix;
	} else {
		set_client(ret, &address);
		ret->is_trusted = networks_contain(trusted, &address);
	}
	if (ret->is_trusted)
		follow_proxies(r, trusted, ret);
}
