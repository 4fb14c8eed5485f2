/* HTTP/1.1 client for the platform's own services: pooled keep-alive connections to one address (TCP or Unix socket),
 * streaming both ways with back-pressure, strict about what comes back (broken framing ends in -EBADMSG and the
 * connection is not reused). A request on a reused connection that dies before a byte of the answer came is repeated
 * once on a new connection when its method is safe or idempotent and nothing of a streamed body was sent; the pool
 * checks a connection before reuse.
 *
 * The caller embeds struct http_call and fills its first part. on_done comes exactly once, last, never before
 * http_call_start has returned: 0, -ECANCELED, -ECONNREFUSED, -ETIMEDOUT, -ECONNRESET, -EBADMSG, -EMSGSIZE… */
#pragma once

#include "base/buf.h"
#include "io/http.h"
#include "io/stream.h"

struct http_pool;
struct http_client_conn;

struct http_pool_limits {
	unsigned max_connections; /* default 512; more calls wait their turn */
	unsigned max_idle;        /* default 64 */
	uint64_t idle_ms;         /* default 55 s, less than the server's */
	uint64_t connect_ms;      /* default 5 s; a call may say otherwise */
	uint64_t max_age_ms;      /* a connection older than this takes no more calls; 0 = none */
};

struct http_pool *http_pool_new(uv_loop_t *loop, struct wheel *wheel, const char *address,
				const struct http_pool_limits *limits);
/* Cancels what is under way (each on_done comes) and closes; freed when all is quiet. */
void http_pool_free(struct http_pool *p);
const char *http_pool_address(const struct http_pool *p);
struct http_pool_stats {
	unsigned open, idle, waiting; /* connections, those of them without a call, calls in want of one */
};
/* From any thread. */
void http_pool_stats(const struct http_pool *p, struct http_pool_stats *ret);

struct http_call {
	/* Filled by the caller; the memory must live until on_done. */
	const char *method;
	struct str target;
	/* Without framing, Connection and Host (Host is added unless given). TE is named in Connection. */
	const struct http_headers *headers;
	int64_t body_length; /* 0 = none, -1 = chunked */
	struct str body;     /* whole body if p is set; otherwise http_call_write and http_call_end */
	uint64_t head_ms;    /* from the start, or the last write, to the head of the answer;
				0 = 30 s, UINT64_MAX = none */
	uint64_t idle_ms;    /* between bytes of its body; 0 = 60 s, UINT64_MAX = none */
	uint64_t connect_ms; /* 0 = the pool's */
	void *owner;
	/* The request's head went out on a connection; also from inside http_call_start. May be NULL. */
	void (*on_sent)(struct http_call *c);
	/* No connection was to be had, or it ended before a byte of the answer came; nothing of a streamed body was
	 * sent. Returns the pool in which to try once more (the body that was written meanwhile goes along), or NULL:
	 * then on_done follows. May be NULL. */
	struct http_pool *(*on_failed)(struct http_call *c, int err);
	/* An interim answer (1xx but 101); the fields are valid during the call. May be NULL. head_ms begins anew. */
	void (*on_interim)(struct http_call *c, int status, const struct http_headers *headers);
	void (*on_head)(struct http_call *c, int status, const struct http_headers *headers); /* valid until on_done */
	void (*on_body)(struct http_call *c, const char *data, size_t n);                     /* may be NULL */
	void (*on_drain)(struct http_call *c);
	/* With this callback "Connection: Upgrade" is sent (the Upgrade field is the caller's). The peer answered 101:
	 * on_head comes first, then the stream is the caller's from here on (stream_set_owner at once); on_done(0)
	 * follows. Without this callback a 101 is an error. */
	void (*on_upgrade)(struct http_call *c, struct stream *s, struct str early);
	void (*on_done)(struct http_call *c, int err);

	/* The client's. */
	struct http_pool *pool;
	struct http_client_conn *conn;
	struct list link;         /* in the pool's queue while it waits for a connection, or for its on_done */
	struct deadline deadline; /* head_ms, then idle_ms */
	struct buf pending;       /* body written before there is a connection, framed */
	uint64_t body_left;       /* still to be written of body_length */
	uint64_t received;        /* bytes of the answer's body */
	/* What came behind the answer's chunked body, NULL = nothing; for on_done with err 0, valid during it. */
	const struct http_headers *trailers;
	int status;
	unsigned flags;
	int err;
};

void http_call_start(struct http_pool *p, struct http_call *c);
/* The streamed body. Returns false above the high-water mark: wait for on_drain. Exactly body_length bytes before
 * http_call_end, otherwise the call ends with -EPROTO. */
bool http_call_write(struct http_call *c, const void *data, size_t n);
void http_call_end(struct http_call *c);
/* The same with fields behind a chunked body; NULL = none. */
void http_call_end_with(struct http_call *c, const struct http_headers *trailers);
/* Whether anything of it went out on a connection in this attempt. */
bool http_call_was_sent(const struct http_call *c);
/* Back-pressure on the answer's body: nothing more is read; what was read already (at most one read) still comes. */
void http_call_pause(struct http_call *c);
void http_call_resume(struct http_call *c);
/* Closes the connection at once; on_done(-ECANCELED) follows. */
void http_call_cancel(struct http_call *c);

/* The simple form: one whole answer of at most max bytes, begun within head_ms (as in http_call: 0 = 30 s). cb comes
 * once; `body` is valid during it (NUL-terminated). The returned handle can cancel until then. headers may be NULL;
 * type and body may be NULL. */
struct http_fetch;
typedef void http_fetch_done(void *arg, int err, int status, struct str body);
struct http_fetch *http_fetch(struct http_pool *p, const char *method, const char *target,
			      const struct http_headers *headers, const char *type, struct str body, size_t max,
			      uint64_t head_ms, http_fetch_done *cb, void *arg);
void http_fetch_cancel(struct http_fetch *f);
