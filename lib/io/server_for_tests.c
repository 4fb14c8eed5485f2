#include "io/server_for_tests.h"

#include <stdio.h>

/* ---- The handlers ---- */

static void on_close(struct http_request *r, int err)
{
	struct test_server *t = r->owner;

	t->n_closed++;
	t->last_err = err;
	if (t->held == r)
		t->held = NULL;
}

static void echo(struct http_request *r, int err, struct str body)
{
	if (err == 0)
		http_reply(r, 200, "text/plain", NULL, body.p, body.n);
}

static void stream_back(struct http_request *r, const char *data, size_t n)
{
	if (!http_reply_write(r, data, n))
		http_body_pause(r);
}

static void stream_end(struct http_request *r)
{
	http_reply_end(r);
}

static void count_body(struct http_request *r, const char *data, size_t n)
{
	((struct test_server *)r->owner)->received += n;
}

static void count_end(struct http_request *r)
{
	((struct test_server *)r->owner)->n_body_ends++;
	http_reply(r, 200, NULL, NULL, NULL, 0);
}

#define BIG_PIECE 10000

/* Writes as long as the stream takes it, up to 10 MB. */
static void write_more(struct http_request *r)
{
	static const char piece[BIG_PIECE];
	struct test_server *t = r->owner;
	bool has_room = true;

	t->n_drains++;
	while (has_room && t->written < 10000000) {
		has_room = http_reply_write(r, piece, sizeof(piece));
		t->written += sizeof(piece);
	}
	if (t->written >= 10000000)
		http_reply_end(r);
}

static void upgrade(struct http_request *r)
{
	static const struct stream_events events = {0};
	struct test_server *t = r->owner;
	struct str early;

	t->upgraded = http_upgrade(r, NULL, &early);
	buf_add(&t->early, early.p, early.n);
	stream_set_owner(t->upgraded, &events, t);
}

static void reply_path(struct http_request *r)
{
	http_reply(r, 200, "text/plain", NULL, r->path.p, r->path.n);
}

static void reply_field(struct http_request *r)
{
	struct str value = http_header_get(&r->headers, "x-field");

	if (!value.p)
		value = http_header_get(&r->headers, "cookie");
	http_reply(r, value.p ? 200 : 404, "text/plain", NULL, value.p, value.n);
}

static void hold(struct http_request *r)
{
	((struct test_server *)r->owner)->held = r;
}

static void stream_echo(struct http_request *r)
{
	r->on_body = stream_back;
	r->on_body_end = stream_end;
	r->on_drain = http_body_resume;
	http_reply_head(r, 200, NULL, -1);
}

static void big(struct http_request *r)
{
	r->on_drain = write_more;
	http_reply_head(r, 200, NULL, -1);
	write_more(r);
}

static void paused(struct http_request *r)
{
	hold(r);
	r->on_body = count_body;
	r->on_body_end = count_end;
	http_body_pause(r);
}

void test_on_request(void *arg, struct http_request *r)
{
	struct test_server *t = arg;

	t->n_requests++;
	r->owner = t;
	r->on_close = on_close;
	if (str_is(r->path, "/echo"))
		http_read_body(r, echo);
	else if (str_is(r->path, "/hello"))
		http_reply(r, 200, "text/plain", NULL, "hello", 5);
	else if (str_is(r->path, "/field"))
		reply_field(r);
	else if (str_is(r->path, "/stream-echo"))
		stream_echo(r);
	else if (str_is(r->path, "/big"))
		big(r);
	else if (str_is(r->path, "/hold"))
		hold(r);
	else if (str_is(r->path, "/paused"))
		paused(r);
	else if (str_is(r->path, "/upgrade"))
		upgrade(r);
	else
		reply_path(r);
}

/* ---- The server ---- */

struct test_server *test_server_new(const struct http_limits *limits)
{
	struct test_server *t = xcalloc(1, sizeof(*t));

	uv_loop_init(&t->loop);
	t->wheel = wheel_new(&t->loop);
	t->last_err = 1;
	if (http_server_open(&t->loop, t->wheel, "127.0.0.1:0", limits, test_on_request, t, &t->server) != 0)
		abort();
	return t;
}

void test_server_free(struct test_server *t)
{
	if (t->upgraded)
		stream_close(t->upgraded, false);
	http_server_free(t->server);
	wheel_free(t->wheel);
	uv_run(&t->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&t->loop) != 0)
		abort();
	buf_deinit(&t->early);
	free(t);
}

void test_server_turn(struct test_server *t)
{
	struct pollfd p = {.fd = uv_backend_fd(&t->loop), .events = POLLIN};

	uv_run(&t->loop, UV_RUN_NOWAIT);
	poll(&p, 1, 1);
	uv_run(&t->loop, UV_RUN_NOWAIT);
}

bool test_server_until(struct test_server *t, const bool *what, unsigned ms)
{
	uint64_t end = clock_mono_us() + ms * UINT64_C(1000);

	while (!*what && clock_mono_us() < end)
		test_server_turn(t);
	return *what;
}

/* ---- The client ---- */

struct test_client *test_client_new(struct test_server *t)
{
	struct test_client *c = xcalloc(1, sizeof(*c));
	struct address a;

	if (address_parse(http_server_address(t->server), &a) != 0)
		abort();
	c->server = t;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(c->fd, (struct sockaddr *)&a.ip, sizeof(struct sockaddr_in)) != 0)
		abort();
	test_server_turn(t);
	return c;
}

void test_client_free(struct test_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	buf_deinit(&c->in);
	free(c);
}

void test_client_read(struct test_client *c)
{
	char data[65536];
	ssize_t n;

	while (!c->is_closed && (n = recv(c->fd, data, sizeof(data), MSG_DONTWAIT)) != 0) {
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		buf_add(&c->in, data, (size_t)n);
	}
	if (!c->is_closed)
		c->err = n < 0 ? errno : 0;
	c->is_closed = true;
}

void test_client_send(struct test_client *c, const char *data, size_t n, size_t piece)
{
	while (n > 0) {
		ssize_t sent = send(c->fd, data, MIN(n, piece), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return;
		if (sent > 0) {
			data += sent;
			n -= (size_t)sent;
		}
		uv_run(&c->server->loop, UV_RUN_NOWAIT);
		test_client_read(c);
	}
}

void test_client_read_all(struct test_client *c, unsigned ms)
{
	uint64_t end = clock_mono_us() + ms * UINT64_C(1000);

	while (!c->is_closed && clock_mono_us() < end) {
		test_server_turn(c->server);
		test_client_read(c);
	}
}

void test_client_wait_answer(struct test_client *c, unsigned ms)
{
	uint64_t end = clock_mono_us() + ms * UINT64_C(1000);

	while (!c->is_closed && clock_mono_us() < end && !(c->in.n && strstr(c->in.p, "\r\n\r\n"))) {
		test_server_turn(c->server);
		test_client_read(c);
	}
}

/* Copies the body of a chunked answer out; returns the length of its form on the wire. */
static size_t unchunk(const char *p, char *ret, size_t size)
{
	const char *start = p;
	size_t n;

	while ((n = strtoul(p, (char **)&p, 16)) > 0 && n < size) {
		memcpy(ret, p + 2, n);
		ret += n;
		size -= n;
		p += n + 4;
	}
	*ret = '\0';
	return (size_t)(p - start) + 4;
}

struct test_answer test_client_answer(struct test_client *c)
{
	struct test_answer a = {0};
	const char *head_end = c->in.n ? strstr(c->in.p, "\r\n\r\n") : NULL, *length;
	size_t n;

	if (!head_end || sscanf(c->in.p, "HTTP/1.1 %d ", &a.status) != 1)
		return a;
	n = (size_t)(head_end - c->in.p) + 4;
	length = strstr(c->in.p, "Content-Length: ");
	if (length && length < head_end) {
		size_t body = strtoul(length + 16, NULL, 10);

		memcpy(a.body, c->in.p + n, MIN(MIN(body, sizeof(a.body) - 1), c->in.n - n));
		n += body;
	} else if ((length = strstr(c->in.p, "Transfer-Encoding: chunked")) && length < head_end) {
		n += unchunk(c->in.p + n, a.body, sizeof(a.body));
	}
	buf_consume(&c->in, n);
	return a;
}
