#include "ws_client.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "io/curl_api.h"

#define MESSAGE_MAX (1u << 20)
#define HEAD_MAX (16u << 10)
#define CONNECT_SECONDS 10L
#define BLOCK (16u << 10)

/* libcurl connects and encrypts; the bytes are ours. */
struct ws_tls {
	struct ws_client *ws; /* NULL: closing */
	const struct curl_api *api;
	CURL *easy;
	uv_poll_t poll;
	struct later later; /* the end, told from the loop */
	struct buf head, out;
	bool is_open;
};

/* ---- The end ---- */

static void close_stream(struct ws_client *w)
{
	if (w->stream)
		stream_close(w->stream, true);
	w->stream = NULL;
}

/* Of the connection, or of a request that did not come to one. */
static void finish(struct ws_client *w, int code)
{
	if (w->has_ended)
		return;
	w->has_ended = true;
	w->code = w->code ? w->code : code;
	close_stream(w);
	if (w->tls)
		uv_poll_stop(&w->tls->poll);
	w->on_end(w->arg, w->code);
}

/* ---- What comes ---- */

static bool on_frame(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	struct ws_client *w = owner;

	switch (op) {
	case WS_PING: ws_client_send(w, WS_PONG, data, n); return true;
	case WS_PONG: return true;
	case WS_CLOSE:
		w->code = n >= 2 ? (unsigned char)data[0] << 8 | (unsigned char)data[1] : 1005;
		ws_client_send(w, WS_CLOSE, data, MIN(n, 2u));
		return false;
	default: w->on_message(w->arg, op, data, n); return !w->has_ended;
	}
}

static void take(struct ws_client *w, const char *data, size_t n)
{
	int code = n ? ws_parser_feed(&w->parser, data, n) : 0;

	if (w->code || code)
		finish(w, code);
}

/* ---- Over our own connections ---- */

static void stream_on_data(void *owner, const char *data, size_t n)
{
	struct ws_client *w = owner;

	if (!w->has_ended)
		take(w, data, n);
}

static void stream_on_end(void *owner, int err)
{
	finish(owner, 1006);
}

static void stream_on_nothing(void *owner)
{
}

static const struct stream_events stream_events = {
	.on_data = stream_on_data,
	.on_end = stream_on_end,
	.on_drain = stream_on_nothing,
	.on_close = stream_on_nothing,
};

static void call_on_head(struct http_call *call, int status, const struct http_headers *headers)
{
	struct ws_client *w = container_of(call, struct ws_client, call);

	w->status = status;
	if (status == 101 && !str_is(http_header_get(headers, "Sec-WebSocket-Accept"), w->accept))
		w->code = 1002;
}

static void call_on_upgrade(struct http_call *call, struct stream *s, struct str early)
{
	struct ws_client *w = container_of(call, struct ws_client, call);

	w->stream = s;
	stream_set_owner(s, &stream_events, w);
	stream_resume(s);
	take(w, early.p, early.n);
}

static void call_on_done(struct http_call *call, int err)
{
	struct ws_client *w = container_of(call, struct ws_client, call);

	w->is_calling = false;
	if (err < 0 || w->status != 101)
		finish(w, 1006);
}

static void start_http(struct ws_client *w, const char *path, const char *key)
{
	struct http_headers *h = arena_new_of(w->arena, struct http_headers);

	h->arena = w->arena;
	http_header_set(h, "Authorization", arena_printf(w->arena, "Bearer %s", client_token(w->client)));
	http_header_set(h, "Upgrade", "websocket");
	http_header_set(h, "Sec-WebSocket-Version", "13");
	http_header_set(h, "Sec-WebSocket-Key", key);
	w->call = (struct http_call){
		.method = "GET",
		.target = str_of(arena_strdup(w->arena, path)),
		.headers = h,
		.on_head = call_on_head,
		.on_upgrade = call_on_upgrade,
		.on_done = call_on_done,
	};
	w->is_calling = true;
	http_call_start(client_pool(w->client), &w->call);
}

/* ---- Over TLS ---- */

static void tls_closed(uv_handle_t *handle)
{
	struct ws_tls *t = handle->data;

	t->api->easy_cleanup(t->easy);
	buf_deinit(&t->head);
	buf_deinit(&t->out);
	free(t);
}

static void tls_drop(struct ws_client *w)
{
	struct ws_tls *t = w->tls;

	if (!t)
		return;
	w->tls = NULL;
	t->ws = NULL;
	later_clear(&t->later);
	uv_close((uv_handle_t *)&t->poll, tls_closed);
}

static void tls_turn(struct ws_tls *t);

static void tls_on_poll(uv_poll_t *poll, int status, int events)
{
	tls_turn(poll->data);
}

/* The answer to the request: 101 with the right key, and nothing else will do. */
static void tls_take_head(struct ws_tls *t, const char *data, size_t n)
{
	struct ws_client *w = t->ws;
	const char *end;

	buf_add(&t->head, data, n);
	end = memmem(t->head.p, t->head.n, "\r\n\r\n", 4);
	if (!end && t->head.n < HEAD_MAX)
		return;
	w->status = t->head.n > 12 && memcmp(t->head.p, "HTTP/1.1 ", 9) == 0 ? atoi(t->head.p + 9) : 0;
	if (!end || w->status != 101 || !memmem(t->head.p, (size_t)(end - t->head.p), w->accept, strlen(w->accept))) {
		finish(w, 1006);
		return;
	}
	t->is_open = true;
	end += 4;
	take(w, end, t->head.n - (size_t)(end - t->head.p));
}

/* False: it has ended, or t is gone. */
static bool tls_receive(struct ws_tls *t)
{
	char data[BLOCK];
	size_t n = 0;
	CURLcode r;

	while ((r = t->api->easy_recv(t->easy, data, sizeof(data), &n)) == CURLE_OK && n > 0) {
		struct ws_client *w = t->ws;

		if (t->is_open)
			take(w, data, n);
		else
			tls_take_head(t, data, n);
		if (w->has_ended || w->tls != t)
			return false;
	}
	if (r == CURLE_AGAIN)
		return true;
	finish(t->ws, 1006);
	return false;
}

static bool tls_flush(struct ws_tls *t)
{
	CURLcode r = CURLE_OK;
	size_t n;

	while (t->out.n > 0 && (r = t->api->easy_send(t->easy, t->out.p, t->out.n, &n)) == CURLE_OK)
		buf_consume(&t->out, n);
	if (r == CURLE_OK || r == CURLE_AGAIN)
		return true;
	finish(t->ws, 1006);
	return false;
}

static void tls_turn(struct ws_tls *t)
{
	if (!t->ws || t->ws->has_ended)
		return;
	if (tls_receive(t) && tls_flush(t))
		uv_poll_start(&t->poll, UV_READABLE | (t->out.n > 0 ? UV_WRITABLE : 0), tls_on_poll);
}

static void tls_on_later(struct later *l)
{
	tls_turn(container_of(l, struct ws_tls, later));
}

/* Blocks until it is connected: there is nothing else to do. */
static CURL *tls_connect(const struct curl_api *api, const char *url, curl_socket_t *ret)
{
	CURL *easy = api->easy_init();

	curl_set_authorities(api, easy);
	api->easy_setopt(easy, CURLOPT_URL, url);
	api->easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	api->easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	api->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	api->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	if (api->easy_perform(easy) == CURLE_OK && api->easy_getinfo(easy, CURLINFO_ACTIVESOCKET, ret) == CURLE_OK &&
	    *ret != CURL_SOCKET_BAD)
		return easy;
	api->easy_cleanup(easy);
	return NULL;
}

static const char *host_of(struct arena *a, const char *url)
{
	struct str rest = str_of(url + strlen("https://"));
	struct str host = str_cut(&rest, '/');

	return arena_strndup(a, host.p, host.n);
}

static bool start_tls(struct ws_client *w, const char *path, const char *key)
{
	const struct curl_api *api = curl_api_load();
	curl_socket_t fd = CURL_SOCKET_BAD;
	CURL *easy = api ? tls_connect(api, client_url(w->client), &fd) : NULL;
	struct ws_tls *t;

	if (!easy)
		return false;
	t = xcalloc(1, sizeof(*t));
	t->api = api;
	t->easy = easy;
	t->ws = w;
	w->tls = t;
	later_init(&t->later, tls_on_later);
	uv_poll_init_socket(client_loop(w->client), &t->poll, fd);
	t->poll.data = t;
	buf_printf(&t->out,
		   "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
		   "13\r\n"
		   "Sec-WebSocket-Key: %s\r\nAuthorization: Bearer %s\r\n\r\n",
		   path, host_of(w->arena, client_url(w->client)), key, client_token(w->client));
	tls_turn(t);
	return true;
}

/* ---- For its owner ---- */

void ws_client_start(struct client *c, struct ws_client *w, const char *path)
{
	unsigned char bytes[16];
	char key[32];

	w->client = c;
	w->arena = arena_new();
	w->status = w->code = 0;
	w->has_ended = false;
	w->stream = NULL;
	w->tls = NULL;
	ws_parser_init(&w->parser, false, MESSAGE_MAX, on_frame, w);
	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2base64(key, sizeof(key), bytes, sizeof(bytes), sodium_base64_VARIANT_ORIGINAL);
	ws_accept_key(str_of(key), w->accept);
	if (client_pool(c))
		start_http(w, path, key);
	else if (!start_tls(w, path, key))
		finish(w, 1006);
}

bool ws_client_is_open(const struct ws_client *w)
{
	return !w->has_ended && (w->stream || (w->tls && w->tls->is_open));
}

void ws_client_send(struct ws_client *w, enum ws_opcode op, const void *data, size_t n)
{
	struct buf frame = BUF_INIT;
	uint8_t mask[4];

	if (!ws_client_is_open(w))
		return;
	randombytes_buf(mask, sizeof(mask));
	ws_frame(&frame, op, data, n, mask);
	if (w->stream) {
		stream_write(w->stream, frame.p, frame.n);
	} else {
		buf_add(&w->tls->out, frame.p, frame.n);
		later_set(client_wheel(w->client), &w->tls->later);
	}
	buf_deinit(&frame);
}

size_t ws_client_queued(const struct ws_client *w)
{
	return w->stream ? stream_queued(w->stream) : w->tls ? w->tls->out.n : 0;
}

void ws_client_deinit(struct ws_client *w)
{
	if (!w->client)
		return;
	w->has_ended = true;
	if (w->is_calling)
		http_call_cancel(&w->call);
	while (w->is_calling)
		uv_run(client_loop(w->client), UV_RUN_ONCE);
	close_stream(w);
	tls_drop(w);
	ws_parser_deinit(&w->parser);
	arena_free(w->arena);
	w->client = NULL;
}
