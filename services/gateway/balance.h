/* Which endpoint of an upstream gets the next request: the less loaded of two that are drawn by weight, among those
 * that are healthy and not ejected. Nothing here knows of time or threads: the caller tells the time (ms, any
 * beginning) and holds the upstream's lock. */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "base/str.h"

struct http_pool;

#define BALANCE_MAX_TRIED 4
#define THREADS_MAX 64

/* One server of an upstream. Shared by all threads; what is said to be the balancer's is under the upstream's lock. */
struct endpoint {
	atomic_uint refs;
	atomic_bool is_gone; /* not in the upstream any more: its pools are to be closed when they are quiet */
	char *address;       /* HOST:PORT or unix:PATH; never changes */
	/* Each thread's own; see pools.h. */
	struct http_pool *pools[THREADS_MAX];

	/* The balancer's. */
	unsigned weight, priority; /* the lower priority goes first */
	unsigned active;           /* requests on it now */
	bool is_down;              /* says the active check */
	unsigned failures;         /* in a row */
	unsigned ejections;        /* in the recent past: each makes the next one longer */
	uint64_t ejected_until;    /* 0: it is in */
	uint64_t returned_at;      /* end of the last ejection */
	uint64_t warm_from;        /* beginning of its slow start; 0 = it is warm */
	uint64_t n_requests, n_failures, n_connect_failures, n_ejections; /* ever */
};

struct balance_settings {
	unsigned eject_after;   /* failures in a row; 0 = never */
	uint64_t eject_ms;      /* of the first ejection; the n-th takes n times as long */
	uint64_t slow_start_ms; /* 0 = none */
	unsigned retry_percent; /* of the requests of the last ten seconds */
	unsigned retry_floor;   /* so many retries in ten seconds are free */
};

#define BUDGET_SLOTS 10

struct balancer {
	struct balance_settings settings;
	struct endpoint **items;
	size_t n;
	uint64_t random; /* state of the generator; not 0 */
	struct {
		uint64_t second;
		unsigned requests, retries;
	} budget[BUDGET_SLOTS];
};

struct endpoint *endpoint_new(const char *address, unsigned weight, unsigned priority);
struct endpoint *endpoint_ref(struct endpoint *e);
/* Its pools must be gone by then. NULL is fine. */
void endpoint_unref(struct endpoint *e);

/* May it get requests now? Lets it in again when its time is over. */
bool balance_is_available(struct balancer *b, struct endpoint *e, uint64_t now);
/* The endpoint for the next request, none of those tried already; NULL when there is no other. When none is available,
 * any may be tried: nothing is lost by it. */
struct endpoint *balance_pick(struct balancer *b, struct endpoint *const *tried, unsigned n_tried, uint64_t now);
/* How a request ended: is_failure is a 5xx, or no answer. Returns true when the endpoint was ejected for it. At most
 * half of all are out at a time. */
bool balance_report(struct balancer *b, struct endpoint *e, bool is_failure, uint64_t now);
/* The active check's verdict. */
void balance_set_down(struct balancer *b, struct endpoint *e, bool is_down, uint64_t now);
/* What it carries at most, 0.1 to 1 of its weight, while it starts slowly. */
double balance_warmth(const struct balancer *b, const struct endpoint *e, uint64_t now);

/* The budget: a request came; may it be tried once more? True counts it. */
void balance_count_request(struct balancer *b, uint64_t now);
bool balance_take_retry(struct balancer *b, uint64_t now);
