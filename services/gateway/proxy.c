/* One request taken to a role and its answer brought back, both as they come, with back-pressure both ways. */
#include "gateway.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "fields.h"
#include "trailers.h"

static struct visit *visit_of(struct http_call *c)
{
	return container_of(c, struct visit, call);
}

/* ---- Request: from the client to the role ---- */

static void on_request_body(struct http_request *r, const char *data, size_t n)
{
	struct visit *v = r->owner;

	if (v->calling && !http_call_write(&v->call, data, n))
		http_body_pause(r);
}

static void on_request_end(struct http_request *r)
{
	struct visit *v = r->owner;

	v->body_done = true;
	if (v->calling)
		http_call_end_with(&v->call, trailers_passing(v->arena, TRAILERS_OF_CLIENT, &r->headers, r->trailers));
}

static void on_call_drain(struct http_call *c)
{
	struct visit *v = visit_of(c);

	if (v->r)
		http_body_resume(v->r);
}

/* ---- Answer: from the role to the client ---- */

static int64_t length_of(const struct http_headers *h)
{
	struct str text = http_field_get(h, FIELD_CONTENT_LENGTH);
	uint64_t n;

	return text.p && !str_to_u64(text, INT64_MAX, &n) ? (int64_t)n : -1;
}

static void on_client_drain(struct http_request *r)
{
	struct visit *v = r->owner;

	if (v->calling)
		http_call_resume(&v->call);
}

static void start_stream(struct visit *v)
{
	http_set_streaming(v->r);
	list_append(&v->worker->streams, &v->link);
}

static bool is_idempotent(enum http_method m)
{
	return m != HTTP_POST_ && m != HTTP_PATCH_;
}

/* This server cannot now; another one may. Only for what can be sent again as it was. */
static bool tries_elsewhere(struct visit *v, int status)
{
	if ((status != 502 && status != 503 && status != 504) || !v->retries_left || !is_idempotent(v->r->method) ||
	    v->r->content_length != 0 || !upstream_retry(&v->use, OUTCOME_FAILURE))
		return false;
	v->retries_left--;
	v->is_moving = true;
	http_call_cancel(&v->call);
	return true;
}

/* Those of whom we ask in the client's name; 100 is ours to say (http_server.h). */
static void on_interim(struct http_call *c, int status, const struct http_headers *headers)
{
	struct visit *v = visit_of(c);
	struct http_headers fields = {.arena = v->arena};

	if (!v->r || status < 102)
		return;
	fields_of_interim(headers, &fields);
	http_reply_interim(v->r, status, &fields);
}

/* What will come behind the body, where there is a place for it. */
static void announce_trailers(struct visit *v, const struct http_headers *headers)
{
	struct str names = {0};

	if (length_of(headers) < 0 && !v->r->is_http_1_0)
		names = trailers_announced(v->arena, TRAILERS_OF_ROLE, headers);
	if (names.p)
		fields_add(&v->answer, STR("Trailer"), names);
}

static void on_head(struct http_call *c, int status, const struct http_headers *headers)
{
	struct visit *v = visit_of(c);

	v->head_us = clock_mono_us();
	if (!v->r || tries_elsewhere(v, status))
		return;
	visit_headers(v);
	fields_for_client(headers, status == 101, v->path->cors, &v->answer);
	if (status == 101) /* on_upgrade follows */
		return;
	if (status == 426) /* tells what to upgrade to (RFC 9110 section 15.5.22) */
		fields_add(&v->answer, STR("Upgrade"), http_field_get(headers, FIELD_UPGRADE));
	announce_trailers(v, headers);
	v->head = headers;
	if (str_has_prefix(http_field_get(headers, FIELD_CONTENT_TYPE), STR("text/event-stream")))
		start_stream(v);
	v->has_answered = true;
	http_reply_head(v->r, status, &v->answer, length_of(headers));
}

static void on_body(struct http_call *c, const char *data, size_t n)
{
	struct visit *v = visit_of(c);

	if (v->r && !v->is_moving && !http_reply_write(v->r, data, n))
		http_call_pause(c);
}

static void on_upgrade(struct http_call *c, struct stream *upstream, struct str early_upstream)
{
	struct visit *v = visit_of(c);
	struct str early;
	struct stream *client = v->r ? http_upgrade(v->r, &v->answer, &early) : NULL;

	v->has_answered = true;
	if (client)
		tunnel_start(v->worker, client, early, upstream, early_upstream);
	else
		stream_close(upstream, false);
}

static void reply_failure(struct visit *v, int err)
{
	const char *name = v->path->upstream->settings.name;

	switch (err) {
	case -ETIMEDOUT:
		visit_problem(v, 504, "gateway_timeout",
			      arena_printf(v->arena, "The %s service did not answer in time. Try again later.", name));
		break;
	case -ECONNRESET:
	case -EPIPE:
	case -EBADMSG:
	case -EMSGSIZE:
	case -EPROTO:
		visit_problem(v, 502, "bad_gateway",
			      arena_printf(v->arena, "The %s service broke off its answer. Try again.", name));
		break;
	default:
		visit_problem(v, 503, "unavailable",
			      arena_printf(v->arena, "The %s service cannot be reached. Try again in a moment.", name));
		break;
	}
}

/* What the end of the call says about the server. */
static enum upstream_outcome outcome_of(const struct visit *v, int err)
{
	const struct http_call *c = &v->call;

	if (c->status >= 500 && c->status != 501)
		return OUTCOME_FAILURE;
	if (!err)
		return OUTCOME_GOOD;
	if (err == -ECANCELED)
		return c->status ? OUTCOME_GOOD : v->is_late ? OUTCOME_FAILURE : OUTCOME_NONE;
	return http_call_was_sent(c) ? OUTCOME_FAILURE : OUTCOME_NO_CONNECT;
}

static void on_done(struct http_call *c, int err)
{
	struct visit *v = visit_of(c);

	if (v->is_moving && v->r && !v->is_late) {
		v->is_moving = false;
		http_call_start(pools_get(v->worker->upstreams, v->path->upstream, v->use.endpoint), c);
		return;
	}
	upstream_end(&v->use, v->is_moving ? OUTCOME_NONE : outcome_of(v, err));
	deadline_clear(&v->total);
	v->calling = false;
	if (v->r) {
		http_body_resume(v->r); /* what is left of the body is nobody's now */
		if (!err)
			http_reply_end_with(v->r, trailers_passing(v->arena, TRAILERS_OF_ROLE, v->head, c->trailers));
		else if (v->has_answered)
			http_reply_abort(v->r);
		else
			reply_failure(v, v->is_late ? -ETIMEDOUT : err);
	}
	visit_release(v);
}

static void on_sent(struct http_call *c)
{
	struct visit *v = visit_of(c);

	upstream_sent(&v->use);
	v->endpoint = arena_strdup(v->arena, v->use.endpoint->address);
	v->sent_us = clock_mono_us();
	v->head_us = 0;
}

/* Nothing of an answer came. What never went out can be sent to another server, what is idempotent once more. */
static struct http_pool *on_failed(struct http_call *c, int err)
{
	struct visit *v = visit_of(c);
	bool was_sent = http_call_was_sent(c);

	if (!v->r || !v->retries_left || (was_sent && !is_idempotent(v->r->method)) ||
	    !upstream_retry(&v->use, was_sent ? OUTCOME_FAILURE : OUTCOME_NO_CONNECT))
		return NULL;
	v->retries_left--;
	return pools_get(v->worker->upstreams, v->path->upstream, v->use.endpoint);
}

static void on_total(struct deadline *d)
{
	struct visit *v = container_of(d, struct visit, total);

	v->is_late = true;
	if (v->calling)
		http_call_cancel(&v->call);
}

/* ---- Start and stop ---- */

bool proxy_upgrades(const struct visit *v)
{
	const struct http_headers *h = &v->r->headers;

	return (v->path->flags & PATH_UPGRADE) && v->r->content_length == 0 && http_field_get(h, FIELD_UPGRADE).n &&
	       http_has_token(http_field_get(h, FIELD_CONNECTION), "upgrade");
}

/* The path as the upstream is to see it; NULL: it is written in another way than the route. */
static struct str target_of(const struct visit *v)
{
	struct str target = v->r->target, prefix = v->path->prefix;

	if (!(v->path->flags & PATH_STRIP) || !prefix.n)
		return target;
	if (!str_has_prefix(target, prefix))
		return (struct str){0};
	target.p += prefix.n;
	target.n -= prefix.n;
	if (!target.n || target.p[0] != '/')
		return str_of(arena_printf(v->arena, "/%.*s", STR_ARG(target)));
	return target;
}

static void refuse_busy(struct visit *v, enum upstream_verdict verdict)
{
	const char *name = v->path->upstream->settings.name;

	if (verdict == UPSTREAM_FULL)
		visit_problem(
			v, 503, "overloaded",
			arena_printf(v->arena, "The %s service has too much to do. Try again in a moment.", name));
	else
		visit_problem(
			v, 503, "unavailable",
			arena_printf(v->arena, "No server of the %s service is known. Try again in a moment.", name));
}

static void init_call(struct visit *v, struct str target, bool is_upgrade)
{
	const struct gateway_route *route = v->path;

	v->call = (struct http_call){
		.method = http_method_name(v->r->method),
		.target = target,
		.headers = &v->upstream,
		.body_length = v->r->content_length,
		.connect_ms = route->connect_ms,
		.head_ms = route->first_byte_ms,
		.idle_ms = route->idle_ms,
		.on_sent = on_sent,
		.on_failed = on_failed,
		.on_interim = on_interim,
		.on_head = on_head,
		.on_body = on_body,
		.on_drain = on_call_drain,
		.on_upgrade = is_upgrade ? on_upgrade : NULL,
		.on_done = on_done,
	};
	deadline_init(&v->total, on_total);
	if (route->total_ms)
		deadline_set(v->worker->wheel, &v->total, route->total_ms);
}

void proxy_start(struct visit *v)
{
	struct http_request *r = v->r;
	struct request_fields f = {
		v->request_id, v->traceparent, &v->client, proxy_upgrades(v), trailers_wanted(&r->headers), {0}};
	struct str target = target_of(v);
	enum upstream_verdict verdict;

	if (!target.p) {
		visit_problem(v, 404, "not_found", "There is nothing at this path.");
		return;
	}
	verdict = upstream_begin(v->path->upstream, &v->use);
	if (verdict) {
		refuse_busy(v, verdict);
		return;
	}
	v->upstream.arena = v->arena;
	if (r->content_length < 0)
		f.announced = trailers_announced(v->arena, TRAILERS_OF_CLIENT, &r->headers);
	fields_for_upstream(r, v->path, &f, &v->upstream);
	init_call(v, target, f.is_upgrade);
	v->retries_left = v->path->retries;
	v->calling = true;
	r->on_body = on_request_body;
	r->on_body_end = on_request_end;
	r->on_drain = on_client_drain;
	http_call_start(pools_get(v->worker->upstreams, v->path->upstream, v->use.endpoint), &v->call);
}

void proxy_end_streams(struct gateway_worker *w)
{
	struct visit *v;

	list_foreach (v, &w->streams, struct visit, link) {
		http_call_cancel(&v->call);
		if (v->r)
			http_reply_end(v->r);
	}
}

void proxy_cancel(struct visit *v)
{
	if (v->calling)
		http_call_cancel(&v->call);
}
