/* A named group of servers that answer the same requests: where they are (a list, or DNS), how they are, and which one
 * gets the next request.
 *
 * The service's loop owns the registry (struct upstreams): it resolves names and asks the servers how they are. All
 * threads share the upstreams themselves, each under a lock of its own that is held for the few steps of a choice or a
 * report. Connections are each thread's own (pools.h). */
#pragma once

#include <pthread.h>
#include <uv.h>

#include "balance.h"
#include "base/buf.h"
#include "base/error.h"
#include "io/loop_thread.h"

struct discovery;
struct health;

enum discovery_kind {
	DISCOVER_LIST, /* the addresses are written down */
	DISCOVER_HOST, /* A and AAAA records */
	DISCOVER_SRV,  /* SRV records */
};

struct upstream_address {
	const char *address;
	unsigned weight, priority;
};

/* What it is, as written. Two with equal settings are the same upstream. */
struct upstream_settings {
	const char *name;
	int role;                           /* one of enum role, or ROLE_COUNT for the gateway itself; -1: neither */
	struct upstream_address *addresses; /* of DISCOVER_LIST */
	size_t n_addresses;
	enum discovery_kind kind;
	const char *dns_name;
	unsigned dns_port;     /* of DISCOVER_HOST */
	uint64_t dns_stale_ms; /* how long the last answer is good while DNS is away */
	struct balance_settings balance;
	const char *health_path; /* NULL: not asked */
	uint64_t health_interval_ms, health_timeout_ms;
	unsigned health_rise, health_fall;
	unsigned max_requests, max_pending; /* of the whole gateway */
	unsigned max_connections, max_idle; /* per endpoint and thread */
	uint64_t idle_ms, max_age_ms;       /* of a connection */
};
extern const struct upstream_settings upstream_defaults;

enum upstream_counter {
	UPSTREAM_REQUESTS,
	UPSTREAM_FAILURES, /* 5xx or no answer */
	UPSTREAM_CONNECT_FAILURES,
	UPSTREAM_RETRIES,
	UPSTREAM_RETRIES_REFUSED, /* the budget was spent */
	UPSTREAM_OVERFLOWS,       /* the circuit breaker refused */
	UPSTREAM_NOBODY,          /* there was no endpoint */
	UPSTREAM_EJECTIONS,
	UPSTREAM_DNS_ANSWERS,
	UPSTREAM_DNS_FAILURES,
	UPSTREAM_HEALTH_FAILURES,
	UPSTREAM_COUNTERS,
};

struct upstream {
	atomic_uint refs;
	struct upstream_settings settings; /* never changes; in its own arena */
	struct arena *arena;
	const char *text; /* the settings as text: equal when they are */

	pthread_mutex_t lock; /* of all that follows up to the line */
	struct balancer balancer;
	unsigned active, pending;
	uint64_t counters[UPSTREAM_COUNTERS];
	bool is_resolved;      /* its names were answered once */
	uint64_t stale_from;   /* when the answer should have been renewed; 0 = it is fresh */
	uint64_t dns_ttl_ms;   /* of the last answer */
	atomic_bool wants_dns; /* a connection failed: ask again, soon */

	/* The registry's, on the service's loop. */
	struct list link; /* in upstreams.list */
	struct upstreams *registry;
	bool is_wanted; /* while a new set of routes is put on: it is part of it */
	struct discovery *discovery;
	struct health *health;
};

/* ---- The registry ---- */

struct upstreams;

struct upstreams *upstreams_new(uv_loop_t *loop, struct wheel *wheel, const char *dns_servers);
/* Stops asking; the upstreams themselves live as long as somebody has a reference. */
void upstreams_free(struct upstreams *us);
/* The one of these settings: one that is on already, or a new one, that takes over what is known of its namesake's
 * endpoints. Returns a reference, or NULL with err set (DNS cannot be used). Nothing is started yet. */
struct upstream *upstreams_get(struct upstreams *us, const struct upstream_settings *settings, struct error *err);
/* From now on these and no others are resolved and asked. */
void upstreams_use(struct upstreams *us, struct upstream *const *items, size_t n);
/* Goes up whenever an endpoint is not needed any more. From any thread. */
unsigned upstreams_generation(const struct upstreams *us);
/* Those in use, for the API and the metrics. */
struct upstream *upstreams_first(struct upstreams *us);
struct upstream *upstreams_next(struct upstreams *us, struct upstream *u);

/* upstream_metrics.c: tells Prometheus of all that are in use. */
void upstreams_watch(struct upstreams *us);

struct upstream *upstream_ref(struct upstream *u);
void upstream_unref(struct upstream *u);
/* Replaces the endpoints; those whose address stays keep what is known of them. New ones start slowly unless they are
 * the first. */
void upstream_set_endpoints(struct upstream *u, const struct upstream_address *addresses, size_t n);
void upstream_count(struct upstream *u, enum upstream_counter c);

/* ---- A request ---- */

enum upstream_verdict {
	UPSTREAM_OK,
	UPSTREAM_FULL,  /* too many wait or are under way */
	UPSTREAM_EMPTY, /* no endpoint is known */
};

/* One request's hold on an upstream. All zero before upstream_begin. */
struct upstream_use {
	struct upstream *upstream;
	struct endpoint *endpoint;                 /* referenced; NULL: none */
	struct endpoint *tried[BALANCE_MAX_TRIED]; /* referenced */
	unsigned n_tried;
	bool is_pending; /* not written to a connection yet */
};

enum upstream_outcome {
	OUTCOME_GOOD,       /* an answer below 500, or one that says nothing about the server */
	OUTCOME_FAILURE,    /* a 5xx, or it broke off, or it did not come in time */
	OUTCOME_NO_CONNECT, /* never sent: no connection was to be had */
	OUTCOME_NONE,       /* the client left: nothing is known */
};

/* Chooses an endpoint. */
enum upstream_verdict upstream_begin(struct upstream *u, struct upstream_use *use);
/* The request went out on a connection. */
void upstream_sent(struct upstream_use *use);
/* The attempt on the endpoint has failed: chooses another one, if the budget has it. False: there is none, the outcome
 * was counted, and upstream_end(use, OUTCOME_NONE) is still to come. */
bool upstream_retry(struct upstream_use *use, enum upstream_outcome outcome);
/* Once for each upstream_begin that was UPSTREAM_OK. */
void upstream_end(struct upstream_use *use, enum upstream_outcome outcome);
