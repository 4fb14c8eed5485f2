/* What a proxy says in front of a connection's own bytes: whose connection it is (the PROXY protocol, versions 1 and 2,
 * haproxy.org's proxy-protocol.txt). To be read only from proxies that are trusted, and then always: nobody can tell it
 * from a client's own bytes. */
#pragma once

#include <netinet/in.h>

#include "base/str.h"

#define PROXY_HEADER_MAX 4096 /* with its extra values (TLVs), which are passed over */

struct proxy_header {
	bool has_source;        /* false: the proxy's own connection (a health check), or an address it does not tell */
	struct in6_addr source; /* an IPv4 address as ::ffff:a.b.c.d */
	uint16_t port;
};

/* Returns the header's bytes, 0 when more must come, or -EPROTO. */
int proxy_header_parse(const char *data, size_t n, struct proxy_header *ret);
