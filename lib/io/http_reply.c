#include <time.h>

#include "base/log.h"
#include "io/http_server_internal.h"

#define DROP_MAX                                                                                             \
	(64 * 1024) /* what is left of a body that nobody wants is read up to this, else the connection ends \
		     */

static bool emit(struct http_conn *c, const struct str *parts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		c->sent += parts[i].n;
	return stream_writev(c->stream, parts, n);
}

static void add_date(struct http_server *s)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != s->date_s) {
		struct tm tm;

		s->date_s = now.tv_sec;
		gmtime_r(&now.tv_sec, &tm);
		strftime(s->date, sizeof(s->date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	}
	buf_add_str(&s->scratch, s->date);
}

static void add_hex(struct buf *b, uint64_t v)
{
	char text[16];
	size_t at = sizeof(text);

	do {
		text[--at] = "0123456789abcdef"[v % 16];
		v /= 16;
	} while (v > 0);
	buf_add(b, text + at, sizeof(text) - at);
}

static bool is_ours(struct str name)
{
	switch (name.n) {
	case 4: return str_ieq(name, STR("date"));
	case 10: return str_ieq(name, STR("connection")) || str_ieq(name, STR("keep-alive"));
	case 14: return str_ieq(name, STR("content-length"));
	case 17: return str_ieq(name, STR("transfer-encoding"));
	default: return false;
	}
}

/* Returns whether the connection is to end with the answer. */
static bool add_extra(struct buf *b, const struct http_headers *extra)
{
	bool closes = false;

	for (size_t i = 0; extra && i < extra->n; i++) {
		const struct http_header *h = &extra->items[i];

		if (!is_ours(h->name))
			http_field_write(b, h->name, h->value);
		else if (str_ieq(h->name, STR("connection")))
			closes |= http_has_token(h->value, "close");
	}
	return closes;
}

/* Whether the connection cannot be used after this answer, because the rest of the body is in the way. */
static bool body_is_in_the_way(const struct http_box *box)
{
	if (box->is_body_done)
		return false;
	return box->expects_continue || box->req.content_length < 0 ||
	       (uint64_t)box->req.content_length - box->received > DROP_MAX;
}

static void add_framing(struct http_conn *c, struct buf *b, int status, int64_t length)
{
	struct http_box *box = c->box;

	box->has_no_body = box->req.method == HTTP_HEAD_ || status == 204 || status == 304;
	box->left = length;
	if (length >= 0 && status != 204 && !(status == 304 && length == 0)) {
		buf_add_str(b, "Content-Length: ");
		buf_add_number(b, (uint64_t)length);
		buf_add(b, "\r\n", 2);
	} else if (length < 0 && !box->has_no_body && !box->req.is_http_1_0) {
		box->is_chunked = true;
		buf_add_str(b, "Transfer-Encoding: chunked\r\n");
	} else if (length < 0 && !box->has_no_body) {
		c->is_last = true;
	}
	if (!box->has_keep_alive || c->server->is_leaving || body_is_in_the_way(box))
		c->is_last = true;
	if (c->is_last)
		buf_add_str(b, "Connection: close\r\n");
	else if (box->req.is_http_1_0)
		buf_add_str(b, "Connection: keep-alive\r\n");
}

/* Builds the head in the server's scratch buffer. NULL when there is nobody to answer, or an answer already. */
static struct buf *start(struct http_request *r, int status, const char *type, const struct http_headers *extra,
			 int64_t length)
{
	struct http_box *box = box_of(r);
	struct http_conn *c = r->conn;
	struct buf *b = &c->server->scratch;

	if (box->is_gone || box->answer != ANSWER_NONE)
		return NULL;
	box->answer = ANSWER_STARTED;
	r->status = status;
	buf_clear(b);
	http_status_write(b, status);
	add_date(c->server);
	if (type)
		http_field_write(b, STR("Content-Type"), str_of(type));
	c->is_last |= add_extra(b, extra);
	add_framing(c, b, status, length);
	buf_add(b, "\r\n", 2);
	return b;
}

void http_reply_head(struct http_request *r, int status, const struct http_headers *extra, int64_t length)
{
	struct buf *b = start(r, status, NULL, extra, length);

	if (!b)
		return;
	emit(r->conn, &(struct str){b->p, b->n}, 1);
	http_conn_kick(r->conn);
}

static bool send_chunk(struct http_conn *c, const void *data, size_t n)
{
	struct buf *b = &c->server->scratch;

	buf_clear(b);
	add_hex(b, n);
	buf_add(b, "\r\n", 2);
	return emit(c, (struct str[]){buf_str(b), {data, n}, STR("\r\n")}, 3);
}

bool http_reply_write(struct http_request *r, const void *data, size_t n)
{
	struct http_box *box = box_of(r);
	struct http_conn *c = r->conn;
	bool has_room = true;

	if (box->is_gone || box->is_aborted || box->answer != ANSWER_STARTED || n == 0)
		return true;
	if (box->left >= 0 && n > (uint64_t)box->left && !box->has_no_body) {
		http_reply_abort(r); /* more than announced: the client must not take the rest for another answer */
		return true;
	}
	if (box->has_no_body)
		return true;
	if (box->left >= 0)
		box->left -= (int64_t)n;
	r->bytes_out += n;
	has_room = box->is_chunked ? send_chunk(c, data, n) : emit(c, &(struct str){data, n}, 1);
	http_conn_kick(c);
	return has_room;
}

static void add_trailers(struct http_conn *c, const struct http_headers *trailers)
{
	struct buf *b = &c->server->scratch;

	buf_clear(b);
	buf_add_str(b, "0\r\n");
	add_extra(b, trailers);
	buf_add(b, "\r\n", 2);
	emit(c, &(struct str){b->p, b->n}, 1);
}

void http_reply_hold(struct http_request *r, uint64_t ms)
{
	struct http_box *box = box_of(r);

	if (box->answer == ANSWER_STARTED && !box->is_gone && !box->is_aborted)
		stream_hold(r->conn->stream, ms);
}

void http_reply_end(struct http_request *r)
{
	http_reply_end_with(r, NULL);
}

void http_reply_end_with(struct http_request *r, const struct http_headers *trailers)
{
	struct http_box *box = box_of(r);

	if (box->is_gone || box->is_aborted || box->answer != ANSWER_STARTED)
		return;
	if (box->left > 0 && !box->has_no_body) {
		http_reply_abort(r);
		return;
	}
	if (box->is_chunked && trailers && trailers->n > 0)
		add_trailers(r->conn, trailers);
	else if (box->is_chunked)
		emit(r->conn, &STR("0\r\n\r\n"), 1);
	box->answer = ANSWER_ENDED;
	box->is_paused = false;
	http_conn_kick(r->conn);
}

void http_reply(struct http_request *r, int status, const char *type, const struct http_headers *extra,
		const void *body, size_t n)
{
	struct http_box *box = box_of(r);
	struct buf *b = start(r, status, n || type ? type : NULL, extra, (int64_t)n);

	if (!b)
		return;
	if (box->has_no_body)
		n = 0;
	r->bytes_out += n;
	emit(r->conn, (struct str[]){buf_str(b), {body, n}}, n ? 2 : 1);
	box->left = 0;
	http_reply_end(r);
}

struct buf *http_scratch(struct http_request *r)
{
	struct buf *b = &r->conn->server->text;

	buf_clear(b);
	return b;
}

bool http_reply_has_started(const struct http_request *r)
{
	return container_of(r, struct http_box, req)->answer != ANSWER_NONE;
}

void http_reply_abort(struct http_request *r)
{
	struct http_box *box = box_of(r);

	if (box->is_gone || box->answer == ANSWER_ENDED)
		return;
	box->is_aborted = true;
	http_conn_kick(r->conn);
}

void http_reply_continue(struct http_conn *c)
{
	c->box->expects_continue = false;
	emit(c, &STR("HTTP/1.1 100 Continue\r\n\r\n"), 1);
}

void http_reply_interim(struct http_request *r, int status, const struct http_headers *headers)
{
	struct http_box *box = box_of(r);
	struct buf *b = &r->conn->server->scratch;

	if (box->is_gone || box->is_aborted || box->answer != ANSWER_NONE || r->is_http_1_0 || status < 102 ||
	    status > 199)
		return;
	buf_clear(b);
	http_status_write(b, status);
	add_extra(b, headers);
	buf_add(b, "\r\n", 2);
	emit(r->conn, &(struct str){b->p, b->n}, 1);
	http_conn_kick(r->conn);
}

/* A problem document (RFC 9457) like those of the services. */
void http_reply_refusal(struct http_conn *c)
{
	const struct http_refusal *f = &c->refusal;
	struct buf *b = &c->server->scratch;
	struct buf body = BUF_INIT;

	buf_printf(&body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":\"%s\"}",
		   http_status_text(f->status), f->status, f->code, f->detail);
	buf_clear(b);
	http_status_write(b, f->status);
	add_date(c->server);
	if (f->status == 405)
		buf_add_str(b, "Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n");
	buf_printf(b, "Content-Type: application/problem+json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		   body.n);
	emit(c, (struct str[]){buf_str(b), buf_str(&body)}, 2);
	buf_deinit(&body);
}

struct stream *http_upgrade(struct http_request *r, const struct http_headers *extra, struct str *early)
{
	struct http_box *box = box_of(r);
	struct http_conn *c = r->conn;
	struct buf *b = &c->server->scratch;
	struct stream *stream = c->stream;

	if (box->is_gone || box->answer != ANSWER_NONE || r->content_length != 0)
		return NULL;
	buf_clear(b);
	http_status_write(b, 101);
	add_date(c->server);
	for (size_t i = 0; extra && i < extra->n; i++)
		http_field_write(b, extra->items[i].name, extra->items[i].value);
	if (!extra || !http_header_get(extra, "connection").p)
		buf_add_str(b, "Connection: Upgrade\r\n");
	if (!extra || !http_header_get(extra, "upgrade").p)
		http_field_write(b, STR("Upgrade"), http_header_get(&r->headers, "upgrade"));
	buf_add(b, "\r\n", 2);
	emit(c, &(struct str){b->p, b->n}, 1);

	*early = arena_str(r->arena, c->is_busy ? c->rest : buf_str(&c->in));
	r->status = 101;
	box->answer = ANSWER_ENDED;
	c->is_upgraded = true;
	stream_pause(stream);
	http_conn_kick(c);
	return stream;
}
