#include "broadcast.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"

struct post *post_new(uint64_t number, struct str text, const struct str *channels, unsigned n_channels)
{
	size_t names = 0, at;
	struct post *e;
	char *p;

	for (unsigned i = 0; i < n_channels; i++)
		names += channels[i].n + 1;
	at = (sizeof(*e) + text.n + 1 + 7) & ~(size_t)7;
	e = xcalloc(1, at + n_channels * sizeof(*e->in) + names);
	e->refs = 1;
	e->number = number;
	e->n = text.n;
	memcpy(e->text, text.p, text.n);
	e->in = (struct posting *)((char *)e + at);
	e->n_in = n_channels;
	p = (char *)(e->in + n_channels);
	for (unsigned i = 0; i < n_channels; i++) {
		e->in[i].channel = memcpy(p, channels[i].p, channels[i].n);
		p += channels[i].n + 1;
	}
	return e;
}

void post_unref(struct post *e)
{
	if (!e || --e->refs > 0)
		return;
	free(e->id);
	free(e);
}

struct broadcast *broadcast_new(struct post *e, unsigned index, uint64_t now)
{
	struct broadcast *b = xcalloc(1, sizeof(*b));

	b->refs = 1;
	b->post = e;
	b->index = index;
	b->at = now;
	e->refs++;
	list_init(&b->in_channel);
	list_init(&b->in_all);
	return b;
}

void broadcast_ref(struct broadcast *b)
{
	b->refs++;
}

void broadcast_unref(struct broadcast *b)
{
	if (!b || --b->refs > 0)
		return;
	for (unsigned i = 0; i < ENCODINGS; i++)
		ws_shared_unref(b->frames[i]);
	buf_deinit(&b->sse);
	post_unref(b->post);
	free(b);
}

/* Where else the same event stands, so that a client which is in several of its channels and got one copy knows its
 * place in all of them. */
static void write_also(struct buf *out, const struct broadcast *b)
{
	const char *sep = ",\"also\":{";

	for (unsigned i = 0; i < b->post->n_in; i++) {
		const struct posting *post = &b->post->in[i];

		if (i == b->index || !post->offset)
			continue;
		buf_add_str(out, sep);
		json_quote(out, str_of(post->channel));
		buf_printf(out, ":%" PRIu64, post->offset);
		sep = ",";
	}
	if (sep[1] == '\0')
		buf_add_char(out, '}');
}

void broadcast_write_json(struct buf *out, const struct broadcast *b)
{
	buf_add_str(out, "{\"type\":\"event\",\"room\":");
	json_quote(out, str_of(broadcast_channel(b)));
	if (broadcast_offset(b))
		buf_printf(out, ",\"offset\":%" PRIu64, broadcast_offset(b));
	write_also(out, b);
	buf_add_str(out, ",\"event\":");
	buf_add(out, b->post->text, b->post->n);
	buf_add_char(out, '}');
}
