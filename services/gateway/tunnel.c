/* Two streams joined after an upgrade: what one gets, the other sends; a full one stops the other. When one ends, what
 * is under way is still written and both close: a WebSocket has no half-open state. */
#include "gateway.h"

#include <stdlib.h>

#include "base/alloc.h"

enum { CLIENT, UPSTREAM };

struct tunnel_end {
	struct tunnel *tunnel;
	struct stream *stream; /* NULL once closed */
	struct tunnel_end *other;
};

struct tunnel {
	struct gateway_worker *worker;
	struct list link; /* in worker.tunnels until both ends are closed */
	struct tunnel_end ends[2];
	bool closing;
	/* Where the role is in its frames (RFC 6455 section 5.2), to know whether ours may follow. */
	uint8_t head[10];
	uint8_t head_n;
	uint64_t payload_left;
};

static void close_both(struct tunnel *t)
{
	if (t->closing)
		return;
	t->closing = true;
	for (size_t i = 0; i < ARRAY_SIZE(t->ends); i++)
		stream_close(t->ends[i].stream, true);
}

/* A server's frames are not masked: 2 bytes, and the length in 2 or 8 more when it is 126 or 127. */
static void follow_frames(struct tunnel *t, const char *data, size_t n)
{
	while (n) {
		size_t skip = MIN(n, t->payload_left), size;

		data += skip;
		n -= skip;
		t->payload_left -= skip;
		if (!n)
			break;
		t->head[t->head_n++] = (uint8_t)*data++;
		n--;
		size = t->head_n < 2 || t->head[1] < 126 ? 2 : t->head[1] == 126 ? 4 : 10;
		if (t->head_n < size)
			continue;
		t->payload_left = size == 2 ? t->head[1] : 0;
		for (size_t i = 2; i < size; i++)
			t->payload_left = t->payload_left << 8 | t->head[i];
		t->head_n = 0;
	}
}

static void on_data(void *owner, const char *data, size_t n)
{
	struct tunnel_end *end = owner;

	if (end == &end->tunnel->ends[UPSTREAM])
		follow_frames(end->tunnel, data, n);
	if (!end->tunnel->closing && !stream_write(end->other->stream, data, n))
		stream_pause(end->stream);
}

static void on_end(void *owner, int err)
{
	struct tunnel_end *end = owner;

	close_both(end->tunnel);
}

static void on_drain(void *owner)
{
	struct tunnel_end *end = owner;

	if (!end->tunnel->closing)
		stream_resume(end->other->stream);
}

static void on_close(void *owner)
{
	struct tunnel_end *end = owner;
	struct tunnel *t = end->tunnel;

	end->stream = NULL;
	if (end->other->stream)
		return;
	list_remove(&t->link);
	worker_look_drained(t->worker);
	free(t);
}

static const struct stream_events events = {on_data, on_end, on_drain, on_close};

void tunnel_start(struct gateway_worker *w, struct stream *client, struct str early_client, struct stream *upstream,
		  struct str early_upstream)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));

	t->worker = w;
	t->ends[CLIENT] = (struct tunnel_end){t, client, &t->ends[UPSTREAM]};
	t->ends[UPSTREAM] = (struct tunnel_end){t, upstream, &t->ends[CLIENT]};
	list_append(&w->tunnels, &t->link);
	if (early_client.n)
		stream_write(upstream, early_client.p, early_client.n);
	if (early_upstream.n) {
		follow_frames(t, early_upstream.p, early_upstream.n);
		stream_write(client, early_upstream.p, early_upstream.n);
	}
	for (size_t i = 0; i < ARRAY_SIZE(t->ends); i++) {
		stream_set_owner(t->ends[i].stream, &events, &t->ends[i]);
		stream_resume(t->ends[i].stream);
	}
}

void tunnels_close(struct gateway_worker *w)
{
	static const char going_away[] = {(char)0x88, 2, 1001 >> 8, (char)(1001 & 255)};
	struct tunnel *t;

	list_foreach (t, &w->tunnels, struct tunnel, link) {
		if (!t->closing && !t->head_n && !t->payload_left)
			stream_write(t->ends[CLIENT].stream, going_away, sizeof(going_away));
		close_both(t);
	}
}
