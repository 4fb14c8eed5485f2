/* A whole gateway in this process, with roles played by plain HTTP servers and a client that asks one thing after the
 * other. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "gateway.h"

#define BIG (8 * 1024 * 1024)

static struct gateway gateway;
static char dir[64];
static struct http_server *auth, *sockets;
static struct http_pool *pool;
static struct arena *arena;
static struct token_key key, new_key;
static unsigned n_jwks;
static size_t at;

static void next_step(void);

/* ---- The roles ---- */

static void reply_jwks(struct http_request *r)
{
	struct buf text = BUF_INIT;

	n_jwks++;
	buf_add_str(&text, "{\"keys\":[");
	token_key_to_jwk(&key, &text);
	if (n_jwks > 1) {
		buf_add_char(&text, ',');
		token_key_to_jwk(&new_key, &text);
	}
	buf_add_str(&text, "]}");
	http_reply(r, 200, "application/json", NULL, text.p, text.n);
	buf_deinit(&text);
}

static void on_echo_body(struct http_request *r, const char *data, size_t n)
{
	if (!http_reply_write(r, data, n))
		http_body_pause(r);
}

static void on_echo_end(struct http_request *r)
{
	http_reply_end(r);
}

static void on_echo_drain(struct http_request *r)
{
	http_body_resume(r);
}

static void echo(struct http_request *r)
{
	struct http_headers h = {.arena = r->arena};

	for (size_t i = 0; i < r->headers.n; i++)
		http_header_add(&h, arena_printf(r->arena, "Seen-%.*s", STR_ARG(r->headers.items[i].name)),
				r->headers.items[i].value);
	http_header_set(&h, "Seen-Target", arena_strndup(r->arena, r->target.p, r->target.n));
	r->on_body = on_echo_body;
	r->on_body_end = on_echo_end;
	r->on_drain = on_echo_drain;
	http_reply_head(r, 200, &h, -1);
}

static void write_big(struct http_request *r)
{
	static char piece[16384];
	size_t *left = r->owner;

	while (*left) {
		size_t n = MIN(*left, sizeof(piece));

		*left -= n;
		if (!http_reply_write(r, piece, n))
			return;
	}
	http_reply_end(r);
}

static void big(struct http_request *r)
{
	size_t *left = arena_new_of(r->arena, size_t);

	*left = BIG;
	r->owner = left;
	r->on_drain = write_big;
	http_reply_head(r, 200, NULL, BIG);
	write_big(r);
}

static void on_events_close(struct http_request *r, int err)
{
	assert_true(err < 0); /* the client left, and the gateway with it */
	next_step();
}

static void events(struct http_request *r)
{
	struct http_headers h = {.arena = r->arena};

	http_header_set(&h, "Content-Type", "text/event-stream");
	r->on_close = on_events_close;
	http_set_streaming(r);
	http_reply_head(r, 200, &h, -1);
	http_reply_write(r, "data: 1\n\n", 9);
}

static void broken(struct http_request *r)
{
	http_reply_head(r, 200, NULL, 100);
	http_reply_write(r, "some", 4);
	http_reply_abort(r);
}

static void cut(struct http_request *r)
{
	http_reply_abort(r);
}

static const struct {
	const char *path;
	void (*reply)(struct http_request *r);
} plays[] = {
	{"/.well-known/jwks.json", reply_jwks},
	{"/api/auth/echo", echo},
	{"/api/users", echo},
	{"/api/auth/big", big},
	{"/api/auth/events", events},
	{"/api/auth/broken", broken},
	{"/api/auth/cut", cut},
};

static void on_auth(void *arg, struct http_request *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(plays); i++) {
		if (str_is(r->path, plays[i].path)) {
			plays[i].reply(r);
			return;
		}
	}
	http_reply(r, 404, NULL, NULL, NULL, 0);
}

static void on_line(void *owner, const char *data, size_t n)
{
	stream_write(owner, data, n);
}

static void on_line_end(void *owner, int err)
{
	stream_close(owner, true);
}

static void on_nothing(void *owner)
{
}

static const struct stream_events line_events = {on_line, on_line_end, on_nothing, on_nothing};

/* Says hello and then whatever it hears. */
static void on_socket(void *arg, struct http_request *r)
{
	struct str early;
	struct stream *s;

	if (!http_header_get(&r->headers, "Upgrade").n) {
		http_reply(r, 426, NULL, NULL, NULL, 0);
		return;
	}
	s = http_upgrade(r, NULL, &early);
	stream_set_owner(s, &line_events, s);
	stream_write(s, "hello ", 6);
	stream_resume(s);
}

/* ---- The client ---- */

enum bearing { NOBODY, GOOD, NEW_KEY, GARBAGE, FROM_SERVICE };

static struct http_headers *headers(enum bearing bearing, const char *name, const char *value)
{
	struct http_headers *h = arena_new_of(arena, struct http_headers);
	_cleanup_(buf_deinit) struct buf token = BUF_INIT;
	int64_t now = time(NULL);
	const char *claims = arena_printf(
		arena, "{\"iss\":\"ogent\",\"aud\":\"ogent-api\",\"sub\":\"u1\",\"iat\":%lld,\"exp\":%lld}",
		(long long)now, (long long)now + 600);

	h->arena = arena;
	buf_add_str(&token, "Bearer ");
	if (bearing == GARBAGE)
		buf_add_str(&token, "sk-test");
	else if (bearing == FROM_SERVICE)
		token_sign_internal(service_key(gateway.service), "gateway", "gateway", "", &token);
	else
		token_sign(bearing == NEW_KEY ? &new_key : &key, str_of(claims), &token);
	if (bearing != NOBODY)
		http_header_add(h, "Authorization", buf_str(&token));
	if (name)
		http_header_add(h, name, str_of(value));
	return h;
}

struct ask {
	const char *what, *method, *target, *body;
	enum bearing bearing;
	const char *name, *value; /* a header */
	int status;               /* negative: the answer must break off with this */
	const char *header,
		*expected; /* of the answer: a header's value, NULL = absent; without header: part of the body */
	size_t length;     /* of the answer, if not 0 */
};

static const struct ask asks[] = {
	{"alive", "GET", "/healthz", NULL, NOBODY, .status = 200, .expected = "\"role\":\"gateway\""},
	{"who is missing", "GET", "/readyz", NULL, NOBODY, .status = 503, .expected = "{\"name\":\"exec\",\"reason\":"},
	{"no token", "GET", "/api/users", NULL, NOBODY, .status = 401, .header = "WWW-Authenticate",
	 .expected = "Bearer"},
	{"garbage", "GET", "/api/users", NULL, GARBAGE, .status = 401, .header = "WWW-Authenticate",
	 .expected = "Bearer error=\"invalid_token\""},
	{"a service's token", "GET", "/api/users", NULL, FROM_SERVICE, .status = 401, .expected = "unauthorized"},
	{"a good token", "GET", "/api/users?a=%20b", NULL, GOOD, .status = 200, .header = "Seen-Target",
	 .expected = "/api/users?a=%20b"},
	{"a key made since", "POST", "/api/users", "abc", NEW_KEY, .status = 200, .expected = "abc"},
	{"garbage on a public path", "GET", "/api/auth/echo", NULL, GARBAGE, .status = 200,
	 .header = "Seen-X-Forwarded-For", .expected = "127.0.0.1"},
	{"its own idea of who it is", "GET", "/api/auth/echo", NULL, NOBODY, "X-User-Id", "admin", .status = 200,
	 .header = "Seen-X-User-Id"},
	{"request id", "GET", "/api/auth/echo", NULL, NOBODY, "X-Request-Id", "my.request.1", .status = 200,
	 .header = "Seen-X-Request-Id", .expected = "my.request.1"},
	{"and back", "GET", "/api/auth/echo", NULL, NOBODY, "X-Request-Id", "my.request.1", .status = 200,
	 .header = "X-Request-Id", .expected = "my.request.1"},
	{"limit", "GET", "/api/auth/echo", NULL, NOBODY, .status = 200, .header = "RateLimit-Policy",
	 .expected = "\"default\";q=1000;w=10"},
	{"head", "HEAD", "/api/auth/big", NULL, NOBODY, .status = 200, .header = "Content-Length",
	 .expected = "8388608"},
	{"a big answer", "GET", "/api/auth/big", NULL, NOBODY, .status = 200, .length = BIG},
	{"an answer that breaks off", "GET", "/api/auth/broken", NULL, NOBODY, .status = -ECONNRESET},
	{"no answer", "POST", "/api/auth/cut", "x", NOBODY, .status = 502, .expected = "bad_gateway"},
	{"a role that is away", "GET", "/api/commands", NULL, GOOD, .status = 503, .header = "Retry-After",
	 .expected = "1"},
	{"a path inside", "GET", "/metrics", NULL, NOBODY, .status = 404, .expected = "not_found"},
	{"no upgrade", "GET", "/ws", NULL, NOBODY, .status = 426},
	{"the contract", "GET", "/api/openapi.json", NULL, NOBODY, .status = 200, .expected = "\"openapi\":\"3.1.0\""},
	{"nothing there", "GET", "/api/nothing", NULL, NOBODY, .status = 404, .expected = "not_found"},
	{"writing to the web app", "POST", "/", NULL, NOBODY, .status = 405, .header = "Allow",
	 .expected = "GET, HEAD"},
	{"policy of the web app", "GET", "/", NULL, NOBODY, .status = 200, .header = "Referrer-Policy",
	 .expected = "no-referrer"},
};

static struct {
	struct http_call call;
	const struct ask *ask;
	int status;
	struct http_headers headers;
	struct buf body;
	struct stream *stream;
	size_t to_send, sent, received;
} c;

static void fail_ask(const char *why)
{
	fail_msg("%s: %s (status %d, body %.*s)", c.ask->what, why, c.status, (int)MIN(c.body.n, 300u),
		 c.body.p ? c.body.p : "");
}

static void on_head(struct http_call *call, int status, const struct http_headers *h)
{
	c.status = status;
	c.headers = (struct http_headers){.arena = arena};
	for (size_t i = 0; i < h->n; i++)
		http_header_add(&c.headers, arena_strndup(arena, h->items[i].name.p, h->items[i].name.n),
				h->items[i].value);
}

static void on_body(struct http_call *call, const char *data, size_t n)
{
	buf_add(&c.body, data, n);
}

static void check_ask(int err)
{
	const struct ask *a = c.ask;

	if (a->status < 0) {
		if (err != a->status)
			fail_ask(strerror(-err));
		return;
	}
	if (err)
		fail_ask(strerror(-err));
	if (c.status != a->status)
		fail_ask("another status");
	if (a->length && c.body.n != a->length)
		fail_ask("another length");
	if (!a->header) {
		if (a->expected && (!c.body.p || !strstr(c.body.p, a->expected)))
			fail_ask(a->expected);
		return;
	}

	struct str v = http_header_get(&c.headers, a->header);
	if (a->expected ? !str_is(v, a->expected) : v.p != NULL)
		fail_ask(a->header);
}

static void on_done(struct http_call *call, int err)
{
	check_ask(err);
	buf_clear(&c.body);
	next_step();
}

static void prepare(const char *method, const char *target, struct http_headers *h, struct str body)
{
	c.call = (struct http_call){.method = method,
				    .target = str_of(target),
				    .headers = h,
				    .body = body,
				    .on_head = on_head,
				    .on_body = on_body,
				    .on_done = on_done};
}

/* A body of unknown length, sent as fast as it is taken, comes back the same. */
static void send_more(struct http_call *call)
{
	static const char piece[10000];

	while (c.sent < BIG) {
		c.sent += sizeof(piece);
		if (!http_call_write(call, piece, sizeof(piece)))
			return;
	}
	http_call_end(call);
}

static void on_echoed(struct http_call *call, const char *data, size_t n)
{
	c.received += n;
}

static void on_upload_done(struct http_call *call, int err)
{
	assert_int_equal(err, 0);
	assert_int_equal(c.status, 200);
	assert_int_equal(c.received, c.sent);
	next_step();
}

static void upload(void)
{
	prepare("POST", "/api/auth/echo", NULL, (struct str){0});
	c.call.body_length = -1;
	c.call.on_drain = send_more;
	c.call.on_body = on_echoed;
	c.call.on_done = on_upload_done;
	http_call_start(pool, &c.call);
	send_more(&c.call);
}

/* Events come at once, and a client that leaves ends the role's work. */
static void on_event(struct http_call *call, const char *data, size_t n)
{
	assert_int_equal(n, 9);
	http_call_cancel(call);
}

static void on_left(struct http_call *call, int err)
{
	assert_int_equal(err, -ECANCELED); /* on_events_close goes on */
}

static void leave_events(void)
{
	prepare("GET", "/api/auth/events", NULL, (struct str){0});
	c.call.on_body = on_event;
	c.call.on_done = on_left;
	http_call_start(pool, &c.call);
}

/* A WebSocket's bytes go through both ways. */
static void on_tunnel_data(void *owner, const char *data, size_t n)
{
	buf_add(&c.body, data, n);
	if (c.body.n == 6)
		stream_write(c.stream, "echo", 4);
	if (c.body.n == 10) {
		assert_memory_equal(c.body.p, "hello echo", 10);
		buf_clear(&c.body);
		next_step();
	}
}

static void on_tunnel_end(void *owner, int err)
{
	stream_close(c.stream, false);
	c.stream = NULL;
}

static const struct stream_events tunnel_events = {on_tunnel_data, on_tunnel_end, on_nothing, on_nothing};

static void on_upgrade(struct http_call *call, struct stream *s, struct str early)
{
	c.stream = s;
	stream_set_owner(s, &tunnel_events, NULL);
	stream_resume(s);
	if (early.n)
		on_tunnel_data(NULL, early.p, early.n);
}

static void on_upgrade_done(struct http_call *call, int err)
{
	assert_int_equal(err, 0);
	assert_non_null(c.stream);
}

static void upgrade(void)
{
	prepare("GET", "/ws", headers(NOBODY, "Upgrade", "websocket"), (struct str){0});
	c.call.on_upgrade = on_upgrade;
	c.call.on_done = on_upgrade_done;
	http_call_start(pool, &c.call);
}

/* The tunnel stays open: the end of the gateway closes it. */
static void stop(void)
{
	http_server_free(auth);
	http_server_free(sockets);
	raise(SIGTERM);
}

static void (*const others[])(void) = {upload, leave_events, upgrade, stop};

static void next_step(void)
{
	size_t i = at++;

	if (i >= ARRAY_SIZE(asks)) {
		others[i - ARRAY_SIZE(asks)]();
		return;
	}
	c.ask = &asks[i];
	c.status = 0;
	prepare(c.ask->method, c.ask->target, headers(c.ask->bearing, c.ask->name, c.ask->value), str_of(c.ask->body));
	http_call_start(pool, &c.call);
}

static void on_stop(void *arg)
{
	http_pool_free(pool);
}

/* JWKS are asked for at most once a second. */
static void on_second(uv_timer_t *t)
{
	uv_close((uv_handle_t *)t, NULL);
	next_step();
}

static void pass_what_it_should(const char *threads)
{
	struct option_arg args[] = {
		{"data", dir},         {"log_level", "error"}, {"listen", "127.0.0.1:0"}, {"gateway_threads", threads},
		{"rate_limit", "100"}, {"rate_burst", "1000"}};
	struct error err = {0};
	struct options *options = options_load(NULL, args, ARRAY_SIZE(args), &err);
	uv_timer_t second;
	char address[128];

	assert_non_null(options);
	token_key_new(&key);
	token_key_new(&new_key);
	gateway_init(&gateway, options);
	uv_loop_t *loop = service_loop(gateway.service);
	struct wheel *wheel = service_wheel(gateway.service);

	snprintf(address, sizeof(address), "unix:%s/run/auth.sock", dir);
	assert_int_equal(http_server_open(loop, wheel, address,
					  &(struct http_limits){.max_target = 8192,
								.max_header_bytes = 32768,
								.max_headers = 100,
								.max_body = 1 << 30,
								.header_ms = 10000,
								.body_idle_ms = 10000,
								.idle_ms = 10000,
								.max_connections = 100},
					  on_auth, NULL, &auth),
			 0);
	snprintf(address, sizeof(address), "unix:%s/run/socket.sock", dir);
	assert_int_equal(http_server_open(loop, wheel, address, NULL, on_socket, NULL, &sockets), 0);
	pool = http_pool_new(loop, wheel, workers_address(&gateway), NULL);
	service_on_stop(gateway.service, on_stop, NULL);
	uv_timer_init(loop, &second);
	uv_timer_start(&second, on_second, 1100, 0);

	assert_int_equal(service_run(gateway.service), 0);
	assert_int_equal(at, ARRAY_SIZE(asks) + ARRAY_SIZE(others));
	if (!strcmp(threads, "1"))
		assert_int_equal(n_jwks, 2);
	assert_null(c.stream);
	buf_deinit(&c.body);
	options_free(options);
}

static void a_gateway_passes_what_it_should(void **state)
{
	pass_what_it_should("1");
}

static void a_gateway_with_threads_does_the_same(void **state)
{
	pass_what_it_should("3");
}

static int set_up(void **state)
{
	at = n_jwks = 0;
	memset(&c, 0, sizeof(c));
	strcpy(dir, "/tmp/ogent-proxy-test-XXXXXX");
	arena = arena_new();
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];

	arena_free(arena);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_gateway_passes_what_it_should, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_gateway_with_threads_does_the_same, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
