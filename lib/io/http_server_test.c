#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>

#include <stdio.h>

#include "io/server_for_tests.h"

#define H "Host: a.example\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" H "\r\n"

static struct test_server *server;
static struct test_client *client;

static void start(const struct http_limits *limits)
{
	server = test_server_new(limits);
	client = test_client_new(server);
}

static void stop(void)
{
	test_client_free(client);
	test_server_free(server);
}

static void say(const char *text)
{
	test_client_send(client, text, strlen(text), SIZE_MAX);
}

static void expect(int status, const char *body)
{
	struct test_answer a;

	test_client_wait_answer(client, 2000);
	for (int i = 0; i < 5; i++) {
		test_server_turn(server);
		test_client_read(client);
	}
	a = test_client_answer(client);
	assert_int_equal(a.status, status);
	if (body)
		assert_string_equal(a.body, body);
}

static void turns(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		test_server_turn(server);
		test_client_read(client);
	}
}

static void a_connection_serves_one_request_after_the_other(void **state)
{
	start(NULL);
	for (int i = 0; i < 20; i++) {
		say(GET("/hello"));
		expect(200, "hello");
	}
	assert_int_equal(http_server_connections(server->server), 1);
	assert_int_equal(server->n_closed, 20);
	assert_int_equal(server->last_err, 0);
	stop();
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	start(NULL);
	say(GET("/hold") GET("/a") GET("/b"));
	turns(5);
	assert_int_equal(server->n_requests, 1); /* one at a time */
	http_reply(server->held, 200, "text/plain", NULL, "late", 4);
	expect(200, "late");
	expect(200, "/a");
	expect(200, "/b");
	stop();
}

static void nothing_is_served_behind_an_error(void **state)
{
	start(NULL);
	say(GET("/hold") "BAD\r\n\r\n" GET("/a"));
	turns(5);
	http_reply(server->held, 204, NULL, NULL, NULL, 0);
	test_client_read_all(client, 2000);
	expect(204, "");
	expect(400, NULL);
	assert_int_equal(client->in.n, 0);
	assert_int_equal(server->n_requests, 1);
	stop();
}

static void a_pipeline_that_goes_on_and_on_is_not_read_into_memory(void **state)
{
	struct buf many = BUF_INIT;

	start(NULL);
	say(GET("/hold"));
	for (int i = 0; i < 1000; i++)
		buf_add_str(&many, GET("/a"));
	/* Far more than the sockets' buffers hold, so that a part must stay with the client. */
	size_t sent = 0;
	for (int i = 0; i < 5000; i++) {
		ssize_t n = send(client->fd, many.p, many.n, MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		uv_run(&server->loop, UV_RUN_NOWAIT);
	}
	assert_true(sent < 30000000);
	assert_int_equal(server->n_requests, 1);
	buf_deinit(&many);
	stop();
}

static void bodies_come_in_pieces_and_go_back_chunked(void **state)
{
	start(NULL);
	say("POST /stream-echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	turns(5);
	assert_non_null(strstr(client->in.p, "3\r\nabc\r\n"));
	say("2\r\nde\r\n0\r\n\r\n");
	turns(5);
	expect(200, "abcde");
	stop();
}

static void head_204_and_304_have_no_body(void **state)
{
	start(NULL);
	say("HEAD /hello HTTP/1.1\r\n" H "\r\n");
	test_client_wait_answer(client, 2000);
	assert_non_null(strstr(client->in.p, "Content-Length: 5\r\n"));
	assert_string_equal(strstr(client->in.p, "\r\n\r\n"), "\r\n\r\n");
	buf_clear(&client->in);

	say(GET("/hold"));
	turns(3);
	http_reply(server->held, 204, NULL, NULL, "never", 5);
	test_client_wait_answer(client, 2000);
	assert_null(strstr(client->in.p, "Content-Length"));
	assert_string_equal(strstr(client->in.p, "\r\n\r\n"), "\r\n\r\n");
	buf_clear(&client->in);

	say("HEAD /hold HTTP/1.1\r\n" H "\r\n");
	turns(3);
	http_reply_head(server->held, 200, NULL, -1);
	assert_true(http_reply_write(server->held, "abc", 3));
	http_reply_end(server->held);
	test_client_wait_answer(client, 2000);
	assert_string_equal(strstr(client->in.p, "\r\n\r\n"), "\r\n\r\n");
	buf_clear(&client->in);
	say(GET("/hello"));
	expect(200, "hello");
	stop();
}

static void on_http_1_0_an_answer_of_unknown_length_ends_with_the_connection(void **state)
{
	start(NULL);
	say("GET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	turns(3);
	http_reply_head(server->held, 200, NULL, -1);
	http_reply_write(server->held, "abc", 3);
	http_reply_end(server->held);
	test_client_read_all(client, 2000);
	assert_null(strstr(client->in.p, "chunked"));
	assert_string_equal(strstr(client->in.p, "\r\n\r\n"), "\r\n\r\nabc");
	stop();
}

static void an_answer_shorter_than_announced_is_seen_as_broken_off(void **state)
{
	start(NULL);
	say(GET("/hold"));
	turns(3);
	http_reply_head(server->held, 200, NULL, 10);
	http_reply_write(server->held, "abc", 3);
	http_reply_end(server->held);
	test_client_read_all(client, 2000);
	assert_true(client->is_closed);
	assert_string_equal(strstr(client->in.p, "\r\n\r\n"), "\r\n\r\nabc");
	assert_int_equal(server->last_err, -ECONNABORTED);
	stop();
}

static void an_aborted_chunked_answer_has_no_last_chunk(void **state)
{
	start(NULL);
	say(GET("/hold"));
	turns(3);
	http_reply_head(server->held, 200, NULL, -1);
	http_reply_write(server->held, "abc", 3);
	http_reply_abort(server->held);
	test_client_read_all(client, 2000);
	assert_string_equal(strstr(client->in.p, "\r\n\r\n"), "\r\n\r\n3\r\nabc\r\n");
	stop();
}

static void expect_100_is_answered_when_the_body_is_wanted(void **state)
{
	start(NULL);
	say("POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	expect(100, NULL);
	say("abc");
	expect(200, "abc");
	stop();
}

static void a_refused_body_is_not_asked_for(void **state)
{
	start(NULL);
	say("POST /hold HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n");
	test_client_read_all(client, 2000);
	expect(413, NULL);
	assert_int_equal(server->last_err, -EMSGSIZE);
	assert_int_equal(client->in.n, 0);
	stop();
}

static void an_early_answer_to_a_large_body_ends_the_connection_and_is_read(void **state)
{
	static char body[4000000];

	start(NULL);
	say("POST /hello HTTP/1.1\r\n" H "Content-Length: 4000000\r\n\r\n");
	test_client_send(client, body, sizeof(body), 65536);
	test_client_read_all(client, 3000);
	expect(200, "hello");
	assert_true(client->is_closed);
	assert_int_equal(client->err, 0);
	stop();
}

static void a_small_body_that_nobody_wants_is_dropped(void **state)
{
	start(NULL);
	say("POST /hello HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc" GET("/a"));
	expect(200, "hello");
	expect(200, "/a");
	stop();
}

static void a_chunked_body_over_the_limit_is_answered_413(void **state)
{
	struct http_limits limits = http_limits_default;

	limits.max_body = 10;
	start(&limits);
	say("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n");
	turns(3);
	say("8\r\n12345678\r\n0\r\n\r\n" GET("/a"));
	test_client_read_all(client, 3000);
	expect(413, NULL);
	assert_int_equal(client->in.n, 0);
	assert_int_equal(server->n_closed, 1);
	stop();
}

static void a_paused_body_stays_with_the_client(void **state)
{
	static char body[200000];
	struct http_limits limits = http_limits_default;
	size_t sent = 0;

	limits.max_body = UINT64_MAX;
	start(&limits);
	say("POST /paused HTTP/1.1\r\n" H "Content-Length: 20000000\r\n\r\n");
	turns(3);
	while (sent < 20000000) {
		ssize_t n = send(client->fd, body, MIN(sizeof(body), 20000000 - sent), MSG_DONTWAIT);

		if (n < 0)
			break;
		sent += (size_t)n;
		uv_run(&server->loop, UV_RUN_NOWAIT);
	}
	assert_true(sent < 20000000);
	assert_int_equal(server->received, 0);
	http_body_resume(server->held);
	while (sent < 20000000) {
		ssize_t n = send(client->fd, body, MIN(sizeof(body), 20000000 - sent), MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		test_server_turn(server);
	}
	expect(200, NULL);
	assert_int_equal(server->received, 20000000);
	assert_int_equal(server->n_body_ends, 1);
	stop();
}

static void a_paused_request_without_a_body_hears_of_its_end_when_it_resumes(void **state)
{
	start(NULL);
	say(GET("/paused"));
	turns(3);
	assert_int_equal(server->n_body_ends, 0);
	http_body_resume(server->held);
	expect(200, NULL);
	assert_int_equal(server->n_body_ends, 1);
	stop();
}

static void a_reader_that_stops_stops_the_handler_and_may_go_on(void **state)
{
	size_t got = 0;

	start(NULL);
	say(GET("/big"));
	for (int i = 0; i < 20; i++)
		test_server_turn(server);
	assert_true(server->written < 8000000);
	for (int i = 0; i < 20000 && (server->n_closed == 0 || got <= 10000000); i++) {
		test_server_turn(server);
		test_client_read(client);
		got += client->in.n;
		buf_clear(&client->in);
	}
	assert_true(got > 10000000);
	assert_int_equal(server->last_err, 0);
	assert_true(server->n_drains > 2);
	stop();
}

static void a_reader_that_stops_for_too_long_is_cut(void **state)
{
	struct http_limits limits = http_limits_default;
	bool never = false;

	limits.body_idle_ms = 1000;
	start(&limits);
	say(GET("/big"));
	test_server_until(server, &never, 200);
	assert_int_equal(server->n_closed, 0);
	for (int i = 0; i < 5000 && server->n_closed == 0; i++)
		test_server_turn(server);
	assert_int_equal(server->n_closed, 1);
	assert_int_equal(server->last_err, -ETIMEDOUT);
	turns(3);
	assert_int_equal(http_server_connections(server->server), 0);
	stop();
}

static void a_slow_head_is_answered_408(void **state)
{
	struct http_limits limits = http_limits_default;

	limits.header_ms = 200;
	start(&limits);
	for (int i = 0; i < 400 && !client->is_closed; i++) {
		say(i == 0 ? "GET /hello HTTP/1.1\r\nX: " : "a");
		turns(1);
	}
	assert_true(client->is_closed);
	expect(408, NULL);
	assert_int_equal(server->n_requests, 0);
	stop();
}

static void a_slow_body_is_answered_408(void **state)
{
	struct http_limits limits = http_limits_default;

	limits.body_idle_ms = 200;
	start(&limits);
	say("POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nab");
	test_client_read_all(client, 2000);
	expect(408, NULL);
	assert_int_equal(server->last_err, -ETIMEDOUT);
	stop();
}

static void the_time_a_body_is_paused_is_not_the_clients(void **state)
{
	struct http_limits limits = http_limits_default;
	bool never = false;

	limits.body_idle_ms = 700;
	start(&limits);
	say("POST /paused HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\n");
	test_server_until(server, &never, 1000);
	http_body_resume(server->held);
	test_server_until(server, &never, 100);
	say("abc");
	expect(200, NULL);
	stop();
}

static void an_idle_connection_is_closed(void **state)
{
	struct http_limits limits = http_limits_default;

	limits.idle_ms = 500;
	start(&limits);
	say(GET("/hello"));
	expect(200, "hello");
	test_client_read_all(client, 2000);
	assert_true(client->is_closed);
	assert_int_equal(client->in.n, 0);
	stop();
}

static void a_client_that_leaves_in_its_body_ends_the_request(void **state)
{
	start(NULL);
	say("POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nab");
	turns(3);
	shutdown(client->fd, SHUT_WR);
	turns(5);
	assert_int_equal(server->n_closed, 1);
	assert_int_equal(server->last_err, -ECONNRESET);
	stop();
}

static void a_client_that_leaves_in_the_answer_ends_the_request(void **state)
{
	struct linger now = {.l_onoff = 1};

	start(NULL);
	say(GET("/hold"));
	turns(3);
	setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(client->fd);
	client->fd = -1;
	for (int i = 0; i < 5; i++)
		test_server_turn(server);
	assert_int_equal(server->n_closed, 1);
	assert_true(server->last_err < 0);
	assert_null(server->held);
	stop();
}

static void a_client_that_only_ended_its_side_gets_its_answers(void **state)
{
	start(NULL);
	say(GET("/hold") GET("/a"));
	turns(3);
	shutdown(client->fd, SHUT_WR);
	turns(5);
	assert_non_null(server->held);
	http_reply(server->held, 200, "text/plain", NULL, "late", 4);
	test_client_read_all(client, 2000);
	expect(200, "late");
	expect(200, "/a");
	stop();
}

static void but_a_stream_without_an_end_ends_then(void **state)
{
	start(NULL);
	say(GET("/hold"));
	turns(3);
	http_set_streaming(server->held);
	http_reply_head(server->held, 200, NULL, -1);
	turns(3);
	shutdown(client->fd, SHUT_WR);
	turns(5);
	assert_null(server->held);
	assert_int_equal(server->last_err, -ECONNRESET);
	stop();
}

static void an_upgrade_hands_over_the_stream_and_the_early_bytes(void **state)
{
	start(NULL);
	say("GET /upgrade HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: magic\r\n\r\nearly bytes");
	expect(101, NULL);
	assert_string_equal(server->early.p, "early bytes");
	assert_int_equal(server->last_err, 0);
	assert_int_equal(http_server_connections(server->server), 0);
	stream_write(server->upgraded, "raw", 3);
	turns(5);
	assert_string_equal(client->in.p, "raw");
	stop();
}

static void set_drained(void *arg)
{
	((struct test_server *)arg)->is_drained = true;
}

static void draining_ends_idle_connections_and_waits_for_the_others(void **state)
{
	start(NULL);
	struct test_client *idle = test_client_new(server);

	say(GET("/hold") GET("/a"));
	turns(3);
	http_server_drain(server->server, 5000, set_drained, server);
	test_client_read_all(idle, 1000);
	assert_true(idle->is_closed);
	assert_false(server->is_drained);
	http_reply(server->held, 200, "text/plain", NULL, "late", 4);
	test_client_wait_answer(client, 1000);
	assert_non_null(strstr(client->in.p, "Connection: close"));
	test_client_read_all(client, 1000);
	expect(200, "late");
	assert_int_equal(client->in.n, 0);
	close(client->fd);
	client->fd = -1;
	assert_true(test_server_until(server, &server->is_drained, 1000));
	test_client_free(idle);
	stop();
}

static void leaving_keeps_a_connection_whose_answer_has_begun_for_one_more_request(void **state)
{
	start(NULL);
	say(GET("/hold"));
	turns(3);
	http_reply_head(server->held, 200, NULL, 4);
	http_server_leave(server->server);
	http_reply_write(server->held, "late", 4);
	http_reply_end(server->held);
	expect(200, "late");
	say(GET("/hello"));
	test_client_wait_answer(client, 1000);
	assert_non_null(strstr(client->in.p, "Connection: close"));
	expect(200, "hello");
	test_client_read_all(client, 1000);
	assert_true(client->is_closed);
	stop();
}

static void draining_cuts_what_takes_too_long(void **state)
{
	start(NULL);
	say(GET("/hold"));
	turns(3);
	http_server_drain(server->server, 200, set_drained, server);
	assert_true(test_server_until(server, &server->is_drained, 1000));
	assert_int_equal(server->last_err, -ECANCELED);
	stop();
}

static void connections_above_the_limit_are_closed_at_once(void **state)
{
	struct http_limits limits = http_limits_default;

	limits.max_connections = 1;
	start(&limits);
	struct test_client *second = test_client_new(server);
	test_client_read_all(second, 1000);
	assert_true(second->is_closed);
	say(GET("/hello"));
	expect(200, "hello");
	test_client_free(second);
	stop();
}

static void headers_of_the_answer_are_the_handlers_and_the_servers(void **state)
{
	start(NULL);
	say(GET("/hold"));
	turns(3);
	struct http_headers extra = {.arena = server->held->arena};
	http_header_add(&extra, "X-One", STR("1"));
	http_header_add(&extra, "Content-Length", STR("99"));
	http_header_add(&extra, "Connection", STR("close"));
	http_reply(server->held, 201, "text/plain", &extra, "abc", 3);
	test_client_read_all(client, 2000);
	assert_non_null(strstr(client->in.p, "HTTP/1.1 201 Created\r\nDate: "));
	assert_non_null(strstr(client->in.p, "X-One: 1\r\n"));
	assert_non_null(strstr(client->in.p, "Content-Length: 3\r\n"));
	assert_null(strstr(client->in.p, "99"));
	stop();
}

static void a_unix_socket_serves_and_replaces_a_stale_file(void **state)
{
	char path[] = "/tmp/http-server-test-XXXXXX", address[128];
	struct http_server *first, *second;

	assert_non_null(mkdtemp(path));
	snprintf(address, sizeof(address), "unix:%s/s", path);
	start(NULL);
	assert_int_equal(http_server_open(&server->loop, server->wheel, address, NULL, test_on_request, server, &first),
			 0);
	assert_int_equal(
		http_server_open(&server->loop, server->wheel, address, NULL, test_on_request, server, &second),
		-EADDRINUSE);
	http_server_free(first);
	turns(2);
	/* A socket file that nobody listens on. */
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(un.sun_path, address + 5);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	assert_int_equal(
		http_server_open(&server->loop, server->wheel, address, NULL, test_on_request, server, &second), 0);
	http_server_free(second);
	stop();
	assert_int_equal(access(address + 5, F_OK), -1);
	rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_serves_one_request_after_the_other),
		cmocka_unit_test(pipelined_requests_are_answered_in_order),
		cmocka_unit_test(nothing_is_served_behind_an_error),
		cmocka_unit_test(a_pipeline_that_goes_on_and_on_is_not_read_into_memory),
		cmocka_unit_test(bodies_come_in_pieces_and_go_back_chunked),
		cmocka_unit_test(head_204_and_304_have_no_body),
		cmocka_unit_test(on_http_1_0_an_answer_of_unknown_length_ends_with_the_connection),
		cmocka_unit_test(an_answer_shorter_than_announced_is_seen_as_broken_off),
		cmocka_unit_test(an_aborted_chunked_answer_has_no_last_chunk),
		cmocka_unit_test(expect_100_is_answered_when_the_body_is_wanted),
		cmocka_unit_test(a_refused_body_is_not_asked_for),
		cmocka_unit_test(an_early_answer_to_a_large_body_ends_the_connection_and_is_read),
		cmocka_unit_test(a_small_body_that_nobody_wants_is_dropped),
		cmocka_unit_test(a_chunked_body_over_the_limit_is_answered_413),
		cmocka_unit_test(a_paused_body_stays_with_the_client),
		cmocka_unit_test(a_paused_request_without_a_body_hears_of_its_end_when_it_resumes),
		cmocka_unit_test(a_reader_that_stops_stops_the_handler_and_may_go_on),
		cmocka_unit_test(a_reader_that_stops_for_too_long_is_cut),
		cmocka_unit_test(a_slow_head_is_answered_408),
		cmocka_unit_test(a_slow_body_is_answered_408),
		cmocka_unit_test(the_time_a_body_is_paused_is_not_the_clients),
		cmocka_unit_test(an_idle_connection_is_closed),
		cmocka_unit_test(a_client_that_leaves_in_its_body_ends_the_request),
		cmocka_unit_test(a_client_that_leaves_in_the_answer_ends_the_request),
		cmocka_unit_test(a_client_that_only_ended_its_side_gets_its_answers),
		cmocka_unit_test(but_a_stream_without_an_end_ends_then),
		cmocka_unit_test(an_upgrade_hands_over_the_stream_and_the_early_bytes),
		cmocka_unit_test(draining_ends_idle_connections_and_waits_for_the_others),
		cmocka_unit_test(leaving_keeps_a_connection_whose_answer_has_begun_for_one_more_request),
		cmocka_unit_test(draining_cuts_what_takes_too_long),
		cmocka_unit_test(connections_above_the_limit_are_closed_at_once),
		cmocka_unit_test(headers_of_the_answer_are_the_handlers_and_the_servers),
		cmocka_unit_test(a_unix_socket_serves_and_replaces_a_stale_file),
	};

	return cmocka_run_group_tests_name("http server", tests, NULL, NULL);
}
