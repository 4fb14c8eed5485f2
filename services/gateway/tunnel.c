/* A client and a role joined after an upgrade. When one ends, both close: a WebSocket has no half-open state. */
#include "gateway.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "io/relay.h"

enum { CLIENT, UPSTREAM };

struct tunnel {
	struct gateway_worker *worker;
	struct list link; /* in worker.tunnels */
	struct relay *relay;
	/* Where the role is in its frames (RFC 6455 section 5.2), to know whether ours may follow. */
	uint8_t head[10];
	uint8_t head_n;
	uint64_t payload_left;
};

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

static void on_bytes(void *owner, unsigned side, const char *data, size_t n)
{
	if (side == UPSTREAM)
		follow_frames(owner, data, n);
}

static void on_end(void *owner, int err)
{
	struct tunnel *t = owner;

	list_remove(&t->link);
	worker_look_drained(t->worker);
	free(t);
}

void tunnel_start(struct gateway_worker *w, struct stream *client, struct str early_client, struct stream *upstream,
		  struct str early_upstream)
{
	static const struct relay_events events = {on_bytes, on_end};
	struct tunnel *t = xcalloc(1, sizeof(*t));

	t->worker = w;
	list_append(&w->tunnels, &t->link);
	t->relay = relay_start(w->wheel, (struct stream *const[2]){[CLIENT] = client, [UPSTREAM] = upstream},
			       (const struct str[2]){[CLIENT] = early_client, [UPSTREAM] = early_upstream}, 0,
			       RELAY_END_WITH_FIRST, &events, t);
}

void tunnels_close(struct gateway_worker *w)
{
	static const char going_away[] = {(char)0x88, 2, 1001 >> 8, (char)(1001 & 255)};
	struct tunnel *t;

	list_foreach (t, &w->tunnels, struct tunnel, link) {
		if (!relay_is_closing(t->relay) && !t->head_n && !t->payload_left)
			stream_write(relay_side(t->relay, CLIENT), going_away, sizeof(going_away));
		relay_close(t->relay);
	}
}

void tunnels_cut(struct gateway_worker *w)
{
	struct tunnel *t;

	list_foreach (t, &w->tunnels, struct tunnel, link) {
		relay_close(t->relay);
		for (unsigned i = 0; i < 2; i++)
			if (relay_side(t->relay, i))
				stream_close(relay_side(t->relay, i), false);
	}
}
