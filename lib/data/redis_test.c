#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "data/redis.h"
#include "data/redis_for_tests.h"

#define LIMIT_US (20 * INT64_C(1000000))

static uv_loop_t loop;
static struct wheel *wheel;
static struct test_redis server;
static struct redis *redis;
static unsigned n_ups, n_downs;
static char reason[200];

static void on_state(void *arg, bool is_up, const char *why)
{
	if (is_up)
		n_ups++;
	else
		n_downs++;
	if (why)
		snprintf(reason, sizeof(reason), "%s", why);
}

static void turn_until(const unsigned *what, unsigned least)
{
	for (uint64_t end = clock_mono_us() + LIMIT_US; *what < least && clock_mono_us() < end;)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(*what >= least);
}

static void connect_to(const char *url)
{
	struct error err = {0};

	if (redis_new(&loop, wheel, url, on_state, NULL, &redis, &err) < 0)
		fail_msg("%s", err.message);
}

static int start(void **state, bool is_tcp)
{
	n_ups = n_downs = 0;
	*reason = '\0';
	uv_loop_init(&loop);
	wheel = wheel_new(&loop);
	*state = NULL;
	if (!test_redis_start(&server, is_tcp, NULL))
		return 0;
	*state = &server;
	connect_to(server.url);
	turn_until(&n_ups, 1);
	return 0;
}

static int setup(void **state)
{
	return start(state, false);
}

static int setup_tcp(void **state)
{
	return start(state, true);
}

static int teardown(void **state)
{
	redis_free(redis);
	redis = NULL;
	for (int i = 0; i < 4; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	wheel_free(wheel);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	test_redis_remove(&server);
	server = (struct test_redis){0};
	return 0;
}

struct call {
	struct redis_command command;
	unsigned n_done;
	int err;
	struct buf text; /* the answer in a form of our own */
};

static void describe(const struct redis_value *v, struct buf *out)
{
	int64_t n;

	switch (redis_type(v)) {
	case REDIS_IS_NIL: buf_add_str(out, "nil"); break;
	case REDIS_IS_INTEGER:
		assert_true(redis_integer(v, &n));
		buf_printf(out, "%lld", (long long)n);
		break;
	case REDIS_IS_ERROR: buf_printf(out, "!%.*s", STR_ARG(redis_text(v))); break;
	case REDIS_IS_TEXT: buf_add(out, redis_text(v).p, redis_text(v).n); break;
	case REDIS_IS_LIST:
		buf_add_char(out, '[');
		for (size_t i = 0; i < redis_count(v); i++) {
			buf_add_str(out, i ? "," : "");
			describe(redis_at(v, i), out);
		}
		buf_add_char(out, ']');
		break;
	}
}

static void on_done(struct redis_command *c, int err, const struct redis_value *v)
{
	struct call *call = container_of(c, struct call, command);

	call->n_done++;
	call->err = err;
	buf_clear(&call->text);
	describe(v, &call->text);
}

static int send_words(struct call *call, const char *words, uint64_t timeout_ms)
{
	struct str argv[16], rest = str_of(words);
	size_t n = 0;

	while (rest.p)
		argv[n++] = str_cut(&rest, ' ');
	call->n_done = 0;
	call->command.on_done = on_done;
	return redis_send(redis, &call->command, argv, n, timeout_ms);
}

static const char *ask(struct call *call, const char *words)
{
	assert_int_equal(send_words(call, words, 10000), 0);
	assert_int_equal(call->n_done, 0);
	turn_until(&call->n_done, 1);
	return call->text.p;
}

static void commands_are_answered_whatever_bytes_they_hold(void **state)
{
	static const char bytes[] = "a\0b\r\n$5\r\n\xff";
	struct str value = {bytes, sizeof(bytes) - 1};
	struct call call = {0};

	if (!*state)
		skip();
	call.command.on_done = on_done;
	assert_int_equal(redis_send(redis, &call.command, (struct str[]){STR("SET"), STR("k \0"), value}, 3, 0), 0);
	turn_until(&call.n_done, 1);
	assert_string_equal(call.text.p, "OK");
	call.n_done = 0;
	assert_int_equal(redis_send(redis, &call.command, (struct str[]){STR("GET"), STR("k \0")}, 2, 0), 0);
	turn_until(&call.n_done, 1);
	assert_true(str_eq(buf_str(&call.text), value));
	assert_string_equal(ask(&call, "GET nothing"), "nil");
	assert_string_equal(ask(&call, "INCRBY n -7"), "-7");
	assert_string_equal(ask(&call, "RPUSH l a b"), "2");
	assert_string_equal(ask(&call, "LRANGE l 0 -1"), "[a,b]");
	assert_string_equal(ask(&call, "INCR l"), "!WRONGTYPE Operation against a key holding the wrong kind of value");
	assert_int_equal(call.err, -EREMOTEIO);
	assert_string_equal(ask(&call, "XADD s 1-1 f v"), "1-1");
	assert_string_equal(ask(&call, "XRANGE s - +"), "[[1-1,[f,v]]]");
	buf_deinit(&call.text);
}

static void a_value_of_the_wrong_type_is_no_value(void **state)
{
	int64_t n;

	assert_int_equal(redis_type(NULL), REDIS_IS_NIL);
	assert_null(redis_text(NULL).p);
	assert_false(redis_integer(NULL, &n));
	assert_int_equal(redis_count(NULL), 0);
	assert_null(redis_at(NULL, 0));
}

static void many_commands_wait_in_one_pipeline(void **state)
{
	enum { N = 2000 };
	static struct call calls[N];
	char words[32];

	if (!*state)
		skip();
	memset(calls, 0, sizeof(calls));
	for (unsigned i = 0; i < N; i++) {
		snprintf(words, sizeof(words), "ECHO %u", i);
		assert_int_equal(send_words(&calls[i], words, 0), 0);
	}
	turn_until(&calls[N - 1].n_done, 1);
	for (unsigned i = 0; i < N; i++) {
		snprintf(words, sizeof(words), "%u", i);
		assert_int_equal(calls[i].n_done, 1);
		assert_string_equal(calls[i].text.p, words);
		buf_deinit(&calls[i].text);
	}
}

static void the_queue_has_an_end(void **state)
{
	int r = 0;
	unsigned n = 0;

	if (!*state)
		skip();
	test_redis_signal(&server, SIGSTOP);
	for (; r == 0 && n <= REDIS_WAITING_MAX; n++)
		r = redis_send(redis, NULL, &STR("PING"), 1, 0);
	test_redis_signal(&server, SIGCONT);
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(n - 1, REDIS_WAITING_MAX);
}

static void a_late_answer_is_given_up_and_those_behind_it_keep_their_places(void **state)
{
	struct call late = {0}, cancelled = {0}, next = {0};

	if (!*state)
		skip();
	test_redis_signal(&server, SIGSTOP);
	assert_int_equal(send_words(&late, "ECHO late", 60), 0);
	assert_int_equal(send_words(&cancelled, "ECHO cancelled", 0), 0);
	redis_cancel(&cancelled.command);
	redis_cancel(&cancelled.command);
	turn_until(&late.n_done, 1);
	assert_int_equal(late.err, -ETIMEDOUT);
	assert_int_equal(send_words(&next, "ECHO next", 0), 0);
	test_redis_signal(&server, SIGCONT);
	turn_until(&next.n_done, 1);
	assert_string_equal(next.text.p, "next");
	assert_int_equal(late.n_done, 1);
	assert_int_equal(cancelled.n_done, 0);
	buf_deinit(&late.text);
	buf_deinit(&next.text);
}

static void a_script_is_sent_once_and_again_when_the_server_forgot_it(void **state)
{
	struct redis_script script;
	struct call call = {.command.on_done = on_done};
	struct call bad = {.command.on_done = on_done};

	if (!*state)
		skip();
	redis_script_init(&script, "return {KEYS[1], ARGV[1]}");
	assert_string_equal(script.sha1, "d006f1a90249474274c76f5be725b8f5804a346b");
	for (unsigned i = 0; i < 3; i++) {
		call.n_done = 0;
		assert_int_equal(redis_eval(redis, &call.command, &script, (struct str[]){STR("k"), STR("a")}, 1, 2, 0),
				 0);
		turn_until(&call.n_done, 1);
		assert_int_equal(call.err, 0);
		assert_string_equal(call.text.p, "[k,a]");
		if (i == 1)
			ask(&bad, "SCRIPT FLUSH");
	}
	redis_script_init(&script, "this is no Lua");
	bad.n_done = 0;
	assert_int_equal(redis_eval(redis, &bad.command, &script, NULL, 0, 0, 0), 0);
	turn_until(&bad.n_done, 1);
	assert_int_equal(bad.err, -EREMOTEIO);
	buf_deinit(&call.text);
	buf_deinit(&bad.text);
}

static void a_server_that_is_killed_fails_what_waits_and_is_used_again_when_it_is_back(void **state)
{
	struct call call = {0};

	if (!*state)
		skip();
	test_redis_signal(&server, SIGSTOP);
	assert_int_equal(send_words(&call, "ECHO lost", 0), 0);
	uv_run(&loop, UV_RUN_NOWAIT);
	test_redis_signal(&server, SIGKILL);
	turn_until(&call.n_done, 1);
	assert_int_equal(call.err, -ECONNRESET);
	assert_int_equal(n_downs, 1);
	assert_true(*reason);
	assert_false(redis_is_up(redis));
	assert_int_equal(send_words(&call, "ECHO refused", 0), -ENOTCONN);
	assert_int_equal(call.n_done, 0);
	/* Tries that fail are no news. */
	for (uint64_t end = clock_mono_us() + 500000; clock_mono_us() < end;)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(n_downs, 1);
	test_redis_again(&server, NULL);
	turn_until(&n_ups, 2);
	assert_string_equal(ask(&call, "ECHO back"), "back");
	buf_deinit(&call.text);
}

static void a_server_that_is_silent_is_left(void **state)
{
	struct call call = {0};

	if (!*state)
		skip();
	test_redis_signal(&server, SIGSTOP);
	assert_int_equal(send_words(&call, "ECHO x", 0), 0);
	turn_until(&n_downs, 1);
	assert_int_equal(call.err, -ECONNRESET);
	assert_string_equal(reason, "the server does not answer");
	test_redis_signal(&server, SIGCONT);
	turn_until(&n_ups, 2);
	buf_deinit(&call.text);
}

static void a_password_is_given_and_a_wrong_one_is_told_without_it(void **state)
{
	const char *const args[] = {"--requirepass", "tiger", NULL};
	char url[200];
	struct call call = {0};

	if (!*state)
		skip();
	test_redis_signal(&server, SIGKILL);
	turn_until(&n_downs, 1);
	redis_free(redis);
	test_redis_again(&server, args);
	n_downs = n_ups = 0;
	snprintf(url, sizeof(url), "redis://:lion@127.0.0.1:%d/1", server.port);
	connect_to(url);
	turn_until(&n_downs, 1);
	assert_non_null(strstr(reason, "WRONGPASS"));
	assert_null(strstr(reason, "lion"));
	redis_free(redis);
	snprintf(url, sizeof(url), "redis://default:tiger@127.0.0.1:%d/1", server.port);
	connect_to(url);
	turn_until(&n_ups, 1);
	assert_string_equal(ask(&call, "SET in1 x"), "OK");
	assert_string_equal(ask(&call, "SELECT 0"), "OK");
	assert_string_equal(ask(&call, "EXISTS in1"), "0");
	buf_deinit(&call.text);
}

static void a_server_that_is_not_there_at_first_is_found_later(void **state)
{
	if (!*state)
		skip();
	test_redis_signal(&server, SIGKILL);
	turn_until(&n_downs, 1);
	redis_free(redis);
	n_ups = n_downs = 0;
	connect_to(server.url);
	turn_until(&n_downs, 1);
	test_redis_again(&server, NULL);
	turn_until(&n_ups, 1);
}

/* ---- Channels ---- */

struct listener_ {
	struct redis_subscription s;
	unsigned n_on, n_off, n_messages;
	char last[64], why[64];
};

static void on_message(struct redis_subscription *s, struct str message)
{
	struct listener_ *l = container_of(s, struct listener_, s);

	l->n_messages++;
	snprintf(l->last, sizeof(l->last), "%.*s", STR_ARG(message));
}

static void on_channel(struct redis_subscription *s, bool is_on, const char *why)
{
	struct listener_ *l = container_of(s, struct listener_, s);

	if (is_on)
		l->n_on++;
	else
		l->n_off++;
	snprintf(l->why, sizeof(l->why), "%s", why ? why : "");
}

#define LISTENER                                                         \
	{                                                                \
		.s = {.on_message = on_message, .on_state = on_channel } \
	}

static void messages_come_by_their_channels(void **state)
{
	struct listener_ plain = LISTENER, sharded = LISTENER, again = LISTENER;
	struct call call = {0};

	if (!*state)
		skip();
	assert_int_equal(redis_subscribe(redis, &plain.s, STR("news"), false), 0);
	assert_int_equal(redis_subscribe(redis, &sharded.s, STR("news"), true), 0);
	assert_int_equal(redis_subscribe(redis, &again.s, STR("news"), true), -EEXIST);
	turn_until(&plain.n_on, 1);
	turn_until(&sharded.n_on, 1);
	assert_string_equal(ask(&call, "PUBLISH news one"), "1");
	assert_string_equal(ask(&call, "SPUBLISH news two"), "1");
	turn_until(&plain.n_messages, 1);
	turn_until(&sharded.n_messages, 1);
	assert_string_equal(plain.last, "one");
	assert_string_equal(sharded.last, "two");

	/* Left and taken up again at once: the confirmation that counts is the second. */
	redis_unsubscribe(&plain.s);
	redis_unsubscribe(&plain.s);
	assert_int_equal(redis_subscribe(redis, &plain.s, STR("news"), false), 0);
	redis_unsubscribe(&plain.s);
	assert_int_equal(redis_subscribe(redis, &plain.s, STR("news"), false), 0);
	assert_false(plain.s.is_on);
	turn_until(&plain.n_on, 2);
	assert_string_equal(ask(&call, "PUBLISH news three"), "1");
	turn_until(&plain.n_messages, 2);
	assert_string_equal(plain.last, "three");
	redis_unsubscribe(&sharded.s);
	redis_unsubscribe(&plain.s);
	assert_int_equal(plain.n_off + sharded.n_off, 0);
	buf_deinit(&call.text);
}

static void channels_are_told_of_a_gap_and_come_back(void **state)
{
	struct listener_ l = LISTENER;

	if (!*state)
		skip();
	assert_int_equal(redis_subscribe(redis, &l.s, STR("a\0b"), true), 0);
	turn_until(&l.n_on, 1);
	test_redis_signal(&server, SIGKILL);
	turn_until(&l.n_off, 1);
	assert_false(l.s.is_on);
	test_redis_again(&server, NULL);
	turn_until(&l.n_on, 2);
	turn_until(&n_ups, 2);
	assert_int_equal(redis_send(redis, NULL, (struct str[]){STR("SPUBLISH"), STR("a\0b"), STR("hello")}, 3, 0), 0);
	turn_until(&l.n_messages, 1);
	assert_string_equal(l.last, "hello");
	redis_unsubscribe(&l.s);
}

static void a_channel_that_the_server_refuses_says_why(void **state)
{
	struct listener_ l = LISTENER, other = LISTENER;
	struct call call = {0};

	if (!*state)
		skip();
	ask(&call, "ACL SETUSER default resetchannels &open");
	assert_int_equal(redis_subscribe(redis, &l.s, STR("closed"), false), 0);
	assert_int_equal(redis_subscribe(redis, &other.s, STR("open"), false), 0);
	turn_until(&l.n_off, 1);
	assert_non_null(strstr(l.why, "NOPERM"));
	turn_until(&other.n_on, 1);
	assert_int_equal(l.n_on, 0);
	redis_unsubscribe(&l.s);
	redis_unsubscribe(&other.s);
	buf_deinit(&call.text);
}

static void an_instance_can_go_at_any_moment(void **state)
{
	struct listener_ l = LISTENER;
	struct call call = {0};

	if (!*state)
		skip();
	assert_int_equal(redis_subscribe(redis, &l.s, STR("x"), false), 0);
	assert_int_equal(send_words(&call, "ECHO x", 1000), 0);
	redis_free(redis);
	redis = NULL;
	for (int i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(call.n_done, 0);
	connect_to(server.url); /* ended while it connects */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(commands_are_answered_whatever_bytes_they_hold),
		cmocka_unit_test(a_value_of_the_wrong_type_is_no_value),
		TEST(many_commands_wait_in_one_pipeline),
		TEST(the_queue_has_an_end),
		TEST(a_late_answer_is_given_up_and_those_behind_it_keep_their_places),
		TEST(a_script_is_sent_once_and_again_when_the_server_forgot_it),
		TEST(a_server_that_is_killed_fails_what_waits_and_is_used_again_when_it_is_back),
		TEST(a_server_that_is_silent_is_left),
		cmocka_unit_test_setup_teardown(a_password_is_given_and_a_wrong_one_is_told_without_it, setup_tcp,
						teardown),
		TEST(a_server_that_is_not_there_at_first_is_found_later),
		TEST(messages_come_by_their_channels),
		TEST(channels_are_told_of_a_gap_and_come_back),
		TEST(a_channel_that_the_server_refuses_says_why),
		TEST(an_instance_can_go_at_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
