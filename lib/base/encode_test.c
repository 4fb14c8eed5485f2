#include "base/encode.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/utf8.h"

static void ids_are_version_7_and_rise_within_a_millisecond(void **state)
{
	char last[ID_SIZE] = "", id[ID_SIZE];

	for (int i = 0; i < 20000; i++) {
		id_new(id);
		assert_true(id_is_valid(str_of(id)));
		assert_int_equal(id[14], '7');
		assert_non_null(strchr("89ab", id[19]));
		assert_true(strcmp(last, id) < 0);
		memcpy(last, id, sizeof(id));
	}
	assert_false(id_is_valid(STR("01234567-89AB-7def-8123-456789abcdef")));
	assert_false(id_is_valid(STR("0123456789ab7def8123456789abcdef")));
	assert_false(id_is_valid(STR("")));
}

/* Every byte at every place. */
static void an_id_has_small_digits_and_its_dashes_only(void **state)
{
	char id[] = "01234567-89ab-7def-8123-456789abcdef";

	for (size_t at = 0; at < sizeof(id) - 1; at++) {
		char kept = id[at];

		for (int c = 0; c < 256; c++) {
			bool is_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');

			id[at] = (char)c;
			if (id_is_valid(str_of(id)) != (kept == '-' ? c == '-' : is_digit))
				fail_msg("byte %d at %zu", c, at);
		}
		id[at] = kept;
	}
}

static void an_id_tells_its_time(void **state)
{
	char id[ID_SIZE], hex[13];
	int64_t now = clock_now_us() / 1000;

	id_new(id);
	snprintf(hex, sizeof(hex), "%.8s%.4s", id, id + 9);
	assert_in_range(strtoll(hex, NULL, 16), now - 1000, now + 1000);
}

static void the_wall_time_of_a_monotonic_one_is_that_of_the_clock(void **state)
{
	for (int i = 0; i < 5000; i++) {
		int64_t before = clock_now_us(), wall = clock_wall_us(clock_mono_us()), after = clock_now_us();

		assert_in_range(wall, before - 1000, after + 1000);
	}
	assert_in_range(clock_wall_us(clock_mono_us() - 3000000), clock_now_us() - 3100000, clock_now_us() - 2900000);
}

static void secrets_have_their_prefix_and_differ(void **state)
{
	char a[64], b[64];

	secret_new(a, sizeof(a), "ogs_", 32);
	secret_new(b, sizeof(b), "ogs_", 32);
	assert_memory_equal(a, "ogs_", 4);
	assert_int_equal(strlen(a), 4 + 43);
	assert_string_not_equal(a, b);
}

static void base64url_is_strict(void **state)
{
	struct buf b = BUF_INIT;
	char out[8];

	base64url_encode(&b, "\xfb\xff\xfe", 3);
	base64url_encode(&b, "a", 1);
	assert_string_equal(b.p, "-__-YQ");
	assert_int_equal(base64url_decode(STR("-__-YQ"), out, sizeof(out)), 4);
	assert_memory_equal(out, "\xfb\xff\xfe\x61", 4);
	assert_int_equal(base64url_decode(STR(""), out, sizeof(out)), 0);
	assert_int_equal(base64url_decode(STR("YQ=="), out, sizeof(out)), -EINVAL);
	assert_int_equal(base64url_decode(STR("YR"), out, sizeof(out)), -EINVAL);
	assert_int_equal(base64url_decode(STR("Y"), out, sizeof(out)), -EINVAL);
	assert_int_equal(base64url_decode(STR("+/+/"), out, sizeof(out)), -EINVAL);
	assert_int_equal(base64url_decode(STR("YQ YQ"), out, sizeof(out)), -EINVAL);
	assert_int_equal(base64url_decode(STR("AAAAAAAAAAAA"), out, sizeof(out)), -EINVAL);
	buf_clear(&b);
	base64_encode(&b, "\xfb\xff\xfe\x61", 4);
	assert_string_equal(b.p, "+//+YQ==");
	buf_deinit(&b);
}

static void sha256_matches_the_standard(void **state)
{
	char hex[SHA256_HEX_SIZE];

	sha256_hex("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void percent_coding_goes_both_ways_and_refuses_what_is_bad(void **state)
{
	static const char *const bad[] = {"%", "%4", "%zz", "a%00", "%ff", "%c3", "%+1"};
	struct buf b = BUF_INIT;

	percent_encode(STR("a b/\xc3\xa9~"), &b);
	assert_string_equal(b.p, "a%20b%2F%C3%A9~");
	struct buf d = BUF_INIT;
	assert_int_equal(percent_decode(buf_str(&b), false, &d), 0);
	assert_string_equal(d.p, "a b/\xc3\xa9~");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(percent_decode(str_of(bad[i]), false, &d), -EINVAL);
	assert_string_equal(d.p, "a b/\xc3\xa9~");
	buf_clear(&d);
	percent_decode(STR("a+b"), true, &d);
	percent_decode(STR("a+b"), false, &d);
	assert_string_equal(d.p, "a ba+b");
	buf_deinit(&b);
	buf_deinit(&d);
}

static void utf8_takes_what_the_standard_takes(void **state)
{
	static const char *const bad[] = {"\x80",         "\xc0\xaf",         "\xc1\x81",         "\xe0\x80\xaf",
					  "\xed\xa0\x80", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
					  "\xe2\x82",     "aaaaaaaaa\xff"};

	assert_true(utf8_is_valid(
		STR("plain, \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf")));
	assert_true(utf8_is_valid((struct str){0}));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(utf8_is_valid(str_of(bad[i])));
	struct utf8_state st = {0};
	assert_true(utf8_feed(&st, "\xf0\x9f", 2) && st.state != 0);
	assert_true(utf8_feed(&st, "\x98\x80", 2) && st.state == 0);
	assert_int_equal(st.codepoint, 0x1f600);
}

/* The same text in every way of cutting it into two must come out the same. */
static void cleaning_gives_the_same_however_the_text_is_cut(void **state)
{
	static const char in[] = "ab\xe2\x82\xac\xff\xe2\x82x\xf0\x9f\x98\x80\xc3\xe2\x28\xf0\x9f";
	static const char out[] =
		"ab\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbdx\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd";
	size_t n = sizeof(in) - 1;

	for (size_t cut = 0; cut <= n; cut++) {
		struct utf8_carry carry = {0};
		struct buf b = BUF_INIT;
		utf8_clean(&carry, in, cut, false, &b);
		utf8_clean(&carry, in + cut, n - cut, true, &b);
		assert_string_equal(b.p, out);
		assert_int_equal(carry.n, 0);
		buf_deinit(&b);
	}
}

static void time_goes_to_text_and_back(void **state)
{
	char text[TIME_TEXT_SIZE];
	int64_t us;

	time_format(1795364502123456, text);
	assert_string_equal(text, "2026-11-22T16:21:42.123456Z");
	assert_int_equal(time_parse(str_of(text), &us), 0);
	assert_int_equal(us, 1795364502123456);
	time_format(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
	assert_int_equal(time_parse(STR("2026-11-22t18:21:42.1234569+02:00"), &us), 0);
	assert_int_equal(us, 1795364502123456);
	assert_int_equal(time_parse(STR("2024-02-29T00:00:00Z"), &us), 0);
}

static void a_time_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {"",
					  "2026-11-22",
					  "2026-11-22 16:21:42Z",
					  "2026-11-22T16:21:42",
					  "2026-13-22T16:21:42Z",
					  "2023-02-29T00:00:00Z",
					  "2026-11-22T24:00:00Z",
					  "2026-11-22T16:21:42.Z",
					  "2026-11-22T16:21:42Zx",
					  "2026-11-22T16:21:42+0200",
					  "2026-11-22T16:21:42+25:00",
					  "+026-11-22T16:21:42Z"};
	int64_t us;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(time_parse(str_of(bad[i]), &us), -EINVAL);
}

static void errors_are_set_and_prefixed(void **state)
{
	struct error err = {0};

	assert_int_equal(error_set(&err, "bad", "no %d", 7), -EINVAL);
	error_prefix(&err, "file %s", "x");
	assert_string_equal(err.message, "file x: no 7");
	assert_int_equal(error_set(NULL, "bad", "x"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_version_7_and_rise_within_a_millisecond),
		cmocka_unit_test(an_id_has_small_digits_and_its_dashes_only),
		cmocka_unit_test(an_id_tells_its_time),
		cmocka_unit_test(the_wall_time_of_a_monotonic_one_is_that_of_the_clock),
		cmocka_unit_test(secrets_have_their_prefix_and_differ),
		cmocka_unit_test(base64url_is_strict),
		cmocka_unit_test(sha256_matches_the_standard),
		cmocka_unit_test(percent_coding_goes_both_ways_and_refuses_what_is_bad),
		cmocka_unit_test(utf8_takes_what_the_standard_takes),
		cmocka_unit_test(cleaning_gives_the_same_however_the_text_is_cut),
		cmocka_unit_test(time_goes_to_text_and_back),
		cmocka_unit_test(a_time_that_is_none_is_refused),
		cmocka_unit_test(errors_are_set_and_prefixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
