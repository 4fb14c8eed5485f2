/* Bytes on their way out of a stream, in order: copied ones, and references to memory shared with other streams. */
#pragma once

#include <uv.h>

#include "base/buf.h"

struct out_piece {
	const char *shared; /* NULL: the next n of the queue's own bytes */
	size_t n;           /* not written yet */
	void (*release)(void *arg);
	void *arg;
};

struct out_queue {
	struct out_queue *next; /* of those that nobody has */
	struct buf bytes;
	size_t start; /* of what is not written yet in bytes */
	struct out_piece *pieces;
	unsigned first, end, cap; /* pieces first…end-1 are not written yet */
	size_t total;             /* bytes not written yet */
};

/* An empty queue, one that a stream of this thread gave back if there is one: a stream has a queue only while something
 * waits in it, so that idle ones cost nothing and busy ones allocate nothing. */
struct out_queue *out_queue_take(void);
/* Drops what is in it. NULL is fine. */
void out_queue_give(struct out_queue *q);
/* Frees the queues that nobody of this thread has. */
void out_queue_thread_end(void);
void out_queue_add(struct out_queue *q, const void *data, size_t n);
void out_queue_add_shared(struct out_queue *q, const char *data, size_t n, void (*release)(void *), void *arg);
/* Fills at most `max` of ret from the front; returns how many. They are valid until the queue is next changed. */
unsigned out_queue_front(const struct out_queue *q, uv_buf_t *ret, unsigned max);
/* Takes n written bytes off the front. */
void out_queue_consume(struct out_queue *q, size_t n);
