#include "client.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"

#define MAX_BODY (64u << 20)
#define MAX_EVENT (16u << 20)
#define CONNECT_MS 5000

struct client {
	uv_loop_t loop;
	struct wheel *wheel;
	struct http_pool *pool;    /* of an address without TLS … */
	struct outbound *outbound; /* … otherwise this */
	char *url;                 /* without a slash at the end */
	struct buf token;
};

struct client *client_new(const char *url, struct error *err)
{
	bool is_tls = strncmp(url, "https://", 8) == 0;
	const char *address = strncmp(url, "http://", 7) == 0 ? url + 7 : url;
	size_t n = strlen(url);

	while (n && url[n - 1] == '/')
		n--;
	if (n == 0 ||
	    (!is_tls && strncmp(address, "unix:", 5) != 0 && memchr(address, '/', n - (size_t)(address - url)))) {
		error_set(err, "url_invalid", "\"%s\" is not an address: write http://HOST:PORT or https://HOST", url);
		return NULL;
	}
	struct client *c = xcalloc(1, sizeof(*c));
	c->url = xstrndup(url, n);
	uv_loop_init(&c->loop);
	c->wheel = wheel_new(&c->loop);
	if (is_tls) {
		c->outbound = outbound_new(&c->loop);
		return c;
	}
	char *host = xstrdup(c->url + (address - url));
	bool has_port =
		strncmp(host, "unix:", 5) == 0 || strchr(host[0] == '[' ? strchr(host, ']') ?: host : host, ':');
	char *full = has_port ? xstrdup(host) : xasprintf("%s:80", host);
	c->pool =
		http_pool_new(&c->loop, c->wheel, full,
			      &(struct http_pool_limits){
				      .max_connections = 8, .max_idle = 4, .idle_ms = 5000, .connect_ms = CONNECT_MS});
	free(host);
	free(full);
	return c;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	if (c->pool)
		http_pool_free(c->pool);
	if (c->outbound)
		outbound_free(c->outbound);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	wheel_free(c->wheel); /* the others end with its help */
	uv_run(&c->loop, UV_RUN_DEFAULT);
	uv_loop_close(&c->loop);
	client_set_token(c, NULL);
	free(c->url);
	free(c);
}

const char *client_url(const struct client *c)
{
	return c->url;
}

uv_loop_t *client_loop(struct client *c)
{
	return &c->loop;
}

struct wheel *client_wheel(struct client *c)
{
	return c->wheel;
}

struct http_pool *client_pool(struct client *c)
{
	return c->pool;
}

const char *client_token(const struct client *c)
{
	return c->token.n ? c->token.p : "";
}

void client_set_token(struct client *c, const char *token)
{
	if (c->token.p)
		explicit_bzero(c->token.p, c->token.cap);
	buf_deinit(&c->token);
	if (token)
		buf_add_str(&c->token, token);
}

/* ---- One request ---- */

static void stop(struct request *r)
{
	r->is_stopped = true;
	if (r->client->pool)
		http_call_cancel(&r->http);
	else
		outbound_cancel(&r->out);
}

static void take_body(struct request *r, const char *data, size_t n)
{
	if (r->is_stopped)
		return;
	if (r->on_event && r->status == 200) {
		if (sse_parser_feed(&r->sse, data, n) < 0) {
			error_set(&r->error, "event_too_large", "the platform sent an event that is too large");
			r->err = -EMSGSIZE;
			stop(r);
		}
		return;
	}
	if (r->on_body && r->status / 100 == 2) {
		if (r->on_body(r->arg, data, n))
			return;
		error_set(&r->error, "not_kept", "what came could not be kept");
		r->err = -ECANCELED;
		stop(r);
		return;
	}
	if (r->body.n + n > MAX_BODY) {
		error_set(&r->error, "answer_too_large", "the platform's answer is too large");
		r->err = -EMSGSIZE;
		stop(r);
		return;
	}
	buf_add(&r->body, data, n);
}

static bool take_event(void *owner, const struct sse_event *ev)
{
	struct request *r = owner;

	if (r->on_event(r->arg, ev))
		return true;
	stop(r);
	return false;
}

static void finish(struct request *r, int err, const char *reason)
{
	r->is_done = true;
	if (r->is_stopped)
		return;
	r->err = err;
	if (err < 0)
		error_set(&r->error, "unreachable", "%s does not answer: %s", r->client->url, reason);
}

static void http_on_head(struct http_call *call, int status, const struct http_headers *headers)
{
	container_of(call, struct request, http)->status = status;
}

static void http_on_body(struct http_call *call, const char *data, size_t n)
{
	take_body(container_of(call, struct request, http), data, n);
}

static void http_on_done(struct http_call *call, int err)
{
	finish(container_of(call, struct request, http), err, err < 0 ? strerror(-err) : "");
}

static const char *accepts(const struct request *r)
{
	return r->on_event ? "text/event-stream" : r->on_body ? "*/*" : "application/json";
}

static struct str body_of(struct request *r, struct str body)
{
	return !body.n ? (struct str){0} : r->type ? body : arena_str(r->arena, body);
}

static void start_http(struct request *r, const char *method, const char *path, struct str json)
{
	struct http_headers *h = arena_new_of(r->arena, struct http_headers);

	h->arena = r->arena;
	if (r->client->token.n)
		http_header_set(h, "Authorization", arena_printf(r->arena, "Bearer %s", r->client->token.p));
	http_header_set(h, "Accept", accepts(r));
	http_header_set(h, "User-Agent", "ogent/" OGENT_VERSION);
	if (json.n || r->type)
		http_header_set(h, "Content-Type", r->type ? r->type : "application/json");
	r->http = (struct http_call){
		.method = method,
		.target = str_of(arena_strdup(r->arena, path)),
		.headers = h,
		.body = body_of(r, json),
		.body_length = (int64_t)json.n,
		.head_ms = r->type || r->on_body ? UINT64_MAX : 0,
		.on_head = http_on_head,
		.on_body = http_on_body,
		.on_done = http_on_done,
	};
	http_call_start(r->client->pool, &r->http);
}

static void out_on_head(struct outbound_call *call, int status)
{
	container_of(call, struct request, out)->status = status;
}

static void out_on_data(struct outbound_call *call, const char *data, size_t n)
{
	take_body(container_of(call, struct request, out), data, n);
}

static void out_on_done(struct outbound_call *call, int err, const struct error *error)
{
	finish(container_of(call, struct request, out), err, error ? error->message : "");
}

static void start_outbound(struct request *r, const char *method, const char *path, struct str json)
{
	const char **headers = arena_alloc(r->arena, 5 * sizeof(char *));
	size_t n = 0;

	if (r->client->token.n)
		headers[n++] = arena_printf(r->arena, "Authorization: Bearer %s", r->client->token.p);
	headers[n++] = arena_printf(r->arena, "Accept: %s", accepts(r));
	headers[n++] = "User-Agent: ogent/" OGENT_VERSION;
	if (json.n || r->type)
		headers[n++] = arena_printf(r->arena, "Content-Type: %s", r->type ? r->type : "application/json");
	r->out = (struct outbound_call){
		.method = method,
		.url = arena_printf(r->arena, "%s%s", r->client->url, path),
		.headers = headers,
		.body = body_of(r, json),
		.connect_ms = CONNECT_MS,
		.on_head = out_on_head,
		.on_data = out_on_data,
		.on_done = out_on_done,
	};
	outbound_start(r->client->outbound, &r->out);
}

void request_start(struct client *c, struct request *r, const char *method, const char *path, struct str json)
{
	r->client = c;
	r->arena = arena_new();
	sse_parser_init(&r->sse, MAX_EVENT, take_event, r);
	if (c->pool)
		start_http(r, method, path, json);
	else
		start_outbound(r, method, path, json);
}

void request_wait(struct request *r)
{
	while (!r->is_done)
		uv_run(&r->client->loop, UV_RUN_ONCE);
}

void request_deinit(struct request *r)
{
	sse_parser_deinit(&r->sse);
	buf_deinit(&r->body);
	arena_free(r->arena);
	r->arena = NULL;
}

/* ---- The simple form ---- */

static void read_problem(yyjson_val *body, int status, struct error *err)
{
	const char *detail = json_get_str(body, "detail", NULL), *code = json_get_str(body, "code", "failed");

	if (detail)
		error_set(err, code, "%s", detail);
	else
		error_set(err, "failed", "the platform answered with status %d", status);
}

int client_exchange(struct client *c, struct arena *a, struct request *r, const char *method, const char *path,
		    struct str body, yyjson_val **ret, struct error *err)
{
	int result;

	request_start(c, r, method, path, body);
	request_wait(r);
	result = r->err < 0 ? r->err : r->status;
	if (r->err < 0) {
		error_set(err, r->error.code, "%s", r->error.message);
	} else {
		yyjson_val *root = yyjson_doc_get_root(r->body.n ? json_parse(a, r->body.p, r->body.n, NULL) : NULL);

		if (r->status >= 400)
			read_problem(root, r->status, err);
		if (ret)
			*ret = root;
	}
	request_deinit(r);
	return result;
}

int client_call(struct client *c, struct arena *a, const char *method, const char *path, struct str json,
		yyjson_val **ret, struct error *err)
{
	struct request r = {0};

	return client_exchange(c, a, &r, method, path, json, ret, err);
}
