/* The one request that a client of the egress proxy makes on a connection: CONNECT host:port, or an absolute-form
 * request for http (RFC 9112 sections 3.2.2 and 3.2.3), which is rewritten for the host itself. */
#pragma once

#include "base/buf.h"
#include "egress/rules.h"

#define EGRESS_HEAD_MAX (16 * 1024)

struct egress_request {
	bool is_connect;
	char host[EGRESS_NAME_SIZE]; /* in its one form */
	uint16_t port;
	size_t head_n;   /* bytes of the head, with its empty line */
	struct buf head; /* what the host gets in its place; empty for CONNECT */
};

/* The head stands in `data`, perhaps with more behind it. Returns 0, -EAGAIN (not whole yet), -EMSGSIZE, -EBADMSG (not
 * a head of HTTP/1.1), -EPROTO (no request to a proxy), or -EINVAL (the host's name). ret->head is the caller's to free
 * when 0 came. */
int egress_request_parse(struct str data, struct egress_request *ret);
