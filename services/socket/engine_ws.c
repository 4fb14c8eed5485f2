/* WebSocket under Engine.IO: a session of its own, or a polling one that moves: the client sends 2probe on the new
 * connection, gets 3probe, lets its last poll come back, and says 5. */
#include "engine_internal.h"

#define CLOSE_PROTOCOL 1002

static void on_nothing(void *owner, enum ws_opcode op, const char *data, size_t n)
{
}

static void on_left(void *owner, int code)
{
}

/* Of a connection that nobody has any more. */
static const struct ws_events nobody = {.on_message = on_nothing, .on_close = on_left};

void engine_ws_leave(struct ws_conn *ws)
{
	ws_set_owner(ws, &nobody, NULL);
	ws_close(ws, 1000, NULL);
}

static struct ws_conn *accept_ws(struct engine *e, struct exchange *x, const struct ws_events *events, void *owner)
{
	/* The heartbeat is Engine.IO's. */
	struct ws_options o = {.max_message = e->options.max_payload, .deflate = true};

	return ws_accept_with(x->req, service_wheel(e->service), &o, events, owner);
}

bool engine_ws_send(struct engine_session *s, const struct engine_packet *p)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if (p->is_binary)
		return ws_send(s->ws, WS_BINARY, p->data.p, p->data.n);
	engine_payload_add(&text, p);
	return ws_send(s->ws, WS_TEXT, text.p, text.n);
}

/* ---- The session's connection ---- */

static void on_message(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	struct engine_session *s = owner;
	struct engine_packet p = {ENGINE_MESSAGE, true, {data, n}};

	if (op == WS_BINARY || engine_packet_read((struct str){data, n}, &p)) {
		engine_take(s, &p);
		return;
	}
	ws_close(s->ws, CLOSE_PROTOCOL, "malformed packet");
	engine_finish(s);
}

static void on_drain(void *owner)
{
	struct engine_session *s = owner;

	s->engine->events->on_drain(s->owner);
}

static void on_close(void *owner, int code)
{
	struct engine_session *s = owner;

	s->ws = NULL;
	engine_finish(s);
}

static const struct ws_events session_events = {.on_message = on_message, .on_drain = on_drain, .on_close = on_close};

void engine_open_ws(struct engine *e, struct exchange *x)
{
	struct ws_conn *ws = accept_ws(e, x, &nobody, NULL);
	struct engine_session *s;

	if (!ws)
		return;
	s = engine_session_new(e);
	s->ws = ws;
	ws_set_owner(ws, &session_events, s);
	engine_session_opened(s);
}

/* ---- Moving ---- */

void engine_probe_end(struct engine_session *s)
{
	struct ws_conn *probe = s->polling->probe;

	deadline_clear(&s->polling->upgrade);
	s->polling->probe = NULL;
	s->polling->is_probed = false;
	if (probe)
		engine_ws_leave(probe);
}

/* What waited for a poll goes by the new way, packet by packet. */
static void send_waiting(struct engine_session *s, struct str payload)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	struct engine_packet p;

	while (payload.n > 0 && engine_payload_next(&payload, &bytes, &p))
		engine_ws_send(s, &p);
}

static void move(struct engine_session *s)
{
	struct buf payload = s->polling->payload;
	bool is_above = s->polling->is_above;

	s->polling->payload = BUF_INIT;
	s->ws = s->polling->probe;
	s->polling->probe = NULL;
	polling_release(s);
	polling_free(s);
	ws_set_owner(s->ws, &session_events, s);
	send_waiting(s, buf_str(&payload));
	buf_deinit(&payload);
	if (is_above && s->state == ENGINE_SESSION_OPEN)
		s->engine->events->on_drain(s->owner);
}

static void on_probe_message(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	struct engine_session *s = owner;
	struct str text = {data, n};

	if (op == WS_TEXT && str_is(text, "2probe")) {
		s->polling->is_probed = true;
		ws_send(s->polling->probe, WS_TEXT, "3probe", 6);
		polling_release(s);
	} else if (op == WS_TEXT && str_is(text, "5")) {
		move(s);
		if (s->state == ENGINE_SESSION_CLOSING)
			engine_finish(s);
	} else {
		engine_probe_end(s);
	}
}

static void on_probe_close(void *owner, int code)
{
	struct engine_session *s = owner;

	s->polling->probe = NULL;
	engine_probe_end(s);
}

static const struct ws_events probe_events = {.on_message = on_probe_message, .on_close = on_probe_close};

void engine_probe(struct engine_session *s, struct exchange *x)
{
	struct ws_conn *ws = accept_ws(s->engine, x, &nobody, NULL);

	if (!ws)
		return;
	if (!s->polling || s->polling->probe || s->state != ENGINE_SESSION_OPEN) {
		engine_ws_leave(ws);
		return;
	}
	s->polling->probe = ws;
	ws_set_owner(ws, &probe_events, s);
	deadline_set(service_wheel(s->engine->service), &s->polling->upgrade, s->engine->options.upgrade_timeout);
}
