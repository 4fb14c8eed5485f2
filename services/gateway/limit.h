/* A rate limit for each client by the generic cell rate algorithm (GCRA): one number per client, the time at which its
 * allowance would be full again. Bounded: who was limited least makes room for a new client. The table is local to the
 * process; a shared one (Redis) would stand behind the same two functions. */
#pragma once

#include "base/str.h"

struct limiter;

struct limit_verdict {
	bool allowed;
	unsigned remaining;   /* requests that are still free now */
	unsigned full_s;      /* seconds until the whole allowance is there again, rounded up */
	unsigned retry_after; /* seconds until the next request is allowed, rounded up; 0 if allowed */
};

/* `rate` requests a second in the long run, `burst` at once. */
struct limiter *limiter_new(unsigned rate, unsigned burst);
void limiter_free(struct limiter *l);
/* Counts one request of the client `key` at `now_us` (monotonic). From any thread. */
void limiter_take(struct limiter *l, struct str key, uint64_t now_us, struct limit_verdict *ret);
