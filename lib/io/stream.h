/* A byte stream over TCP or a Unix socket: the one connection object below HTTP, WebSocket and tunnels.
 *
 * Writes of one loop turn go out in one system call. stream_write copies what the kernel does not take at once; above
 * the high-water mark it says so, and on_drain comes once the queue is below the low mark. Callbacks never come from
 * inside stream_write or stream_new. The owner calls stream_close once; on_close is the last callback, and the stream
 * is freed after it. An error or end of file from the peer comes as on_end; the owner then closes. */
#pragma once

#include <netinet/in.h>
#include <uv.h>

#include "base/str.h"
#include "io/wheel.h"

#define STREAM_HIGH_WATER (256 * 1024)
#define STREAM_LOW_WATER (64 * 1024)

struct stream;

struct stream_events {
	/* Bytes that came; valid during the call only. */
	void (*on_data)(void *owner, const char *data, size_t n);
	/* 0 = the peer finished sending, otherwise -errno. Comes at most once. */
	void (*on_end)(void *owner, int err);
	void (*on_drain)(void *owner);
	void (*on_close)(void *owner);
};

/* A connected stream socket, such as one end of a socketpair; the stream owns it. NULL when it is none. */
struct stream *stream_from_fd(uv_loop_t *loop, struct wheel *wheel, int fd);
/* Hands the stream to another owner (an upgrade from HTTP to WebSocket). Queued writes stay. */
void stream_set_owner(struct stream *s, const struct stream_events *events, void *owner);
/* Reading starts paused. */
void stream_resume(struct stream *s);
void stream_pause(struct stream *s);
/* Returns false above the high-water mark: stop and wait for on_drain. Never fails: a dead peer shows as on_end. */
bool stream_write(struct stream *s, const void *data, size_t n);
/* The same for memory shared by many streams (a broadcast frame): kept until written, then release(arg). */
bool stream_write_shared(struct stream *s, const void *data, size_t n, void (*release)(void *arg), void *arg);
/* Several pieces as one write. */
bool stream_writev(struct stream *s, const struct str *parts, unsigned n);
/* What is queued may wait for the next write, for so long at most (and a tick of the wheel): the two then are one
 * system call, and one turn of the peer. */
void stream_hold(struct stream *s, uint64_t ms);
/* Another high-water mark than STREAM_HIGH_WATER; the low one is a quarter of it. */
void stream_set_high_water(struct stream *s, size_t bytes);
size_t stream_queued(const struct stream *s);
/* Whether the kernel holds neither bytes nor an end of file for us: the last look before a pooled connection is used
 * again, for what the loop has not seen yet. */
bool stream_is_quiet(const struct stream *s);
/* Sends what is queued, then ends our side. */
void stream_shutdown(struct stream *s);
/* Drops what is queued (flush = false) or writes it out first, for at most 5 s, and then waits up to 2 s for the peer
 * to close too, so that unread bytes of his do not make the kernel take back our last words. Closing once more with
 * flush = false cuts the wait short. */
void stream_close(struct stream *s, bool flush);
/* Closes at once and lets the peer see that it was no regular end (TCP: a reset). */
void stream_abort(struct stream *s);
/* After on_end(0): whether the peer has gone altogether, and not only finished sending. Certain for Unix sockets; over
 * TCP it shows only when the peer answered with a reset. */
bool stream_peer_is_gone(struct stream *s);
/* The peer's address (an IPv4 one as ::ffff:a.b.c.d), all zero if the peer left before it could be told; NULL for a
 * Unix socket. Belongs to the stream. */
const struct in6_addr *stream_peer(const struct stream *s);
/* What stream_peer says from now on: whom a proxy speaks for. */
void stream_set_peer(struct stream *s, const struct in6_addr *peer);

/* Listening. address: "127.0.0.1:8420", "[::1]:0", "unix:/path" (made 0600; a stale socket file is replaced). */
struct listener;
typedef void listener_on_connection(void *arg, struct stream *s);
/* Returns 0 or -errno. */
int listener_open(uv_loop_t *loop, struct wheel *wheel, const char *address, int backlog, listener_on_connection *cb,
		  void *arg, struct listener **ret);
/* The same for one of several listeners of this process on one TCP address, among which the kernel shares out the
 * connections (SO_REUSEPORT). is_first: the address must be free; the others give the first one's real address. */
int listener_open_shared(uv_loop_t *loop, struct wheel *wheel, const char *address, int backlog, bool is_first,
			 listener_on_connection *cb, void *arg, struct listener **ret);
/* The real address, port filled in; the form of `address`. */
const char *listener_address(const struct listener *l);
/* Takes what has been connected already, then accepts no more. */
void listener_close(struct listener *l);

/* Connecting. on_connect comes once, later: err 0 and a stream, or -errno and NULL (-ECANCELED after cancel). A host
 * name is resolved off the loop. */
struct connecting;
typedef void stream_on_connect(void *arg, int err, struct stream *s);
struct connecting *stream_connect(uv_loop_t *loop, struct wheel *wheel, const char *address, uint64_t timeout_ms,
				  stream_on_connect *cb, void *arg);
void connecting_cancel(struct connecting *c);
