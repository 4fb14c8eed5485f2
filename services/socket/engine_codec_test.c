#include "engine_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* "4:hello;4:b:AQ;" for each packet, then ! when it is malformed. */
static void describe(const char *payload, size_t n, struct buf *out)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	struct str rest = {payload, n};
	struct engine_packet p;

	while (rest.p) {
		if (!engine_payload_next(&rest, &bytes, &p)) {
			buf_add_char(out, '!');
			return;
		}
		buf_printf(out, "%d:%s", p.type, p.is_binary ? "b:" : "");
		buf_add(out, p.data.p, p.data.n);
		buf_add_char(out, ';');
	}
}

static void payloads_are_read(void **state)
{
	static const struct {
		const char *payload, *seen;
	} cases[] = {
		{"4hello", "4:hello;"},
		{"4test1\x1e"
		 "4test2\x1e"
		 "4test3",
		 "4:test1;4:test2;4:test3;"},
		{"4hello\x1e"
		 "bQUJD",
		 "4:hello;4:b:ABC;"},
		{"bQUI=", "4:b:AB;"},
		{"b", "4:b:;"},
		{"2probe", "2:probe;"},
		{"1", "1:;"},
		{"6\x1e"
		 "4",
		 "6:;4:;"},
		{"", "!"},
		{"abc", "!"},
		{"7", "!"},
		{"4a\x1e", "4:a;!"},
		{"\x1e"
		 "4a",
		 "!"},
		{"b!!", "!"},
		{"bQUI", "!"},
		{"bQU==JD", "!"},
		{"bQUJD QUJD", "!"},
		{"bEI\xf1\x62", "!"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(buf_deinit) struct buf seen = BUF_INIT;

		describe(cases[i].payload, strlen(cases[i].payload), &seen);
		assert_string_equal(seen.p, cases[i].seen);
	}
}

static void what_is_written_is_read_back(void **state)
{
	_cleanup_(buf_deinit) struct buf payload = BUF_INIT, seen = BUF_INIT;
	static const struct engine_packet packets[] = {
		{ENGINE_MESSAGE, false, {"hello", 5}}, {ENGINE_MESSAGE, true, {"\x01\x02\x03\x04", 4}},
		{ENGINE_PING, false, {NULL, 0}},       {ENGINE_MESSAGE, true, {NULL, 0}},
		{ENGINE_MESSAGE, false, {"", 0}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(packets); i++)
		engine_payload_add(&payload, &packets[i]);
	assert_string_equal(payload.p, "4hello\x1e"
				       "bAQIDBA==\x1e"
				       "2\x1e"
				       "b\x1e"
				       "4");
	describe(payload.p, payload.n, &seen);
	assert_string_equal(seen.p, "4:hello;4:b:\x01\x02\x03\x04;2:;4:b:;4:;");
}

static void queries_are_read(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct engine_query q;

	engine_query_read(a, STR("EIO=4&transport=polling&t=x"), &q);
	assert_int_equal(q.transport, ENGINE_POLLING);
	assert_true(q.is_version_4);
	assert_null(q.sid);
	engine_query_read(a, STR("transport=websocket&sid=ab%2Dc&EIO=3"), &q);
	assert_int_equal(q.transport, ENGINE_WEBSOCKET);
	assert_false(q.is_version_4);
	assert_string_equal(q.sid, "ab-c");
	engine_query_read(a, STR("transport=webtransport&sid="), &q);
	assert_int_equal(q.transport, ENGINE_UNKNOWN);
	assert_null(q.sid);
	engine_query_read(a, (struct str){0}, &q);
	assert_int_equal(q.transport, ENGINE_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(payloads_are_read),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(queries_are_read),
	};

	return cmocka_run_group_tests_name("engine_codec", tests, NULL, NULL);
}
