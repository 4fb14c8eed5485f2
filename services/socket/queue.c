/* A client's events that its transport has no room for yet, in order, within limits of bytes and number. */
#include <stdlib.h>

#include "base/alloc.h"
#include "socket.h"

#define KEEP 64 /* entries of an empty queue's memory */

struct entry {
	struct broadcast *b; /* NULL: dropped */
	uint64_t from, to;   /* offsets of its channel that were skipped before it; 0: none */
};

struct queue {
	struct entry *entries;
	unsigned first, end, cap; /* first…end-1 wait */
	unsigned n;               /* of them not dropped */
	size_t bytes;
};

void queue_free(struct queue *q)
{
	if (!q)
		return;
	for (unsigned i = q->first; i < q->end; i++)
		broadcast_unref(q->entries[i].b);
	free(q->entries);
	free(q);
}

static void drop(struct client *s, struct entry *e)
{
	struct queue *q = s->queue;

	q->n--;
	q->bytes -= e->b->post->n;
	broadcast_unref(e->b);
	e->b = NULL;
	metric_add(s->socket->dropped, 1);
}

static void compact(struct queue *q)
{
	unsigned n = 0;

	for (unsigned i = q->first; i < q->end; i++)
		if (q->entries[i].b)
			q->entries[n++] = q->entries[i];
	q->first = 0;
	q->end = n;
}

static struct entry *append(struct client *s, struct broadcast *b)
{
	struct queue *q = s->queue;

	if (q->end == q->cap && q->n < q->cap / 2)
		compact(q);
	if (q->end == q->cap) {
		q->cap = q->cap ? q->cap * 2 : 16;
		q->entries = xrealloc(q->entries, q->cap * sizeof(*q->entries));
	}
	broadcast_ref(b);
	q->n++;
	q->bytes += b->post->n;
	q->entries[q->end] = (struct entry){.b = b};
	return &q->entries[q->end++];
}

static bool fits(const struct client *s, const struct broadcast *b)
{
	const struct queue *q = s->queue;

	return q->n == 0 || (q->n < s->socket->queue_messages && q->bytes + b->post->n <= s->socket->queue_bytes);
}

static bool is_of(const struct entry *e, const char *channel)
{
	return e->b && strcmp(broadcast_channel(e->b), channel) == 0;
}

/* The oldest of this channel that wait, until `b` fits. */
static void drop_oldest(struct client *s, const struct broadcast *b)
{
	for (unsigned i = s->queue->first; i < s->queue->end && !fits(s, b); i++)
		if (is_of(&s->queue->entries[i], broadcast_channel(b)))
			drop(s, &s->queue->entries[i]);
}

/* All of this channel that wait; from and to say which offsets. */
static void skip(struct client *s, const struct broadcast *b, uint64_t *from, uint64_t *to)
{
	for (unsigned i = s->queue->first; i < s->queue->end; i++) {
		struct entry *e = &s->queue->entries[i];

		if (!is_of(e, broadcast_channel(b)))
			continue;
		if (!*from)
			*from = e->from ? e->from : broadcast_offset(e->b);
		*to = broadcast_offset(e->b);
		drop(s, e);
	}
}

static void wait_in_queue(struct client *s, const struct channel *ch, struct broadcast *b)
{
	uint64_t from = 0, to = 0;
	struct entry *e;

	if (!s->queue)
		s->queue = xcalloc(1, sizeof(*s->queue));
	if (!fits(s, b) && ch->policy == SLOW_DROP)
		drop_oldest(s, b);
	else if (!fits(s, b) && ch->policy == SLOW_SKIP)
		skip(s, b, &from, &to);
	if (!fits(s, b)) {
		metric_add(s->socket->slow, 1);
		client_end(s, CLOSE_TRY_AGAIN, "too slow: come back and read what was missed");
		return;
	}
	e = append(s, b);
	e->from = from;
	e->to = to;
}

static void give(struct client *s, struct broadcast *b)
{
	metric_add(s->socket->delivered, 1);
	s->is_full = !s->transport->deliver(s, b);
}

void client_deliver(struct client *s, const struct channel *ch, struct broadcast *b)
{
	if (s->state == CLIENT_OPEN && !s->is_full && (!s->queue || s->queue->n == 0))
		give(s, b);
	else if (s->state == CLIENT_OPEN)
		wait_in_queue(s, ch, b);
}

static void tell_skipped(struct client *s, const struct entry *e)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = client_message(s, "skipped", &doc);

	json_add_str(doc, obj, "room", broadcast_channel(e->b));
	yyjson_mut_obj_add_uint(doc, obj, "from", e->from);
	yyjson_mut_obj_add_uint(doc, obj, "to", e->to);
	client_send(s, doc, NULL);
}

void client_drained(struct client *s)
{
	struct queue *q = s->queue;

	s->is_full = false;
	while (q && q->first < q->end && !s->is_full && s->state == CLIENT_OPEN) {
		struct entry e = q->entries[q->first++];

		if (!e.b)
			continue;
		q->n--;
		q->bytes -= e.b->post->n;
		if (e.from)
			tell_skipped(s, &e);
		if (s->state == CLIENT_OPEN)
			give(s, e.b);
		broadcast_unref(e.b);
	}
	if (!q || q->first < q->end)
		return;
	q->first = q->end = 0;
	if (q->cap > KEEP) {
		queue_free(q);
		s->queue = NULL;
	}
}
