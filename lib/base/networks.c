#include "base/networks.h"

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

int ip_parse(struct str text, struct in6_addr *ret)
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

/* What inet_ntop does with a printf for each byte; the gateway does this for every request. */
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

void ip_write(const struct in6_addr *address, char ret[static INET6_ADDRSTRLEN])
{
	if (IN6_IS_ADDR_V4MAPPED(address))
		write_v4(address->s6_addr + 12, ret);
	else
		inet_ntop(AF_INET6, address, ret, INET6_ADDRSTRLEN);
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

int networks_parse(struct networks *n, const char *text, const char *option, struct error *err)
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
			return error_set(err, "option_invalid", "%s: there are more than %d addresses and networks",
					 option, NETWORKS_MAX);
		if (parse_network(item, &n->items[n->n++]))
			return error_set(err, "option_invalid",
					 "%s: \"%.*s\" is no address or network such as 127.0.0.1 or 10.0.0.0/8; unix "
					 "stands for Unix sockets",
					 option, (int)MIN(item.n, (size_t)80), item.p);
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

int ip_of(const struct sockaddr *from, struct in6_addr *ret)
{
	if (from->sa_family == AF_INET6) {
		*ret = ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
		return 0;
	}
	if (from->sa_family != AF_INET)
		return -EAFNOSUPPORT;
	memset(ret, 0, sizeof(*ret));
	ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
	memcpy(ret->s6_addr + 12, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
	return 0;
}

#define V4(a, b, c, d, bits_of_v4)                                                                    \
	{                                                                                             \
		{{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (a), (b), (c), (d)}}}, 96 + (bits_of_v4) \
	}

/* IANA's registries of special-purpose addresses (RFC 6890 and its updates), and multicast. */
static const struct network special[] = {
	V4(0, 0, 0, 0, 8),        /* this network */
	V4(10, 0, 0, 0, 8),       /* private */
	V4(100, 64, 0, 0, 10),    /* shared by carriers */
	V4(127, 0, 0, 0, 8),      /* loopback */
	V4(168, 63, 129, 16, 32), /* a cloud's own services, from inside it */
	V4(169, 254, 0, 0, 16),   /* link-local, and with it the clouds' metadata */
	V4(172, 16, 0, 0, 12),    /* private */
	V4(192, 0, 0, 0, 24),     /* protocol assignments */
	V4(192, 0, 2, 0, 24),     /* documentation */
	V4(192, 88, 99, 0, 24),   /* 6to4 relays */
	V4(192, 168, 0, 0, 16),   /* private */
	V4(198, 18, 0, 0, 15),    /* benchmarks */
	V4(198, 51, 100, 0, 24),  /* documentation */
	V4(203, 0, 113, 0, 24),   /* documentation */
	V4(224, 0, 0, 0, 4),      /* multicast */
	V4(240, 0, 0, 0, 4),      /* reserved, broadcast */
};

/* Of IPv6 only what is handed out (2000::/3) is public, without what stands for an IPv4 address or is for documents. */
static const struct network handed_out = {{{{0x20}}}, 3};
static const struct network special_v6[] = {
	{{{{0x20, 0x01, 0x00}}}, 23},       /* protocol assignments, Teredo among them */
	{{{{0x20, 0x01, 0x0d, 0xb8}}}, 32}, /* documentation */
	{{{{0x20, 0x02}}}, 16},             /* 6to4 */
	{{{{0x3f, 0xff, 0x00}}}, 20},       /* documentation */
};

static bool is_in(const struct network *list, size_t n, const struct in6_addr *address)
{
	for (size_t i = 0; i < n; i++)
		if (matches(&list[i], address))
			return true;
	return false;
}

bool ip_is_public(const struct in6_addr *address)
{
	if (IN6_IS_ADDR_V4MAPPED(address))
		return !is_in(special, ARRAY_SIZE(special), address);
	return matches(&handed_out, address) && !is_in(special_v6, ARRAY_SIZE(special_v6), address);
}
