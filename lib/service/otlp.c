#include "service/otlp.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "io/http_client.h"
#include "io/loop_thread.h"
#include "io/outbound.h"
#include "service/metrics.h"

#define QUEUE_MAX 4096 /* spans */
#define QUEUE_MAX_BYTES (4 << 20)
#define BATCH_FULL 512 /* sent at once */
#define DELAY_MS 1000  /* a span waits for others at most so long */
#define AGAIN_MAX_MS 30000
#define TRIES 6
#define TIMEOUT_MS 10000
#define HEADERS_MAX 8
#define ANSWER_MAX 65536

struct otlp {
	/* To a collector by http goes the platform's own client, which every role has at hand; by https libcurl. */
	struct http_pool *pool;
	struct outbound *outbound;
	struct wheel *wheel;
	char *url;      /* for libcurl */
	char *target;   /* for the pool */
	char *resource; /* the beginning of every body, up to the spans */
	struct arena *arena;
	struct http_headers pool_headers;
	char *headers[HEADERS_MAX + 2]; /* ends with NULL */
	uv_mutex_t mutex;               /* of the queue: spans come from all threads, the rest is the loop's */
	struct buf queue;               /* spans as JSON, with commas between */
	unsigned n;
	struct mailbox *mailbox;
	struct mail look; /* spans wait for somebody to look at the queue */
	struct buf body;  /* the batch under way, or waiting to be sent again */
	unsigned body_n, tries;
	bool is_sending, is_freed;
	_Atomic bool is_ending;
	struct outbound_call call;
	struct deadline due;
	struct metric *exported, *dropped;
};

static void send_body(struct otlp *o);
static void send_queue(struct otlp *o);

/* ---- Writing ---- */

static void add_attribute(struct buf *out, const char *key, const char *text, int64_t number)
{
	buf_printf(out, "{\"key\":\"%s\",\"value\":{", key);
	if (text) {
		buf_add_str(out, "\"stringValue\":");
		json_quote(out, str_of(text));
	} else {
		buf_printf(out, "\"intValue\":\"%lld\"", (long long)number);
	}
	buf_add_str(out, "}}");
}

static void write_span(struct buf *out, const struct span *s)
{
	const struct trace *t = s->trace;

	buf_printf(out, "{\"traceId\":\"%s\",\"spanId\":\"%s\",", t->trace_id, t->span_id);
	if (t->parent_id[0])
		buf_printf(out, "\"parentSpanId\":\"%s\",", t->parent_id);
	buf_add_str(out, "\"name\":");
	json_quote(out, str_of(s->name));
	buf_printf(out,
		   ",\"kind\":%d,\"startTimeUnixNano\":\"%lld000\",\"endTimeUnixNano\":\"%lld000\",\"attributes\":[",
		   s->kind, (long long)s->start_us, (long long)s->end_us);
	for (size_t i = 0; i < SPAN_MAX_ATTRIBUTES && s->attributes[i].key; i++) {
		if (i)
			buf_add_char(out, ',');
		add_attribute(out, s->attributes[i].key, s->attributes[i].text, s->attributes[i].number);
	}
	buf_add_str(out, "]");
	if (s->error) {
		buf_add_str(out, ",\"status\":{\"code\":2,\"message\":");
		json_quote(out, str_of(s->error));
		buf_add_str(out, "}");
	}
	buf_add_str(out, "}");
}

/* How many spans wait now; 0: the queue is full and took none. */
static unsigned queue_add(struct otlp *o, const struct span *s)
{
	unsigned n = 0;

	uv_mutex_lock(&o->mutex);
	if (o->n < QUEUE_MAX && o->queue.n < QUEUE_MAX_BYTES) {
		if (o->n)
			buf_add_char(&o->queue, ',');
		write_span(&o->queue, s);
		n = ++o->n;
	}
	uv_mutex_unlock(&o->mutex);
	return n;
}

static unsigned queue_count(struct otlp *o)
{
	uv_mutex_lock(&o->mutex);
	unsigned n = o->n;
	uv_mutex_unlock(&o->mutex);
	return n;
}

static void on_look(struct mail *m)
{
	struct otlp *o = container_of(m, struct otlp, look);
	unsigned n = queue_count(o);

	if (o->is_sending || o->body_n || !n)
		return;
	if (n >= BATCH_FULL)
		send_queue(o);
	else if (!deadline_is_set(&o->due))
		deadline_set(o->wheel, &o->due, DELAY_MS);
}

void otlp_add(struct otlp *o, const struct span *s)
{
	unsigned n;

	if (!otlp_wants(o, s->trace))
		return;
	n = atomic_load(&o->is_ending) ? 0 : queue_add(o, s);
	if (!n)
		metric_add(o->dropped, 1);
	else if (n == 1 || n == BATCH_FULL)
		mailbox_post(o->mailbox, &o->look);
}

/* ---- Sending ---- */

/* An idle connection would hold up the process's end. */
static void close_ways(struct otlp *o)
{
	http_pool_free(o->pool);
	outbound_free(o->outbound);
	mailbox_free(o->mailbox);
	o->mailbox = NULL;
	o->pool = NULL;
	o->outbound = NULL;
}

/* Nothing is under way any more: the batch went or was given up. */
static void take_next(struct otlp *o)
{
	unsigned n = queue_count(o);

	buf_clear(&o->body);
	o->body_n = o->tries = 0;
	if (n && (o->is_ending || n >= BATCH_FULL))
		send_queue(o);
	else if (n)
		deadline_set(o->wheel, &o->due, DELAY_MS);
	else if (o->is_ending)
		close_ways(o);
}

static void release(struct otlp *o)
{
	arena_free(o->arena);
	free(o->target);
	for (size_t i = 0; o->headers[i]; i++) {
		explicit_bzero(o->headers[i], strlen(o->headers[i]));
		free(o->headers[i]);
	}
	buf_deinit(&o->queue);
	buf_deinit(&o->body);
	free(o->url);
	free(o->resource);
	uv_mutex_destroy(&o->mutex);
	free(o);
}

static bool may_pass(int err, int status)
{
	return err || status == 408 || status == 429 || status >= 500;
}

static void on_sent(struct otlp *o, int err, int status, const char *why)
{
	o->is_sending = false;
	if (o->is_freed) {
		release(o);
		return;
	}
	if (!err && status >= 200 && status < 300) {
		metric_add(o->exported, o->body_n);
		take_next(o);
		return;
	}
	if (o->tries == 1 && err != -ECANCELED)
		log_event(LOG_WARN, "the collector does not take spans", "error", err ? why : http_status_text(status),
			  NULL);
	if (!o->is_ending && may_pass(err, status) && o->tries < TRIES) {
		deadline_set(o->wheel, &o->due, MIN(DELAY_MS << o->tries, AGAIN_MAX_MS));
		return;
	}
	metric_add(o->dropped, o->body_n);
	take_next(o);
}

static void on_outbound_done(struct outbound_call *c, int err, const struct error *error)
{
	on_sent(container_of(c, struct otlp, call), err, c->status, error ? error->message : "");
}

static void on_fetched(void *arg, int err, int status, struct str body)
{
	on_sent(arg, err, status, strerror(-err));
}

static void send_body(struct otlp *o)
{
	o->tries++;
	o->is_sending = true;
	if (o->pool) {
		http_fetch(o->pool, "POST", o->target, &o->pool_headers, "application/json", buf_str(&o->body),
			   ANSWER_MAX, TIMEOUT_MS, on_fetched, o);
		return;
	}
	o->call = (struct outbound_call){
		.method = "POST",
		.url = o->url,
		.headers = (const char *const *)o->headers,
		.body = buf_str(&o->body),
		.connect_ms = TIMEOUT_MS,
		.total_ms = TIMEOUT_MS,
		.on_done = on_outbound_done,
	};
	outbound_start(o->outbound, &o->call);
}

static void send_queue(struct otlp *o)
{
	deadline_clear(&o->due);
	buf_add_str(&o->body, o->resource);
	uv_mutex_lock(&o->mutex);
	buf_add(&o->body, o->queue.p, o->queue.n);
	o->body_n = o->n;
	buf_clear(&o->queue);
	o->n = 0;
	uv_mutex_unlock(&o->mutex);
	buf_add_str(&o->body, "]}]}]}");
	send_body(o);
}

static void on_due(struct deadline *d)
{
	struct otlp *o = container_of(d, struct otlp, due);

	if (o->body_n)
		send_body(o);
	else
		send_queue(o);
}

void otlp_add_served(struct otlp *o, const struct served *s)
{
	char name[200];
	int64_t now = clock_now_us();

	snprintf(name, sizeof(name), "%s %s", s->method, s->route);
	otlp_add(o, &(struct span){
			    .trace = s->trace,
			    .name = name,
			    .kind = SPAN_SERVER,
			    .start_us = now - (int64_t)s->us,
			    .end_us = now,
			    .error = s->err             ? "broken off"
				     : s->status >= 500 ? http_status_text(s->status)
							: NULL,
			    .attributes = {{"http.request.method", s->method},
					   {"http.route", s->route},
					   {"http.response.status_code", NULL, s->status},
					   {"ogent.request_id", s->request_id},
					   {s->role ? "ogent.role" : NULL, s->role}},
		    });
}

void otlp_flush(struct otlp *o)
{
	if (!o)
		return;
	o->is_ending = true;
	if (!o->is_sending && (queue_count(o) || o->body_n))
		on_due(&o->due);
	else if (!o->is_sending)
		close_ways(o);
}

/* ---- Start and end ---- */

static char *make_resource(const char *role)
{
	struct buf out = BUF_INIT;
	char name[40], instance[ID_SIZE];

	snprintf(name, sizeof(name), "ogent-%s", role);
	id_new(instance);
	buf_add_str(&out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
	add_attribute(&out, "service.name", name, 0);
	buf_add_char(&out, ',');
	add_attribute(&out, "service.namespace", "ogent", 0);
	buf_add_char(&out, ',');
	add_attribute(&out, "service.version", OGENT_VERSION, 0);
	buf_add_char(&out, ',');
	add_attribute(&out, "service.instance.id", instance, 0);
	buf_add_char(&out, ',');
	add_attribute(&out, "process.pid", NULL, getpid());
	buf_add_str(&out,
		    "]},\"scopeSpans\":[{\"scope\":{\"name\":\"ogent\",\"version\":\"" OGENT_VERSION "\"},\"spans\":[");
	return buf_steal(&out, NULL);
}

/* NAME=VALUE,… as OTEL_EXPORTER_OTLP_HEADERS has it. */
static void read_headers(struct otlp *o, const char *text)
{
	struct str rest = str_of(text);
	size_t n = 0;

	o->headers[n++] = xstrdup("Content-Type: application/json");
	while (rest.p && n <= HEADERS_MAX) {
		struct str value = str_trim(str_cut(&rest, ',')), name = str_cut(&value, '=');

		if (!name.n || !value.p)
			continue;
		o->headers[n++] = xasprintf("%.*s: %.*s", STR_ARG(name), STR_ARG(value));
		http_header_set(&o->pool_headers, arena_strndup(o->arena, name.p, name.n),
				arena_strndup(o->arena, value.p, value.n));
	}
}

static void open_way(struct otlp *o, uv_loop_t *loop, struct str endpoint)
{
	struct str rest = endpoint, host;

	o->url = xasprintf("%.*s/v1/traces", STR_ARG(endpoint));
	if (!str_has_prefix(endpoint, STR("http://"))) {
		o->outbound = outbound_new(loop);
		return;
	}
	rest = (struct str){endpoint.p + 7, endpoint.n - 7};
	host = str_cut(&rest, '/');
	o->target = xasprintf("/%.*s%sv1/traces", STR_ARG(rest), rest.n ? "/" : "");
	const char *bracket = memrchr(host.p, ']', host.n), *colon = memrchr(host.p, ':', host.n);
	bool has_port = colon && (!bracket || colon > bracket);
	char *address = xasprintf("%.*s%s", STR_ARG(host), has_port ? "" : ":80");
	o->pool = http_pool_new(loop, o->wheel, address, NULL);
	free(address);
}

struct otlp *otlp_new(uv_loop_t *loop, struct wheel *wheel, const char *role, const struct options *options)
{
	struct str endpoint = str_of(option_str(options, "otlp_endpoint"));
	static const char name[] = "ogent_spans_total", help[] = "Spans for the collector";

	trace_set_sampled(endpoint.n > 0);
	if (!endpoint.n)
		return NULL;
	while (str_has_suffix(endpoint, STR("/")))
		endpoint.n--;
	struct otlp *o = xcalloc(1, sizeof(*o));
	o->wheel = wheel;
	o->arena = arena_new();
	o->pool_headers.arena = o->arena;
	open_way(o, loop, endpoint);
	o->resource = make_resource(role);
	read_headers(o, option_str(options, "otlp_headers"));
	deadline_init(&o->due, on_due);
	uv_mutex_init(&o->mutex);
	o->look.run = on_look;
	o->mailbox = mailbox_new(loop);
	o->exported = metric_counter(name, help, "outcome=\"exported\"");
	o->dropped = metric_counter(name, help, "outcome=\"dropped\"");
	return o;
}

void otlp_free(struct otlp *o)
{
	if (!o)
		return;
	deadline_clear(&o->due);
	o->is_freed = true;
	close_ways(o);
	if (!o->is_sending) /* otherwise its end is still to come */
		release(o);
}
