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
	struct list link; /* in gateway.tunnels until both ends are closed */
	struct tunnel_end ends[2];
	bool closing;
};

static void close_both(struct tunnel *t)
{
	if (t->closing)
		return;
	t->closing = true;
	for (size_t i = 0; i < ARRAY_SIZE(t->ends); i++)
		stream_close(t->ends[i].stream, true);
}

static void on_data(void *owner, const char *data, size_t n)
{
	struct tunnel_end *end = owner;

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
	free(t);
}

static const struct stream_events events = {on_data, on_end, on_drain, on_close};

void tunnel_start(struct gateway *g, struct stream *client, struct str early_client, struct stream *upstream,
		  struct str early_upstream)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));

	t->ends[CLIENT] = (struct tunnel_end){t, client, &t->ends[UPSTREAM]};
	t->ends[UPSTREAM] = (struct tunnel_end){t, upstream, &t->ends[CLIENT]};
	list_append(&g->tunnels, &t->link);
	if (early_client.n)
		stream_write(upstream, early_client.p, early_client.n);
	if (early_upstream.n)
		stream_write(client, early_upstream.p, early_upstream.n);
	for (size_t i = 0; i < ARRAY_SIZE(t->ends); i++) {
		stream_set_owner(t->ends[i].stream, &events, &t->ends[i]);
		stream_resume(t->ends[i].stream);
	}
}

void tunnels_close(struct gateway *g)
{
	struct tunnel *t;

	list_foreach (t, &g->tunnels, struct tunnel, link)
		close_both(t);
}
