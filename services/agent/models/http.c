/* A provider's HTTP exchange: over the platform's own client where the server is on this machine (its latency is that
 * of a socket), otherwise over libcurl (TLS, HTTP/2, proxies). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/models/model.h"
#include "base/clock.h"

#define FIRST_BYTE_MS (120 * 1000)
#define IDLE_MS (120 * 1000)
#define CONNECT_MS (10 * 1000)
#define MAX_OWN 4 /* fields of a provider */

uint64_t model_retry_after(const char *retry_after_ms, const char *retry_after, int64_t now)
{
	struct tm tm = {0};
	char *end;

	if (retry_after_ms && *retry_after_ms) {
		double ms = strtod(retry_after_ms, &end);
		if (*end == '\0' && ms > 0 && ms < 1e12)
			return (uint64_t)ms;
	}
	if (!retry_after || !*retry_after)
		return 0;
	double s = strtod(retry_after, &end);
	if (*end == '\0' && end != retry_after)
		return s > 0 && s < 1e9 ? (uint64_t)(s * 1000) : 0;
	if (!strptime(retry_after, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return 0;
	int64_t at = timegm(&tm);
	return at > now ? (uint64_t)(at - now) * 1000 : 0;
}

static void take_head(struct model_http *h, const char *ms, const char *s, const char *should_retry)
{
	h->retry_after_ms = model_retry_after(ms, s, clock_now_us() / 1000000);
	if (should_retry && strcmp(should_retry, "true") == 0)
		h->should_retry = 1;
	else if (should_retry && strcmp(should_retry, "false") == 0)
		h->should_retry = 0;
}

static void finish(struct model_http *h, int err, const char *why)
{
	struct arena *a = h->arena;

	/* The owner may free h in its callback; `why` may live in the arena. */
	h->arena = NULL;
	h->on_done(h, err, why);
	arena_free(a);
}

/* ---- The platform's own client ---- */

static const char *header(struct model_http *h, const struct http_headers *headers, const char *name)
{
	struct str v = http_header_get(headers, name);

	return v.p ? arena_strndup(h->arena, v.p, v.n) : NULL;
}

static void on_call_head(struct http_call *c, int status, const struct http_headers *headers)
{
	struct model_http *h = c->owner;

	take_head(h, header(h, headers, "retry-after-ms"), header(h, headers, "retry-after"),
		  header(h, headers, "x-should-retry"));
	h->on_head(h, status);
}

static void on_call_body(struct http_call *c, const char *data, size_t n)
{
	struct model_http *h = c->owner;

	h->on_data(h, data, n);
}

static void on_call_done(struct http_call *c, int err)
{
	finish(c->owner, err, err ? strerror(-err) : "");
}

static void start_call(struct model_http *h)
{
	const struct model_target *t = h->target;
	struct http_headers *headers = arena_new_of(h->arena, struct http_headers);
	struct model_header own[MAX_OWN];
	size_t n = t->provider->write_headers(t, h->arena, own);

	headers->arena = h->arena;
	if (h->body.n)
		http_header_set(headers, "Content-Type", "application/json");
	http_header_set(headers, "Accept", "text/event-stream, application/x-ndjson, application/json");
	if (h->traceparent)
		http_header_set(headers, "traceparent", h->traceparent);
	for (size_t i = 0; i < n; i++)
		http_header_set(headers, own[i].name, own[i].value);
	h->call = (struct http_call){
		.method = h->method,
		.target = str_of(arena_printf(h->arena, "%s%s", t->prefix, h->path)),
		.headers = headers,
		.body_length = (int64_t)h->body.n,
		.body = h->body,
		.head_ms = FIRST_BYTE_MS,
		.idle_ms = IDLE_MS,
		.owner = h,
		.on_head = on_call_head,
		.on_body = on_call_body,
		.on_done = on_call_done,
	};
	http_call_start(model_place_pool(t->place), &h->call);
}

/* ---- libcurl ---- */

static void on_out_head(struct outbound_call *c, int status)
{
	struct model_http *h = c->owner;

	take_head(h, outbound_header(c, h->arena, "retry-after-ms"), outbound_header(c, h->arena, "retry-after"),
		  outbound_header(c, h->arena, "x-should-retry"));
	h->on_head(h, status);
}

static void on_out_data(struct outbound_call *c, const char *data, size_t n)
{
	struct model_http *h = c->owner;

	h->on_data(h, data, n);
}

static void on_out_done(struct outbound_call *c, int err, const struct error *error)
{
	struct model_http *h = c->owner;

	finish(h, err, err && error ? arena_strdup(h->arena, error->message) : "");
}

static void start_outbound(struct model_http *h)
{
	const struct model_target *t = h->target;
	const char **headers = arena_alloc(h->arena, (4 + MAX_OWN) * sizeof(*headers));
	struct model_header own[MAX_OWN];
	size_t n = 0, n_own = t->provider->write_headers(t, h->arena, own);

	if (h->body.n)
		headers[n++] = "Content-Type: application/json";
	headers[n++] = "Accept: text/event-stream, application/x-ndjson, application/json";
	if (h->traceparent)
		headers[n++] = arena_printf(h->arena, "traceparent: %s", h->traceparent);
	for (size_t i = 0; i < n_own; i++)
		headers[n++] = arena_printf(h->arena, "%s: %s", own[i].name, own[i].value);
	h->out = (struct outbound_call){
		.method = h->method,
		.url = arena_printf(h->arena, "%s%s", t->base_url, h->path),
		.headers = headers,
		.body = h->body,
		.connect_ms = CONNECT_MS,
		.first_byte_ms = FIRST_BYTE_MS,
		.idle_ms = IDLE_MS,
		.owner = h,
		.on_head = on_out_head,
		.on_data = on_out_data,
		.on_done = on_out_done,
	};
	outbound_start(h->outbound, &h->out);
}

void model_http_start(struct model_http *h)
{
	h->arena = arena_new();
	h->retry_after_ms = 0;
	h->should_retry = -1;
	if (model_place_pool(h->target->place))
		start_call(h);
	else
		start_outbound(h);
}

void model_http_cancel(struct model_http *h)
{
	if (model_place_pool(h->target->place))
		http_call_cancel(&h->call);
	else
		outbound_cancel(&h->out);
}
