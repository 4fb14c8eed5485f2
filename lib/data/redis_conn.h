/* One connection to Redis that comes back by itself: what the commands' and the channels' have in common. For
 * lib/data/redis*.c alone. */
#pragma once

#include "base/buf.h"
#include "data/redis_api.h"
#include "data/redis_url.h"
#include "io/stream.h"

enum redis_conn_state {
	REDIS_STOPPED,
	REDIS_WAITING,    /* until the next try */
	REDIS_CONNECTING, /* for the socket */
	REDIS_GREETING,   /* for the answers to AUTH and SELECT */
	REDIS_UP
};

struct redis_conn {
	/* The owner's, set before redis_conn_start. */
	uv_loop_t *loop;
	struct wheel *wheel;
	const struct redis_url *url;
	void (*on_up)(struct redis_conn *c);
	void (*on_down)(struct redis_conn *c, const char *why);    /* also when a try failed */
	bool (*on_reply)(struct redis_conn *c, redisReply *reply); /* false: out of step, begin anew */
	void (*on_quiet)(struct redis_conn *c);                    /* send a PING */
	void (*on_stopped)(struct redis_conn *c);                  /* the memory may go */

	/* Its own. */
	const struct redis_api *api;
	enum redis_conn_state state;
	struct connecting *connecting;
	struct stream *stream;
	redisReader *reader;
	size_t fed;               /* bytes of an answer that is not whole */
	unsigned greetings;       /* answers to come before it is up */
	struct deadline timer;    /* the next try, or the next look at whether the server is alive */
	uint64_t wait_ms;         /* the next back-off */
	bool has_heard, is_asked; /* since the last look: bytes came; a PING went out */
	const char *why;          /* the reason of the end that is put off to the end of on_data */
	char reason[160];         /* memory of `why` where it holds the server's words */
};

void redis_conn_start(struct redis_conn *c);
/* on_stopped comes now or later. */
void redis_conn_stop(struct redis_conn *c);
/* Ends the connection and tries again later; on_down comes. Not from inside on_reply. */
void redis_conn_drop(struct redis_conn *c, const char *why);
/* Writes one command; only while it is up, or by the greeting. */
void redis_conn_write(struct redis_conn *c, const struct str *argv, size_t n);
/* Appends one command in the form of the protocol (RESP). */
void redis_write_head(struct buf *out, size_t n);
void redis_write_part(struct buf *out, struct str part);
