#include "io/proxy_header.h"

#include <arpa/inet.h>
#include <errno.h>

#define V1_MAX 107 /* with its CRLF */
#define V2_HEAD 16

static const char v1_prefix[] = "PROXY ";
static const char v2_prefix[] = "\r\n\r\n\0\r\nQUIT\n";
#define V1_PREFIX (sizeof(v1_prefix) - 1)
#define V2_PREFIX (sizeof(v2_prefix) - 1)

static void set_v4(struct proxy_header *h, const void *address)
{
	memset(&h->source, 0, sizeof(h->source));
	h->source.s6_addr[10] = h->source.s6_addr[11] = 0xff;
	memcpy(h->source.s6_addr + 12, address, 4);
}

/* The textual form as inet_pton takes it, and nothing else. */
static int read_address(struct str text, bool is_v6, struct proxy_header *ret)
{
	char copy[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if (!text.n || text.n >= sizeof(copy))
		return -EPROTO;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	if (is_v6)
		return inet_pton(AF_INET6, copy, &ret->source) == 1 ? 0 : -EPROTO;
	if (inet_pton(AF_INET, copy, &v4) != 1)
		return -EPROTO;
	set_v4(ret, &v4);
	return 0;
}

static int read_port(struct str text, uint16_t *ret)
{
	uint64_t n;

	if (!text.n || text.n > 5 || (text.n > 1 && text.p[0] == '0') || str_to_u64(text, UINT16_MAX, &n) < 0)
		return -EPROTO;
	*ret = (uint16_t)n;
	return 0;
}

/* "TCP4 SOURCE DESTINATION PORT PORT" or "UNKNOWN…". */
static int read_line(struct str line, struct proxy_header *ret)
{
	struct str rest = line, family = str_cut(&rest, ' '), source = str_cut(&rest, ' '),
		   target = str_cut(&rest, ' '), source_port = str_cut(&rest, ' ');
	struct proxy_header h = {.has_source = true}, other;
	bool is_v6 = str_is(family, "TCP6");

	if (str_is(family, "UNKNOWN"))
		return 0;
	if (!is_v6 && !str_is(family, "TCP4"))
		return -EPROTO;
	if (read_address(target, is_v6, &other) || read_port(rest, &other.port) || read_address(source, is_v6, &h) ||
	    read_port(source_port, &h.port))
		return -EPROTO;
	*ret = h;
	return 0;
}

static int parse_v1(const char *data, size_t n, struct proxy_header *ret)
{
	const char *end = memchr(data, '\n', MIN(n, (size_t)V1_MAX));
	size_t length = end ? (size_t)(end - data) : 0;

	if (!end)
		return n < V1_MAX ? 0 : -EPROTO;
	if (data[length - 1] != '\r' || read_line((struct str){data + V1_PREFIX, length - 1 - V1_PREFIX}, ret))
		return -EPROTO;
	return (int)length + 1;
}

static int read_v2_address(uint8_t family, const char *data, size_t n, struct proxy_header *ret)
{
	size_t wanted = family == 1 ? 12 : family == 2 ? 36 : family == 3 ? 216 : 0;
	const uint8_t *port = (const uint8_t *)data + (family == 1 ? 8 : 32);

	if (n < wanted)
		return -EPROTO;
	if (family != 1 && family != 2)
		return 0; /* a Unix socket, or one that is not told */
	ret->has_source = true;
	ret->port = (uint16_t)(port[0] << 8 | port[1]);
	if (family == 1)
		set_v4(ret, data);
	else
		memcpy(&ret->source, data, 16);
	return 0;
}

static int parse_v2(const char *data, size_t n, struct proxy_header *ret)
{
	if (n < V2_HEAD)
		return 0;

	uint8_t command = (uint8_t)data[12], family = (uint8_t)data[13];
	size_t length = (size_t)((uint8_t)data[14] << 8 | (uint8_t)data[15]);

	if ((command != 0x20 && command != 0x21) || family >> 4 > 3 || (family & 15) > 2 ||
	    V2_HEAD + length > PROXY_HEADER_MAX)
		return -EPROTO;
	if (n < V2_HEAD + length)
		return 0;
	if (command == 0x21 && read_v2_address(family >> 4, data + V2_HEAD, length, ret))
		return -EPROTO;
	return (int)(V2_HEAD + length);
}

int proxy_header_parse(const char *data, size_t n, struct proxy_header *ret)
{
	*ret = (struct proxy_header){0};
	if (!n)
		return 0;
	if (!memcmp(data, v1_prefix, MIN(n, V1_PREFIX)))
		return n < V1_PREFIX ? 0 : parse_v1(data, n, ret);
	if (!memcmp(data, v2_prefix, MIN(n, V2_PREFIX)))
		return n < V2_PREFIX ? 0 : parse_v2(data, n, ret);
	return -EPROTO;
}
