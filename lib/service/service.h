/* What every service is made of: options, loop, listener, routes behind one gate, keys, peers, health, metrics, drain.
 *
 * A role's main function is a checklist:
 *
 *	struct service *s = service_new("agent", options);      // loop, log, own key
 *	…open the store, register metrics…
 *	service_routes(s, routes, ARRAY_SIZE(routes), self);
 *	service_listen(s);                                        // option <role>_listen
 *	return service_run(s);                                    // until SIGTERM or SIGINT: drain, then 0
 */
#pragma once

#include <uv.h>

#include "base/json.h"
#include "base/log.h"
#include "base/options.h"
#include "data/db.h"
#include "io/http_client.h"
#include "io/http_server.h"
#include "service/metrics.h"
#include "service/otlp.h"
#include "service/token.h"

#define SERVICE_DRAIN_MS 10000 /* for what is under way when draining starts */

struct service;
struct exchange;
struct keyring;

/* ---- The process ---- */

struct service *service_new(const char *role, const struct options *options);
const char *service_role(const struct service *s);
const struct options *service_options(const struct service *s);
uv_loop_t *service_loop(struct service *s);
struct wheel *service_wheel(struct service *s);
const struct token_key *service_key(const struct service *s);
struct token_keys *service_keys(struct service *s);
/* Verdicts on tokens outside the gate (gateway, socket). */
struct keyring *service_keyring(struct service *s);
/* Where people find the platform, "https://host" without a last slash: option public_url, else http://<listen>; "" when
 * that is no address to call. */
const char *service_public_url(const struct service *s);
/* The data folder (option data). */
const char *service_data_dir(const struct service *s);
/* Opens the internal listener. /healthz (alive), /readyz (503 with reasons until every check passes) and /metrics are
 * there. */
void service_listen(struct service *s);
/* Another listener with its own handler of raw requests (the gateway's public one). */
struct http_server *service_listen_raw(struct service *s, const char *address, const struct http_limits *limits,
				       http_on_request *cb, void *arg);
/* A named reason for not being ready: fn returns NULL when fine, otherwise a short sentence. */
void service_ready_check(struct service *s, const char *name, const char *(*fn)(void *arg), void *arg);
/* Extra members for /healthz (the sandbox layers of exec). */
void service_health_info(struct service *s, void (*fn)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *obj), void *arg);
/* Runs when SIGTERM has come: the service is not ready any more, but takes connections for drain_delay yet. */
void service_on_leave(struct service *s, void (*fn)(void *arg), void *arg);
/* Runs in order when draining starts: stop taking work, save. */
void service_on_drain(struct service *s, void (*fn)(void *arg), void *arg);
/* In on_drain: draining ends only after as many releases (for a listener that is not the service's). */
void service_drain_hold(struct service *s);
void service_drain_release(struct service *s);
/* Runs when the last request is done, before the loop ends: close databases, lanes and timers. */
void service_on_stop(struct service *s, void (*fn)(void *arg), void *arg);
bool service_is_draining(const struct service *s);
/* Runs the loop until drained. Returns the exit status. Frees s. */
int service_run(struct service *s);

/* Metrics of a lane of jobs: its queue, its threads' use, the times of its jobs. `name` must live on. */
void service_watch_lane(struct service *s, const char *name, struct job_lane *lane);
/* The same for a database's lanes. */
void service_watch_db(struct service *s, const struct db *db);

/* Where spans are exported; NULL: nowhere. */
struct otlp *service_otlp(const struct service *s);

/* The pool to another role: option <role>_url. Made at first use, belongs to the service. */
struct http_pool *service_peer(struct service *s, const char *role);
/* Another one, for the loop of another thread; the caller's, who frees it there before the service ends. Made on the
 * service's thread. */
struct http_pool *service_peer_on(struct service *s, const char *role, uv_loop_t *loop, struct wheel *wheel);
/* Headers for an internal call: Authorization with an internal token for `user_id` ("" = none), X-Request-Id and
 * traceparent (both may be NULL). In arena `a`. */
struct http_headers *service_peer_headers(struct service *s, const char *callee, const char *user_id,
					  const char *request_id, const char *traceparent, struct arena *a);
/* The same with who acts for the user on this service's behalf, such as "agent:ID" (act, RFC 8693). */
struct http_headers *service_peer_headers_of(struct service *s, const char *callee, const char *user_id,
					     const char *actor, const char *request_id, const char *traceparent,
					     struct arena *a);

/* ---- Routes and the gate ---- */

typedef void route_handler(struct exchange *x);

enum route_flags {
	ROUTE_PUBLIC = 1,   /* no token needed; a valid one is still read into x->who */
	ROUTE_INTERNAL = 2, /* only with another service's token */
	ROUTE_BODY_JSON =
		4,        /* the gate reads the body: x->body is an object or the request was refused (415, 400, 413) */
	ROUTE_STREAM = 8, /* the handler deals with the body itself, in x->req */
	ROUTE_BODY_OPTIONAL = 16, /* with BODY_JSON: no body at all is fine, x->body is NULL */
};

struct route {
	enum http_method method;
	const char *pattern;    /* "/api/agents/{id}"; a last "{rest*}" takes the remaining path */
	const char *permission; /* needed permission, or NULL: any signed-in user */
	unsigned flags;
	size_t max_body; /* 0 = 1 MiB */
	route_handler *handler;
	/* Of a route with neither permission nor ROUTE_PUBLIC: what a token of an OAuth client needs instead; ""
	 * nothing; NULL: such a token is not good there. */
	const char *client_permission;
};

#define ROUTE_MAX_PARAMS 4

/* One request being handled: freed when it is answered (or the client left) and nobody holds it any more. */
struct exchange {
	struct service *service;
	void *self; /* the service's own state, from service_routes */
	const struct route *route;
	struct http_request *req;            /* NULL once the client has left; its owner is the exchange */
	struct arena *arena;                 /* lives as long as the exchange */
	struct identity who;                 /* user_id is NULL without a token */
	struct str params[ROUTE_MAX_PARAMS]; /* in order of the pattern; NUL-terminated */
	yyjson_val *body;
	struct str raw_body;
	const char *request_id;              /* from X-Request-Id when well formed, else new */
	struct trace trace;                  /* this request's own place, below the caller's */
	const char *traceparent;             /* of that place, for calls made on its behalf */
	void *data;                          /* the handler's */
	void (*on_gone)(struct exchange *x); /* the client left before the answer ended; may be NULL */
};

/* Adds routes (the table must live on). The gate: route lookup (404, 405 with Allow), token (401), permission (403),
 * body limits and JSON (413, 415, 400), then the handler; after it log line and metrics. */
void service_routes(struct service *s, const struct route *routes, size_t n, void *self);
/* All routes registered, for the tests' walk: GET /routes on the internal listener lists method, pattern, permission.
 */

void exchange_hold(struct exchange *x);
void exchange_drop(struct exchange *x);

/* ---- Answers ---- */

void reply_json(struct exchange *x, int status, yyjson_mut_doc *doc);
void reply_raw_json(struct exchange *x, int status, struct str json);
void reply_page(struct exchange *x, int status, struct str page);
void reply_empty(struct exchange *x, int status); /* 204 and the like */
/* A header for the answer to come. */
void reply_header(struct exchange *x, const char *name, const char *value);
/* One more of that name (Set-Cookie). */
void reply_header_add(struct exchange *x, const char *name, const char *value);
/* RFC 9457: application/problem+json {type, title, status, code, detail, request_id}. `detail` says what to do. */
void reply_problem(struct exchange *x, int status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same with more members: `members` is a JSON object's text, whose members are added. */
void reply_problem_with(struct exchange *x, int status, const char *code, struct str members, const char *fmt, ...)
	PRINTF_LIKE(5, 6);
void reply_error(struct exchange *x, int status, const struct error *err);
/* The answer for a db_job's failure: -EAGAIN/-EBUSY 503 with Retry-After, -ENOSPC 507, -ENOENT 404, -EEXIST 409, else
 * 500; logs. */
void reply_db_failure(struct exchange *x, int result);
/* The same problem document outside an exchange. */
void problem_reply(struct http_request *r, int status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same with a text for the detail as it is, and with what `headers` has: X-Request-Id, too, where there is one. */
void problem_reply_with(struct http_request *r, int status, const char *code, const char *request_id,
			struct http_headers *headers, const char *detail);

/* An SSE answer: head now, then events; returns false above the high-water mark. A comment goes out every 15 s by
 * itself. */
void reply_sse_start(struct exchange *x);
bool reply_sse(struct exchange *x, uint64_t id, const char *type, struct str data);
/* The same with whole lines of the stream as they are; the comments come all the same. */
bool reply_sse_text(struct exchange *x, struct str text);
/* The events so far may wait for the next one, for so long at most (and a tick of the wheel). */
void reply_sse_hold(struct exchange *x, uint64_t ms);
void reply_sse_end(struct exchange *x);

/* ---- Database jobs of a handler ---- */

/* The exchange is held until `done`. Embed struct exchange_job first in a struct of the arena. */
struct exchange_job {
	struct db_job db;
	struct exchange *x;
	int (*run)(struct db_conn *c, struct exchange_job *job);
	/* NULL: a failure is answered by reply_db_failure and done is skipped on failure when `done_ok` is set instead.
	 */
	void (*done)(struct exchange_job *job, int result);
	void (*done_ok)(struct exchange_job *job);
};
void exchange_read(struct db *db, struct exchange_job *job);
void exchange_write(struct db *db, struct exchange_job *job);

/* ---- Paging ---- */

/* ?limit= (1…200, default 50) and ?after= (opaque cursor). Answers {items:[…], next: "cursor"|null}. */
struct page {
	int64_t limit;
	const char *after; /* the decoded cursor, or NULL */
};
/* Returns false after answering 400. */
bool page_read(struct exchange *x, struct page *ret);
/* The cursor for the last item's sort key, in the arena. */
const char *page_cursor(struct arena *a, const char *key);

/* ---- Idempotency-Key on creating POSTs ---- */

/* The table's migration: add it to the service's list. */
#define IDEMPOTENCY_SCHEMA                                                                                           \
	"create table idempotency_keys (user_id varchar(64) not null, idem_key varchar(255) not null, request_hash " \
	"char(64) not null, "                                                                                        \
	"status integer not null, response text not null, created_at bigint not null, primary key (user_id, "        \
	"idem_key))"

enum idempotency { IDEM_NONE, IDEM_NEW, IDEM_REPLAY, IDEM_MISMATCH };
/* Inside a write job. IDEM_NONE: the request has no key. IDEM_REPLAY: answer *ret_status with *ret_response, do nothing
 * else. IDEM_MISMATCH: the key was used for another request: answer 422 "idempotency_key_reused". <0: -errno. */
int idempotency_begin(struct db_conn *c, struct exchange *x, int *ret_status, struct str *ret_response);
/* Stores the answer in the same transaction. Returns 0 or -errno. */
int idempotency_store(struct db_conn *c, struct exchange *x, int status, struct str response);
