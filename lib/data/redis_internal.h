/* What redis.c and redis_channels.c share. */
#pragma once

#include "base/buf.h"
#include "data/redis.h"
#include "data/redis_conn.h"

struct redis {
	struct redis_url url;
	void (*on_state)(void *arg, bool is_up, const char *why);
	void *arg;
	struct redis_conn commands, channels; /* channels: stopped until the first subscription */
	bool was_told;                        /* on_state came with the state that is now */

	struct list waiting; /* struct redis_pending, link: sent and not answered, in this order */
	struct list spare;   /* struct redis_pending, link: for the next command */
	unsigned n_waiting;

	struct redis_subscription *plain, *sharded; /* uthash, by channel */
	struct list requests;                       /* struct redis_request, link: (un)subscriptions not answered */

	unsigned n_stopping; /* connections that are not stopped yet; the last frees it all */
};

void redis_channels_init(struct redis *r);
void redis_channels_deinit(struct redis *r);
