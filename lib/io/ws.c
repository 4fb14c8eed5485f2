#include "io/ws.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "io/stream.h"
#include "io/ws_deflate.h"

#define PING_MS 25000
#define PONG_MS 20000
#define CLOSE_MS 5000
#define MAX_REASON 123
#define RSV1 0x40 /* of a frame's first byte: the message is compressed */

enum ws_state {
	WS_OPEN,
	WS_CLOSING, /* our close frame is out: waits for the peer's */
	WS_ENDING,  /* the stream is closing */
};

struct ws_conn {
	struct stream *stream;
	struct wheel *wheel;
	struct ws_parser parser;
	const struct ws_events *events;
	void *owner;
	enum ws_state state;
	bool is_heard;    /* since the last ping */
	bool is_awaiting; /* a ping is out */
	uint8_t window;   /* bits of the peer's inflater; 0: messages are not compressed */
	uint16_t code;    /* for on_close */
	uint32_t ping_ms, pong_ms;
	struct deadline deadline;
	struct later later; /* feeds what came with the handshake */
	struct buf early;
};

struct ws_shared {
	unsigned refs;
	bool is_tried;              /* whether a compressed form was looked for */
	uint8_t head;               /* bytes before the message */
	size_t n;                   /* of the frame */
	struct ws_shared *deflated; /* NULL: there is none, or not yet */
	uint8_t bytes[];
};

static struct ws_shared *shared_new(const uint8_t *head, size_t size, const void *data, size_t n)
{
	struct ws_shared *f = xmalloc(sizeof(*f) + size + n);

	*f = (struct ws_shared){.refs = 1, .head = (uint8_t)size, .n = size + n};
	memcpy(f->bytes, head, size);
	if (n > 0)
		memcpy(f->bytes + size, data, n);
	return f;
}

struct ws_shared *ws_shared_new(enum ws_opcode op, const void *data, size_t n)
{
	uint8_t head[10];

	return shared_new(head, ws_frame_head(head, op, n), data, n);
}

struct str ws_shared_message(const struct ws_shared *f)
{
	return (struct str){(const char *)f->bytes + f->head, f->n - f->head};
}

void ws_shared_ref(struct ws_shared *f)
{
	f->refs++;
}

void ws_shared_unref(struct ws_shared *f)
{
	if (!f || --f->refs > 0)
		return;
	ws_shared_unref(f->deflated);
	free(f);
}

static void release_shared(void *arg)
{
	ws_shared_unref(arg);
}

/* The form for a peer with this window: `f` or what it becomes when compressed. */
static struct ws_shared *shared_for(struct ws_shared *f, unsigned window)
{
	struct str message = ws_shared_message(f);

	if (message.n < WS_DEFLATE_FLOOR || message.n > (size_t)1 << window)
		return f;
	if (!f->is_tried) {
		_cleanup_(buf_deinit) struct buf data = BUF_INIT;
		uint8_t head[10];

		f->is_tried = true;
		if (ws_deflate(message, window, &data)) {
			size_t size = ws_frame_head(head, f->bytes[0] & 0x0f, data.n);

			head[0] |= RSV1;
			f->deflated = shared_new(head, size, data.p, data.n);
		}
	}
	return f->deflated ? f->deflated : f;
}

static bool put(struct ws_conn *c, enum ws_opcode op, const void *data, size_t n)
{
	uint8_t head[10];
	struct str parts[2] = {{(const char *)head, ws_frame_head(head, op, n)}, {data, n}};

	return stream_writev(c->stream, parts, n > 0 ? 2 : 1);
}

/* A message, compressed where that is agreed and worth it. */
static bool put_message(struct ws_conn *c, enum ws_opcode op, const void *data, size_t n)
{
	_cleanup_(buf_deinit) struct buf small = BUF_INIT;
	uint8_t head[10];

	if (!c->window || op >= WS_CLOSE || !ws_deflate((struct str){data, n}, c->window, &small))
		return put(c, op, data, n);

	struct str parts[2] = {{(const char *)head, ws_frame_head(head, op, small.n)}, buf_str(&small)};

	head[0] |= RSV1;
	return stream_writev(c->stream, parts, 2);
}

static void put_close(struct ws_conn *c, int code, const char *reason)
{
	char data[2 + MAX_REASON] = {(char)(code >> 8), (char)code};
	size_t n = reason ? strnlen(reason, MAX_REASON) : 0;

	while (n > 0 && ((unsigned char)reason[n] & 0xc0) == 0x80)
		n--; /* not in the middle of a character */
	if (n > 0)
		memcpy(data + 2, reason, n);
	put(c, WS_CLOSE, data, 2 + n);
}

static void end(struct ws_conn *c, bool flush)
{
	c->state = WS_ENDING;
	deadline_clear(&c->deadline);
	later_clear(&c->later);
	stream_close(c->stream, flush);
}

static void on_close_frame(struct ws_conn *c, const char *data, size_t n)
{
	c->code = n >= 2 ? (uint16_t)((uint8_t)data[0] << 8 | (uint8_t)data[1]) : 1005;
	if (c->state == WS_OPEN)
		put(c, WS_CLOSE, data, MIN(n, 2));
	end(c, true);
}

/* Returns whether to go on reading. */
static bool on_frame(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	struct ws_conn *c = owner;

	if (op == WS_CLOSE)
		on_close_frame(c, data, n);
	else if (op == WS_PING && c->state == WS_OPEN && stream_queued(c->stream) <= STREAM_HIGH_WATER)
		put(c, WS_PONG, data, n); /* a peer that sends pings and reads nothing gets no more answers */
	else if ((op == WS_TEXT || op == WS_BINARY) && c->state == WS_OPEN)
		c->events->on_message(c->owner, op, data, n);
	return c->state != WS_ENDING;
}

static void on_data(void *owner, const char *data, size_t n)
{
	struct ws_conn *c = owner;
	int code = ws_parser_feed(&c->parser, data, n);

	c->is_heard = true;
	if (code == 0 || c->state == WS_ENDING)
		return;
	c->code = (uint16_t)code;
	if (c->state == WS_OPEN)
		put_close(c, code, NULL);
	end(c, true);
}

static void on_end(void *owner, int err)
{
	end(owner, false);
}

static void on_drain(void *owner)
{
	struct ws_conn *c = owner;

	if (c->state == WS_OPEN && c->events->on_drain)
		c->events->on_drain(c->owner);
}

static void on_close(void *owner)
{
	struct ws_conn *c = owner;

	c->events->on_close(c->owner, c->code);
	ws_parser_deinit(&c->parser);
	buf_deinit(&c->early);
	free(c);
}

static const struct stream_events stream_events = {
	.on_data = on_data, .on_end = on_end, .on_drain = on_drain, .on_close = on_close};

static void on_expire(struct deadline *d)
{
	struct ws_conn *c = container_of(d, struct ws_conn, deadline);

	if (c->state == WS_CLOSING || (c->is_awaiting && !c->is_heard)) {
		end(c, false);
	} else if (c->is_awaiting) {
		c->is_awaiting = false;
		deadline_set(c->wheel, d, c->ping_ms - c->pong_ms);
	} else {
		c->is_awaiting = true;
		c->is_heard = false;
		put(c, WS_PING, NULL, 0);
		deadline_set(c->wheel, d, c->pong_ms);
	}
}

static void on_early(struct later *l)
{
	struct ws_conn *c = container_of(l, struct ws_conn, later);
	struct buf early = c->early;

	c->early = BUF_INIT;
	stream_resume(c->stream);
	if (early.n > 0)
		on_data(c, early.p, early.n);
	buf_deinit(&early);
}

static bool refuse(struct http_request *r, int status, const char *text)
{
	struct http_headers extra = {.arena = r->arena};

	if (status == 426) {
		http_header_add(&extra, "Upgrade", STR("websocket"));
		http_header_add(&extra, "Sec-WebSocket-Version", STR("13"));
	}
	http_reply(r, status, "text/plain; charset=utf-8", &extra, text, strlen(text));
	return false;
}

/* The base64 form of 16 bytes. */
static bool key_is_valid(struct str key)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (key.n != 24 || key.p[22] != '=' || key.p[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++)
		if (!key.p[i] || !strchr(digits, key.p[i]))
			return false;
	return true;
}

/* RFC 6455 section 4.2.1. */
static bool handshake_is_valid(struct http_request *r)
{
	const struct http_headers *h = &r->headers;

	if (r->method != HTTP_GET_ || r->is_http_1_0 || r->content_length != 0)
		return refuse(r, 400, "A WebSocket opens with a GET of HTTP/1.1 without a body.\n");
	if (!http_has_token(http_header_get(h, "upgrade"), "websocket") ||
	    !http_has_token(http_header_get(h, "connection"), "upgrade"))
		return refuse(r, 426, "This address speaks WebSocket: send Upgrade: websocket.\n");
	if (!str_eq(http_header_get(h, "sec-websocket-version"), STR("13")))
		return refuse(r, 426, "This address speaks version 13 of WebSocket.\n");
	if (!key_is_valid(http_header_get(h, "sec-websocket-key")))
		return refuse(r, 400, "Sec-WebSocket-Key must be 16 bytes in base64.\n");
	return true;
}

/* What the client offers, in as many fields as it likes. */
static bool negotiate(struct http_request *r, uint8_t *ret_window, char answer[static WS_DEFLATE_ANSWER])
{
	_cleanup_(buf_deinit) struct buf offers = BUF_INIT;

	for (size_t i = 0; i < r->headers.n; i++) {
		const struct http_header *h = &r->headers.items[i];

		if (!str_ieq(h->name, STR("sec-websocket-extensions")))
			continue;
		if (offers.n > 0)
			buf_add_char(&offers, ',');
		buf_add(&offers, h->value.p, h->value.n);
	}
	return offers.n > 0 && ws_deflate_negotiate(buf_str(&offers), ret_window, answer);
}

static struct ws_conn *conn_new(struct stream *s, struct wheel *wheel, const struct ws_options *o)
{
	struct ws_conn *c = xcalloc(1, sizeof(*c));

	c->stream = s;
	c->wheel = wheel;
	c->code = 1006;
	c->ping_ms = o->ping_ms;
	c->pong_ms = o->pong_ms;
	ws_parser_init(&c->parser, true, o->max_message, on_frame, c);
	deadline_init(&c->deadline, on_expire);
	if (o->ping_ms > 0)
		deadline_set(wheel, &c->deadline, o->ping_ms);
	later_init(&c->later, on_early);
	later_set(wheel, &c->later);
	return c;
}

struct ws_conn *ws_accept_with(struct http_request *r, struct wheel *wheel, const struct ws_options *options,
			       const struct ws_events *events, void *owner)
{
	struct http_headers extra = {.arena = r->arena};
	char accept[29], extension[WS_DEFLATE_ANSWER];
	uint8_t window = 0;
	struct str early;
	struct stream *s;
	struct ws_conn *c;

	if (!handshake_is_valid(r))
		return NULL;
	ws_accept_key(http_header_get(&r->headers, "sec-websocket-key"), accept);
	http_header_add(&extra, "Upgrade", STR("websocket"));
	http_header_add(&extra, "Sec-WebSocket-Accept", str_of(accept));
	if (options->protocol)
		http_header_add(&extra, "Sec-WebSocket-Protocol", str_of(options->protocol));
	if (options->deflate && negotiate(r, &window, extension))
		http_header_add(&extra, "Sec-WebSocket-Extensions", str_of(extension));
	s = http_upgrade(r, &extra, &early);
	if (!s)
		return NULL;
	c = conn_new(s, wheel, options);
	c->window = window;
	c->parser.may_deflate = window > 0;
	buf_add(&c->early, early.p, early.n);
	ws_set_owner(c, events, owner);
	stream_set_owner(s, &stream_events, c);
	return c;
}

struct ws_conn *ws_accept(struct http_request *r, struct wheel *wheel, const char *protocol, size_t max_message,
			  const struct ws_events *events, void *owner)
{
	struct ws_options o = {protocol, max_message, true, PING_MS, PONG_MS};

	return ws_accept_with(r, wheel, &o, events, owner);
}

void ws_set_owner(struct ws_conn *c, const struct ws_events *events, void *owner)
{
	c->events = events;
	c->owner = owner;
}

bool ws_send(struct ws_conn *c, enum ws_opcode op, const void *data, size_t n)
{
	return c->state != WS_OPEN || put_message(c, op, data, n);
}

bool ws_send_shared(struct ws_conn *c, struct ws_shared *f)
{
	if (c->state != WS_OPEN)
		return true;
	if (c->window)
		f = shared_for(f, c->window);
	ws_shared_ref(f);
	return stream_write_shared(c->stream, f->bytes, f->n, release_shared, f);
}

size_t ws_queued(const struct ws_conn *c)
{
	return stream_queued(c->stream);
}

void ws_close(struct ws_conn *c, int code, const char *reason)
{
	if (c->state != WS_OPEN)
		return;
	put_close(c, code, reason);
	c->state = WS_CLOSING;
	deadline_set(c->wheel, &c->deadline, CLOSE_MS);
}

void ws_cut(struct ws_conn *c)
{
	if (c->state != WS_ENDING)
		end(c, false);
	else
		stream_close(c->stream, false);
}
