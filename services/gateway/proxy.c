/* One request taken to a role and its answer brought back, both as they come, with back-pressure both ways. */
#include "gateway.h"

#include <errno.h>
#include <string.h>

#include "fields.h"

#define HEAD_MS 60000  /* to the head of the answer, unless the path says otherwise */
#define IDLE_MS 120000 /* between bytes of the answer; the roles' event streams send a comment every 15 s */

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
		http_call_end(&v->call);
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

static void on_head(struct http_call *c, int status, const struct http_headers *headers)
{
	struct visit *v = visit_of(c);

	if (!v->r)
		return;
	visit_headers(v);
	fields_for_client(headers, status == 101, &v->answer);
	if (status == 101) /* on_upgrade follows */
		return;
	if (status == 426) /* tells what to upgrade to (RFC 9110 section 15.5.22) */
		fields_add(&v->answer, STR("Upgrade"), http_field_get(headers, FIELD_UPGRADE));
	if (str_has_prefix(http_field_get(headers, FIELD_CONTENT_TYPE), STR("text/event-stream")))
		start_stream(v);
	v->has_answered = true;
	http_reply_head(v->r, status, &v->answer, length_of(headers));
}

static void on_body(struct http_call *c, const char *data, size_t n)
{
	struct visit *v = visit_of(c);

	if (v->r && !http_reply_write(v->r, data, n))
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
	const char *role = role_names[v->path->role];

	switch (err) {
	case -ETIMEDOUT:
		visit_problem(v, 504, "gateway_timeout",
			      arena_printf(v->arena, "The %s service did not answer in time. Try again later.", role));
		break;
	case -ECONNRESET:
	case -EPIPE:
	case -EBADMSG:
	case -EMSGSIZE:
	case -EPROTO:
		visit_problem(v, 502, "bad_gateway",
			      arena_printf(v->arena, "The %s service broke off its answer. Try again.", role));
		break;
	default:
		visit_problem(v, 503, "unavailable",
			      arena_printf(v->arena, "The %s service cannot be reached. Try again in a moment.", role));
		break;
	}
}

static void on_done(struct http_call *c, int err)
{
	struct visit *v = visit_of(c);

	v->calling = false;
	if (v->r) {
		http_body_resume(v->r); /* what is left of the body is nobody's now */
		if (!err)
			http_reply_end(v->r);
		else if (v->has_answered)
			http_reply_abort(v->r);
		else
			reply_failure(v, err);
	}
	visit_release(v);
}

/* ---- Start and stop ---- */

bool proxy_upgrades(const struct visit *v)
{
	const struct http_headers *h = &v->r->headers;

	return (v->path->flags & PATH_UPGRADE) && v->r->content_length == 0 && http_field_get(h, FIELD_UPGRADE).n &&
	       http_has_token(http_field_get(h, FIELD_CONNECTION), "upgrade");
}

void proxy_start(struct visit *v)
{
	struct http_request *r = v->r;
	struct request_fields f = {v->request_id, v->traceparent, &v->client, proxy_upgrades(v)};

	v->upstream.arena = v->arena;
	fields_for_upstream(r, v->path, &f, &v->upstream);
	v->call = (struct http_call){
		.method = http_method_name(r->method),
		.target = r->target,
		.headers = &v->upstream,
		.body_length = r->content_length,
		.head_ms = v->path->head_s ? v->path->head_s * 1000 : HEAD_MS,
		.idle_ms = IDLE_MS,
		.on_head = on_head,
		.on_body = on_body,
		.on_drain = on_call_drain,
		.on_upgrade = f.is_upgrade ? on_upgrade : NULL,
		.on_done = on_done,
	};
	v->calling = true;
	r->on_body = on_request_body;
	r->on_body_end = on_request_end;
	r->on_drain = on_client_drain;
	http_call_start(v->worker->pools[v->path->role], &v->call);
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
