#include "io/relay.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"

struct side {
	struct relay *relay;
	struct stream *stream; /* NULL once closed */
	struct side *other;
	bool has_ended; /* it sends no more */
};

struct relay {
	struct side sides[2];
	struct wheel *wheel;
	struct deadline idle;
	uint64_t idle_ms;
	unsigned flags;
	bool closing;
	int err;
	const struct relay_events *events;
	void *owner;
};

static void touch(struct relay *r)
{
	if (r->idle_ms && !r->closing)
		deadline_set(r->wheel, &r->idle, r->idle_ms);
}

static void end(struct relay *r, int err)
{
	if (r->closing)
		return;
	r->closing = true;
	r->err = err;
	deadline_clear(&r->idle);
	for (size_t i = 0; i < ARRAY_SIZE(r->sides); i++)
		if (r->sides[i].stream)
			stream_close(r->sides[i].stream, true);
}

void relay_close(struct relay *r)
{
	end(r, 0);
}

static void on_idle(struct deadline *d)
{
	end(container_of(d, struct relay, idle), -ETIMEDOUT);
}

static void on_data(void *owner, const char *data, size_t n)
{
	struct side *s = owner;
	struct relay *r = s->relay;

	if (r->events->on_bytes)
		r->events->on_bytes(r->owner, (unsigned)(s - r->sides), data, n);
	if (r->closing)
		return;
	touch(r);
	if (!stream_write(s->other->stream, data, n))
		stream_pause(s->stream);
}

static void on_end(void *owner, int err)
{
	struct side *s = owner;
	struct relay *r = s->relay;

	s->has_ended = true;
	if (err || s->other->has_ended || (r->flags & RELAY_END_WITH_FIRST))
		end(r, err);
	else if (!r->closing)
		stream_shutdown(s->other->stream);
}

static void on_drain(void *owner)
{
	struct side *s = owner;

	if (!s->relay->closing)
		stream_resume(s->other->stream);
}

static void on_close(void *owner)
{
	struct side *s = owner;
	struct relay *r = s->relay;

	s->stream = NULL;
	if (s->other->stream) {
		end(r, -ECONNRESET); /* it was closing already when it came, and says no end */
		return;
	}
	deadline_clear(&r->idle);
	r->events->on_end(r->owner, r->err);
	free(r);
}

static const struct stream_events stream_events = {on_data, on_end, on_drain, on_close};

bool relay_is_closing(const struct relay *r)
{
	return r->closing;
}

struct stream *relay_side(const struct relay *r, unsigned side)
{
	return r->sides[side].stream;
}

struct relay *relay_start(struct wheel *wheel, struct stream *const sides[2], const struct str early[2],
			  uint64_t idle_ms, unsigned flags, const struct relay_events *events, void *owner)
{
	struct relay *r = xcalloc(1, sizeof(*r));

	r->wheel = wheel;
	r->idle_ms = idle_ms;
	r->flags = flags;
	r->events = events;
	r->owner = owner;
	deadline_init(&r->idle, on_idle);
	for (unsigned i = 0; i < 2; i++) {
		r->sides[i] = (struct side){r, sides[i], &r->sides[!i], false};
		stream_set_owner(sides[i], &stream_events, &r->sides[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (!early[i].n)
			continue;
		if (events->on_bytes)
			events->on_bytes(owner, i, early[i].p, early[i].n);
		stream_write(sides[!i], early[i].p, early[i].n);
	}
	touch(r);
	for (unsigned i = 0; i < 2; i++)
		stream_resume(sides[i]);
	return r;
}
