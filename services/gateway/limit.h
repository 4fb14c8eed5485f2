/* How many requests each client has made: one table for all threads of the process, by the generic cell rate algorithm
 * (GCRA): one number for a client and limit, the time at which its allowance would be full again. Bounded: who was
 * limited least makes room for a new client.
 *
 * Gateways that share a Redis also hold leases there: a slice of a client's allowance that was taken off it in Redis
 * before it is used here, so that never more than the limit is let through in total. A request whose slice is there
 * costs no call. What was used is told with the next call for the same client; a lease that is not renewed ends, and
 * counts as used. limit_share.h makes the calls; without it (or with Redis away) the numbers of this process count
 * alone.
 *
 * All functions are for any thread. Times are monotonic, in us. */
#pragma once

#include "limit_rule.h"

#define LIMITS_MAX 4 /* of one request */
#define LIMIT_TABLE_NAME 24
#define LIMIT_LEASE_US 2000000  /* a lease that is not renewed ends; Redis counts from later on */
#define LIMIT_REFUSAL_US 250000 /* for this long at most, a refusal by Redis is believed */

struct limit_table;

struct limit_table *limit_table_new(void);
void limit_table_free(struct limit_table *t);
/* Random, for this process's leases in Redis. */
const char *limit_table_name(const struct limit_table *t);

/* One limit of a request, and the client as that limit sees him: any bytes. */
struct limit_claim {
	const struct limit_rule *rule;
	struct str client;
};

struct limit_verdict {
	uint32_t remaining; /* requests that are still free now */
	uint64_t full_us;   /* until the whole allowance is there again */
	uint64_t retry_us;  /* until the next request is let through; 0: now */
};

/* What to ask Redis for: `want` more requests, after `used` of those had. */
struct limit_ask {
	struct limit_claim claim;
	uint32_t want, used;
};

enum limit_outcome {
	LIMIT_OK,      /* counted by all limits */
	LIMIT_REFUSED, /* counted by none */
	LIMIT_ASK,     /* counted by none: the slice of one is used up; ask, then take again */
};

/* Counts one request against all its limits, or against none. The limits differ from each other. verdicts[n].
 * asker: NULL: the numbers of this process count alone. Otherwise who asks Redis, a thread; then asks[LIMITS_MAX] gets
 * what to ask for: with LIMIT_ASK before the request can go on (none: this asker is asking already), with LIMIT_OK for
 * the next ones. */
enum limit_outcome limit_take(struct limit_table *t, const struct limit_claim *claims, size_t n, uint64_t now_us,
			      const void *asker, struct limit_verdict *verdicts, struct limit_ask *asks,
			      size_t *ret_n_asks);

/* Every lease is void from now on: a call failed, and nobody knows whether it was done. Returns the new generation,
 * which is a part of this process's name in Redis. */
uint32_t limit_generation_next(struct limit_table *t);
uint32_t limit_generation(const struct limit_table *t);
/* Redis's answer to a call that was sent at sent_us in that generation: `granted` requests, `left` free ones for
 * anybody; if none were granted, retry_us until there is one. */
void limit_grant(struct limit_table *t, const struct limit_claim *claim, uint32_t generation, uint64_t sent_us,
		 uint32_t granted, uint32_t left, uint64_t retry_us);
