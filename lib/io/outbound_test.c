#include "io/outbound.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "io/peer_for_tests.h"

struct fetch {
	struct outbound_call call;
	struct buf body;
	char url[100], type[40];
	int done, err, heads;
	struct error error;
	bool cancel_in_head, cancel_in_data;
	struct fetch *then; /* started in on_done */
};

static void on_head(struct outbound_call *c, int status)
{
	struct fetch *f = container_of(c, struct fetch, call);
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const char *type = outbound_header(c, a, "content-type");

	f->heads++;
	assert_int_equal(status, c->status);
	assert_null(outbound_header(c, a, "x-absent"));
	snprintf(f->type, sizeof(f->type), "%s", type ? type : "");
	if (f->cancel_in_head)
		outbound_cancel(c);
}

static void on_data(struct outbound_call *c, const char *data, size_t n)
{
	struct fetch *f = container_of(c, struct fetch, call);

	buf_add(&f->body, data, n);
	if (f->cancel_in_data)
		outbound_cancel(c);
}

static void on_done(struct outbound_call *c, int err, const struct error *error)
{
	struct fetch *f = container_of(c, struct fetch, call);

	f->done++;
	f->err = err;
	if (err)
		f->error = *error;
	else
		assert_null(error);
	if (f->then)
		outbound_start(c->outbound, &f->then->call);
}

static void fetch_init(struct fetch *f, const char *base, const char *path)
{
	*f = (struct fetch){0};
	snprintf(f->url, sizeof(f->url), "http://%s%s", base, path);
	f->call = (struct outbound_call){
		.method = "GET", .url = f->url, .on_head = on_head, .on_data = on_data, .on_done = on_done};
}

static void finish(struct peer *p, struct outbound *o)
{
	outbound_free(o);
	peer_stop(p);
}

static void an_answer_comes_in_pieces_with_its_head(void **state)
{
	static const struct peer_answer script[] = {
		{"HTTP/1.1 200 OK\r\nContent-Type:  text/plain \r\nContent-Length: 5\r\n\r\nhello", PEER_KEEP}};
	static const char *const headers[] = {"Authorization: Bearer key", "Content-Type: application/json", NULL};
	struct peer p;
	struct fetch f;

	peer_start(&p, script, 1);
	struct outbound *o = outbound_new(&p.loop);
	fetch_init(&f, listener_address(p.listener), "/v1?x=1");
	f.call.method = "POST";
	f.call.headers = headers;
	f.call.body = STR("{}");
	outbound_start(o, &f.call);
	assert_int_equal(f.done, 0);
	peer_run_until(&p, &f.done, 1);
	assert_int_equal(f.err, 0);
	assert_int_equal(f.call.status, 200);
	assert_int_equal(f.heads, 1);
	assert_string_equal(f.type, "text/plain");
	assert_string_equal(f.body.p, "hello");
	assert_non_null(strstr(p.received.p, "POST /v1?x=1 HTTP/1.1\r\n"));
	assert_non_null(strstr(p.received.p, "Authorization: Bearer key\r\n"));
	assert_non_null(strstr(p.received.p, "Content-Type: application/json\r\n"));
	assert_null(strstr(p.received.p, "Expect"));
	assert_null(strstr(p.received.p, "urlencoded"));
	buf_deinit(&f.body);
	finish(&p, o);
}

static void failures_are_told_in_a_sentence_without_path_and_key(void **state)
{
	static const struct {
		struct peer_answer answer;
		int err;
		const char *code;
	} cases[] = {
		{{NULL, PEER_CLOSE}, -ECONNRESET, "connection_broken"},
		{{NULL, PEER_RESET}, -ECONNRESET, "connection_broken"},
		{{"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", PEER_CLOSE}, -ECONNRESET, "connection_broken"},
		{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", PEER_CLOSE},
		 -ECONNRESET,
		 "connection_broken"},
		{{"SSH-2.0-OpenSSH\r\n", PEER_KEEP}, -EPROTO, "request_failed"},
		{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", PEER_KEEP},
		 -ECONNRESET,
		 "connection_broken"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct peer p;
		struct fetch f;

		peer_start(&p, &cases[i].answer, 1);
		struct outbound *o = outbound_new(&p.loop);
		fetch_init(&f, listener_address(p.listener), "/secret-path");
		outbound_start(o, &f.call);
		peer_run_until(&p, &f.done, 1);
		if (f.err != cases[i].err || strcmp(f.error.code, cases[i].code) != 0)
			fail_msg("case %zu: %d %s: %s", i, f.err, f.error.code, f.error.message);
		assert_null(strstr(f.error.message, "secret"));
		assert_non_null(strstr(f.error.message, listener_address(p.listener)));
		buf_deinit(&f.body);
		finish(&p, o);
	}
}

static void nobody_listening_and_wrong_addresses_are_told_apart(void **state)
{
	struct peer p;
	struct fetch f;
	char address[64], expected[200];

	peer_start(&p, NULL, 0);
	snprintf(address, sizeof(address), "%s", listener_address(p.listener));
	listener_close(p.listener);
	p.listener = NULL;
	struct outbound *o = outbound_new(&p.loop);
	fetch_init(&f, address, "/");
	outbound_start(o, &f.call);
	peer_run_until(&p, &f.done, 1);
	assert_int_equal(f.err, -ECONNREFUSED);
	snprintf(expected, sizeof(expected), "could not connect to %s: connection refused", address);
	assert_string_equal(f.error.message, expected);

	static const char *const wrong[] = {"ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "gopher://x"};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		fetch_init(&f, "", "");
		f.call.url = wrong[i];
		outbound_start(o, &f.call);
		peer_run_until(&p, &f.done, 1);
		assert_int_equal(f.err, -EPROTO);
		assert_string_equal(f.error.code, "url_invalid");
	}
	fetch_init(&f, "no-such-host.invalid", "/");
	outbound_start(o, &f.call);
	peer_run_until(&p, &f.done, 1);
	assert_int_equal(f.err, -ECONNREFUSED);
	assert_string_equal(f.error.code, "resolve_failed");
	assert_non_null(strstr(f.error.message, "no-such-host.invalid:80"));
	finish(&p, o);
}

static void silence_ends_in_a_time_out(void **state)
{
	static const struct peer_answer silent = {NULL, PEER_KEEP};
	static const struct peer_answer stops = {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", PEER_KEEP};
	struct peer p;
	struct fetch f;

	peer_start(&p, &silent, 1);
	struct outbound *o = outbound_new(&p.loop);
	fetch_init(&f, listener_address(p.listener), "/");
	f.call.connect_ms = 50;
	f.call.first_byte_ms = 50;
	outbound_start(o, &f.call);
	peer_run_until(&p, &f.done, 1);
	assert_int_equal(f.err, -ETIMEDOUT);
	assert_non_null(strstr(f.error.message, "no answer from 127.0.0.1"));

	p.script = &stops;
	p.n_answered = 0;
	fetch_init(&f, listener_address(p.listener), "/");
	f.call.idle_ms = 50;
	outbound_start(o, &f.call);
	peer_run_until(&p, &f.done, 1);
	assert_int_equal(f.err, -ETIMEDOUT);
	assert_non_null(strstr(f.error.message, "stopped coming"));
	buf_deinit(&f.body);
	finish(&p, o);
}

/* When: 0 before it is under way, 1 on the loop, 2 in on_head, 3 in on_data. */
static void cancelling(int when)
{
	static const struct peer_answer answer = {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", PEER_KEEP};
	struct peer p;
	struct fetch f;

	peer_start(&p, &answer, 1);
	struct outbound *o = outbound_new(&p.loop);
	fetch_init(&f, listener_address(p.listener), "/");
	f.cancel_in_head = when == 2;
	f.cancel_in_data = when == 3;
	outbound_start(o, &f.call);
	if (when == 0)
		outbound_cancel(&f.call);
	if (when == 1) {
		peer_run_until(&p, &f.heads, 1);
		outbound_cancel(&f.call);
		assert_int_equal(f.done, 0);
	}
	peer_run_until(&p, &f.done, 1);
	assert_int_equal(f.err, -ECANCELED);
	assert_string_equal(f.error.code, "cancelled");
	if (when == 0)
		assert_int_equal(p.n_connections, 0);
	while (when != 0 && p.n_closed == 0) /* the socket is closed, not kept for the next call */
		uv_run(&p.loop, UV_RUN_ONCE);
	peer_run_ms(&p, 20);
	assert_int_equal(f.done, 1);
	buf_deinit(&f.body);
	finish(&p, o);
}

static void a_cancel_closes_the_socket_and_comes_once(void **state)
{
	for (int when = 0; when <= 3; when++)
		cancelling(when);
}

static void a_call_started_in_on_done_uses_the_same_connection(void **state)
{
	static const struct peer_answer script[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", PEER_KEEP},
		{"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 1\r\n\r\nb", PEER_KEEP}};
	struct peer p;
	struct fetch f, g;

	peer_start(&p, script, 2);
	struct outbound *o = outbound_new(&p.loop);
	fetch_init(&f, listener_address(p.listener), "/");
	fetch_init(&g, listener_address(p.listener), "/");
	f.then = &g;
	outbound_start(o, &f.call);
	peer_run_until(&p, &g.done, 1);
	assert_int_equal(g.err, 0);
	assert_int_equal(g.call.status, 302); /* and not followed */
	assert_string_equal(g.body.p, "b");
	assert_int_equal(p.n_connections, 1);
	buf_deinit(&f.body);
	buf_deinit(&g.body);
	finish(&p, o);
}

static void a_unix_socket_can_take_the_hosts_place(void **state)
{
	static const struct peer_answer answer = {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", PEER_KEEP};
	struct peer p;
	struct fetch f;

	peer_start(&p, &answer, 1);
	listener_close(p.listener);
	peer_listen(&p, "unix:/tmp/ogent-outbound-test.sock");
	struct outbound *o = outbound_new(&p.loop);
	fetch_init(&f, "demo", "/v1/models");
	f.call.unix_socket = "/tmp/ogent-outbound-test.sock";
	outbound_start(o, &f.call);
	peer_run_until(&p, &f.done, 1);
	assert_int_equal(f.err, 0);
	assert_non_null(strstr(p.received.p, "Host: demo\r\n"));
	buf_deinit(&f.body);
	finish(&p, o);
}

static void freeing_cancels_what_is_under_way(void **state)
{
	static const struct peer_answer silent = {NULL, PEER_KEEP};
	struct peer p;
	struct fetch f, g;

	peer_start(&p, &silent, 1);
	struct outbound *o = outbound_new(&p.loop);
	fetch_init(&f, listener_address(p.listener), "/");
	fetch_init(&g, listener_address(p.listener), "/");
	outbound_start(o, &f.call);
	peer_run_ms(&p, 20);
	outbound_start(o, &g.call);
	outbound_free(o);
	assert_int_equal(f.done, 0);
	peer_run_until(&p, &g.done, 1);
	peer_run_until(&p, &f.done, 1);
	assert_int_equal(f.err, -ECANCELED);
	assert_int_equal(g.err, -ECANCELED);
	peer_stop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_comes_in_pieces_with_its_head),
		cmocka_unit_test(failures_are_told_in_a_sentence_without_path_and_key),
		cmocka_unit_test(nobody_listening_and_wrong_addresses_are_told_apart),
		cmocka_unit_test(silence_ends_in_a_time_out),
		cmocka_unit_test(a_cancel_closes_the_socket_and_comes_once),
		cmocka_unit_test(a_call_started_in_on_done_uses_the_same_connection),
		cmocka_unit_test(a_unix_socket_can_take_the_hosts_place),
		cmocka_unit_test(freeing_cancels_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
