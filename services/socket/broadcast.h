/* What is published: an event's text once, and for each channel it goes to a broadcast, whose encodings are made once
 * each and shared by all who get it. */
#pragma once

#include <uthash.h>

#include "base/list.h"
#include "io/ws.h"

#define CHANNEL_NAME_MAX 128

/* An event as it was published, whatever the number of its channels. */
struct post {
	unsigned refs;
	unsigned n_in;
	uint64_t number; /* of this process; rises from 1 */
	/* cluster.c: by its id, which is the same at all nodes. */
	UT_hash_handle hh;
	struct list in_recent;
	char *id;     /* NULL: there is one node */
	bool is_seen; /* it came from Redis */
	bool is_told; /* this node's clients got it while Redis was away */
	size_t n;
	struct posting {
		const char *channel; /* its name; in the event's memory */
		uint64_t offset;     /* 0: not posted there */
	} * in;                      /* where */
	char text[];                 /* a JSON object, NUL-terminated */
};

/* Texts are copied. */
struct post *post_new(uint64_t number, struct str text, const struct str *channels, unsigned n_channels);
void post_unref(struct post *e);

enum encoding {
	ENCODING_JSON,     /* a WebSocket frame: {"type":"event","room",…} */
	ENCODING_SOCKETIO, /* a WebSocket frame of Engine.IO */
	ENCODINGS
};

/* An event in one channel. */
struct broadcast {
	unsigned refs;
	unsigned index;                      /* which of post->in this is */
	struct post *post;                   /* a reference */
	uint64_t at;                         /* loop ms */
	struct list in_channel;              /* in channel.history */
	struct list in_all;                  /* in channels.aged, by `at` */
	struct channel *channel;             /* while it is in the history */
	struct ws_shared *frames[ENCODINGS]; /* NULL: not made yet */
	struct buf sse;                      /* the event of an SSE stream; empty: not made yet */
};

struct broadcast *broadcast_new(struct post *e, unsigned index, uint64_t now);
void broadcast_ref(struct broadcast *b);
void broadcast_unref(struct broadcast *b);

static inline const char *broadcast_channel(const struct broadcast *b)
{
	return b->post->in[b->index].channel;
}

static inline uint64_t broadcast_offset(const struct broadcast *b)
{
	return b->post->in[b->index].offset;
}

/* {"type":"event","room","offset","also","event"}: what every JSON client gets. */
void broadcast_write_json(struct buf *out, const struct broadcast *b);

/* The frame of one kind, made at the first call; belongs to the broadcast. `make` returns a new frame. */
static inline struct ws_shared *broadcast_frame(struct broadcast *b, enum encoding kind,
						struct ws_shared *(*make)(const struct broadcast *b))
{
	if (!b->frames[kind])
		b->frames[kind] = make(b);
	return b->frames[kind];
}
