#include "socketio_codec.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void packets_are_read_and_written_back(void **state)
{
	static const struct {
		const char *text, *seen; /* "TYPE ATTACHMENTS NAMESPACE ID JSON"; NULL: malformed */
		const char *written;     /* NULL: as it came */
	} cases[] = {
		{"0", "0 0 / -1 ", NULL},
		{"0{\"token\":\"123\"}", "0 0 / -1 {\"token\":\"123\"}", NULL},
		{"0/custom,", "0 0 /custom -1 ", NULL},
		{"0/custom", "0 0 /custom -1 ", "0/custom,"},
		{"0/admin,{\"sid\":\"x\"}", "0 0 /admin -1 {\"sid\":\"x\"}", NULL},
		{"1", "1 0 / -1 ", NULL},
		{"1/admin,", "1 0 /admin -1 ", NULL},
		{"2[\"foo\"]", "2 0 / -1 [\"foo\"]", NULL},
		{"2/admin,[\"bar\"]", "2 0 /admin -1 [\"bar\"]", NULL},
		{"212[\"foo\"]", "2 0 / 12 [\"foo\"]", NULL},
		{"2/admin,0[\"foo\"]", "2 0 /admin 0 [\"foo\"]", NULL},
		{"3/admin,13[\"bar\"]", "3 0 /admin 13 [\"bar\"]", NULL},
		{"4{\"message\":\"Not authorized\"}", "4 0 / -1 {\"message\":\"Not authorized\"}", NULL},
		{"51-[\"baz\",{\"_placeholder\":true,\"num\":0}]",
		 "5 1 / -1 [\"baz\",{\"_placeholder\":true,\"num\":0}]", NULL},
		{"52-/admin,7[\"baz\",{\"_placeholder\":true,\"num\":1}]",
		 "5 2 /admin 7 [\"baz\",{\"_placeholder\":true,\"num\":1}]", NULL},
		{"61-15[{\"_placeholder\":true,\"num\":0}]", "6 1 / 15 [{\"_placeholder\":true,\"num\":0}]", NULL},
		{"", NULL, NULL},
		{"abc", NULL, NULL},
		{"7", NULL, NULL},
		{"5[\"a\"]", NULL, NULL},
		{"50-[\"a\"]", NULL, NULL},
		{"511-[\"a\"]", NULL, NULL},
		{"51[\"a\"]", NULL, NULL},
		{"5-[\"a\"]", NULL, NULL},
		{"2{}", NULL, NULL},
		{"2[]", NULL, NULL},
		{"2", NULL, NULL},
		{"2[\"foo\"", NULL, NULL},
		{"2abc[\"foo\"]", NULL, NULL},
		{"2[{}]", NULL, NULL},
		{"2[\"connect\"]", NULL, NULL},
		{"2[\"disconnecting\",1]", NULL, NULL},
		{"2-1[\"foo\"]", NULL, NULL},
		{"21234567890123456[\"foo\"]", NULL, NULL},
		{"3[\"bar\"]", NULL, NULL},
		{"313{}", NULL, NULL},
		{"0[]", NULL, NULL},
		{"0\"x\"", NULL, NULL},
		{"1{}", NULL, NULL},
		{"51-[\"a\",{\"_placeholder\":true,\"num\":1}]", NULL, NULL},
		{"51-[\"a\",{\"x\":[{\"_placeholder\":true,\"num\":\"splice\"}]}]", NULL, NULL},
		{"51-[\"a\",{\"_placeholder\":true}]", NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_free_p) struct arena *a = arena_new();
		_cleanup_(buf_deinit) struct buf seen = BUF_INIT, written = BUF_INIT;
		struct socketio_packet p;
		yyjson_val *payload;

		if (!socketio_packet_read(str_of(cases[i].text), &p) || !socketio_payload_read(a, &p, &payload)) {
			if (cases[i].seen)
				fail_msg("%s is refused", cases[i].text);
			continue;
		}
		buf_printf(&seen, "%d %u %.*s %" PRId64 " %.*s", p.type, p.attachments, STR_ARG(p.nsp), p.id,
			   STR_ARG(p.json));
		if (!cases[i].seen)
			fail_msg("%s is taken", cases[i].text);
		assert_string_equal(seen.p, cases[i].seen);
		socketio_packet_write(&written, &p);
		assert_string_equal(written.p, cases[i].written ? cases[i].written : cases[i].text);
	}
}

static void a_namespace_has_a_limit(void **state)
{
	char text[SOCKETIO_MAX_NAMESPACE + 3] = "0/";
	struct socketio_packet p;

	memset(text + 2, 'x', sizeof(text) - 3);
	assert_false(socketio_packet_read(str_of(text), &p));
	text[sizeof(text) - 2] = '\0';
	assert_true(socketio_packet_read(str_of(text), &p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_read_and_written_back),
		cmocka_unit_test(a_namespace_has_a_limit),
	};

	return cmocka_run_group_tests_name("socketio_codec", tests, NULL, NULL);
}
