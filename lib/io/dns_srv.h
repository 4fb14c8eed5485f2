/* SRV records of a raw DNS answer (RFC 1035 section 4, RFC 2782): c-ares's own struct lacks their time to live. */
#pragma once

#include "base/util.h"

#define DNS_NAME_SIZE 256

struct dns_srv {
	char target[DNS_NAME_SIZE]; /* without the last dot; "" = the service is not there */
	uint16_t port, priority, weight;
	uint32_t ttl; /* seconds; of the record and of the aliases that lead to it, the shortest */
};

/* The records for the name asked for, at most `max`. Returns their number, or -EBADMSG for what is no such answer. */
int dns_srv_parse(const uint8_t *message, size_t n, struct dns_srv *ret, size_t max);
