/* A Redis client on one loop: commands in a pipeline over one connection, and channels over another, which opens with
 * the first subscription. Both come back by themselves when the server was away, with a jittered back-off. Everything
 * is on the loop's thread; a thread that wants Redis has an instance of its own. Loaded from hiredis (redis_api.h).
 *
 * Nothing waits for a server that is away: a command then fails at once, and on_state tells when it is back. */
#pragma once

#include <uthash.h>
#include <uv.h>

#include "base/error.h"
#include "base/list.h"
#include "base/str.h"
#include "io/wheel.h"

#define REDIS_WAITING_MAX 16384            /* commands without an answer */
#define REDIS_QUEUED_MAX (8 * 1024 * 1024) /* bytes that the server has not taken yet */

struct redis;
struct redis_pending;

/* url: see redis_url.h. on_state (may be NULL) comes when commands can be sent, and when they cannot any more; `why`
 * then says the reason in words, without secrets. It first comes after redis_new has returned. Returns 0 or -errno with
 * err set: -EINVAL for the address, -ENOENT when the library is not installed. */
int redis_new(uv_loop_t *loop, struct wheel *wheel, const char *url,
	      void (*on_state)(void *arg, bool is_up, const char *why), void *arg, struct redis **ret,
	      struct error *err);
/* No callback comes any more, of commands and subscriptions neither. Not from inside one of them. The wheel must live
 * until the loop has run out. */
void redis_free(struct redis *r);
bool redis_is_up(const struct redis *r);

/* ---- Answers ---- */

/* An answer or a part of one, valid during the callback. Everything accepts NULL and the wrong type. */
struct redis_value;
enum redis_type { REDIS_IS_NIL, REDIS_IS_INTEGER, REDIS_IS_TEXT, REDIS_IS_LIST, REDIS_IS_ERROR };

enum redis_type redis_type(const struct redis_value *v);
/* Of a text, a status or an error; otherwise {NULL, 0}. */
struct str redis_text(const struct redis_value *v);
/* Of an integer, or a text that is one. */
bool redis_integer(const struct redis_value *v, int64_t *ret);
size_t redis_count(const struct redis_value *v);
const struct redis_value *redis_at(const struct redis_value *v, size_t i); /* NULL: there is none */

/* ---- Commands ---- */

/* Belongs to the caller; alive until on_done or redis_cancel. */
struct redis_command {
	/* Exactly once, later. err: 0, -EREMOTEIO (the server says no: redis_text(v) says why), -ETIMEDOUT,
	 * -ECONNRESET (the connection is gone; it may have been done or not). */
	void (*on_done)(struct redis_command *c, int err, const struct redis_value *v);

	/* Its own. */
	struct deadline deadline;
	struct redis_pending *pending;
};

/* Sends a command; its parts may hold any bytes. c may be NULL: nobody wants the answer. timeout_ms 0 = none. Returns
 * 0, or without a callback -ENOTCONN (the server is away) or -EAGAIN (too much waits already). */
int redis_send(struct redis *r, struct redis_command *c, const struct str *argv, size_t n, uint64_t timeout_ms);

/* A Lua script. */
struct redis_script {
	const char *text; /* lives as long as the script */
	char sha1[41];    /* its name */
};
void redis_script_init(struct redis_script *s, const char *text);
/* EVALSHA, with EVAL when the server does not have the script yet. argv: the keys, then the arguments. */
int redis_eval(struct redis *r, struct redis_command *c, const struct redis_script *script, const struct str *argv,
	       size_t n_keys, size_t n, uint64_t timeout_ms);
/* on_done does not come any more; the command may still be done. Harmless at any time after redis_send. */
void redis_cancel(struct redis_command *c);

/* ---- Channels ---- */

/* Belongs to the caller; alive until redis_unsubscribe or redis_free. One for a channel and instance. */
struct redis_subscription {
	void (*on_message)(struct redis_subscription *s, struct str message);
	/* is_on: from now on every message comes. Otherwise messages may be missed, until it comes with true again:
	 * the connection is gone, or the server refuses the channel (`why`). */
	void (*on_state)(struct redis_subscription *s, bool is_on, const char *why);

	/* Its own. */
	struct redis *redis;
	struct str channel;
	bool is_sharded, is_on;
	struct redis_request *request; /* SUBSCRIBE that is not answered yet */
	UT_hash_handle hh;
};

/* Subscribes now and after each reconnect. is_sharded: SSUBSCRIBE (Redis 7), for what SPUBLISH sends. Messages are sent
 * as commands. Returns 0 or -EEXIST. */
int redis_subscribe(struct redis *r, struct redis_subscription *s, struct str channel, bool is_sharded);
/* Harmless for one that is zero or was ended. */
void redis_unsubscribe(struct redis_subscription *s);
