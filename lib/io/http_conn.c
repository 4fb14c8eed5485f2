#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/networks.h"
#include "io/http_server_internal.h"
#include "io/proxy_header.h"

#define FRESH_MS 500               /* for a request that may be on its way when draining started */
#define MAX_WAITING_IN (16 * 1024) /* bytes that came and cannot be parsed yet; above it we do not read */

static const struct stream_events stream_events;

/* ---- The end of a request, and of a connection ---- */

/* Tells the handler, once, that the request is over, and takes it off the connection. */
static void end_request(struct http_conn *c, int err)
{
	struct http_box *box = c->box;
	struct http_request *r = &box->req;

	if (err < 0)
		box->is_gone = true;
	if (err < 0 && box->on_whole_body && !box->has_told_body_end)
		box->on_whole_body(r, err, (struct str){0});
	if (r->on_close)
		r->on_close(r, err);
	http_box_release(c);
}

static void close_stream(struct http_conn *c, bool do_flush)
{
	c->state = CONN_CLOSING;
	deadline_clear(&c->deadline);
	later_clear(&c->turn);
	stream_close(c->stream, do_flush);
}

static void leave(struct http_conn *c, int err)
{
	enum http_conn_state was = c->state;

	c->state = CONN_CLOSING;
	deadline_clear(&c->deadline);
	later_clear(&c->turn);
	if (was == CONN_REQUEST)
		end_request(c, err);
	else if (was == CONN_HEAD)
		http_box_release(c);
}

void http_conn_cut(struct http_conn *c, int err)
{
	leave(c, err);
	stream_close(c->stream, false);
}

/* The answer ends before its end. Where its framing shows that, the client gets what there is. */
static void break_off(struct http_conn *c)
{
	bool is_delimited = c->box->is_chunked || c->box->left > 0;

	leave(c, -ECONNABORTED);
	if (is_delimited)
		stream_close(c->stream, true);
	else
		stream_abort(c->stream);
}

/* Answers for the handler, or in place of one, and closes. An answer that has begun can only be broken off. */
static void refuse(struct http_conn *c)
{
	bool can_answer = c->box->answer == ANSWER_NONE;
	int err = c->refusal.status == 413 ? -EMSGSIZE : c->refusal.status == 408 ? -ETIMEDOUT : -EPROTO;

	if (!can_answer) {
		break_off(c);
		return;
	}
	http_reply_refusal(c);
	c->box->req.status = c->refusal.status;
	if (c->state == CONN_REQUEST)
		end_request(c, err);
	else
		http_box_release(c);
	close_stream(c, true);
}

/* The stream has a new owner; the connection goes without it. */
static void hand_over(struct http_conn *c)
{
	c->state = CONN_HANDED;
	end_request(c, 0);
	deadline_clear(&c->deadline);
	later_set(c->server->wheel, &c->turn);
}

static void finish(struct http_conn *c)
{
	end_request(c, 0);
	c->has_served = true;
	c->state = CONN_IDLE;
	c->since = uv_now(c->server->loop);
	c->has_skipped_cr = c->has_skipped_line = false;
	/* Not for the server's leaving: an answer whose head promised that the connection stays is kept. */
	if (c->is_last)
		close_stream(c, true);
}

/* ---- The flow ---- */

static void take(struct http_conn *c, size_t n)
{
	c->rest.p += n;
	c->rest.n -= n;
}

/* One empty line in front of a request is forgiven (RFC 9112 section 2.2), as CRLF only. Returns false when what comes
 * cannot be a request. */
static bool skip_empty_line(struct http_conn *c)
{
	while (c->rest.n > 0 && (c->rest.p[0] == '\r' || c->rest.p[0] == '\n')) {
		bool is_cr = c->rest.p[0] == '\r';

		if (c->has_skipped_line || is_cr == c->has_skipped_cr)
			return false;
		c->has_skipped_line = !is_cr;
		c->has_skipped_cr = is_cr;
		take(c, 1);
	}
	return c->rest.n == 0 || !c->has_skipped_cr;
}

static void begin_head(struct http_conn *c)
{
	c->state = CONN_HEAD;
	c->since = uv_now(c->server->loop);
	c->box = http_box_take(c);
	http_head_begin(c);
}

static bool step_idle(struct http_conn *c)
{
	if (c->rest.n == 0 || stream_queued(c->stream) > STREAM_HIGH_WATER)
		return false;
	if (!skip_empty_line(c)) {
		begin_head(c);
		http_refuse(c, 400, "request_malformed", "The request is not valid HTTP/1.1.");
		refuse(c);
		return true;
	}
	if (c->rest.n > 0)
		begin_head(c);
	return c->rest.n > 0;
}

static void check_announced(struct http_conn *c)
{
	struct http_box *box = c->box;

	if (box->is_paused || box->answer != ANSWER_NONE || box->is_body_done || box->is_aborted)
		return;
	if (box->req.content_length > 0 && (uint64_t)box->req.content_length > box->max_body)
		http_refuse(c, 413, "body_too_large", "The body is larger than this resource takes.");
	else if (box->expects_continue)
		http_reply_continue(c);
}

static bool step_head(struct http_conn *c)
{
	struct http_box *box = c->box;

	if (c->rest.n == 0)
		return false;
	take(c, http_head_feed(c, c->rest.p, c->rest.n));
	if (c->refusal.status || (box->is_head_done && !http_head_finish(c))) {
		refuse(c);
		return true;
	}
	if (!box->is_head_done)
		return false;
	c->state = CONN_REQUEST;
	box->rate_since = uv_now(c->server->loop);
	c->server->cb(c->server->arg, &box->req);
	return true;
}

static void tell_body_end(struct http_conn *c)
{
	struct http_box *box = c->box;
	struct http_request *r = &box->req;

	box->has_told_body_end = true;
	if (box->on_whole_body && box->body.n < box->received)
		box->on_whole_body(r, -EINVAL, (struct str){0});
	else if (box->on_whole_body)
		box->on_whole_body(r, 0, box->body.n ? buf_str(&box->body) : STR(""));
	else if (r->on_body_end)
		r->on_body_end(r);
}

static bool step_body(struct http_conn *c)
{
	struct http_box *box = c->box;

	if (box->is_paused || (c->rest.n == 0 && !box->is_parser_paused))
		return false;
	take(c, http_head_feed(c, c->rest.p, c->rest.n));
	return true;
}

static bool step_request(struct http_conn *c)
{
	struct http_box *box = c->box;

	check_announced(c);
	if (c->refusal.status)
		refuse(c);
	else if (c->is_upgraded)
		hand_over(c);
	else if (box->is_aborted)
		break_off(c);
	else if (box->answer == ANSWER_ENDED && (box->is_body_done || c->is_last))
		finish(c);
	else if (!box->is_body_done)
		return step_body(c);
	else if (!box->has_told_body_end && !box->is_paused && box->answer != ANSWER_ENDED)
		tell_body_end(c);
	else
		return false;
	return true;
}

/* The whole flow: goes on with what has come as far as it can. Returns how many bytes it took. */
static size_t flow(struct http_conn *c, const char *data, size_t n)
{
	bool goes_on = true;

	c->is_busy = true;
	c->rest = (struct str){data, n};
	while (goes_on) {
		switch (c->state) {
		case CONN_IDLE: goes_on = step_idle(c); break;
		case CONN_HEAD: goes_on = step_head(c); break;
		case CONN_REQUEST: goes_on = step_request(c); break;
		case CONN_CLOSING:
		case CONN_HANDED: goes_on = false; break;
		}
	}
	c->is_busy = false;
	return n - c->rest.n;
}

/* ---- Times ---- */

static uint64_t now_ms(const struct http_conn *c)
{
	return uv_now(c->server->loop);
}

static bool waits_for_body(const struct http_conn *c)
{
	return c->state == CONN_REQUEST && !c->box->is_body_done && !c->box->is_paused;
}

static uint64_t idle_ms(const struct http_conn *c)
{
	return c->server->is_draining ? FRESH_MS : c->server->limits.idle_ms;
}

static uint64_t rate_due(const struct http_conn *c)
{
	const struct http_limits *limits = &c->server->limits;

	return limits->body_min_rate ? c->box->rate_since + limits->body_rate_ms : UINT64_MAX;
}

/* The body's rate is looked at from now on. */
static void measure_rate(struct http_conn *c)
{
	c->box->rate_since = now_ms(c);
	c->box->rate_received = c->box->received;
}

/* At the end of each body_rate_ms: whether too little of the body came in it. */
static bool is_too_slow(struct http_conn *c, uint64_t now)
{
	const struct http_limits *limits = &c->server->limits;
	uint64_t came = c->box->received - c->box->rate_received;

	if (now < rate_due(c))
		return false;
	if (came * 1000 < limits->body_min_rate * (now - c->box->rate_since))
		return true;
	measure_rate(c);
	return false;
}

/* One deadline a connection, set only when the next look is due earlier than the one that is set already: a request
 * that is answered at once costs nothing here. */
static void watch(struct http_conn *c)
{
	const struct http_limits *limits = &c->server->limits;
	uint64_t now = now_ms(c), due = UINT64_MAX;
	size_t queued = stream_queued(c->stream);

	if (c->state == CONN_IDLE)
		due = c->since + idle_ms(c);
	else if (c->state == CONN_HEAD)
		due = c->since + limits->header_ms;
	else if (waits_for_body(c))
		due = MIN(c->last_in + limits->body_idle_ms, rate_due(c));
	if (queued > 0 && (!c->is_watched || c->taken != c->sent - queued)) {
		c->is_watched = true;
		c->taken = c->sent - queued;
		c->taken_at = now;
	}
	c->is_watched = queued > 0;
	if (queued > 0)
		due = MIN(due, MIN(c->taken_at + limits->body_idle_ms, now + limits->body_idle_ms / 4));
	if (due != UINT64_MAX && (!deadline_is_set(&c->deadline) || due < c->deadline.at))
		deadline_set(c->server->wheel, &c->deadline, due > now ? due - now : 0);
}

static void time_out(struct http_conn *c)
{
	http_refuse(c, 408, "request_timeout", "The request did not come in time.");
	refuse(c);
}

static void refuse_slow(struct http_conn *c)
{
	const struct http_limits *limits = &c->server->limits;

	http_refuse(
		c, 408, "body_too_slow",
		arena_printf(c->box->req.arena,
			     "The body came too slowly: it must come with at least %llu bytes a second. Send it again "
			     "over a better connection, or in smaller parts.",
			     (unsigned long long)limits->body_min_rate));
	refuse(c);
}

static void on_deadline(struct deadline *d)
{
	struct http_conn *c = container_of(d, struct http_conn, deadline);
	const struct http_limits *limits = &c->server->limits;
	uint64_t now = now_ms(c);
	size_t queued = stream_queued(c->stream);

	if (queued > 0 && c->is_watched && c->taken == c->sent - queued && now - c->taken_at >= limits->body_idle_ms)
		http_conn_cut(c, -ETIMEDOUT);
	else if (c->state == CONN_IDLE && queued == 0 && now - c->since >= idle_ms(c))
		close_stream(c, false);
	else if (c->state == CONN_HEAD && now - c->since >= limits->header_ms)
		time_out(c);
	else if (waits_for_body(c) && now - c->last_in >= limits->body_idle_ms)
		time_out(c);
	else if (waits_for_body(c) && is_too_slow(c, now))
		refuse_slow(c);
	else
		watch(c);
}

/* ---- Events ---- */

/* What a connection does when nothing more can be done now. */
static void settle(struct http_conn *c)
{
	bool is_done = c->state == CONN_IDLE && c->in.n == 0;

	if (c->state == CONN_CLOSING || c->state == CONN_HANDED)
		return;
	if (c->has_ended && (is_done || c->state == CONN_HEAD)) {
		if (c->state == CONN_HEAD)
			http_box_release(c);
		close_stream(c, true);
		return;
	}
	/* A client that has ended cannot send the rest of a body. */
	if (c->has_ended && c->in.n == 0 && waits_for_body(c)) {
		http_conn_cut(c, -ECONNRESET);
		return;
	}
	if (c->in.n > MAX_WAITING_IN || (c->state == CONN_REQUEST && c->box->is_paused))
		stream_pause(c->stream);
	else
		stream_resume(c->stream);
	watch(c);
}

static void run(struct http_conn *c)
{
	buf_consume(&c->in, flow(c, c->in.n ? c->in.p : "", c->in.n));
	if (c->in.n == 0 && c->in.cap > 4096)
		buf_deinit(&c->in);
	settle(c);
}

static void take_data(struct http_conn *c, const char *data, size_t n)
{
	if (c->in.n > 0) {
		buf_add(&c->in, data, n);
		run(c);
		return;
	}
	size_t taken = flow(c, data, n);
	buf_add(&c->in, data + taken, n - taken);
	settle(c);
}

/* Until the proxy's header is whole, nothing is a request. */
static void take_proxy_header(struct http_conn *c, const char *data, size_t n)
{
	struct proxy_header header;
	struct buf got;
	int length;

	buf_add(&c->in, data, n);
	length = proxy_header_parse(c->in.p, c->in.n, &header);
	if (length < 0)
		http_conn_cut(c, length);
	if (length <= 0)
		return;
	c->awaits_proxy = false;
	if (header.has_source)
		stream_set_peer(c->stream, &header.source);
	got = c->in;
	c->in = BUF_INIT;
	if (got.n > (size_t)length)
		take_data(c, got.p + length, got.n - (size_t)length);
	buf_deinit(&got);
}

static void on_data(void *owner, const char *data, size_t n)
{
	struct http_conn *c = owner;

	c->last_in = now_ms(c);
	if (c->awaits_proxy)
		take_proxy_header(c, data, n);
	else
		take_data(c, data, n);
}

/* A client that only finished sending still gets its answer, but not one without an end. */
static bool has_left(const struct http_conn *c, int err)
{
	return err < 0 || stream_peer_is_gone(c->stream) || (c->box && c->box->is_streaming);
}

static void on_end(void *owner, int err)
{
	struct http_conn *c = owner;

	c->has_ended = true;
	if (c->awaits_proxy || has_left(c, err))
		http_conn_cut(c, err < 0 ? err : -ECONNRESET);
	else
		run(c);
}

static void on_drain(void *owner)
{
	struct http_conn *c = owner;

	if (c->state == CONN_REQUEST && c->box->answer == ANSWER_STARTED && c->box->req.on_drain)
		c->box->req.on_drain(&c->box->req);
	run(c);
}

static void on_turn(struct later *l)
{
	struct http_conn *c = container_of(l, struct http_conn, turn);

	if (c->state == CONN_HANDED)
		http_conn_free(c);
	else if (c->has_ended && has_left(c, 0))
		http_conn_cut(c, -ECONNRESET);
	else
		run(c);
}

static void on_close(void *owner)
{
	http_conn_free(owner);
}

static const struct stream_events stream_events = {
	.on_data = on_data,
	.on_end = on_end,
	.on_drain = on_drain,
	.on_close = on_close,
};

void http_conn_kick(struct http_conn *c)
{
	if (!c->is_busy)
		later_set(c->server->wheel, &c->turn);
}

void http_conn_drain(struct http_conn *c)
{
	/* What has come already, and the loop has not seen yet, is served first; a new client may still say something.
	 */
	if (c->state != CONN_IDLE || c->in.n > 0 || !stream_is_quiet(c->stream))
		return;
	if (c->has_served || now_ms(c) - c->since >= FRESH_MS)
		close_stream(c, stream_queued(c->stream) > 0);
	else
		deadline_set(c->server->wheel, &c->deadline, FRESH_MS);
}

static bool is_proxy(const struct networks *proxies, const struct in6_addr *peer)
{
	if (!proxies)
		return false;
	return peer ? networks_contain(proxies, peer) : proxies->has_unix;
}

void http_conn_start(struct http_server *s, struct stream *stream)
{
	struct http_conn *c = xcalloc(1, sizeof(*c));

	c->server = s;
	c->stream = stream;
	c->since = c->last_in = uv_now(s->loop);
	c->awaits_proxy = is_proxy(s->limits.proxies, stream_peer(stream));
	list_append(&s->conns, &c->link);
	s->n_conns++;
	later_init(&c->turn, on_turn);
	deadline_init(&c->deadline, on_deadline);
	stream_set_owner(stream, &stream_events, c);
	if (s->limits.max_queue)
		stream_set_high_water(stream, s->limits.max_queue);
	stream_resume(stream);
	watch(c);
}

/* ---- What a handler says about the body ---- */

void http_set_max_body(struct http_request *r, uint64_t max)
{
	box_of(r)->max_body = max;
}

void http_read_body(struct http_request *r, void (*cb)(struct http_request *r, int err, struct str body))
{
	box_of(r)->on_whole_body = cb;
	box_of(r)->has_told_body_end = false;
	http_body_resume(r);
}

void http_body_pause(struct http_request *r)
{
	struct http_box *box = box_of(r);

	if (box->is_gone || box->answer == ANSWER_ENDED)
		return;
	box->is_paused = true;
	http_conn_kick(r->conn);
}

void http_body_resume(struct http_request *r)
{
	struct http_box *box = box_of(r);

	if (box->is_gone)
		return;
	/* The time it was paused is not the client's. */
	if (box->is_paused)
		measure_rate(r->conn);
	box->is_paused = false;
	r->conn->last_in = now_ms(r->conn);
	http_conn_kick(r->conn);
}

void http_set_streaming(struct http_request *r)
{
	if (box_of(r)->is_gone)
		return;
	box_of(r)->is_streaming = true;
	http_conn_kick(r->conn);
}
