/* The gateway: one entry in front of all roles. A request passes front.c (whose is it, may it pass), then either
 * proxy.c takes it to a role, or web.c and ready.c answer it here.
 *
 * The public listener is served by workers (option gateway_threads), each with a loop, connections to the roles and
 * verdicts on tokens of its own; the kernel shares out the connections. One worker runs in the service's loop, several
 * run on threads. What stands in struct gateway is for all: it is made before they start and does not change, or says
 * who may change it. The service's loop keeps the rest: internal listener, metrics, scraping, signals. */
#pragma once

#include "io/loop_thread.h"
#include "limit_share.h"
#include "pools.h"
#include "routes.h"
#include "service/keyring.h"
#include "service/service.h"
#include "visitor.h"

#define GATEWAY_THREADS_MAX 64

struct gateway;

/* Everything here belongs to the worker's thread. */
struct gateway_worker {
	struct gateway *gateway;
	struct loop_thread *thread; /* NULL: in the service's loop */
	uv_loop_t *loop;
	struct wheel *wheel;
	struct mailbox *mailbox;
	struct http_server *listener; /* this worker's part of the public one */
	struct keyring *keyring;
	struct http_pool *pools[ROLE_COUNT]; /* for what the gateway itself asks the roles */
	struct pools *upstreams;             /* for what it passes on */
	struct routes *routes;               /* those of now; taken anew when reload.c says so */
	unsigned routes_version;
	struct limit_share *share; /* NULL: no Redis */
	struct list tunnels;       /* struct tunnel, link */
	struct list streams;       /* struct visit, link: whose answer has no end of its own */
	struct list idle;          /* struct visit, link: for the next request */
	unsigned n_idle;
	bool is_leaving; /* the gateway is about to stop */
	bool is_drained; /* the listener is; the tunnels may still be closing */
	uv_prepare_t turn;
	struct deadline log_due;
	/* From the service's loop, and back. */
	struct mail leave, drain, drained;
};

struct gateway {
	struct service *service;
	struct gateway_worker workers[GATEWAY_THREADS_MAX];
	unsigned n_workers;
	struct mailbox *mailbox; /* of the service's loop */

	struct reloader *reloader;
	struct upstreams *upstreams;
	struct limit_rules limits;
	struct limit_table *limit_table; /* has locks of its own */
	struct networks proxies;         /* option trusted_proxies */
	bool by_forwarded;               /* they write Forwarded (option proxy_header) */
	/* Metrics are changed from any thread. */
	/* Seconds by role, by what is answered here, and by upstreams that are no roles. */
	struct metric *requests[ROLE_COUNT + 2];
	struct metric *answers[ROLE_COUNT + 2][6]; /* the same by the status's first digit; 0 = the client left */
	/* Seconds until a request went out, and from then to the head of its answer. */
	struct metric *waits[ROLE_COUNT + 2], *first_bytes[ROLE_COUNT + 2];
	struct metric *limited[LIMIT_RULES_MAX]; /* by limits.items */
};

/* What becomes of a request that is within its rate. */
enum admission { ADMIT, REFUSE_NOBODY, REFUSE_TOKEN, REFUSE_WITHOUT_KEYS };

/* One request from outside, from its head until both sides are through with it. Kept and used again. */
struct visit {
	struct list link; /* in worker.idle while unused, in worker.streams while its answer is one */
	struct gateway_worker *worker;
	struct gateway *gateway;          /* the worker's */
	struct arena *arena;              /* emptied for the next request */
	struct http_request *r;           /* NULL once the client has left or was answered */
	struct routes *routes;            /* referenced: those that were on when it came */
	const struct gateway_route *path; /* NULL: answered here */
	unsigned allowed;                 /* the methods that its path has, when it has no route for this one */
	bool is_preflight;                /* a browser's question in advance */
	bool is_health;                   /* answered here and asked all the time */
	const char *request_id, *traceparent;
	struct trace trace;
	struct client client;
	struct str token;
	struct identity who;
	struct key_wait key_wait; /* while auth's keys are fetched */
	enum admission admission; /* what the token's check came to, while the rate is looked at */
	struct limit_claim claims[LIMITS_MAX];
	size_t n_claims;
	struct limit_wait limit_wait; /* while Redis is asked */
	struct str rate, rate_policy; /* values of RateLimit and RateLimit-Policy; p == NULL: none */

	/* proxy.c */
	struct http_call call;
	struct http_headers upstream, answer;
	const struct http_headers *head; /* of the answer that came; valid until the call has ended */
	bool calling;                    /* the upstream call's on_done is still to come */
	bool has_answered;               /* the answer's head went to the client */
	bool body_done;                  /* the request's body was passed on whole */
	struct upstream_use use;
	const char *endpoint;      /* where the request went out last; NULL = nowhere */
	uint64_t sent_us, head_us; /* when, and when the answer's head came; monotonic, 0 = not yet */
	unsigned retries_left;
	bool is_moving;        /* to another endpoint, as soon as the call has ended */
	bool is_late;          /* total_ms are over */
	struct deadline total; /* total_ms */
	/* ready.c */
	struct readiness *readiness;
};

/* gateway.c: everything up to the listeners. g lives until service_run has returned. */
void gateway_init(struct gateway *g, const struct options *options);
/* worker.c: makes the workers, which listen at once but take connections only when they run. */
void workers_open(struct gateway *g, const char *address);
/* The address that they listen on. */
const char *workers_address(const struct gateway *g);
/* Starts the threads. */
void workers_start(struct gateway *g);
/* Whether every request that is under way has ended; called when one of the last things of a worker has. */
void worker_look_drained(struct gateway_worker *w);
/* reload.c: the routes of now, and how they change. Fatal when the file of routes is wrong. */
void reloader_start(struct gateway *g);
/* The routes of now; valid until the worker asks again. On a worker's thread. */
struct routes *reloader_routes(struct gateway_worker *w);
/* Behind the workers' end. */
void reloader_stop(struct gateway *g);
/* front.c: http_on_request of a worker's listener. */
void front_on_request(void *worker, struct http_request *r);
/* Frees the visit when nobody needs it any more. */
void visit_release(struct visit *v);
void visits_free(struct gateway_worker *w);
/* The headers of every answer of ours, in v->answer. */
struct http_headers *visit_headers(struct visit *v);
void visit_problem(struct visit *v, int status, const char *code, const char *detail);

/* Writes decimal digits and a NUL, and returns where that is. */
char *put_number(char *to, uint64_t n);

/* allowance.c: counts the request for its limits. False: it was answered with 429, or waits: limit_wait.done comes. */
bool allowance_take(struct visit *v);
void allowance_init(struct gateway *g, const struct options *options);
/* The worker's way to the Redis that gateways share, if there is one. */
void allowance_open(struct gateway_worker *w);
void allowance_deinit(struct gateway *g);
/* scrape.c: http_on_request of the listener for metrics. */
void scrape_on_request(void *gateway, struct http_request *r);
/* proxy.c */
void proxy_start(struct visit *v);
/* Whether the request asks for a WebSocket where one may be had. */
bool proxy_upgrades(const struct visit *v);
/* The client has left. */
void proxy_cancel(struct visit *v);
/* Ends the answers that have no end of their own, so that their clients come back to another gateway. */
void proxy_end_streams(struct gateway_worker *w);
/* tunnel.c: joins the two streams until one ends. */
void tunnel_start(struct gateway_worker *w, struct stream *client, struct str early_client, struct stream *upstream,
		  struct str early_upstream);
/* Tells the clients that the gateway goes away, and closes in order. */
void tunnels_close(struct gateway_worker *w);
/* At once. */
void tunnels_cut(struct gateway_worker *w);
/* ready.c */
void ready_start(struct visit *v);
void ready_cancel(struct visit *v);
/* web.c: answers with a file of the web app, or 404. */
void web_reply(struct visit *v);
/* openapi.json */
void openapi_reply(struct visit *v);
