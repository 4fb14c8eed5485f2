#include "io/out_queue.h"

#include <stdlib.h>

#include "base/alloc.h"

#define KEEP_BYTES 4096 /* of an empty queue's memory */
#define KEEP_PIECES 8
#define KEEP_QUEUES 4096    /* that nobody has: a broadcast's subscribers need one each for a turn */
#define KEEP_WITH_BYTES 256 /* of them */

static _Thread_local struct out_queue *unused;
static _Thread_local unsigned n_unused;

static void release(struct out_piece *p)
{
	if (p->release)
		p->release(p->arg);
}

static struct out_piece *piece_new(struct out_queue *q)
{
	if (q->end == q->cap) {
		q->cap = q->cap ? q->cap * 2 : KEEP_PIECES;
		q->pieces = xrealloc(q->pieces, q->cap * sizeof(*q->pieces));
	}
	return &q->pieces[q->end++];
}

void out_queue_add(struct out_queue *q, const void *data, size_t n)
{
	struct out_piece *last = q->end > q->first ? &q->pieces[q->end - 1] : NULL;

	if (n == 0)
		return;
	if (!last || last->shared) {
		last = piece_new(q);
		*last = (struct out_piece){0};
	}
	buf_add(&q->bytes, data, n);
	last->n += n;
	q->total += n;
}

void out_queue_add_shared(struct out_queue *q, const char *data, size_t n, void (*release_cb)(void *), void *arg)
{
	*piece_new(q) = (struct out_piece){data, n, release_cb, arg};
	q->total += n;
}

unsigned out_queue_front(const struct out_queue *q, uv_buf_t *ret, unsigned max)
{
	size_t own = q->start;
	unsigned n = 0;

	for (unsigned i = q->first; i < q->end && n < max; i++) {
		const struct out_piece *p = &q->pieces[i];

		ret[n].base = p->shared ? (char *)p->shared : q->bytes.p + own;
		ret[n++].len = p->n;
		if (!p->shared)
			own += p->n;
	}
	return n;
}

void out_queue_consume(struct out_queue *q, size_t n)
{
	q->total -= n;
	while (q->first < q->end && n >= q->pieces[q->first].n) {
		struct out_piece *p = &q->pieces[q->first++];

		n -= p->n;
		if (!p->shared)
			q->start += p->n;
		release(p);
	}
	if (n > 0) {
		struct out_piece *p = &q->pieces[q->first];

		p->n -= n;
		if (p->shared)
			p->shared += n;
		else
			q->start += n;
	}
}

static void clear(struct out_queue *q)
{
	while (q->first < q->end)
		release(&q->pieces[q->first++]);
	if (q->bytes.cap > KEEP_BYTES || n_unused >= KEEP_WITH_BYTES)
		buf_deinit(&q->bytes);
	else
		buf_clear(&q->bytes);
	if (q->cap > KEEP_PIECES) {
		free(q->pieces);
		q->pieces = NULL;
		q->cap = 0;
	}
	q->first = q->end = 0;
	q->start = q->total = 0;
}

static void queue_free(struct out_queue *q)
{
	buf_deinit(&q->bytes);
	free(q->pieces);
	free(q);
}

struct out_queue *out_queue_take(void)
{
	struct out_queue *q = unused;

	if (!q)
		return xcalloc(1, sizeof(*q));
	unused = q->next;
	n_unused--;
	return q;
}

void out_queue_give(struct out_queue *q)
{
	if (!q)
		return;
	clear(q);
	if (n_unused >= KEEP_QUEUES) {
		queue_free(q);
		return;
	}
	q->next = unused;
	unused = q;
	n_unused++;
}

void out_queue_thread_end(void)
{
	while (unused)
		queue_free(out_queue_take());
}
