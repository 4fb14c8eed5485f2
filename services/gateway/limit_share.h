/* The limits that several gateways share through a Redis: the calls of one loop. A call is one script for any number of
 * limits. Requests wait for one only when the slice of their client is used up, and never for a Redis that is away or
 * does not answer: then this process's own numbers count until it is back. */
#pragma once

#include <uv.h>

#include "base/list.h"
#include "io/wheel.h"
#include "limit.h"

struct limit_share;

/* A request that waits for a slice. Belongs to the caller. */
struct limit_wait {
	struct list link;          /* in limit_share.waiting */
	struct limit_share *share; /* while it waits */
	void (*done)(struct limit_wait *w);
	unsigned rounds; /* how often it has waited */
};

struct limit_share_stats {
	uint64_t calls, failed; /* ever; failed: no answer, or none in time */
	bool is_on;
};

/* Returns 0 or -errno with err set. */
int limit_share_new(struct limit_table *t, uv_loop_t *loop, struct wheel *wheel, const char *redis_url,
		    void (*on_state)(void *arg, bool is_on, const char *why), void *arg, struct limit_share **ret,
		    struct error *err);
/* Those who wait never hear of it. */
void limit_share_free(struct limit_share *s);
/* From any thread. */
void limit_share_stats(const struct limit_share *s, struct limit_share_stats *ret);

/* limit_take with its calls. s may be NULL. LIMIT_OK and LIMIT_REFUSED are the verdict. LIMIT_ASK: it is not counted
 * yet; w->done comes once, later: then try again with the same w (zero at first). */
enum limit_outcome limit_share_take(struct limit_share *s, struct limit_table *t, const struct limit_claim *claims,
				    size_t n, uint64_t now_us, struct limit_verdict *verdicts, struct limit_wait *w);
/* Harmless at any time for one that was zero at first. */
void limit_wait_cancel(struct limit_wait *w);
