/* Channels (rooms): who gets what is published, and what was published lately. A channel has an epoch, made with it,
 * and numbers its events by offsets from 1 on; (epoch, offset) is a client's place in it. A channel exists while
 * somebody is in it, and for a while after that, so that a client who comes back misses nothing. */
#pragma once

#include <uthash.h>

#include "broadcast.h"

#define EPOCH_SIZE 12

struct client;

/* What happens to one who does not keep up with a channel. */
enum slow_policy {
	SLOW_CLOSE, /* is closed with 1013, comes back and reads what was missed */
	SLOW_DROP,  /* the oldest waiting events are dropped; the offsets show it */
	SLOW_SKIP,  /* what waits is dropped, and he is told from where to where */
};

struct channel {
	UT_hash_handle hh;
	struct list places;  /* struct place: who is in it */
	struct list history; /* struct broadcast, oldest first */
	size_t history_bytes;
	unsigned n_history, n_places;
	uint64_t offset;                 /* of the last event; 0: none yet */
	uint64_t forgotten;              /* number of the last event that the history lost; 0: none */
	struct list idle;                /* in channels.idle while nobody is in it */
	uint64_t idle_since;             /* loop ms */
	struct cluster_channel *cluster; /* cluster.c; NULL: it is not followed in Redis */
	bool is_known;                   /* epoch and offset are those of Redis */
	struct presence *presence;       /* presence.c; NULL: nobody shows himself here */
	char epoch[EPOCH_SIZE];
	uint8_t policy; /* enum slow_policy */
	char name[];
};

/* A client's place in a channel. */
struct place {
	struct list in_channel, in_client;
	struct channel *channel;
	struct client *client;
	uint64_t start;        /* events above this offset come by this place */
	struct window *window; /* window.c: what is not acknowledged yet; NULL: no window */
	bool is_present;       /* shows himself, and hears of the others */
};

struct channels_limits {
	unsigned messages; /* of history, of one channel */
	size_t bytes;      /* the same */
	size_t total;      /* bytes of history of all channels */
	uint64_t ms;       /* how long events, and channels without anybody, are kept */
};

struct channels {
	struct channel *by_name;
	struct list aged; /* struct broadcast of all histories, oldest first */
	struct list idle; /* struct channel, the longest idle first */
	size_t bytes;     /* of all histories */
	struct channels_limits limits;
	const char *policies; /* PREFIX=close|drop|skip, separated by commas */
};

void channels_init(struct channels *all, const struct channels_limits *limits, const char *policies);
/* Nobody may be in any. */
void channels_deinit(struct channels *all);
/* Drops what is older than the limits allow. */
void channels_age(struct channels *all, uint64_t now);

struct channel *channel_find(const struct channels *all, struct str name);
/* Finds or makes it. A new one is idle until somebody comes. */
struct channel *channel_get(struct channels *all, struct str name, uint64_t now);

struct place *place_new(struct channel *ch, struct client *s, struct list *of_client);
void place_free(struct channels *all, struct place *p, uint64_t now);
/* A client is in few channels; a channel may have many clients. */
struct place *place_find(const struct list *of_client, const char *name);

/* The next offset of the channel for the broadcast, which is remembered. Takes no reference from the caller. */
void channel_remember(struct channels *all, struct channel *ch, struct broadcast *b);
/* What is remembered is dropped; the next event has offset + 1. */
void channel_jump(struct channels *all, struct channel *ch, const char *epoch, uint64_t offset);
/* Whether the history has everything after `offset` of `epoch`. */
bool channel_has_since(const struct channel *ch, const char *epoch, uint64_t offset);
