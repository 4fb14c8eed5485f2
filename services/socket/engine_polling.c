/* Long-polling: one GET waits for packets, one POST at a time brings some. Two of a kind at once, or a poll whose
 * client leaves before it was answered, end the session: packets could be lost or out of order. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "engine_internal.h"

#define KEEP_PAYLOAD 4096 /* bytes of an empty payload's memory */

/* ---- Answers ---- */

static void answer(struct engine *e, struct exchange *x, int status, const char *type, struct str text)
{
	struct http_headers h = {.arena = x->arena};

	if (!x->req)
		return;
	http_header_add(&h, "Cache-Control", STR("no-store"));
	http_header_add(&h, "X-Content-Type-Options", STR("nosniff"));
	http_header_add(&h, "X-Request-Id", str_of(x->request_id));
	if (e->options.any_origin)
		http_header_add(&h, "Access-Control-Allow-Origin", STR("*"));
	http_reply(x->req, status, type, &h, text.p, text.n);
}

void engine_refuse(struct engine *e, struct exchange *x, enum engine_error error)
{
	char *text = arena_printf(x->arena, "{\"code\":%d,\"message\":\"%s\"}", (int)error, engine_error_texts[error]);

	answer(e, x, 400, "application/json", str_of(text));
}

/* A page of another site asks first. */
static void answer_preflight(struct engine *e, struct exchange *x)
{
	if (e->options.any_origin) {
		reply_header(x, "Access-Control-Allow-Origin", "*");
		reply_header(x, "Access-Control-Allow-Methods", "GET, POST");
		reply_header(x, "Access-Control-Allow-Headers", "*");
	}
	reply_empty(x, 204);
}

/* ---- The waiting poll ---- */

static void let_go(struct exchange **slot)
{
	if (*slot)
		(*slot)->data = NULL;
	*slot = NULL;
}

static void answer_poll(struct engine_session *s, struct str payload)
{
	struct exchange *x = s->polling->poll;

	let_go(&s->polling->poll);
	if (x)
		answer(s->engine, x, 200, "text/plain; charset=UTF-8", payload);
}

static void drained(struct engine_session *s)
{
	struct polling *p = s->polling;

	if (p->payload.cap > KEEP_PAYLOAD)
		buf_deinit(&p->payload);
	else
		buf_clear(&p->payload);
	if (p->is_above && s->state == ENGINE_SESSION_OPEN) {
		p->is_above = false;
		s->engine->events->on_drain(s->owner);
	}
}

void polling_flush(struct engine_session *s)
{
	struct polling *p = s->polling;

	if (!p->poll || p->payload.n == 0)
		return;
	answer_poll(s, buf_str(&p->payload));
	if (s->state == ENGINE_SESSION_CLOSING)
		engine_finish(s);
	else
		drained(s);
}

void polling_release(struct engine_session *s)
{
	if (!s->polling || !s->polling->poll)
		return;
	if (s->polling->payload.n > 0)
		polling_flush(s);
	else
		answer_poll(s, STR("6"));
}

static void on_flush(struct later *l)
{
	struct polling *p = container_of(l, struct polling, flush);

	polling_flush(p->session);
}

static bool added(struct engine_session *s)
{
	struct polling *p = s->polling;

	if (p->poll)
		later_set(service_wheel(s->engine->service), &p->flush);
	if (p->payload.n > s->engine->options.max_queue)
		p->is_above = true;
	return !p->is_above;
}

bool polling_send(struct engine_session *s, const struct engine_packet *p)
{
	engine_payload_add(&s->polling->payload, p);
	return added(s);
}

bool polling_send_text(struct engine_session *s, struct str packet)
{
	struct buf *payload = &s->polling->payload;

	if (payload->n > 0)
		buf_add_char(payload, ENGINE_SEPARATOR);
	buf_add(payload, packet.p, packet.n);
	return added(s);
}

/* ---- Requests of a session ---- */

static void on_gone(struct exchange *x)
{
	struct engine_session *s = x->data;

	if (!s)
		return;
	let_go(s->polling->poll == x ? &s->polling->poll : &s->polling->post);
	engine_finish(s);
}

static void take_poll(struct engine_session *s, struct exchange *x)
{
	struct polling *p = s->polling;

	if (p->poll) {
		answer_poll(s, STR("1"));
		engine_finish(s);
		engine_refuse(s->engine, x, ENGINE_BAD_REQUEST);
		return;
	}
	p->poll = x;
	x->data = s;
	x->on_gone = on_gone;
	http_set_streaming(x->req); /* a client that sends no more has left */
	if (p->payload.n > 0)
		polling_flush(s);
	else if (p->is_probed)
		polling_release(s);
}

/* Whether the session goes on. */
static bool take_payload(struct engine_session *s, struct str body)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	struct engine_packet p;

	while (body.p && s->state == ENGINE_SESSION_OPEN) {
		if (!engine_payload_next(&body, &bytes, &p))
			return false;
		engine_take(s, &p);
	}
	return true;
}

static void on_post_body(struct http_request *r, int err, struct str body)
{
	struct exchange *x = r->owner;
	struct engine_session *s = x->data;
	struct engine *e;

	if (err || !s)
		return;
	e = s->engine;
	let_go(&s->polling->post);
	if (utf8_is_valid(body) && take_payload(s, body.p ? body : STR(""))) {
		answer(e, x, 200, "text/html", STR("ok"));
		return;
	}
	engine_finish(s);
	engine_refuse(e, x, ENGINE_BAD_REQUEST);
}

static void take_post(struct engine_session *s, struct exchange *x)
{
	if (s->polling->post || str_is(http_header_get(&x->req->headers, "Content-Type"), "application/octet-stream")) {
		struct engine *e = s->engine;

		engine_finish(s);
		engine_refuse(e, x, ENGINE_BAD_REQUEST);
		return;
	}
	s->polling->post = x;
	x->data = s;
	x->on_gone = on_gone;
	http_set_max_body(x->req, s->engine->options.max_payload);
	http_read_body(x->req, on_post_body);
}

void engine_handle_polling(struct engine_session *s, struct exchange *x)
{
	if (x->req->method == HTTP_GET_)
		take_poll(s, x);
	else if (x->req->method == HTTP_POST_ && s->state == ENGINE_SESSION_OPEN)
		take_post(s, x);
	else
		engine_refuse(s->engine, x, ENGINE_BAD_REQUEST);
}

/* ---- Life ---- */

static void open_by_polling(struct engine *e, struct exchange *x)
{
	struct engine_session *s = engine_session_new(e);

	polling_new(s);
	take_poll(s, x);
	engine_session_opened(s);
	/* This packet alone: clients expect the handshake in an answer of its own. */
	if (s->polling)
		polling_flush(s);
}

static void on_upgrade_timeout(struct deadline *d)
{
	engine_probe_end(container_of(d, struct polling, upgrade)->session);
}

struct polling *polling_new(struct engine_session *s)
{
	struct polling *p = xcalloc(1, sizeof(*p));

	p->session = s;
	later_init(&p->flush, on_flush);
	deadline_init(&p->upgrade, on_upgrade_timeout);
	s->polling = p;
	return p;
}

void polling_free(struct engine_session *s)
{
	struct polling *p = s->polling;

	if (!p)
		return;
	engine_probe_end(s);
	answer_poll(s, STR("1"));
	if (p->post) {
		struct exchange *x = p->post;

		let_go(&p->post);
		engine_refuse(s->engine, x, ENGINE_BAD_REQUEST);
	}
	later_clear(&p->flush);
	deadline_clear(&p->upgrade);
	buf_deinit(&p->payload);
	free(p);
	s->polling = NULL;
}

/* ---- The door ---- */

static bool is_upgrade(const struct exchange *x)
{
	return x->req->method == HTTP_GET_ && http_has_token(http_header_get(&x->req->headers, "Upgrade"), "websocket");
}

static enum engine_error check(const struct engine *e, const struct exchange *x, const struct engine_query *q,
			       struct engine_session *s)
{
	bool upgrades = is_upgrade(x);

	if (q->transport == ENGINE_UNKNOWN)
		return ENGINE_TRANSPORT_UNKNOWN;
	if (upgrades && q->transport != ENGINE_WEBSOCKET)
		return ENGINE_BAD_REQUEST;
	if (q->sid && !s)
		return ENGINE_SID_UNKNOWN;
	if (q->sid && ((!upgrades && (s->ws || q->transport != ENGINE_POLLING)) || !q->is_version_4))
		return ENGINE_BAD_REQUEST;
	if (!q->sid && x->req->method != HTTP_GET_)
		return ENGINE_BAD_METHOD;
	if (!q->sid && q->transport == ENGINE_WEBSOCKET && !upgrades)
		return ENGINE_BAD_REQUEST;
	return q->is_version_4 ? ENGINE_FINE : ENGINE_BAD_VERSION;
}

static void open_session(struct engine *e, struct exchange *x, const struct engine_query *q)
{
	if (engine_count(e) >= e->options.max_sessions || service_is_draining(e->service)) {
		reply_header(x, "Retry-After", "5");
		reply_problem(x, 503, "unavailable", "There is no room for another connection now. Come back later.");
	} else if (q->transport == ENGINE_WEBSOCKET) {
		engine_open_ws(e, x);
	} else {
		open_by_polling(e, x);
	}
}

void engine_handle(struct engine *e, struct exchange *x)
{
	struct engine_session *s = NULL;
	struct engine_query q;
	enum engine_error error;

	if (x->req->method == HTTP_OPTIONS_) {
		answer_preflight(e, x);
		return;
	}
	engine_query_read(x->arena, x->req->query, &q);
	if (q.sid)
		s = engine_find(e, q.sid);
	if (s && !engine_check_time(s))
		s = NULL;
	error = check(e, x, &q, s);
	if (error != ENGINE_FINE)
		engine_refuse(e, x, error);
	else if (!s)
		open_session(e, x, &q);
	else if (is_upgrade(x))
		engine_probe(s, x);
	else
		engine_handle_polling(s, x);
}
