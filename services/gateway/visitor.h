/* Who the client is, as far as addresses tell: the connection's other end, or what a trusted proxy says. */
#pragma once

#include <netinet/in.h>

#include "base/error.h"
#include "io/http_server.h"

#define NETWORKS_MAX 64

/* IPv4 is kept in its form as IPv6 (::ffff:a.b.c.d). */
struct network {
	struct in6_addr address;
	unsigned bits;
};

struct networks {
	struct network items[NETWORKS_MAX];
	size_t n;
	bool has_unix; /* the word "unix": whoever comes by a Unix socket */
};

struct client {
	char address[INET6_ADDRSTRLEN]; /* or "unix" */
	struct str key;                 /* of the rate limit: bytes of the address, an IPv6 one without its last half */
	uint8_t key_bytes[16];
	bool is_trusted; /* the connection's other end is a trusted proxy: its X-Forwarded-Proto and -Host count too */
};

/* Addresses and networks with commas between them. Returns 0 or -EINVAL. */
int networks_parse(struct networks *n, const char *text, struct error *err);
bool networks_contain(const struct networks *n, const struct in6_addr *address);
/* "10.0.0.1", "10.0.0.1:80", "[::1]:80", "::1" → an address. Returns 0 or -EINVAL. */
int visitor_address_parse(struct str text, struct in6_addr *ret);
/* From the peer's address and, if that is trusted, X-Forwarded-For: its last address that is no trusted proxy. */
void visitor_find(const struct http_request *r, const struct networks *trusted, struct client *ret);
