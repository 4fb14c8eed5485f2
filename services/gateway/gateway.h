/* The gateway: one entry in front of all roles. A request passes front.c (whose is it, may it pass), then either
 * proxy.c takes it to a role, or web.c and ready.c answer it here. */
#pragma once

#include "limit.h"
#include "service/keyring.h"
#include "service/service.h"
#include "table.h"
#include "visitor.h"

struct gateway {
	struct service *service;
	struct http_server *listener; /* the public one */
	struct limiter *limiter;      /* NULL: no limit */
	struct networks proxies;      /* option trusted_proxies */
	char *rate_policy;            /* value of RateLimit-Policy */
	struct list tunnels;          /* struct tunnel, link */
	struct list idle;             /* struct visit, link: for the next request */
	unsigned n_idle;
	struct metric *requests[ROLE_COUNT + 1];   /* seconds by role; the last: answered here */
	struct metric *answers[ROLE_COUNT + 1][6]; /* the same by the status's first digit; 0 = the client left */
	struct metric *limited;
};

/* One request from outside, from its head until both sides are through with it. Kept and used again. */
struct visit {
	struct list link; /* in gateway.idle while unused */
	struct gateway *gateway;
	struct arena *arena;            /* emptied for the next request */
	struct http_request *r;         /* NULL once the client has left or was answered */
	const struct public_path *path; /* NULL: answered here */
	bool is_health;                 /* answered here and asked all the time */
	const char *request_id, *traceparent;
	struct trace trace;
	struct client client;
	struct str token;
	struct identity who;
	struct key_wait key_wait; /* while auth's keys are fetched */
	char rate[48];            /* value of RateLimit; "" = none */

	/* proxy.c */
	struct http_call call;
	struct http_headers upstream, answer;
	bool calling;      /* the upstream call's on_done is still to come */
	bool has_answered; /* the answer's head went to the client */
	bool body_done;    /* the request's body was passed on whole */
	/* ready.c */
	struct readiness *readiness;
};

/* gateway.c: everything up to the listeners. g lives until service_run has returned. */
void gateway_init(struct gateway *g, const struct options *options);
/* front.c: http_on_request of the public listener. */
void front_on_request(void *gateway, struct http_request *r);
/* Frees the visit when nobody needs it any more. */
void visit_release(struct visit *v);
void visits_free(struct gateway *g);
/* The headers of every answer of ours, in v->answer. */
struct http_headers *visit_headers(struct visit *v);
void visit_problem(struct visit *v, int status, const char *code, const char *detail);

/* scrape.c: http_on_request of the listener for metrics. */
void scrape_on_request(void *gateway, struct http_request *r);
/* proxy.c */
void proxy_start(struct visit *v);
/* The client has left. */
void proxy_cancel(struct visit *v);
/* tunnel.c: joins the two streams until one ends. */
void tunnel_start(struct gateway *g, struct stream *client, struct str early_client, struct stream *upstream,
		  struct str early_upstream);
void tunnels_close(struct gateway *g);
/* ready.c */
void ready_start(struct visit *v);
void ready_cancel(struct visit *v);
/* web.c: answers with a file of the web app, or 404. */
void web_reply(struct visit *v);
/* openapi.json */
void openapi_reply(struct visit *v);
