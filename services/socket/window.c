#include "window.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "socket.h"

#define MAX_FRAMES 256   /* on their way */
#define MAX_JOINED 65536 /* bytes of one message made of several events */

struct window {
	size_t size, out;  /* bytes: allowed, and on their way */
	uint64_t sent;     /* offset of the last event sent or skipped */
	unsigned first, n; /* frames on their way, in the ring */
	struct {
		uint64_t offset;
		size_t n;
	} frames[MAX_FRAMES];
};

struct window *window_new(size_t size, uint64_t offset)
{
	struct window *w = xcalloc(1, sizeof(*w));

	w->size = MIN(MAX(size, WINDOW_MIN), WINDOW_MAX);
	w->sent = offset;
	return w;
}

void window_free(struct window *w)
{
	free(w);
}

/* What of an event can be joined with the next: {"type","stream"?,"offset"?,"data"} and nothing else. */
struct output {
	const char *type, *stream;
	yyjson_val *offset, *data;
};

static bool read_output(struct arena *a, const struct broadcast *b, struct output *ret)
{
	yyjson_val *obj = yyjson_doc_get_root(json_parse(a, b->post->text, b->post->n, NULL));
	size_t n = 2;

	*ret = (struct output){.type = json_get_str(obj, "type", NULL),
			       .stream = json_get_str(obj, "stream", NULL),
			       .offset = yyjson_obj_get(obj, "offset"),
			       .data = yyjson_obj_get(obj, "data")};
	n += (ret->stream != NULL) + (ret->offset != NULL);
	return ret->type && yyjson_is_str(ret->data) && yyjson_obj_size(obj) == n;
}

static bool may_join(const struct output *a, const struct output *b)
{
	return strcmp(a->type, b->type) == 0 && !a->stream == !b->stream &&
	       (!a->stream || strcmp(a->stream, b->stream) == 0);
}

static void send_joined(struct place *p, const struct output *first, struct str data, uint64_t from, uint64_t to)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = client_message(p->client, "event", &doc), *event;

	json_add_str(doc, obj, "room", p->channel->name);
	yyjson_mut_obj_add_uint(doc, obj, "offset", to);
	yyjson_mut_obj_add_uint(doc, obj, "from", from);
	event = yyjson_mut_obj_add_obj(doc, obj, "event");
	json_add_str(doc, event, "type", first->type);
	if (first->stream)
		json_add_str(doc, event, "stream", first->stream);
	if (first->offset)
		yyjson_mut_obj_add_val(doc, event, "offset", yyjson_val_mut_copy(doc, first->offset));
	yyjson_mut_obj_add_strncpy(doc, event, "data", data.p ? data.p : "", data.n);
	client_send(p->client, doc, NULL);
}

static struct broadcast *after(const struct channel *ch, struct broadcast *b)
{
	struct list *next = b->in_channel.next;

	return next == &ch->history ? NULL : list_entry(next, struct broadcast, in_channel);
}

static void count(struct window *w, uint64_t offset, size_t n)
{
	unsigned i = (w->first + w->n++) % MAX_FRAMES;

	w->frames[i].offset = offset;
	w->frames[i].n = n;
	w->out += n;
	w->sent = offset;
}

/* Sends b, and with it in one message what follows and can be joined. */
static void send_from(struct place *p, struct broadcast *b)
{
	struct window *w = p->window;
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	_cleanup_(buf_deinit) struct buf data = BUF_INIT;
	struct output first, next;
	struct broadcast *last = b, *more = after(p->channel, b);
	size_t bytes = b->post->n, room = MIN(w->size - MIN(w->out, w->size), MAX_JOINED);
	bool is_output = more && read_output(a, b, &first);

	if (is_output)
		buf_add(&data, yyjson_get_str(first.data), yyjson_get_len(first.data));
	for (; is_output && more && bytes + more->post->n <= room; more = after(p->channel, more)) {
		if (!read_output(a, more, &next) || !may_join(&first, &next))
			break;
		buf_add(&data, yyjson_get_str(next.data), yyjson_get_len(next.data));
		bytes += more->post->n;
		last = more;
	}
	count(w, broadcast_offset(last), bytes);
	if (last == b)
		client_deliver(p->client, p->channel, b);
	else
		send_joined(p, &first, buf_str(&data), broadcast_offset(b), broadcast_offset(last));
}

static void tell_skipped(struct place *p, uint64_t to)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = client_message(p->client, "skipped", &doc);

	json_add_str(doc, obj, "room", p->channel->name);
	yyjson_mut_obj_add_uint(doc, obj, "from", p->window->sent + 1);
	yyjson_mut_obj_add_uint(doc, obj, "to", to);
	p->window->sent = to;
	client_send(p->client, doc, NULL);
}

/* The first event behind `offset`; most often the last there is. */
static struct broadcast *first_behind(const struct channel *ch, uint64_t offset)
{
	struct broadcast *found = NULL;

	for (struct list *l = ch->history.prev; l != &ch->history; l = l->prev) {
		struct broadcast *b = list_entry(l, struct broadcast, in_channel);

		if (broadcast_offset(b) <= offset)
			break;
		found = b;
	}
	return found;
}

void window_pump(struct place *p)
{
	struct window *w = p->window;
	struct client *c = p->client;
	struct broadcast *b;

	while (c->state == CLIENT_OPEN && !c->is_full && w->n < MAX_FRAMES && w->out < w->size) {
		b = first_behind(p->channel, w->sent);
		if (!b && w->sent == p->channel->offset)
			return;
		if (!b || broadcast_offset(b) > w->sent + 1)
			tell_skipped(p, b ? broadcast_offset(b) - 1 : p->channel->offset);
		else
			send_from(p, b);
	}
}

void window_ack(struct place *p, uint64_t offset)
{
	struct window *w = p->window;

	while (w->n > 0 && w->frames[w->first].offset <= offset) {
		w->out -= w->frames[w->first].n;
		w->first = (w->first + 1) % MAX_FRAMES;
		w->n--;
	}
	window_pump(p);
}
