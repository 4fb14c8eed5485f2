/* Who the client is, as far as addresses tell: the connection's other end, or what a trusted proxy says. */
#pragma once

#include "base/networks.h"
#include "io/http_server.h"

struct client {
	char address[INET6_ADDRSTRLEN]; /* or "unix" */
	struct str key;                 /* of the rate limit: bytes of the address, an IPv6 one without its last half */
	uint8_t key_bytes[16];
	bool is_trusted; /* the connection's other end is a trusted proxy: its X-Forwarded-Proto and -Host count too */
	bool has_forwarded;     /* but Forwarded counts instead: */
	struct str proto, host; /* what it says of the client's own request; views of the head */
};

/* From the peer's address and, if that is trusted, X-Forwarded-For or Forwarded, whichever the trusted proxies write
 * (the other one may be the client's own): its last address that is no trusted proxy. */
void visitor_find(const struct http_request *r, const struct networks *trusted, bool by_forwarded, struct client *ret);
