/* Several socket services as one, by Redis (option redis_url): events go through it, so that each reaches every client
 *of every node once, with one order and one offset a channel. A node subscribes to the channels that it has somebody
 *in; what was missed between is read from the channel's stream, so the pub/sub need not be reliable.
 *
 * While Redis is away events go to this node's clients at once, without an offset, and wait; when it is back they are
 * published for the others, and those who have them are told their place.
 *
 *	ogent:socket:{NAME}:meta      hash: e epoch, o last offset
 *	ogent:socket:{NAME}:events    stream, ids OFFSET-0, field m: the message
 *	ogent:socket:{NAME}:here      hash: NODE LF USER → name LF connections
 *	ogent:socket:{NAME}           sharded channel: what is in the stream, and presence
 *	ogent:socket:nodes            sorted set: node → when its lease ends, ms
 *
 * A message: "e" LF id LF [[name, epoch, offset], …] LF event, or "p" LF node LF user LF name LF connections. */
#pragma once

#include "client.h"

struct cluster;

/* Somebody waits until the channel's place in Redis is known. Embedded; cluster_wait_cancel before it goes. */
struct cluster_wait {
	struct list link;
	void (*done)(struct cluster_wait *w);
};

/* NULL without the option redis_url, or when the library is missing, which is logged. */
struct cluster *cluster_new(struct socket_service *s, const char *url);
/* When the service stops; nobody may be in any channel. */
void cluster_free(struct cluster *b);

/* Publishes. Returns how many clients of this node are in the channels. */
unsigned cluster_publish(struct cluster *b, struct str text, const struct str *channels, unsigned n);
/* Somebody comes into the channel. Returns whether its epoch and offset are known; otherwise that is under way, and
 * cluster_wait tells. Without Redis what this node knows must do. */
bool cluster_open(struct cluster *b, struct channel *ch);
void cluster_wait(struct channel *ch, struct cluster_wait *w, void (*done)(struct cluster_wait *w));
void cluster_wait_cancel(struct cluster_wait *w);
/* The last one has left. */
void cluster_close(struct channel *ch);
/* The user's connections to this node in the channel are now n. b may be NULL. */
void cluster_tell_presence(struct cluster *b, struct channel *ch, const char *user, const char *name, unsigned n);
