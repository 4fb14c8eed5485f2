#include "io/ws_deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/alloc.h"

#define SHORT "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

static void the_first_sound_offer_is_taken(void **state)
{
	static const struct {
		const char *offers;
		unsigned window; /* 0: refused */
		const char *answer;
	} cases[] = {
		{"permessage-deflate", 15, SHORT},
		{"permessage-deflate; client_max_window_bits", 15, SHORT},
		{"permessage-deflate; client_max_window_bits=8", 15, SHORT},
		{"permessage-deflate; client_no_context_takeover ;server_no_context_takeover", 15, SHORT},
		{"permessage-deflate;server_max_window_bits=9", 9, SHORT "; server_max_window_bits=9"},
		{"permessage-deflate;server_max_window_bits=\"10\"", 10, SHORT "; server_max_window_bits=10"},
		{"x-webkit-deflate-frame, permessage-deflate", 15, SHORT},
		{"permessage-deflate; server_max_window_bits=99, permessage-deflate", 15, SHORT},
		{"permessage-deflate; server_max_window_bits=8, permessage-deflate", 8,
		 SHORT "; server_max_window_bits=8"},
		{"permessage-deflate; server_max_window_bits", 0, NULL},
		{"permessage-deflate; server_max_window_bits=7", 0, NULL},
		{"permessage-deflate; server_max_window_bits=16", 0, NULL},
		{"permessage-deflate; server_max_window_bits=010", 0, NULL},
		{"permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", 0, NULL},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits", 0, NULL},
		{"permessage-deflate; client_max_window_bits=0", 0, NULL},
		{"permessage-deflate; server_no_context_takeover=1", 0, NULL},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", 0, NULL},
		{"permessage-deflate; unknown", 0, NULL},
		{"permessage-deflate;", 0, NULL},
		{"permessage-bzip2", 0, NULL},
		{",,;=", 0, NULL},
		{"", 0, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char answer[WS_DEFLATE_ANSWER] = "";
		uint8_t window = 0;
		bool taken = ws_deflate_negotiate(str_of(cases[i].offers), &window, answer);

		if (taken != (cases[i].window > 0) || window != cases[i].window ||
		    (taken && strcmp(answer, cases[i].answer) != 0))
			fail_msg("%s: %d %u %s", cases[i].offers, taken, window, answer);
	}
}

static void fill(struct buf *b, size_t n, unsigned variety)
{
	unsigned seed = 7;

	for (size_t i = 0; i < n; i++) {
		seed = seed * 1103515245 + 12345;
		buf_add_char(b, (char)('a' + (seed >> 16) % variety));
	}
}

static void what_was_compressed_comes_back(void **state)
{
	static const size_t sizes[] = {WS_DEFLATE_FLOOR, 1000, 4096, 32768};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_(buf_deinit) struct buf text = BUF_INIT, small = BUF_INIT, back = BUF_INIT;

		fill(&text, sizes[i], 5);
		assert_true(ws_deflate(buf_str(&text), 15, &small));
		assert_true(small.n < text.n);
		assert_int_equal(ws_inflate(buf_str(&small), text.n, &back), 0);
		assert_true(str_eq(buf_str(&text), buf_str(&back)));
	}
}

static void what_is_not_worth_it_stays_as_it_is(void **state)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, noise = BUF_INIT, out = BUF_INIT;
	unsigned seed = 1;

	fill(&text, WS_DEFLATE_FLOOR - 1, 2);
	assert_false(ws_deflate(buf_str(&text), 15, &out));
	for (unsigned i = 0; i < 2000; i++) {
		seed = seed * 1664525 + 1013904223;
		buf_add_char(&noise, (char)(seed >> 24));
	}
	assert_false(ws_deflate(buf_str(&noise), 15, &out));
	assert_int_equal(out.n, 0);
}

/* A client with a small window gets only what needs no more than that. */
static void nothing_points_behind_the_window(void **state)
{
	for (unsigned window = 9; window <= 15; window++) {
		_cleanup_(buf_deinit) struct buf text = BUF_INIT, small = BUF_INIT;
		char back[1 << 15];
		z_stream z = {0};

		fill(&text, (size_t)1 << window, 3);
		assert_true(ws_deflate(buf_str(&text), window, &small));
		buf_add(&small, "\0\0\xff\xff", 4);
		assert_int_equal(inflateInit2(&z, -(int)window), Z_OK);
		z.next_in = (Bytef *)small.p;
		z.avail_in = (uInt)small.n;
		z.next_out = (Bytef *)back;
		z.avail_out = sizeof(back);
		assert_true(inflate(&z, Z_SYNC_FLUSH) >= Z_OK || z.avail_out == 0);
		assert_int_equal(sizeof(back) - z.avail_out, text.n);
		assert_memory_equal(back, text.p, text.n);
		inflateEnd(&z);
		buf_add_char(&text, 'x');
		assert_false(ws_deflate(buf_str(&text), window, &small));
	}
}

static void a_bomb_is_stopped_at_the_limit(void **state)
{
	_cleanup_(buf_deinit) struct buf zeros = BUF_INIT, bomb = BUF_INIT, out = BUF_INIT;
	z_stream z = {0};

	buf_reserve(&zeros, 8 << 20);
	memset(zeros.p, 0, 8 << 20);
	buf_reserve(&bomb, 64 << 10);
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)zeros.p;
	z.avail_in = 8 << 20;
	z.next_out = (Bytef *)bomb.p;
	z.avail_out = 64 << 10;
	assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
	bomb.n = (64 << 10) - z.avail_out - 4;
	deflateEnd(&z);

	assert_int_equal(ws_inflate(buf_str(&bomb), 100000, &out), 1009);
	assert_true(out.n <= 100001);
	buf_clear(&out);
	assert_int_equal(ws_inflate(buf_str(&bomb), (8 << 20) - 1, &out), 1009);
	buf_clear(&out);
	assert_int_equal(ws_inflate(buf_str(&bomb), 8 << 20, &out), 0);
	assert_int_equal(out.n, 8 << 20);
}

/* The examples of RFC 7692 section 7.2.3, and what is none. */
static void every_kind_of_block_is_read(void **state)
{
	static const struct {
		const char *name, *data;
		size_t n;
		int code;
		const char *text;
	} cases[] = {
		{"one block", "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, 0, "Hello"},
		{"two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13, 0, "Hello"},
		{"no compression", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11, 0, "Hello"},
		{"a block that says it is the last", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8, 0, "Hello"},
		{"empty", "\x00", 1, 0, ""},
		{"cut off", "\xf2\x48\xcd", 3, 1007, NULL},
		{"nothing at all", "", 0, 1007, NULL},
		{"a block of no kind", "\x07\x00", 2, 1007, NULL},
		{"a distance before the start", "\x4b\x4c\x84\x03\x00", 5, 1007, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(buf_deinit) struct buf out = BUF_INIT;
		int code = ws_inflate((struct str){cases[i].data, cases[i].n}, 1000, &out);

		if (code != cases[i].code || (code == 0 && !str_is(buf_str(&out), cases[i].text)))
			fail_msg("%s: %d %s", cases[i].name, code, out.n ? out.p : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_sound_offer_is_taken),
		cmocka_unit_test(what_was_compressed_comes_back),
		cmocka_unit_test(what_is_not_worth_it_stays_as_it_is),
		cmocka_unit_test(nothing_points_behind_the_window),
		cmocka_unit_test(a_bomb_is_stopped_at_the_limit),
		cmocka_unit_test(every_kind_of_block_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
