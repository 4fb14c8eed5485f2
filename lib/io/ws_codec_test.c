/* The cases follow the classes of the Autobahn suite: 1 framing, 2 pings, 3 reserved bits, 4 opcodes, 5 fragmentation,
 * 6 UTF-8, 7 closing, 9 limits. Frames stand unmasked in hexadecimal; the test masks them for the server side and feeds
 * them in pieces of several sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "io/ws.h"

#define MAX_MESSAGE 70000

struct seen {
	struct buf text; /* "T:hello;" per message or control frame */
	bool stop, stopped;
};

static bool on_frame(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	struct seen *s = owner;

	buf_printf(&s->text, "%c:", " TB     CPO"[op]);
	if (n > 200)
		buf_printf(&s->text, "%zu", n);
	else
		buf_add(&s->text, data, n);
	buf_add_char(&s->text, ';');
	s->stopped = op == WS_CLOSE || s->stop;
	return !s->stopped;
}

/* Hexadecimal digits, blanks, and 'text' in quotes. */
static void parse_frames(const char *text, struct buf *out)
{
	for (const char *p = text; *p; p++) {
		unsigned byte;

		if (*p == ' ')
			continue;
		if (*p == '\'') {
			const char *end = strchr(p + 1, '\'');

			buf_add(out, p + 1, (size_t)(end - p - 1));
			p = end;
			continue;
		}
		assert_int_equal(sscanf(p, "%2x", &byte), 1);
		buf_add_char(out, (char)byte);
		p++;
	}
}

/* Masks frame after frame; stops where a length is a lie (the parser refuses it before it matters). */
static void mask_frames(const struct buf *in, struct buf *out)
{
	static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	size_t at = 0;

	while (at < in->n) {
		const uint8_t *p = (const uint8_t *)in->p + at;
		size_t left = in->n - at, head = 2, len = left > 1 ? p[1] & 0x7f : 0;

		if (left < 2)
			break;
		if (len >= 126) {
			size_t size = len == 126 ? 2 : 8;

			len = 0;
			for (size_t i = 0; i < size && head < left; i++)
				len = len << 8 | p[head++];
		}
		buf_add_char(out, (char)p[0]);
		buf_add_char(out, (char)(p[1] ^ 0x80));
		buf_add(out, p + 2, head - 2);
		buf_add(out, mask, 4);
		len = MIN(len, left - head);
		for (size_t i = 0; i < len; i++)
			buf_add_char(out, (char)(p[head + i] ^ mask[i & 3]));
		at += head + len;
	}
	buf_add(out, in->p + at, in->n - at);
}

static int feed(bool is_server, const struct buf *bytes, size_t step, struct seen *seen)
{
	struct ws_parser p;
	int code = 0;

	ws_parser_init(&p, is_server, MAX_MESSAGE, on_frame, seen);
	for (size_t i = 0; i < bytes->n && !code && !seen->stopped; i += step) {
		/* A copy of its own, so that a read past the piece is seen by ASan. */
		size_t n = MIN(step, bytes->n - i);
		char *piece = xmalloc(n);

		memcpy(piece, bytes->p + i, n);
		code = ws_parser_feed(&p, piece, n);
		free(piece);
	}
	ws_parser_deinit(&p);
	return code;
}

struct frame_case {
	const char *name, *frames;
	int code;
	const char *events;
};

static const struct frame_case cases[] = {
	{"1.1 text", "81 05 'hello'", 0, "T:hello;"},
	{"1.1 empty text", "81 00", 0, "T:;"},
	{"1.2 binary", "82 03 fffefd", 0, "B:\xff\xfe\xfd;"},
	{"1.1 two frames", "81 01 'a' 81 01 'b'", 0, "T:a;T:b;"},
	{"1.1 length not in the shortest form, 16 bits", "81 7e 0005 'hello'", 1002, ""},
	{"1.1 length not in the shortest form, 64 bits", "82 7f 0000000000000100", 1002, ""},
	{"1.1 length with the top bit", "82 7f 8000000000000000", 1002, ""},
	{"2.1 ping", "89 00", 0, "P:;"},
	{"2.2 ping with payload", "89 05 'hello'", 0, "P:hello;"},
	{"2.5 ping of 126 bytes", "89 7e 007e", 1002, ""},
	{"2.7 unsolicited pong", "8a 00 89 00", 0, "O:;P:;"},
	{"3.1 RSV1", "c1 00", 1002, ""},
	{"3.2 RSV2 after a good frame", "81 01 'a' a1 01 'b'", 1002, "T:a;"},
	{"3.3 RSV3", "91 05 'hello'", 1002, ""},
	{"3.4 RSV on a ping", "b9 00", 1002, ""},
	{"3.5 RSV on a binary frame", "f2 00", 1002, ""},
	{"4.1 reserved data opcode 3", "83 00", 1002, ""},
	{"4.1 reserved data opcode 7", "87 00", 1002, ""},
	{"4.2 reserved control opcode 11", "8b 00", 1002, ""},
	{"4.2 reserved control opcode 15", "8f 00", 1002, ""},
	{"5.1 fragmented ping", "09 01 'a' 80 01 'b'", 1002, ""},
	{"5.2 fragmented pong", "0a 01 'a' 80 01 'b'", 1002, ""},
	{"5.3 text in two frames", "01 03 'hel' 80 02 'lo'", 0, "T:hello;"},
	{"5.6 ping between fragments", "01 03 'hel' 89 01 'p' 80 02 'lo'", 0, "P:p;T:hello;"},
	{"5.8 several fragments, pings, empty ones", "01 00 00 01 'a' 89 00 00 00 8a 01 'x' 00 01 'b' 80 00", 0,
	 "P:;O:x;T:ab;"},
	{"5.9 continuation without a start", "80 01 'a'", 1002, ""},
	{"5.12 unfinished continuation without a start", "00 01 'a'", 1002, ""},
	{"5.15 continuation after the end", "01 01 'a' 80 01 'b' 00 01 'c'", 1002, "T:ab;"},
	{"5.18 text inside a text", "01 01 'a' 81 01 'b'", 1002, ""},
	{"5.18 binary inside a text", "01 01 'a' 02 01 'b'", 1002, ""},
	{"6.2 character split over fragments", "01 03 'x' cebb 00 01 ce 80 01 ba", 0, "T:x\xce\xbb\xce\xba;"},
	{"6.3 invalid text", "81 03 'a' ff 'b'", 1007, ""},
	{"6.4 invalid in the first fragment fails before the last", "01 02 'a' ff", 1007, ""},
	{"6.4 fails before the frame is whole", "81 7e 1000 'abc' eda080", 1007, ""},
	{"6.6 cut character at the end", "81 02 'a' ce", 1007, ""},
	{"6.6 cut character at the end of fragments", "01 01 'a' 80 02 e282", 1007, ""},
	{"6.8 overlong", "81 02 c0af", 1007, ""},
	{"6.8 overlong of three", "81 03 e080af", 1007, ""},
	{"6.11 highest code point", "81 04 f48fbfbf", 0, "T:\xf4\x8f\xbf\xbf;"},
	{"6.13 surrogate", "81 03 eda080", 1007, ""},
	{"6.15 above the highest", "81 04 f4908080", 1007, ""},
	{"6.20 binary need not be text", "02 01 ff 80 01 fe", 0, "B:\xff\xfe;"},
	{"6.21 state starts anew", "81 02 ceba 81 01 'a'", 0, "T:\xce\xba;T:a;"},
	{"7.1 nothing after a close", "88 00 81 01 'a'", 0, "C:;"},
	{"7.3 close with one byte", "88 01 'a'", 1002, ""},
	{"7.3 close with a code", "88 02 03e8", 0, "C:\x03\xe8;"},
	{"7.3 close with a reason", "88 06 03e8 'bye!'", 0,
	 "C:\x03\xe8"
	 "bye!;"},
	{"7.3 close of 126 bytes", "88 7e 007e", 1002, ""},
	{"7.5 close reason is not UTF-8", "88 05 03e8 'a' ffff", 1007, ""},
	{"7.7 code 4999", "88 02 1387", 0, "C:\x13\x87;"},
	{"7.9 code 0", "88 02 0000", 1002, ""},
	{"7.9 code 999", "88 02 03e7", 1002, ""},
	{"7.9 code 1005", "88 02 03ed", 1002, ""},
	{"7.9 code 1006", "88 02 03ee", 1002, ""},
	{"7.9 code 1015", "88 02 03f7", 1002, ""},
	{"7.9 code 2999", "88 02 0bb7", 1002, ""},
	{"7.9 code 5000", "88 02 1388", 1002, ""},
	{"9 message above the limit", "82 7f 0000000000011171", 1009, ""},
	{"9 fragments above the limit", "02 01 'a' 80 7f 0000000000011170", 1009, ""},
};

static void every_class_of_the_autobahn_suite_ends_as_it_should(void **state)
{
	static const size_t steps[] = {1, 2, 3, 7, 1000};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t k = 0; k < 2 * ARRAY_SIZE(steps); k++) {
			_cleanup_(buf_deinit) struct buf plain = BUF_INIT, masked = BUF_INIT;
			struct seen seen = {0};
			bool is_server = k & 1;

			parse_frames(cases[i].frames, &plain);
			mask_frames(&plain, &masked);
			int code = feed(is_server, is_server ? &masked : &plain, steps[k / 2], &seen);
			const char *events = seen.text.n ? seen.text.p : "";

			if (code != cases[i].code || strcmp(events, cases[i].events) != 0)
				fail_msg("%s (step %zu, %s): %d, %s", cases[i].name, steps[k / 2],
					 is_server ? "server" : "client", code, events);
			buf_deinit(&seen.text);
		}
	}
}

/* Sections 12 and 13: with permessage-deflate agreed on. */
static const struct frame_case deflated_cases[] = {
	{"one frame", "c1 07 f248cdc9c90700", 0, "T:Hello;"},
	{"two frames", "41 03 f248cd 80 04 c9c90700", 0, "T:Hello;"},
	{"a ping between", "41 03 f248cd 89 01 'p' 80 04 c9c90700", 0, "P:p;T:Hello;"},
	{"not compressed after compressed", "c1 07 f248cdc9c90700 81 01 'a' c2 07 f248cdc9c90700", 0,
	 "T:Hello;T:a;B:Hello;"},
	{"RSV1 on a continuation", "41 03 f248cd c0 04 c9c90700", 1002, ""},
	{"RSV1 on a ping", "c9 00", 1002, ""},
	{"RSV2 with RSV1", "e1 07 f248cdc9c90700", 1002, ""},
	{"cut", "c1 03 f248cd", 1007, ""},
	{"no deflated data", "c1 02 ffff", 1007, ""},
	{"text that is not UTF-8", "c1 07 000100feffff00", 1007, ""},
};

static void compressed_messages_are_read(void **state)
{
	for (size_t i = 0; i < 2 * ARRAY_SIZE(deflated_cases); i++) {
		const struct frame_case *c = &deflated_cases[i / 2];
		_cleanup_(buf_deinit) struct buf plain = BUF_INIT, masked = BUF_INIT;
		struct seen seen = {0};
		struct ws_parser p;
		int code;

		parse_frames(c->frames, &plain);
		mask_frames(&plain, &masked);
		ws_parser_init(&p, i % 2, MAX_MESSAGE, on_frame, &seen);
		p.may_deflate = true;
		code = i % 2 ? ws_parser_feed(&p, masked.p, masked.n) : ws_parser_feed(&p, plain.p, plain.n);
		if (code != c->code || strcmp(seen.text.n ? seen.text.p : "", c->events) != 0)
			fail_msg("%s: %d, %s", c->name, code, seen.text.n ? seen.text.p : "");
		ws_parser_deinit(&p);
		buf_deinit(&seen.text);
	}
}

static void a_server_demands_the_mask_and_a_client_refuses_it(void **state)
{
	_cleanup_(buf_deinit) struct buf plain = BUF_INIT, masked = BUF_INIT;
	struct seen seen = {0};

	ws_frame(&plain, WS_TEXT, "hi", 2, NULL);
	ws_frame(&masked, WS_TEXT, "hi", 2, (const uint8_t *)"\x01\x02\x03\x04");
	assert_int_equal(feed(true, &plain, 100, &seen), 1002);
	assert_int_equal(feed(false, &masked, 100, &seen), 1002);
	assert_int_equal(seen.text.n, 0);
}

static void frames_of_every_length_class_are_read_back(void **state)
{
	static const size_t sizes[] = {0, 1, 7, 8, 9, 125, 126, 127, 128, 65535, 65536, MAX_MESSAGE};
	static const uint8_t mask[4] = {0xde, 0xad, 0xbe, 0xef};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t step = 1; step < 70100; step = step * 7 + 1) {
			_cleanup_(buf_deinit) struct buf frame = BUF_INIT, data = BUF_INIT;
			struct seen seen = {0}, expected = {0};

			for (size_t k = 0; k < sizes[i]; k++)
				buf_add_char(&data, (char)('a' + k % 23));
			ws_frame(&frame, WS_TEXT, data.p, data.n, mask);
			assert_int_equal(feed(true, &frame, step, &seen), 0);
			on_frame(&expected, WS_TEXT, data.p, data.n);
			assert_string_equal(seen.text.p, expected.text.p);
			buf_deinit(&seen.text);
			buf_deinit(&expected.text);
		}
	}
}

static void the_owner_can_stop_and_end_the_parser(void **state)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	struct seen seen = {.stop = true};

	ws_frame(&bytes, WS_TEXT, "a", 1, NULL);
	ws_frame(&bytes, WS_TEXT, "b", 1, NULL);
	assert_int_equal(feed(false, &bytes, 100, &seen), 0);
	assert_string_equal(seen.text.p, "T:a;");
	buf_deinit(&seen.text);
}

static void the_accept_key_is_that_of_the_standard(void **state)
{
	char accept[29];

	ws_accept_key(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept);
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_class_of_the_autobahn_suite_ends_as_it_should),
		cmocka_unit_test(compressed_messages_are_read),
		cmocka_unit_test(a_server_demands_the_mask_and_a_client_refuses_it),
		cmocka_unit_test(frames_of_every_length_class_are_read_back),
		cmocka_unit_test(the_owner_can_stop_and_end_the_parser),
		cmocka_unit_test(the_accept_key_is_that_of_the_standard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
