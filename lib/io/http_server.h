/* HTTP/1.1 server on libuv and llhttp, strict: duplicated or conflicting framing, missing or double Host, obs-fold,
 * bare CR or LF, bad chunks, other versions than 1.0 and 1.1, chunked on 1.0 and what exceeds the limits are answered
 * with the right 4xx and the connection closed. Pipelined requests are answered in order, one at a time.
 *
 * A request lives from on_request to on_close. Its arena holds the head and whatever the handler hangs on it.
 * The handler answers with http_reply, or http_reply_head + http_reply_write… + http_reply_end, then or later.
 * The body comes by on_body (or http_read_body collects it); a handler that sets neither has it read and dropped.
 * on_close comes exactly once, last, never from inside a call of the handler: err 0 = answered whole, otherwise the
 * client left or broke the protocol. After on_close the request is gone. Replying to a request whose client has left is
 * harmless. */
#pragma once

#include "io/http.h"
#include "io/stream.h"

struct http_server;
struct http_conn;

struct http_request {
	struct arena *arena;
	struct http_conn *conn;
	enum http_method method;
	struct str target; /* as sent, origin-form */
	struct str path;   /* decoded, dot segments refused; NUL-terminated */
	struct str query;  /* behind the '?', not decoded */
	struct http_headers headers;
	int64_t content_length; /* -1 = chunked, 0 = no body */
	/* What came behind a chunked body, as it came; NULL = nothing. Complete when on_body_end comes. */
	struct http_headers *trailers;
	bool is_http_1_0;
	const struct in6_addr *peer; /* address of the connection's other end; NULL: a Unix socket */
	uint64_t started_us;         /* monotonic */

	/* Set by the handler in on_request. */
	void *owner;
	void (*on_body)(struct http_request *r, const char *data, size_t n);
	void (*on_body_end)(struct http_request *r);
	void (*on_drain)(struct http_request *r);
	void (*on_close)(struct http_request *r, int err);

	/* For the log; filled by the server. */
	int status;
	uint64_t bytes_in, bytes_out;
};

typedef void http_on_request(void *arg, struct http_request *r);

/* limits may be NULL for the defaults. Strings in `address` as for listener_open. Returns 0 or -errno. */
int http_server_open(uv_loop_t *loop, struct wheel *wheel, const char *address, const struct http_limits *limits,
		     http_on_request *cb, void *arg, struct http_server **ret);
/* One of several on one address, see listener_open_shared. */
int http_server_open_shared(uv_loop_t *loop, struct wheel *wheel, const char *address, bool is_first,
			    const struct http_limits *limits, http_on_request *cb, void *arg, struct http_server **ret);
const char *http_server_address(const struct http_server *s);
/* From any thread. */
unsigned http_server_connections(const struct http_server *s);
/* From now on every answer ends its connection; new ones are still taken. For the time before draining. */
void http_server_leave(struct http_server *s);
/* Stops accepting, closes idle connections, lets the others finish their request (Connection: close); on_drained comes
 * when the last is gone or after max_ms, when what is left is cut. */
void http_server_drain(struct http_server *s, uint64_t max_ms, void (*on_drained)(void *arg), void *arg);
/* After on_drained, or at any time except from a handler: cuts everything; each open request's on_close comes before
 * this returns. */
void http_server_free(struct http_server *s);

/* The body limit of this request (from the route), before reading starts. An announced or actual body above it is
 * answered 413 by the server. */
void http_set_max_body(struct http_request *r, uint64_t max);
/* Collects the whole body, then calls cb once with it (err 0; NUL-terminated, valid until on_close) or -errno when the
 * client left. To be called in on_request, or later when the body was paused there. */
void http_read_body(struct http_request *r, void (*cb)(struct http_request *r, int err, struct str body));
/* Back-pressure on the request's body. */
void http_body_pause(struct http_request *r);
void http_body_resume(struct http_request *r);

/* Starts the answer. length: bytes of the body, or -1 when unknown (chunked; closed by end on HTTP/1.0). Extra headers
 * may be NULL. Date, Connection and framing are the server's. 1xx, 204 and 304 have no body. */
void http_reply_head(struct http_request *r, int status, const struct http_headers *extra, int64_t length);
/* Returns false above the high-water mark: wait for on_drain. For HEAD the bytes are dropped. */
bool http_reply_write(struct http_request *r, const void *data, size_t n);
void http_reply_end(struct http_request *r);
/* The same with fields behind the body (RFC 9112 section 7.1.2); NULL = none. An answer that is not chunked ends
 * without them. */
void http_reply_end_with(struct http_request *r, const struct http_headers *trailers);
/* An interim answer (RFC 9110 section 15.2) before the answer: 102 to 199. Fields of framing are left out. Nothing
 * happens behind the head of the answer, and for HTTP/1.0, which has none. */
void http_reply_interim(struct http_request *r, int status, const struct http_headers *headers);
/* All at once. type may be NULL without a body. */
void http_reply(struct http_request *r, int status, const char *type, const struct http_headers *extra,
		const void *body, size_t n);
/* An empty buffer for a body that http_reply takes at once: the server's, used again for the next one. */
struct buf *http_scratch(struct http_request *r);
bool http_reply_has_started(const struct http_request *r);
/* Breaks off an answer that cannot be finished, so that the client sees that it is incomplete. */
void http_reply_abort(struct http_request *r);
/* What this answer has so far may wait for its next piece, for so long at most (and a tick of the wheel). */
void http_reply_hold(struct http_request *r, uint64_t ms);
/* This answer has no end of its own (SSE): a client that finishes sending has left. Other answers still go out whole to
 * a client that only closed its sending side. */
void http_set_streaming(struct http_request *r);

/* Takes the connection over after an Upgrade: writes the head (status 101, extra headers as given; Connection and the
 * request's Upgrade are added where they are missing) and hands the paused stream to the caller, who sets himself as
 * its owner at once. Bytes the client already sent behind its head come in *early, valid until on_close, which follows
 * with err 0. NULL when the client has left. Only for a request without a body. */
struct stream *http_upgrade(struct http_request *r, const struct http_headers *extra, struct str *early);
