#include "chat.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "dialects.h"
#include "wire.h"

#define MAX_BODY (16 * 1024 * 1024)

/* An answer on its way: event after event, one every pace_ms. */
struct stream_out {
	struct exchange *x; /* NULL once the client has left */
	struct wire_events events;
	struct demo_script script;
	enum demo_dialect dialect;
	size_t sent;
	uv_timer_t timer;
};

static enum demo_dialect dialect_of(const struct exchange *x)
{
	const char *path = x->route->pattern;

	if (strcmp(path, "/v1/messages") == 0)
		return DEMO_ANTHROPIC;
	if (strcmp(path, "/v1/responses") == 0)
		return DEMO_RESPONSES;
	return strcmp(path, "/api/chat") == 0 ? DEMO_OLLAMA : DEMO_CHAT;
}

void demo_reply_error(struct exchange *x, int status, const char *code, const char *param, const char *message)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	enum demo_dialect d = dialect_of(x);

	if (d == DEMO_CHAT)
		wire_error(&out, status, code, param, message);
	else
		dialect_error(d, false, &out, status, code, message);
	reply_raw_json(x, status, buf_str(&out));
}

/* ---- Failing as the script says ---- */

static int64_t *failures_of(struct demo *d, uint64_t key)
{
	struct demo_failure *f = &d->failures[key % DEMO_FAILURES];

	if (f->key != key)
		*f = (struct demo_failure){.key = key};
	return &f->count;
}

static const char *code_of(int64_t status)
{
	switch (status) {
	case 400: return "invalid_request";
	case 401: return "invalid_api_key";
	case 404: return "model_not_found";
	case 429: return "rate_limit_exceeded";
	default: return NULL;
	}
}

static void reply_html(struct exchange *x, int status)
{
	static const char page[] = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 "
				   "Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";

	http_reply(x->req, status, "text/html", NULL, page, sizeof(page) - 1);
}

/* Whether the script made it fail; then it is answered. */
static bool fail(struct exchange *x, const struct demo_request *r)
{
	const struct demo_script *s = &r->script;
	int status = s->fail_status ? (int)s->fail_status : s->html_error ? 502 : s->error_in_body ? 200 : 0;
	char seconds[24];

	if (!status || (s->fail_times > 0 && *failures_of(x->self, r->key) >= s->fail_times))
		return false;
	++*failures_of(x->self, r->key);
	if (s->fail_retry_after > 0) {
		snprintf(seconds, sizeof(seconds), "%lld", (long long)s->fail_retry_after);
		reply_header(x, "Retry-After", seconds);
	}
	if (s->html_error)
		reply_html(x, status);
	else
		demo_reply_error(x, status, code_of(status), NULL, "The demo model was told to fail by its script.");
	return true;
}

/* ---- Sending ---- */

static void on_timer_close(uv_handle_t *h)
{
	struct stream_out *o = container_of((uv_timer_t *)h, struct stream_out, timer);

	wire_events_deinit(&o->events);
	free(o);
}

static void out_end(struct stream_out *o)
{
	if (o->x)
		o->x->on_gone = NULL;
	o->x = NULL;
	uv_timer_stop(&o->timer);
	if (!uv_is_closing((uv_handle_t *)&o->timer))
		uv_close((uv_handle_t *)&o->timer, on_timer_close);
}

static void on_gone(struct exchange *x)
{
	out_end(x->data);
}

static void send_events(struct stream_out *o, size_t upto)
{
	size_t from = wire_events_end(&o->events, o->sent), to = wire_events_end(&o->events, upto);

	if (to > from)
		http_reply_write(o->x->req, o->events.bytes.p + from, to - from);
	o->sent = upto;
}

static int64_t or_never(int64_t n)
{
	return n < 0 ? INT64_MAX : n;
}

/* How many events come before something happens. */
static size_t last_event(const struct stream_out *o)
{
	const struct demo_script *s = &o->script;
	int64_t n = (int64_t)wire_events_count(&o->events);

	n = MIN(n, or_never(s->break_after_chunks));
	n = MIN(n, or_never(s->error_after_chunks));
	return (size_t)MIN(n, or_never(s->hang_after_chunks));
}

static void send_error_event(struct stream_out *o)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	dialect_error(o->dialect, true, &out, 500, NULL,
		      "The demo model was told by its script to fail in the middle.");
	http_reply_write(o->x->req, out.p, out.n);
}

/* Everything that is to be sent was sent. Returns whether the stream is over. */
static bool finish(struct stream_out *o)
{
	const struct demo_script *s = &o->script;
	int64_t sent = (int64_t)o->sent;
	struct http_request *req = o->x->req;

	if (s->hang_after_chunks == sent) {
		uv_timer_stop(&o->timer);
		return false;
	}
	if (s->break_after_chunks == sent) {
		out_end(o);
		http_reply_abort(req);
		return true;
	}
	if (s->error_after_chunks == sent)
		send_error_event(o);
	out_end(o);
	http_reply_end(req);
	return true;
}

static void on_tick(uv_timer_t *t)
{
	struct stream_out *o = container_of(t, struct stream_out, timer);
	size_t last = last_event(o);

	if (o->sent < last)
		send_events(o, o->script.pace_ms > 0 ? o->sent + 1 : last);
	if (o->sent >= last)
		finish(o);
}

static void add_stream_headers(struct exchange *x, struct http_headers *h)
{
	*h = (struct http_headers){.arena = x->arena};
	http_header_add(h, "Content-Type",
			dialect_of(x) == DEMO_OLLAMA ? STR("application/x-ndjson")
						     : STR("text/event-stream; charset=utf-8"));
	http_header_add(h, "Cache-Control", STR("no-cache"));
	http_header_add(h, "X-Request-Id", str_of(x->request_id));
}

/* Everything in one write: for benchmarks. */
static bool can_send_at_once(const struct demo_script *s)
{
	return s->instant && s->break_after_chunks < 0 && s->error_after_chunks < 0 && s->hang_after_chunks < 0;
}

static void send_stream(struct exchange *x, const struct wire_answer *a)
{
	const struct demo_script *s = &a->request->script;
	struct http_headers headers;
	struct wire_events events = {0};

	if (dialect_of(x) == DEMO_CHAT)
		wire_stream(&events, a);
	else
		dialect_stream(dialect_of(x), &events, a);
	add_stream_headers(x, &headers);
	if (can_send_at_once(s)) {
		http_reply(x->req, 200, NULL, &headers, events.bytes.p, events.bytes.n);
		wire_events_deinit(&events);
		return;
	}

	struct stream_out *o = xcalloc(1, sizeof(*o));

	o->x = x;
	o->events = events;
	o->script = *s;
	o->dialect = dialect_of(x);
	if (s->instant)
		o->script.pace_ms = 0;
	x->data = o;
	x->on_gone = on_gone;
	uv_timer_init(service_loop(x->service), &o->timer);
	http_set_streaming(x->req);
	http_reply_head(x->req, 200, &headers, -1);
	uv_timer_start(&o->timer, on_tick, (uint64_t)s->first_ms, (uint64_t)MAX(o->script.pace_ms, 1));
}

static void on_whole_tick(uv_timer_t *t)
{
	struct stream_out *o = container_of(t, struct stream_out, timer);
	struct exchange *x = o->x;
	struct str text = arena_str(x->arena, buf_str(&o->events.bytes));

	out_end(o);
	reply_raw_json(x, 200, text);
}

static void send_whole(struct exchange *x, const struct wire_answer *a)
{
	const struct demo_script *s = &a->request->script;
	struct buf text = BUF_INIT;

	wire_whole(&text, a);
	if (s->instant || s->first_ms == 0) {
		reply_raw_json(x, 200, buf_str(&text));
		buf_deinit(&text);
		return;
	}

	struct stream_out *o = xcalloc(1, sizeof(*o));

	o->x = x;
	o->events.bytes = text;
	x->data = o;
	x->on_gone = on_gone;
	http_set_streaming(x->req);
	uv_timer_init(service_loop(x->service), &o->timer);
	uv_timer_start(&o->timer, on_whole_tick, (uint64_t)s->first_ms, 0);
}

/* ---- Deciding ---- */

static void decide_loop(struct arena *a, const struct demo_request *r, struct demo_step *step)
{
	step->n = 1;
	step->commands[0] = r->script.loop_same ? "echo again" : arena_printf(a, "echo round %u", r->rounds + 1);
}

static void decide_calls(struct exchange *x, const struct demo_request *r, struct wire_answer *a)
{
	struct demo_step *step = arena_new_of(x->arena, struct demo_step);

	if (r->script.loop || r->script.loop_same)
		decide_loop(x->arena, r, step);
	else
		*step = r->wish.steps[r->rounds];

	_cleanup_(buf_deinit) struct buf arguments = BUF_INIT;

	for (unsigned i = 0; i < step->n; i++)
		wire_arguments(&arguments, r, step->commands[i]);
	a->step = step;
	a->tokens = wire_tokens(arguments.n) + 4 * step->n;
	a->finish = "tool_calls";
}

static void decide_text(struct exchange *x, const struct demo_request *r, struct wire_answer *a)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	size_t max = r->max_tokens > 0 && r->max_tokens < 1000000 ? (size_t)r->max_tokens * 4 : SIZE_MAX;

	if (r->wish.n_steps > 0 && r->rounds == 0)
		demo_answer_without_tool(&text, &r->wish);
	else
		demo_answer(&text, &r->wish, r->results, r->n_results);
	a->finish = r->script.filtered ? "content_filter" : text.n > max ? "length" : "stop";
	a->text = arena_str(x->arena, (struct str){text.p, MIN(text.n, max)});
	while (a->text.n > 0 && a->text.n < text.n && ((unsigned char)text.p[a->text.n] & 0xc0) == 0x80)
		a->text.n--;
	a->tokens = MAX(wire_tokens(a->text.n), 1);
}

static void answer(struct exchange *x, const struct demo_request *r)
{
	struct demo *d = x->self;
	struct wire_answer a = {.request = r, .created = clock_now_us() / 1000000};
	bool wants_calls = r->script.loop || r->script.loop_same || r->rounds < r->wish.n_steps;

	d->n_answers++;
	metric_add(d->answers, 1);
	a.id = arena_printf(x->arena, "chatcmpl-%s%08llx", d->seed, (unsigned long long)d->n_answers);
	a.calls_id = arena_printf(x->arena, "call_%s%08llx", d->seed, (unsigned long long)d->n_answers);
	if (wants_calls && r->shell_argument) {
		decide_calls(x, r, &a);
	} else {
		decide_text(x, r, &a);
		*failures_of(d, r->key) = 0; /* the same conversation may fail again */
	}
	if (r->stream)
		send_stream(x, &a);
	else
		send_whole(x, &a);
}

static void on_body(struct http_request *req, int err, struct str body)
{
	struct exchange *x = req->owner;
	struct demo *d = x->self;
	struct demo_script script = d->script;
	struct demo_refusal refusal = {.status = 400};
	struct demo_request *r = arena_new_of(x->arena, struct demo_request);
	struct str header = http_header_get(&req->headers, "X-Demo-Script");

	if (err)
		return;
	body = dialect_to_chat(dialect_of(x), x->arena, body);
	if ((header.p && demo_script_parse(&script, x->arena, header, &refusal.error) < 0) ||
	    demo_request_read(x->arena, body, &script, r, &refusal) < 0) {
		demo_reply_error(x, refusal.status, refusal.error.code, refusal.param, refusal.error.message);
		return;
	}
	if (!r->stream && dialect_of(x) != DEMO_CHAT) {
		demo_reply_error(x, 400, "unsupported_value", "stream", "In this dialect the demo model streams only.");
		return;
	}
	if (r->script.error_in_stream && r->script.error_after_chunks < 0)
		r->script.error_after_chunks = 2;
	if (r->script.hang)
		http_set_streaming(x->req); /* so that a client who leaves is noticed */
	else if (!fail(x, r))
		answer(x, r);
}

void demo_chat(struct exchange *x)
{
	http_set_max_body(x->req, MAX_BODY);
	http_read_body(x->req, on_body);
}
