/* What the files of lib/service share; for nobody else. */
#pragma once

#include "service/keyring.h"
#include "service/revocation.h"
#include "service/route.h"
#include "service/service.h"

#define SERVICE_ARENAS 64 /* kept for the next exchange */

#define ROUTE_QUIET (1u << 16) /* a route's flag: no log line unless it fails */

enum service_state { SERVICE_STARTING, SERVICE_RUNNING, SERVICE_DRAINING, SERVICE_STOPPED };

/* A callback that was registered, and its argument. */
struct hook {
	struct list link;
	const char *name;
	union {
		void (*run)(void *arg);
		const char *(*check)(void *arg);
		void (*info)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *obj);
		void (*revoked)(void *arg, const struct revocation *what);
	};
	void *arg;
};

struct service {
	const char *role;
	const struct options *options;
	enum service_state state;
	int64_t started_us;

	uv_loop_t loop;
	uv_signal_t term, interrupt;
	struct wheel *wheel;
	struct notify *manager; /* who started us and waits for word; NULL = nobody does */

	struct token_key key;
	struct keyring *keyring;
	char *public_url;
	struct revocations *revocations; /* NULL: people's tokens are not checked here */
	struct revocation_feed *feed;
	struct list on_revoked; /* struct hook, link */
	struct router *router;
	struct otlp *otlp;           /* NULL: spans are not exported */
	struct list listeners;       /* struct service_listener, link */
	unsigned n_draining;         /* listeners and holds that have not reported yet */
	struct deadline drain_start; /* while drain_delay runs */
	struct deadline settled;     /* what only the start needed is given back */
	struct list lanes;           /* struct watched_lane, link */
	struct list peers;           /* struct peer, link */
	struct list assertions;      /* struct assertion, link: tokens for peers that can still be used */

	struct list ready_checks, health_infos, on_leave, on_drain, on_stop; /* struct hook, link */
	struct list sse; /* struct exchange_full, sse_link: answers that last */

	struct arena *arenas[SERVICE_ARENAS];
	size_t n_arenas;
	struct metric *answers[ANSWER_CLASSES]; /* of requests without a route */
};

/* An exchange with what only this folder knows. Lives in its own arena. */
struct exchange_full {
	struct exchange x; /* first: the request's owner is the exchange */
	unsigned refs;     /* the request's, until on_close, and one for each exchange_hold */
	struct route_match match;
	struct http_headers headers; /* for the answer to come */
	struct str token;
	struct key_wait key_wait; /* while auth's keys are fetched */
	bool is_user_gone;        /* a service acts for a user who is disabled or removed */
	const char *idempotency_key;
	char request_hash[65];
	struct list sse_link; /* in service.sse from reply_sse_start until the end */
	struct deadline sse_deadline;
	bool sse_written, sse_cut;
};

static inline struct exchange_full *exchange_full(struct exchange *x)
{
	return container_of(x, struct exchange_full, x);
}

/* gate.c: http_on_request of the internal listener; arg is the service. */
void gate_on_request(void *arg, struct http_request *r);
/* service.c: counters of the answers to one route; "" for none. */
void service_count_answers(struct metric *ret[ANSWER_CLASSES], const char *method, const char *route);
/* health.c */
void service_add_health(struct service *s);
/* reply.c: takes the exchange out of service.sse; harmless at any time. */
void sse_stop(struct exchange_full *f);
/* Ends every lasting answer, so that the clients come back to another instance. */
void sse_cut_all(struct service *s);
/* Ends the lasting answers of those whose token is revoked or has other rights now: they may come again. */
void sse_cut_revoked(struct service *s);
/* revocation_feed.c */
struct revocation_feed *revocation_feed_new(struct service *s, struct revocations *set);
/* To auth, which asks itself. */
struct http_pool *revocation_feed_pool(struct revocation_feed *f);
/* When the service listens. */
void revocation_feed_start(struct revocation_feed *f);
void revocation_feed_stop(struct revocation_feed *f);
void revocation_feed_free(struct revocation_feed *f);
/* peer.c: the address by which a role listens ("listen") or is found ("url"). Free it. */
char *service_address(const struct service *s, const char *role, const char *which);
void peers_free(struct service *s);
/* lane_metrics.c */
void lanes_free(struct service *s);
/* reply.c: answers a text once; nothing happens when the client has left or was answered. */
void reply_text(struct exchange *x, int status, const char *type, struct str text);
/* problem.c: appends the document. */
void problem_write(struct buf *out, int status, const char *code, const char *request_id, const char *detail);
