/* Names to addresses on the loop, without a thread and without ever blocking (c-ares, loaded at first use). The time to
 * live is the records' own: the caller decides how long an answer is good. */
#pragma once

#include <sys/socket.h>
#include <uv.h>

#include "base/error.h"
#include "io/wheel.h"

#define DNS_MAX_ENDPOINTS 64

struct dns;
struct dns_query;

enum dns_kind {
	DNS_HOST, /* A and AAAA; the hosts file counts too */
	DNS_SRV,  /* SRV, then the addresses of each target */
};

struct dns_endpoint {
	struct sockaddr_storage ip; /* port filled in */
	uint16_t priority;          /* the lower goes first; 0 for DNS_HOST */
	uint16_t weight;            /* at least 1; 1 for DNS_HOST */
};

struct dns_answer {
	const struct dns_endpoint *items;
	size_t n;
	uint32_t ttl; /* seconds: the shortest of all records that were used */
};

/* servers: "127.0.0.1:5353,10.0.0.2", or NULL for those of the system. Returns 0, or -EINVAL with err set: c-ares is
 * not installed, or the servers are wrong. */
int dns_new(uv_loop_t *loop, struct wheel *wheel, const char *servers, struct dns **ret, struct error *err);
/* Queries that are under way are dropped: their callbacks never come. The memory goes when libuv has closed the
 * handles. */
void dns_free(struct dns *d);

/* err: 0 and an answer with at least one address (valid during the call); -ENOENT: there is no such name, or it has no
 * such records; -ETIMEDOUT: no server answered; -EIO: the servers cannot tell now; -EBADMSG. */
typedef void dns_on_answer(void *arg, int err, const struct dns_answer *answer);
/* cb comes once, later. port is used by DNS_HOST. Names of more than 255 bytes are -ENOENT. */
struct dns_query *dns_lookup(struct dns *d, enum dns_kind kind, const char *name, uint16_t port, dns_on_answer *cb,
			     void *arg);
/* cb does not come any more. */
void dns_cancel(struct dns_query *q);
