/* IP addresses and networks. An IPv4 address is kept in its form as IPv6 (::ffff:a.b.c.d). */
#pragma once

#include <netinet/in.h>

#include "base/error.h"
#include "base/str.h"

#define NETWORKS_MAX 64

struct network {
	struct in6_addr address;
	unsigned bits;
};

struct networks {
	struct network items[NETWORKS_MAX];
	size_t n;
	bool has_unix; /* the word "unix": whoever comes by a Unix socket */
};

/* Addresses and networks with commas between them, the value of `option`. Returns 0 or -EINVAL. */
int networks_parse(struct networks *n, const char *text, const char *option, struct error *err);
bool networks_contain(const struct networks *n, const struct in6_addr *address);
/* "10.0.0.1", "10.0.0.1:80", "[::1]:80", "::1" → an address. Returns 0 or -EINVAL. */
int ip_parse(struct str text, struct in6_addr *ret);
/* The form of RFC 5952, an IPv4 address as such. */
void ip_write(const struct in6_addr *address, char ret[static INET6_ADDRSTRLEN]);
/* Returns 0, or -EAFNOSUPPORT for what is no IP address. */
int ip_of(const struct sockaddr *from, struct in6_addr *ret);
/* Whether it can belong to anybody on the Internet: not private, loopback, link-local, multicast, reserved, nor a form
 * of IPv6 that leads to an IPv4 address (RFC 6890 and its updates). */
bool ip_is_public(const struct in6_addr *address);
