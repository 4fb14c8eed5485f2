#include "io/http_client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "io/peer_for_tests.h"

#define OK_A "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
#define OK_B "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"

enum act { NOTHING, CANCEL_IN_HEAD, CANCEL_IN_BODY, PAUSE_IN_HEAD, PAUSE_IN_BODY };

struct test_call {
	struct http_call call;
	struct buf body;
	enum act act;
	int done, err, heads, drains, pieces;
	struct stream *upgraded;
	struct buf early;
};

static void on_head(struct http_call *c, int status, const struct http_headers *headers)
{
	struct test_call *t = container_of(c, struct test_call, call);

	t->heads++;
	assert_int_equal(status, c->status);
	if (t->act == CANCEL_IN_HEAD)
		http_call_cancel(c);
	if (t->act == PAUSE_IN_HEAD)
		http_call_pause(c);
}

static void on_body(struct http_call *c, const char *data, size_t n)
{
	struct test_call *t = container_of(c, struct test_call, call);

	buf_add(&t->body, data, n);
	t->pieces++;
	if (t->act == CANCEL_IN_BODY)
		http_call_cancel(c);
	if (t->act == PAUSE_IN_BODY)
		http_call_pause(c);
}

static void on_drain(struct http_call *c)
{
	container_of(c, struct test_call, call)->drains++;
}

static void on_done(struct http_call *c, int err)
{
	struct test_call *t = container_of(c, struct test_call, call);

	t->done++;
	t->err = err;
}

static void call_init(struct test_call *t, const char *method, const char *target)
{
	*t = (struct test_call){0};
	t->call = (struct http_call){.method = method,
				     .target = str_of(target),
				     .on_head = on_head,
				     .on_body = on_body,
				     .on_drain = on_drain,
				     .on_done = on_done};
}

static void call_run(struct peer *p, struct http_pool *pool, struct test_call *t)
{
	http_call_start(pool, &t->call);
	assert_int_equal(t->done, 0);
	peer_run_until(p, &t->done, 1);
}

static struct http_pool *start(struct peer *p, const struct peer_answer *script, unsigned n)
{
	peer_start(p, script, n);
	return http_pool_new(&p->loop, p->wheel, listener_address(p->listener), NULL);
}

static void stop(struct peer *p, struct http_pool *pool)
{
	http_pool_free(pool);
	peer_stop(p);
}

static void calls_share_a_connection(void **state)
{
	static const struct peer_answer script[] = {{OK_A, PEER_KEEP}, {OK_B, PEER_KEEP}};
	struct peer p;
	struct http_pool *pool = start(&p, script, 2);
	struct test_call t;
	char host[100];

	call_init(&t, "GET", "/a?x=1");
	call_run(&p, pool, &t);
	assert_int_equal(t.err, 0);
	assert_int_equal(t.call.status, 200);
	assert_string_equal(t.body.p, "a");
	snprintf(host, sizeof(host), "GET /a?x=1 HTTP/1.1\r\nHost: %s\r\n\r\n", http_pool_address(pool));
	assert_string_equal(p.received.p, host);
	buf_deinit(&t.body);

	call_init(&t, "DELETE", "/b");
	call_run(&p, pool, &t);
	assert_int_equal(t.err, 0);
	assert_string_equal(t.body.p, "b");
	assert_int_equal(p.n_connections, 1);
	buf_deinit(&t.body);
	stop(&p, pool);
}

static void bodies_go_whole_in_pieces_and_chunked(void **state)
{
	static const struct peer_answer script[] = {{OK_A, PEER_KEEP}, {OK_A, PEER_KEEP}, {OK_A, PEER_KEEP}};
	struct peer p;
	struct http_pool *pool = start(&p, NULL, 0);
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct http_headers headers = {.arena = a};
	struct test_call t;

	http_header_add(&headers, "Host", STR("other"));
	http_header_add(&headers, "X-A", STR("1"));
	http_header_add(&headers, "Content-Length", STR("77"));
	http_header_add(&headers, "Connection", STR("close"));

	call_init(&t, "POST", "/");
	t.call.headers = &headers;
	t.call.body = STR("hello");
	p.script = &script[0];
	p.n_script = 1;
	call_run(&p, pool, &t);
	peer_run_ms(&p, 5);
	assert_string_equal(p.received.p, "POST / HTTP/1.1\r\nHost: other\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello");
	buf_deinit(&t.body);

	call_init(&t, "PUT", "/");
	t.call.headers = &headers;
	t.call.body_length = 6;
	http_call_start(pool, &t.call);
	http_call_write(&t.call, "abc", 3);
	peer_run_ms(&p, 5);
	http_call_write(&t.call, "def", 3);
	http_call_end(&t.call);
	peer_run_ms(&p, 5);
	assert_non_null(strstr(p.received.p, "Content-Length: 6\r\n\r\nabcdef"));
	stream_write(list_first(&p.conns, struct peer_conn, link)->stream, OK_A, strlen(OK_A));
	peer_run_until(&p, &t.done, 1);
	assert_int_equal(t.err, 0);
	buf_deinit(&t.body);

	buf_clear(&p.received);
	call_init(&t, "POST", "/");
	t.call.headers = &headers;
	t.call.body_length = -1;
	http_call_start(pool, &t.call);
	http_call_write(&t.call, "abc", 3);
	http_call_write(&t.call, "0123456789abcdefgh", 18);
	http_call_end(&t.call);
	peer_run_ms(&p, 5);
	assert_string_equal(p.received.p,
			    "POST / HTTP/1.1\r\nHost: other\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
			    "3\r\nabc\r\n12\r\n0123456789abcdefgh\r\n0\r\n\r\n");
	stream_write(list_first(&p.conns, struct peer_conn, link)->stream, OK_A, strlen(OK_A));
	peer_run_until(&p, &t.done, 1);
	assert_int_equal(t.err, 0);
	buf_deinit(&t.body);
	assert_int_equal(p.n_connections, 1);
	stop(&p, pool);
}

static void a_body_of_another_length_than_announced_ends_the_call(void **state)
{
	struct peer p;
	struct http_pool *pool = start(&p, NULL, 0);

	for (int more = 0; more < 2; more++) {
		struct test_call t;

		call_init(&t, "POST", "/");
		t.call.body_length = 4;
		http_call_start(pool, &t.call);
		peer_run_ms(&p, 5);
		http_call_write(&t.call, "abcdefgh", more ? 5 : 3);
		http_call_end(&t.call);
		assert_int_equal(t.done, 0);
		peer_run_until(&p, &t.done, 1);
		assert_int_equal(t.err, -EPROTO);
	}
	stop(&p, pool);
}

static void broken_answers_and_connections_have_their_errors(void **state)
{
	static const struct {
		struct peer_answer answer;
		int err;
	} cases[] = {
		{{NULL, PEER_CLOSE}, -ECONNRESET},
		{{NULL, PEER_RESET}, -ECONNRESET},
		{{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", PEER_CLOSE}, -ECONNRESET},
		{{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhi", PEER_KEEP}, -EBADMSG},
		{{"SSH-2.0-OpenSSH\r\n", PEER_KEEP}, -EBADMSG},
		{{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", PEER_KEEP},
		 -EBADMSG},
		{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", PEER_KEEP}, -EBADMSG},
		{{NULL, PEER_KEEP}, -ETIMEDOUT},
		{{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", PEER_KEEP}, -ETIMEDOUT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct peer p;
		struct http_pool *pool = start(&p, &cases[i].answer, 1);
		struct test_call t;

		call_init(&t, "GET", "/");
		t.call.head_ms = t.call.idle_ms = 100;
		call_run(&p, pool, &t);
		if (t.err != cases[i].err)
			fail_msg("case %zu: %d", i, t.err);
		peer_run_ms(&p, 5);
		assert_int_equal(p.n_connections, p.n_closed); /* none of them is used again */
		buf_deinit(&t.body);
		stop(&p, pool);
	}
}

static void nobody_listening_is_connection_refused(void **state)
{
	struct peer p;
	struct http_pool *pool = start(&p, NULL, 0);
	struct http_pool *missing = http_pool_new(&p.loop, p.wheel, "unix:/tmp/ogent-no-such.sock", NULL);
	struct test_call t;

	listener_close(p.listener);
	p.listener = NULL;
	call_init(&t, "GET", "/");
	call_run(&p, pool, &t);
	assert_int_equal(t.err, -ECONNREFUSED);
	call_init(&t, "GET", "/");
	call_run(&p, missing, &t);
	assert_int_equal(t.err, -ECONNREFUSED);
	call_init(&t, "GET", "/a b");
	call_run(&p, pool, &t);
	assert_int_equal(t.err, -EINVAL);
	http_pool_free(missing);
	stop(&p, pool);
}

static struct http_pool *elsewhere;
static unsigned n_failed, n_sent;

static struct http_pool *on_failed(struct http_call *c, int err)
{
	n_failed++;
	return n_failed == 1 ? elsewhere : NULL;
}

static void on_sent(struct http_call *c)
{
	assert_true(http_call_was_sent(c));
	n_sent++;
}

static void a_call_without_a_connection_goes_on_elsewhere_with_its_body(void **state)
{
	static const struct peer_answer script[] = {{OK_A, PEER_KEEP}};
	struct peer p;
	struct http_pool *pool = start(&p, script, 1);
	struct http_pool *missing = http_pool_new(&p.loop, p.wheel, "unix:/tmp/ogent-no-such.sock", NULL);
	struct test_call t;

	elsewhere = pool;
	n_failed = n_sent = 0;
	call_init(&t, "POST", "/");
	t.call.body_length = -1;
	t.call.on_failed = on_failed;
	t.call.on_sent = on_sent;
	http_call_start(missing, &t.call);
	http_call_write(&t.call, "abc", 3);
	http_call_end(&t.call);
	assert_false(http_call_was_sent(&t.call));
	peer_run_until(&p, &t.done, 1);
	assert_int_equal(t.err, 0);
	assert_string_equal(t.body.p, "a");
	assert_int_equal(n_failed, 1);
	assert_int_equal(n_sent, 1);
	assert_non_null(strstr(p.received.p, "3\r\nabc\r\n0\r\n"));
	buf_deinit(&t.body);
	http_pool_free(missing);
	stop(&p, pool);
}

static void a_call_whose_body_is_gone_does_not_go_on_elsewhere(void **state)
{
	static const struct peer_answer script[] = {{NULL, PEER_RESET}, {NULL, PEER_RESET}, {OK_A, PEER_KEEP}};
	struct peer p;
	struct http_pool *pool = start(&p, script, 3);
	struct test_call t;

	elsewhere = pool;
	n_failed = 0;
	call_init(&t, "PUT", "/");
	t.call.body_length = 1;
	t.call.on_failed = on_failed;
	http_call_start(pool, &t.call);
	http_call_write(&t.call, "x", 1);
	http_call_end(&t.call);
	peer_run_until(&p, &t.done, 1);
	assert_int_equal(t.err, -ECONNRESET);
	assert_int_equal(n_failed, 0);
	call_init(&t, "PUT", "/");
	t.call.on_failed = on_failed;
	call_run(&p, pool, &t);
	assert_int_equal(t.err, 0);
	assert_int_equal(n_failed, 1);
	buf_deinit(&t.body);
	stop(&p, pool);
}

static void an_old_connection_takes_no_more_calls(void **state)
{
	static const struct peer_answer script[] = {{OK_A, PEER_KEEP}, {OK_B, PEER_KEEP}};
	const struct http_pool_limits limits = {.max_age_ms = 1};
	struct peer p;
	struct http_pool *pool;

	peer_start(&p, script, 2);
	pool = http_pool_new(&p.loop, p.wheel, listener_address(p.listener), &limits);
	for (unsigned i = 0; i < 2; i++) {
		struct test_call t;

		call_init(&t, "GET", "/");
		call_run(&p, pool, &t);
		assert_int_equal(t.err, 0);
		buf_deinit(&t.body);
		uv_sleep(2);
		uv_update_time(&p.loop);
	}
	assert_int_equal(p.n_connections, 2);
	stop(&p, pool);
}

static void a_stale_connection_is_found_out_before_use(void **state)
{
	static const struct peer_answer script[] = {{OK_A, PEER_KEEP}, {OK_B, PEER_KEEP}};
	struct peer p;
	struct http_pool *pool = start(&p, script, 2);
	struct test_call t;

	call_init(&t, "GET", "/");
	call_run(&p, pool, &t);
	buf_deinit(&t.body);
	peer_cut_all(&p);
	call_init(&t, "POST", "/"); /* the loop has not seen the end of file yet */
	call_run(&p, pool, &t);
	assert_int_equal(t.err, 0);
	assert_string_equal(t.body.p, "b");
	assert_int_equal(p.n_connections, 2);
	buf_deinit(&t.body);
	stop(&p, pool);
}

static void what_is_idempotent_is_repeated_once_on_a_new_connection(void **state)
{
	static const struct peer_answer script[] = {{OK_A, PEER_KEEP}, {NULL, PEER_RESET}, {OK_B, PEER_KEEP}};
	static const struct {
		const char *method;
		bool is_streamed;
		int err;
	} cases[] = {{"GET", false, 0}, {"PUT", false, 0}, {"PUT", true, -ECONNRESET}, {"POST", false, -ECONNRESET}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct peer p;
		struct http_pool *pool = start(&p, script, 3);
		struct test_call t;

		call_init(&t, "GET", "/");
		call_run(&p, pool, &t);
		buf_deinit(&t.body);
		call_init(&t, cases[i].method, "/");
		if (cases[i].is_streamed)
			t.call.body_length = 1;
		http_call_start(pool, &t.call);
		if (cases[i].is_streamed)
			http_call_write(&t.call, "x", 1);
		peer_run_until(&p, &t.done, 1);
		assert_int_equal(t.err, cases[i].err);
		if (t.err == 0)
			assert_string_equal(t.body.p, "b");
		assert_int_equal(p.n_connections, t.err == 0 ? 2 : 1);
		buf_deinit(&t.body);
		stop(&p, pool);
	}
}

static void it_is_repeated_only_once_and_never_on_a_first_connection(void **state)
{
	static const struct peer_answer script[] = {
		{OK_A, PEER_KEEP}, {NULL, PEER_RESET}, {NULL, PEER_RESET}, {OK_B, PEER_KEEP}};
	struct peer p;
	struct http_pool *pool = start(&p, script, 4);
	struct test_call t;

	call_init(&t, "GET", "/");
	call_run(&p, pool, &t);
	buf_deinit(&t.body);
	call_init(&t, "GET", "/");
	call_run(&p, pool, &t);
	assert_int_equal(t.err, -ECONNRESET);
	assert_int_equal(p.n_connections, 2);
	stop(&p, pool);
}

static struct peer_answer big_answer(size_t n)
{
	struct buf b = BUF_INIT;
	size_t size;

	buf_printf(&b, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
	for (size_t i = 0; i < n; i++)
		buf_add_char(&b, (char)('a' + i % 26));
	char *bytes = buf_steal(&b, &size);

	return (struct peer_answer){bytes, PEER_KEEP, size};
}

static void a_paused_call_reads_no_further_until_it_is_resumed(void **state)
{
	enum { N = 8 * 1024 * 1024 };
	struct peer_answer big = big_answer(N);

	for (int in_head = 0; in_head < 2; in_head++) {
		struct peer p;
		struct http_pool *pool = start(&p, &big, 1);
		struct test_call t;

		call_init(&t, "GET", "/");
		t.act = in_head ? PAUSE_IN_HEAD : PAUSE_IN_BODY;
		t.call.idle_ms = 50; /* does not run while paused */
		http_call_start(pool, &t.call);
		peer_run_until(&p, &t.heads, 1);
		peer_run_ms(&p, 150);
		assert_int_equal(t.done, 0);
		assert_true(t.call.received <= 64 * 1024);
		t.act = NOTHING;
		t.call.idle_ms = 0;
		http_call_resume(&t.call);
		peer_run_until(&p, &t.done, 1);
		assert_int_equal(t.err, 0);
		assert_int_equal(t.body.n, N);
		assert_int_equal(t.call.received, N);
		buf_deinit(&t.body);
		stop(&p, pool);
	}
	free((char *)big.bytes);
}

static void writing_is_held_up_by_a_peer_that_does_not_read(void **state)
{
	static const struct peer_answer stop_reading = {NULL, PEER_PAUSE};
	static char block[64 * 1024];
	struct peer p;
	struct http_pool *pool = start(&p, &stop_reading, 1);
	struct test_call t;
	int n = 0;

	call_init(&t, "POST", "/");
	t.call.body_length = -1;
	http_call_start(pool, &t.call);
	while (http_call_write(&t.call, block, sizeof(block)) && n < 1000)
		n++;
	assert_true(n < 10); /* kept until there is a connection */
	peer_run_until(&p, &t.drains, 1);
	for (n = 0; n < 1000 && http_call_write(&t.call, block, sizeof(block)); n++)
		peer_run_ms(&p, 1);
	assert_true(n < 1000);
	t.drains = 0;
	stream_resume(list_first(&p.conns, struct peer_conn, link)->stream);
	peer_run_until(&p, &t.drains, 1);
	http_call_end(&t.call);
	peer_run_ms(&p, 20);
	stream_write(list_first(&p.conns, struct peer_conn, link)->stream, OK_A, strlen(OK_A));
	peer_run_until(&p, &t.done, 1);
	assert_int_equal(t.err, 0);
	buf_deinit(&t.body);
	stop(&p, pool);
}

static void an_answer_before_the_bodys_end_is_taken_and_the_connection_given_up(void **state)
{
	static const struct peer_answer refuse = {"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", PEER_KEEP};
	struct peer p;
	struct http_pool *pool = start(&p, &refuse, 1);
	struct test_call t;

	call_init(&t, "POST", "/");
	t.call.body_length = 1000;
	http_call_start(pool, &t.call);
	http_call_write(&t.call, "abc", 3);
	peer_run_until(&p, &t.done, 1);
	assert_int_equal(t.err, 0);
	assert_int_equal(t.call.status, 413);
	assert_true(http_call_write(&t.call, "abc", 3)); /* harmless */
	peer_run_ms(&p, 5);
	assert_int_equal(p.n_closed, 1);
	stop(&p, pool);
}

static void answers_until_the_end_of_the_connection_are_taken(void **state)
{
	static const struct peer_answer script[] = {{"HTTP/1.1 200 OK\r\n\r\nhello", PEER_CLOSE},
						    {OK_A "x", PEER_KEEP}};
	struct peer p;
	struct http_pool *pool = start(&p, script, 2);
	struct test_call t;

	call_init(&t, "GET", "/");
	call_run(&p, pool, &t);
	assert_int_equal(t.err, 0);
	assert_string_equal(t.body.p, "hello");
	buf_deinit(&t.body);
	call_init(&t, "GET", "/");
	call_run(&p, pool, &t);
	assert_int_equal(t.err, 0);
	assert_string_equal(t.body.p, "a");
	buf_deinit(&t.body);
	peer_run_ms(&p, 5);
	assert_int_equal(p.n_connections, 2);
	assert_int_equal(p.n_closed, 2); /* bytes behind an answer are nobody's */
	stop(&p, pool);
}

static void a_cancel_closes_the_connection_and_is_told_later_and_once(void **state)
{
	static const struct peer_answer half = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", PEER_KEEP};

	/* 0 at once, 1 before the head, 2 and 3 in the callbacks, 4 in the middle of the body */
	for (int when = 0; when < 5; when++) {
		struct peer p;
		struct http_pool *pool = start(&p, &half, when == 1 ? 0 : 1);
		struct test_call t;

		call_init(&t, "GET", "/");
		t.act = when == 2 ? CANCEL_IN_HEAD : when == 3 ? CANCEL_IN_BODY : NOTHING;
		http_call_start(pool, &t.call);
		if (when == 1)
			peer_run_ms(&p, 10);
		if (when == 4)
			peer_run_until(&p, &t.pieces, 1);
		if (when != 2 && when != 3) {
			http_call_cancel(&t.call);
			http_call_cancel(&t.call);
			assert_int_equal(t.done, 0);
		}
		peer_run_until(&p, &t.done, 1);
		assert_int_equal(t.err, -ECANCELED);
		peer_run_ms(&p, 10);
		assert_int_equal(t.done, 1);
		assert_int_equal(p.n_connections, p.n_closed);
		buf_deinit(&t.body);
		stop(&p, pool);
	}
}

static void calls_above_the_limit_wait_their_turn(void **state)
{
	enum { N = 20 };
	struct peer_answer script[N];
	struct http_pool_limits limits = {.max_connections = 2, .max_idle = 1};
	struct test_call calls[N];
	struct peer p;

	for (int i = 0; i < N; i++)
		script[i] = (struct peer_answer){OK_A, i % 5 == 4 ? PEER_CLOSE : PEER_KEEP};
	peer_start(&p, script, N);
	struct http_pool *pool = http_pool_new(&p.loop, p.wheel, listener_address(p.listener), &limits);
	for (int i = 0; i < N; i++) {
		call_init(&calls[i], "GET", "/");
		http_call_start(pool, &calls[i].call);
	}
	http_call_cancel(&calls[7].call); /* one of those that wait */
	for (int i = 0; i < N; i++) {
		peer_run_until(&p, &calls[i].done, 1);
		assert_int_equal(calls[i].err, i == 7 ? -ECANCELED : 0);
		assert_true(p.n_connections - p.n_closed <= 3);
		buf_deinit(&calls[i].body);
	}
	peer_run_ms(&p, 5);
	assert_int_equal(p.n_connections - p.n_closed, 1);
	stop(&p, pool);
}

static void a_call_that_waits_can_time_out(void **state)
{
	struct http_pool_limits limits = {.max_connections = 1};
	struct test_call a, b;
	struct peer p;

	peer_start(&p, NULL, 0);
	struct http_pool *pool = http_pool_new(&p.loop, p.wheel, listener_address(p.listener), &limits);
	call_init(&a, "GET", "/");
	a.call.head_ms = UINT64_MAX;
	http_call_start(pool, &a.call);
	call_init(&b, "GET", "/");
	b.call.head_ms = 50;
	call_run(&p, pool, &b);
	assert_int_equal(b.err, -ETIMEDOUT);
	assert_int_equal(a.done, 0);
	http_pool_free(pool);
	assert_int_equal(a.done, 0);
	peer_run_until(&p, &a.done, 1);
	assert_int_equal(a.err, -ECANCELED);
	peer_stop(&p);
}

static void upgraded_on_data(void *owner, const char *data, size_t n)
{
	buf_add(&((struct test_call *)owner)->early, data, n);
}

static void upgraded_on_end(void *owner, int err)
{
}

static void upgraded_on_close(void *owner)
{
	((struct test_call *)owner)->upgraded = NULL;
}

static void on_upgrade(struct http_call *c, struct stream *s, struct str early)
{
	static const struct stream_events events = {
		.on_data = upgraded_on_data, .on_end = upgraded_on_end, .on_close = upgraded_on_close};
	struct test_call *t = container_of(c, struct test_call, call);

	assert_int_equal(t->done, 0);
	t->upgraded = s;
	buf_add(&t->early, early.p, early.n);
	stream_set_owner(s, &events, t);
	stream_resume(s);
}

static void an_upgraded_connection_is_handed_over(void **state)
{
	static const struct peer_answer answer = {
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nearly", PEER_KEEP};
	struct peer p;
	struct http_pool *pool = start(&p, &answer, 1);
	struct test_call t;

	call_init(&t, "GET", "/ws");
	t.call.on_upgrade = on_upgrade;
	call_run(&p, pool, &t);
	assert_int_equal(t.err, 0);
	assert_int_equal(t.heads, 1);
	assert_int_equal(t.call.status, 101);
	assert_non_null(strstr(p.received.p, "Connection: Upgrade\r\n"));
	stream_write(t.upgraded, "ping", 4);
	stream_write(list_first(&p.conns, struct peer_conn, link)->stream, " late", 5);
	http_pool_free(pool);
	peer_run_ms(&p, 10);
	assert_string_equal(t.early.p, "early late");
	assert_string_equal(p.received.p + p.received.n - 4, "ping");
	stream_close(t.upgraded, false);
	peer_run_ms(&p, 5);
	assert_null(t.upgraded);
	buf_deinit(&t.early);
	peer_stop(&p);
}

struct fetched {
	int done, err, status;
	char body[20];
};

static void on_fetched(void *arg, int err, int status, struct str body)
{
	struct fetched *f = arg;

	f->done++;
	f->err = err;
	f->status = status;
	snprintf(f->body, sizeof(f->body), "%s", body.p);
}

static void a_fetch_collects_an_answer_up_to_a_limit(void **state)
{
	static const struct peer_answer script[] = {
		{"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello", PEER_KEEP},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", PEER_KEEP},
		{"HTTP/1.1 204 No Content\r\n\r\n", PEER_KEEP}};
	struct peer p;
	struct http_pool *pool = start(&p, script, 3);
	struct fetched f = {0};

	http_fetch(pool, "POST", "/x", NULL, "application/json", STR("{}"), 5, 0, on_fetched, &f);
	peer_run_until(&p, &f.done, 1);
	assert_int_equal(f.err, 0);
	assert_int_equal(f.status, 201);
	assert_string_equal(f.body, "hello");
	assert_non_null(strstr(p.received.p, "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"));
	http_fetch(pool, "GET", "/x", NULL, NULL, (struct str){0}, 4, 0, on_fetched, &f);
	peer_run_until(&p, &f.done, 2);
	assert_int_equal(f.err, -EMSGSIZE);
	assert_string_equal(f.body, "");
	http_fetch(pool, "GET", "/x", NULL, NULL, (struct str){0}, 4, 0, on_fetched, &f);
	peer_run_until(&p, &f.done, 3);
	assert_int_equal(f.err, 0);
	assert_string_equal(f.body, "");
	http_fetch_cancel(http_fetch(pool, "GET", "/x", NULL, NULL, (struct str){0}, 4, 0, on_fetched, &f));
	peer_run_until(&p, &f.done, 4);
	assert_int_equal(f.err, -ECANCELED);
	stop(&p, pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_share_a_connection),
		cmocka_unit_test(bodies_go_whole_in_pieces_and_chunked),
		cmocka_unit_test(a_body_of_another_length_than_announced_ends_the_call),
		cmocka_unit_test(broken_answers_and_connections_have_their_errors),
		cmocka_unit_test(nobody_listening_is_connection_refused),
		cmocka_unit_test(a_call_without_a_connection_goes_on_elsewhere_with_its_body),
		cmocka_unit_test(a_call_whose_body_is_gone_does_not_go_on_elsewhere),
		cmocka_unit_test(an_old_connection_takes_no_more_calls),
		cmocka_unit_test(a_stale_connection_is_found_out_before_use),
		cmocka_unit_test(what_is_idempotent_is_repeated_once_on_a_new_connection),
		cmocka_unit_test(it_is_repeated_only_once_and_never_on_a_first_connection),
		cmocka_unit_test(a_paused_call_reads_no_further_until_it_is_resumed),
		cmocka_unit_test(writing_is_held_up_by_a_peer_that_does_not_read),
		cmocka_unit_test(an_answer_before_the_bodys_end_is_taken_and_the_connection_given_up),
		cmocka_unit_test(answers_until_the_end_of_the_connection_are_taken),
		cmocka_unit_test(a_cancel_closes_the_connection_and_is_told_later_and_once),
		cmocka_unit_test(calls_above_the_limit_wait_their_turn),
		cmocka_unit_test(a_call_that_waits_can_time_out),
		cmocka_unit_test(an_upgraded_connection_is_handed_over),
		cmocka_unit_test(a_fetch_collects_an_answer_up_to_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
