#include <sodium.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/id.h"
#include "engine_internal.h"

#define CLOSING_MS 10000 /* for a poll that takes the last packets */

/* ---- Sessions ---- */

struct engine *engine_new(struct service *service, const struct engine_options *options,
			  const struct engine_events *events, void *arg)
{
	struct engine *e = xcalloc(1, sizeof(*e));

	*e = (struct engine){.service = service, .options = *options, .events = events, .arg = arg};
	return e;
}

void engine_free(struct engine *e)
{
	free(e);
}

unsigned engine_count(const struct engine *e)
{
	return HASH_COUNT(e->sessions);
}

struct engine_session *engine_find(const struct engine *e, const char *sid)
{
	struct engine_session *s;

	HASH_FIND_STR(e->sessions, sid, s);
	return s;
}

const char *engine_sid(const struct engine_session *s)
{
	return s->sid;
}

bool engine_is_websocket(const struct engine_session *s)
{
	return s->ws;
}

static void on_end(struct later *l)
{
	struct engine_session *s = container_of(l, struct engine_session, end);

	s->engine->events->on_close(s->owner);
	free(s);
}

void engine_finish(struct engine_session *s)
{
	struct ws_conn *ws = s->ws;

	if (s->state == ENGINE_SESSION_CLOSED)
		return;
	s->state = ENGINE_SESSION_CLOSED;
	HASH_DEL(s->engine->sessions, s);
	deadline_clear(&s->deadline);
	polling_free(s);
	s->ws = NULL;
	if (ws)
		engine_ws_leave(ws);
	later_set(service_wheel(s->engine->service), &s->end);
}

void engine_cut(struct engine_session *s)
{
	struct ws_conn *ws = s->ws;

	engine_finish(s);
	if (ws)
		ws_cut(ws);
}

void engine_close(struct engine_session *s)
{
	if (s->state != ENGINE_SESSION_OPEN)
		return;
	if (s->ws) {
		engine_finish(s);
		return;
	}
	/* A client that is moving has let its last poll go and takes nothing by polling any more. */
	if (!s->polling->is_probed)
		engine_probe_end(s);
	polling_send(s, &(struct engine_packet){.type = ENGINE_CLOSE});
	s->state = ENGINE_SESSION_CLOSING;
	deadline_set(service_wheel(s->engine->service), &s->deadline, CLOSING_MS);
	if (s->polling->poll)
		polling_flush(s);
}

void engine_close_all(struct engine *e)
{
	struct engine_session *s, *next;

	HASH_ITER(hh, e->sessions, s, next)
	engine_close(s);
}

void engine_cut_all(struct engine *e)
{
	struct engine_session *s, *next;

	HASH_ITER(hh, e->sessions, s, next)
	engine_cut(s);
}

/* ---- Heartbeat ---- */

static void on_deadline(struct deadline *d);

struct engine_session *engine_session_new(struct engine *e)
{
	struct engine_session *s = xcalloc(1, sizeof(*s));

	s->engine = e;
	secret_new(s->sid, sizeof(s->sid), "", 15);
	deadline_init(&s->deadline, on_deadline);
	later_init(&s->end, on_end);
	HASH_ADD_STR(e->sessions, sid, s);
	return s;
}

/* Times are counted from when they were due, not from when the coarse timer came, so that pings keep their pace. */
static void wait_for_ping(struct engine_session *s)
{
	uint64_t now = engine_now(s->engine), from = s->ping_at ? s->ping_at : now;
	uint32_t interval = s->engine->options.ping_interval;

	s->is_awaiting = false;
	s->ping_at = from + interval;
	deadline_set(service_wheel(s->engine->service), &s->deadline, s->ping_at > now ? s->ping_at - now : 0);
}

static uint64_t pong_limit(const struct engine_session *s)
{
	return s->ping_at + s->engine->options.ping_timeout;
}

bool engine_check_time(struct engine_session *s)
{
	/* One ms less: the clocks of both sides round. */
	if (s->state != ENGINE_SESSION_OPEN || engine_now(s->engine) + 1 < pong_limit(s))
		return true;
	engine_finish(s);
	return false;
}

static void send_packet(struct engine_session *s, const struct engine_packet *p)
{
	if (s->ws)
		engine_ws_send(s, p);
	else
		polling_send(s, p);
}

static void on_deadline(struct deadline *d)
{
	struct engine_session *s = container_of(d, struct engine_session, deadline);
	uint64_t now = engine_now(s->engine), limit = pong_limit(s);

	if (s->state != ENGINE_SESSION_OPEN || s->is_awaiting) {
		engine_finish(s);
		return;
	}
	s->is_awaiting = true;
	send_packet(s, &(struct engine_packet){.type = ENGINE_PING});
	deadline_set(service_wheel(s->engine->service), d, limit > now ? limit - now : 1);
}

void engine_write_open(const struct engine_session *s, struct buf *out)
{
	const struct engine_options *o = &s->engine->options;

	buf_printf(out, "{\"sid\":\"%s\",\"upgrades\":[%s],\"pingInterval\":%u,\"pingTimeout\":%u,\"maxPayload\":%zu}",
		   s->sid, s->ws ? "" : "\"websocket\"", o->ping_interval, o->ping_timeout, o->max_payload);
}

void engine_session_opened(struct engine_session *s)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	engine_write_open(s, &text);
	send_packet(s, &(struct engine_packet){ENGINE_OPEN, false, buf_str(&text)});
	wait_for_ping(s);
	s->owner = s->engine->events->on_open(s->engine->arg, s);
}

/* ---- Packets ---- */

void engine_take(struct engine_session *s, const struct engine_packet *p)
{
	if (s->state != ENGINE_SESSION_OPEN)
		return;
	/* Whoever sends is alive. */
	if (s->is_awaiting)
		wait_for_ping(s);
	switch (p->type) {
	case ENGINE_MESSAGE: s->engine->events->on_message(s->owner, p->is_binary, p->data); break;
	case ENGINE_CLOSE: polling_release(s); __attribute__((fallthrough));
	case ENGINE_PING: engine_finish(s); break; /* only the server pings */
	case ENGINE_OPEN:
	case ENGINE_PONG:
	case ENGINE_UPGRADE:
	case ENGINE_NOOP: break;
	}
}

bool engine_send(struct engine_session *s, bool is_binary, struct str data)
{
	struct engine_packet p = {ENGINE_MESSAGE, is_binary, data};

	if (s->state != ENGINE_SESSION_OPEN)
		return true;
	return s->ws ? engine_ws_send(s, &p) : polling_send(s, &p);
}

bool engine_send_shared(struct engine_session *s, struct ws_shared *frame)
{
	if (s->state != ENGINE_SESSION_OPEN)
		return true;
	return s->ws ? ws_send_shared(s->ws, frame) : polling_send_text(s, ws_shared_message(frame));
}

size_t engine_queued(const struct engine_session *s)
{
	return s->ws ? ws_queued(s->ws) : s->polling ? s->polling->payload.n : 0;
}
