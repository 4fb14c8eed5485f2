/* One connection carries one call at a time. on_done is called at once when an event of the connection ended the call,
 * and at the end of the loop's turn when a call of the caller did (start, cancel, free), so that no callback ever comes
 * from inside the caller's own call. */
#include "io/http_client.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "io/http_response.h"

enum call_flags {
	CALL_RETRIED = 1,   /* repeated once: wants a new connection */
	CALL_BODY_SENT = 2, /* a part of a streamed body went out: cannot be repeated */
	CALL_SENT = 4,      /* the request is written whole */
	CALL_PAUSED = 8,
	CALL_BLOCKED = 16,  /* was told to wait for on_drain */
	CALL_ENDED = 32,    /* on_done is due or was called */
	CALL_WAITING = 64,  /* in the pool's queue */
	CALL_WRITTEN = 128, /* its head went out */
};

struct http_pool {
	uv_loop_t *loop;
	struct wheel *wheel;
	char *address;
	struct http_pool_limits limits;
	struct list idle;    /* connections without a call, last used first */
	struct list busy;    /* connections with a call, also while connecting, and those that are closing */
	struct list waiting; /* calls in want of a connection, oldest first */
	struct list ended;   /* calls whose on_done is due */
	_Atomic unsigned n_connections, n_idle, n_waiting; /* changed on the loop's thread only */
	struct later later;                                /* reports those in `ended` */
	struct buf head;                                   /* of the request that is being sent; kept for the next */
	bool is_freeing;
};

struct http_client_conn {
	struct list link; /* in the pool's idle or busy list */
	struct http_pool *pool;
	struct http_call *call; /* NULL when idle or closing */
	struct connecting *connecting;
	struct stream *stream;
	struct http_response response;
	struct deadline idle;
	uint64_t born_ms; /* loop time */
	bool is_reused, is_closing;
};

static const struct http_pool_limits default_limits = {
	.max_connections = 512, .max_idle = 64, .idle_ms = 55000, .connect_ms = 5000};

static void dispatch(struct http_pool *p);

/* Whether the call can be sent again on another connection when this one dies without a byte of the answer. */
static bool is_repeatable(const struct http_call *c)
{
	static const char *const idempotent[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};

	if (c->flags & (CALL_RETRIED | CALL_BODY_SENT))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(idempotent); i++)
		if (strcmp(c->method, idempotent[i]) == 0)
			return true;
	return false;
}

/* For counters that one thread changes and others read. */
static void count(_Atomic unsigned *n, int change)
{
	unsigned now = atomic_load_explicit(n, memory_order_relaxed);

	atomic_store_explicit(n, now + (unsigned)change, memory_order_relaxed);
}

static void set_waiting(struct http_call *c, bool on)
{
	if (on == !!(c->flags & CALL_WAITING))
		return;
	c->flags ^= CALL_WAITING;
	count(&c->pool->n_waiting, on ? 1 : -1);
}

/* Puts the call into no list and no connection. */
static void call_detach(struct http_call *c)
{
	list_remove(&c->link);
	set_waiting(c, false);
	deadline_clear(&c->deadline);
	buf_deinit(&c->pending);
	if (c->conn)
		c->conn->call = NULL;
	c->conn = NULL;
}

static void call_done(struct http_call *c, int err)
{
	call_detach(c);
	c->flags |= CALL_ENDED;
	c->on_done(c, err);
}

static void call_done_later(struct http_call *c, int err)
{
	struct http_pool *p = c->pool;

	call_detach(c);
	c->flags |= CALL_ENDED;
	c->err = err;
	list_append(&p->ended, &c->link);
	later_set(p->wheel, &p->later);
}

static void pool_free_if_quiet(struct http_pool *p)
{
	if (!p->is_freeing || p->n_connections > 0 || !list_is_empty(&p->ended))
		return;
	later_clear(&p->later);
	buf_deinit(&p->head);
	free(p->address);
	free(p);
}

static void pool_on_later(struct later *l)
{
	struct http_pool *p = container_of(l, struct http_pool, later);
	struct list due;
	struct http_call *c;

	list_init(&due);
	list_splice(&due, &p->ended);
	while ((c = list_first(&due, struct http_call, link))) {
		list_remove(&c->link);
		c->on_done(c, c->err);
	}
	pool_free_if_quiet(p);
}

static void conn_free(struct http_client_conn *conn)
{
	struct http_pool *p = conn->pool;

	list_remove(&conn->link);
	deadline_clear(&conn->idle);
	http_response_deinit(&conn->response);
	free(conn);
	count(&p->n_connections, -1);
	dispatch(p);
	pool_free_if_quiet(p);
}

/* From the busy or the idle list. The memory goes when the stream or the attempt to connect has ended. */
static void conn_close(struct http_client_conn *conn)
{
	if (conn->is_closing)
		return;
	conn->is_closing = true;
	deadline_clear(&conn->idle);
	if (conn->call)
		conn->call->conn = NULL;
	conn->call = NULL;
	if (conn->stream)
		stream_close(conn->stream, false);
	else
		connecting_cancel(conn->connecting);
}

static bool is_too_old(const struct http_client_conn *conn)
{
	const struct http_pool *p = conn->pool;

	return p->limits.max_age_ms && uv_now(p->loop) - conn->born_ms >= p->limits.max_age_ms;
}

static void conn_park(struct http_client_conn *conn)
{
	struct http_pool *p = conn->pool;

	if (p->n_idle >= p->limits.max_idle || p->is_freeing || is_too_old(conn)) {
		conn_close(conn);
		return;
	}
	list_remove(&conn->link);
	list_prepend(&p->idle, &conn->link);
	count(&p->n_idle, 1);
	deadline_set(p->wheel, &conn->idle, p->limits.idle_ms);
	stream_resume(conn->stream); /* so that its end shows */
}

static void conn_unpark(struct http_client_conn *conn)
{
	struct http_pool *p = conn->pool;

	list_remove(&conn->link);
	list_append(&p->busy, &conn->link);
	count(&p->n_idle, -1);
	deadline_clear(&conn->idle);
}

static void conn_on_idle_expire(struct deadline *d)
{
	struct http_client_conn *conn = container_of(d, struct http_client_conn, idle);

	conn_unpark(conn);
	conn_close(conn);
}

/* An event of the connection ends its call. */
static void conn_fail(struct http_client_conn *conn, int err)
{
	struct http_call *c = conn->call;

	conn_close(conn);
	if (c)
		call_done(c, err);
}

static void call_on_expire(struct deadline *d)
{
	struct http_call *c = container_of(d, struct http_call, deadline);

	if (c->conn)
		conn_fail(c->conn, -ETIMEDOUT);
	else
		call_done(c, -ETIMEDOUT);
}

static void call_set_deadline(struct http_call *c, uint64_t ms, uint64_t default_ms)
{
	if (ms == UINT64_MAX)
		deadline_clear(&c->deadline);
	else
		deadline_set(c->pool->wheel, &c->deadline, ms ? ms : default_ms);
}

static void call_expect_head(struct http_call *c)
{
	call_set_deadline(c, c->head_ms, 30000);
}

static void call_expect_body(struct http_call *c)
{
	if (c->flags & CALL_PAUSED)
		deadline_clear(&c->deadline);
	else
		call_set_deadline(c, c->idle_ms, 60000);
}

static bool is_ours(struct str name)
{
	switch (name.n) {
	case 10: return str_ieq(name, STR("connection")) || str_ieq(name, STR("keep-alive"));
	case 14: return str_ieq(name, STR("content-length"));
	case 17: return str_ieq(name, STR("transfer-encoding"));
	default: return false;
	}
}

static bool method_has_body(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
}

static void add_framing(struct buf *out, const struct http_call *c)
{
	uint64_t length = c->body.p ? c->body.n : (uint64_t)c->body_length;

	if (!c->body.p && c->body_length < 0)
		buf_add_str(out, "Transfer-Encoding: chunked\r\n");
	else if (length > 0 || method_has_body(c->method)) {
		buf_add_str(out, "Content-Length: ");
		buf_add_number(out, length);
		buf_add_str(out, "\r\n");
	}
}

static const char *host_of(const struct http_pool *p)
{
	return strncmp(p->address, "unix:", 5) == 0 ? "localhost" : p->address;
}

static void add_part(struct buf *out, struct str s)
{
	buf_add(out, s.p, s.n);
}

static void add_head(struct buf *out, const struct http_call *c)
{
	bool has_te = false;

	add_part(out, str_of(c->method));
	buf_add_char(out, ' ');
	add_part(out, c->target);
	add_part(out, STR(" HTTP/1.1\r\n"));
	if (!c->headers || !http_header_get(c->headers, "host").p) {
		add_part(out, STR("Host: "));
		add_part(out, str_of(host_of(c->pool)));
		add_part(out, STR("\r\n"));
	}
	for (size_t i = 0; c->headers && i < c->headers->n; i++) {
		const struct http_header *h = &c->headers->items[i];

		if (!is_ours(h->name))
			http_field_write(out, h->name, h->value);
		has_te |= h->name.n == 2 && str_ieq(h->name, STR("te"));
	}
	if (c->on_upgrade)
		add_part(out, has_te ? STR("Connection: Upgrade, TE\r\n") : STR("Connection: Upgrade\r\n"));
	else if (has_te)
		add_part(out, STR("Connection: TE\r\n"));
	add_framing(out, c);
	add_part(out, STR("\r\n"));
}

static void conn_send(struct http_client_conn *conn, struct http_call *c)
{
	struct buf *head = &conn->pool->head;
	bool room;

	c->conn = conn;
	conn->call = c;
	http_response_begin(&conn->response, strcmp(c->method, "HEAD") == 0, c->on_upgrade != NULL);
	buf_clear(head);
	add_head(head, c);

	struct str parts[] = {buf_str(head), c->pending.n > 0 ? buf_str(&c->pending) : c->body};

	room = stream_writev(conn->stream, parts, parts[1].n > 0 ? 2 : 1);
	if (c->pending.n > 0)
		c->flags |= CALL_BODY_SENT;
	buf_deinit(&c->pending);
	stream_resume(conn->stream);
	c->flags |= CALL_WRITTEN;
	if (c->on_sent)
		c->on_sent(c);
	if (room && c->flags & CALL_BLOCKED) {
		c->flags &= ~(unsigned)CALL_BLOCKED;
		if (c->on_drain)
			c->on_drain(c);
	}
}

/* To the connection, or kept until there is one. Returns false above the high-water mark. */
static bool call_put(struct http_call *c, const struct str *parts, unsigned n)
{
	if (c->conn && c->conn->stream) {
		c->flags |= CALL_BODY_SENT;
		return stream_writev(c->conn->stream, parts, n);
	}
	for (unsigned i = 0; i < n; i++)
		buf_add(&c->pending, parts[i].p, parts[i].n);
	return c->pending.n <= STREAM_HIGH_WATER;
}

static void call_abort(struct http_call *c, int err)
{
	struct http_client_conn *conn = c->conn;

	call_done_later(c, err);
	if (conn)
		conn_close(conn);
}

static bool put_chunk(struct http_call *c, struct str data)
{
	char size[20];
	int n = snprintf(size, sizeof(size), "%zx\r\n", data.n);
	struct str parts[] = {{size, (size_t)n}, data, STR("\r\n")};

	return call_put(c, parts, ARRAY_SIZE(parts));
}

bool http_call_write(struct http_call *c, const void *data, size_t n)
{
	struct str part = {data, n};
	bool room;

	if (c->flags & (CALL_ENDED | CALL_SENT) || n == 0)
		return true;
	if (c->body_length >= 0 && n > c->body_left) {
		call_abort(c, -EPROTO);
		return true;
	}
	if (c->body_length >= 0) {
		c->body_left -= n;
		room = call_put(c, &part, 1);
	} else {
		room = put_chunk(c, part);
	}
	if (!c->status)
		call_expect_head(c);
	if (!room)
		c->flags |= CALL_BLOCKED;
	return room;
}

static void put_trailers(struct http_call *c, const struct http_headers *trailers)
{
	_cleanup_(buf_deinit) struct buf end = BUF_INIT;

	add_part(&end, STR("0\r\n"));
	for (size_t i = 0; trailers && i < trailers->n; i++)
		if (!is_ours(trailers->items[i].name))
			http_field_write(&end, trailers->items[i].name, trailers->items[i].value);
	add_part(&end, STR("\r\n"));
	call_put(c, &(struct str){end.p, end.n}, 1);
}

void http_call_end(struct http_call *c)
{
	http_call_end_with(c, NULL);
}

void http_call_end_with(struct http_call *c, const struct http_headers *trailers)
{
	if (c->flags & (CALL_ENDED | CALL_SENT))
		return;
	if (c->body_left > 0) {
		call_abort(c, -EPROTO);
		return;
	}
	if (c->body_length < 0 && trailers && trailers->n > 0)
		put_trailers(c, trailers);
	else if (c->body_length < 0)
		call_put(c, &STR("0\r\n\r\n"), 1);
	c->flags |= CALL_SENT;
}

bool http_call_was_sent(const struct http_call *c)
{
	return c->flags & CALL_WRITTEN;
}

static bool on_head(void *owner, int status, const struct http_headers *headers)
{
	struct http_client_conn *conn = owner;
	struct http_call *c = conn->call;

	c->status = status;
	call_expect_body(c);
	if (c->on_head)
		c->on_head(c, status, headers);
	if (conn->call != c)
		return false;
	if (c->flags & CALL_PAUSED)
		stream_pause(conn->stream);
	return true;
}

static bool on_body(void *owner, const char *data, size_t n)
{
	struct http_client_conn *conn = owner;
	struct http_call *c = conn->call;

	c->received += n;
	call_expect_body(c);
	if (c->on_body)
		c->on_body(c, data, n);
	return conn->call == c;
}

static bool on_interim(void *owner, int status, const struct http_headers *headers)
{
	struct http_client_conn *conn = owner;
	struct http_call *c = conn->call;

	call_expect_head(c);
	if (c->on_interim)
		c->on_interim(c, status, headers);
	return conn->call == c;
}

static const struct http_response_events response_events = {
	.on_head = on_head, .on_body = on_body, .on_interim = on_interim};

/* The answer is whole; `rest` bytes came behind it. */
static void conn_finish(struct http_client_conn *conn, size_t rest)
{
	struct http_call *c = conn->call;
	struct http_pool *p = conn->pool; /* outlives on_done: its connection does */
	bool reuse = conn->response.keep_alive && c->flags & CALL_SENT && rest == 0 && stream_queued(conn->stream) == 0;

	/* Bytes that belong to no answer make the connection untrustworthy; a request that is still being written
	 * leaves it in no known state. */
	call_detach(c);
	c->flags |= CALL_ENDED;
	c->trailers = conn->response.trailers;
	conn->is_reused = true;
	if (reuse)
		conn_park(conn);
	else
		conn_close(conn);

	c->on_done(c, 0);
	dispatch(p);
}

static void conn_hand_over(struct http_client_conn *conn, struct str early)
{
	struct http_call *c = conn->call;
	struct stream *s = conn->stream;

	stream_pause(s);
	call_detach(c);
	c->flags |= CALL_ENDED;
	c->on_upgrade(c, s, early);
	c->on_done(c, 0);
	conn_free(conn);
}

static void conn_on_data(void *owner, const char *data, size_t n)
{
	struct http_client_conn *conn = owner;
	size_t used;

	if (!conn->call) { /* an idle peer has nothing to say */
		conn_unpark(conn);
		conn_close(conn);
		return;
	}

	int r = http_response_feed(&conn->response, data, n, &used);

	if (conn->is_closing) /* the caller cancelled in a callback */
		return;
	if (r == HTTP_RESPONSE_DONE)
		conn_finish(conn, n - used);
	else if (r == HTTP_RESPONSE_UPGRADED)
		conn_hand_over(conn, (struct str){data + used, n - used});
	else if (r < 0)
		conn_fail(conn, r);
}

/* Whether the call goes on in another pool. It is in no connection any more. */
static bool call_moves(struct http_call *c, int err)
{
	struct http_pool *to = NULL;

	if (c->on_failed && !(c->flags & CALL_BODY_SENT))
		to = c->on_failed(c, err);
	if (!to)
		return false;
	c->flags &= ~(unsigned)(CALL_WRITTEN | CALL_RETRIED);
	c->pool = to;
	call_expect_head(c);
	list_append(&to->waiting, &c->link);
	set_waiting(c, true);
	dispatch(to);
	return true;
}

static void conn_on_end(void *owner, int err)
{
	struct http_client_conn *conn = owner;
	struct http_call *c = conn->call;
	struct http_pool *p = conn->pool;

	if (!c) {
		conn_unpark(conn);
		conn_close(conn);
		return;
	}
	if (err == 0 && http_response_eof(&conn->response) == HTTP_RESPONSE_DONE) {
		conn->response.keep_alive = false;
		conn_finish(conn, 0);
		return;
	}
	if (conn->is_reused && !conn->response.has_bytes && is_repeatable(c)) {
		c->flags |= CALL_RETRIED;
		conn_close(conn); /* its end makes room for a new one */
		list_prepend(&p->waiting, &c->link);
		set_waiting(c, true);
		return;
	}
	err = err == -EPIPE || err == 0 ? -ECONNRESET : err;
	if (conn->response.has_bytes) {
		conn_fail(conn, err);
		return;
	}
	conn_close(conn);
	if (!call_moves(c, err))
		call_done(c, err);
}

static void conn_on_drain(void *owner)
{
	struct http_client_conn *conn = owner;
	struct http_call *c = conn->call;

	if (!c || !(c->flags & CALL_BLOCKED))
		return;
	c->flags &= ~(unsigned)CALL_BLOCKED;
	if (!c->status)
		call_expect_head(c);
	if (c->on_drain)
		c->on_drain(c);
}

static void conn_on_close(void *owner)
{
	conn_free(owner);
}

static const struct stream_events conn_events = {
	.on_data = conn_on_data, .on_end = conn_on_end, .on_drain = conn_on_drain, .on_close = conn_on_close};

static void conn_on_connect(void *arg, int err, struct stream *s)
{
	struct http_client_conn *conn = arg;
	struct http_call *c = conn->call;

	conn->connecting = NULL;
	if (err) {
		conn->is_closing = true;
		err = err == -ENOENT ? -ECONNREFUSED : err; /* no such Unix socket */
		if (c) {
			c->conn = NULL;
			conn->call = NULL;
		}
		if (c && !call_moves(c, err))
			call_done(c, err);
		conn_free(conn);
		return;
	}
	conn->stream = s;
	stream_set_owner(s, &conn_events, conn);
	if (conn->is_closing)
		stream_close(s, false);
	else
		conn_send(conn, c);
}

static void conn_start(struct http_pool *p, struct http_call *c)
{
	struct http_client_conn *conn = xcalloc(1, sizeof(*conn));

	conn->pool = p;
	conn->born_ms = uv_now(p->loop);
	list_init(&conn->link);
	list_append(&p->busy, &conn->link);
	count(&p->n_connections, 1);
	deadline_init(&conn->idle, conn_on_idle_expire);
	http_response_init(&conn->response, &response_events, conn);
	conn->call = c;
	c->conn = conn;
	conn->connecting = stream_connect(p->loop, p->wheel, p->address,
					  c->connect_ms ? c->connect_ms : p->limits.connect_ms, conn_on_connect, conn);
}

/* An idle connection, or NULL. Where the call could not be repeated its peer must still be there, as far as the kernel
 * knows: the loop has not heard yet of what came in this turn. */
static struct http_client_conn *take_idle(struct http_pool *p, const struct http_call *c)
{
	struct http_client_conn *conn;

	while ((conn = list_first(&p->idle, struct http_client_conn, link))) {
		conn_unpark(conn);
		if (!is_too_old(conn) && (is_repeatable(c) || stream_is_quiet(conn->stream)))
			return conn;
		conn_close(conn);
	}
	return NULL;
}

/* Gives connections to the calls that wait, as far as there are any. */
static void dispatch(struct http_pool *p)
{
	struct http_call *c;

	while (!p->is_freeing && (c = list_first(&p->waiting, struct http_call, link))) {
		struct http_client_conn *conn = c->flags & CALL_RETRIED ? NULL : take_idle(p, c);

		if (!conn && p->n_connections >= p->limits.max_connections)
			return;
		list_remove(&c->link);
		set_waiting(c, false);
		if (conn)
			conn_send(conn, c);
		else
			conn_start(p, c);
	}
}

static bool target_is_clean(struct str t)
{
	for (size_t i = 0; i < t.n; i++)
		if ((unsigned char)t.p[i] <= ' ' || t.p[i] == 0x7f)
			return false;
	return t.n > 0;
}

void http_call_start(struct http_pool *p, struct http_call *c)
{
	c->pool = p;
	c->conn = NULL;
	c->pending = BUF_INIT;
	c->body_left = c->body.p || c->body_length < 0 ? 0 : (uint64_t)c->body_length;
	c->received = 0;
	c->trailers = NULL;
	c->status = 0;
	c->err = 0;
	c->flags = c->body.p || c->body_length == 0 ? CALL_SENT : 0;
	list_init(&c->link);
	deadline_init(&c->deadline, call_on_expire);
	if (p->is_freeing || !target_is_clean(c->target)) {
		call_done_later(c, p->is_freeing ? -ECANCELED : -EINVAL);
		return;
	}
	call_expect_head(c);
	list_append(&p->waiting, &c->link);
	set_waiting(c, true);
	dispatch(p);
}

void http_call_pause(struct http_call *c)
{
	if (c->flags & CALL_ENDED)
		return;
	c->flags |= CALL_PAUSED;
	if (c->status) {
		call_expect_body(c);
		stream_pause(c->conn->stream);
	}
}

void http_call_resume(struct http_call *c)
{
	if (!(c->flags & CALL_PAUSED) || c->flags & CALL_ENDED)
		return;
	c->flags &= ~(unsigned)CALL_PAUSED;
	if (c->status) {
		call_expect_body(c);
		stream_resume(c->conn->stream);
	}
}

void http_call_cancel(struct http_call *c)
{
	if (!(c->flags & CALL_ENDED))
		call_abort(c, -ECANCELED);
}

static unsigned or_default(unsigned v, unsigned def)
{
	return v ? v : def;
}

struct http_pool *http_pool_new(uv_loop_t *loop, struct wheel *wheel, const char *address,
				const struct http_pool_limits *limits)
{
	struct http_pool *p = xcalloc(1, sizeof(*p));
	const struct http_pool_limits *l = limits ? limits : &default_limits;

	p->loop = loop;
	p->wheel = wheel;
	p->address = xstrdup(address);
	p->limits = (struct http_pool_limits){
		.max_connections = or_default(l->max_connections, default_limits.max_connections),
		.max_idle = or_default(l->max_idle, default_limits.max_idle),
		.idle_ms = l->idle_ms ? l->idle_ms : default_limits.idle_ms,
		.connect_ms = l->connect_ms ? l->connect_ms : default_limits.connect_ms,
		.max_age_ms = l->max_age_ms,
	};
	list_init(&p->idle);
	list_init(&p->busy);
	list_init(&p->waiting);
	list_init(&p->ended);
	later_init(&p->later, pool_on_later);
	return p;
}

void http_pool_stats(const struct http_pool *p, struct http_pool_stats *ret)
{
	*ret = (struct http_pool_stats){p->n_connections, p->n_idle, p->n_waiting};
}

const char *http_pool_address(const struct http_pool *p)
{
	return p->address;
}

void http_pool_free(struct http_pool *p)
{
	struct http_client_conn *conn;
	struct http_call *c;

	if (!p || p->is_freeing)
		return;
	p->is_freeing = true;
	while ((c = list_first(&p->waiting, struct http_call, link)))
		call_done_later(c, -ECANCELED);
	list_foreach (conn, &p->busy, struct http_client_conn, link) {
		if (conn->call)
			call_abort(conn->call, -ECANCELED);
	}
	while ((conn = list_first(&p->idle, struct http_client_conn, link))) {
		conn_unpark(conn);
		conn_close(conn);
	}
	later_set(p->wheel, &p->later); /* the end of it, never from inside this call */
}
