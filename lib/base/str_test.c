#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void comparison_ignores_ascii_case_only_when_asked(void **state)
{
	assert_true(str_ieq(STR("Content-Type"), STR("content-TYPE")));
	assert_false(str_ieq(STR("a["), STR("a{")));
	assert_false(str_eq(STR("a"), STR("A")));
	assert_true(str_eq((struct str){0}, STR("")));
}

static void prefixes_and_suffixes(void **state)
{
	assert_true(str_has_prefix(STR("Bearer x"), STR("Bearer ")));
	assert_false(str_has_prefix(STR("Be"), STR("Bearer")));
	assert_true(str_has_suffix(STR("a.sock"), STR(".sock")));
	assert_false(str_has_suffix(STR("k"), STR(".sock")));
}

static void a_part_is_found_in_either_case(void **state)
{
	static const char *const parts[] = {"",     "m",   "M", "QUICK", "the", " dog",
					    "dogs", "k b", "Z", "fox j", "x",   "brown fix"};
	static const char text[] = "The quick brown fox jumps over THE LAZY dog";

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		for (size_t n = 0; n < sizeof(text); n++) {
			char cut[sizeof(text)];
			snprintf(cut, sizeof(cut), "%.*s", (int)n, text);
			assert_int_equal(str_ihas(str_of(cut), str_of(parts[i])), strcasestr(cut, parts[i]) != NULL);
		}
	assert_true(str_ihas((struct str){"a\0bc", 4}, STR("BC")));
	assert_true(str_ihas(STR("gr\xc3\xbc\xc3\x9f dich"), STR("\xc3\x9f D")));
	assert_false(str_ihas(STR("a[b"), STR("A{B")));
	assert_false(str_ihas((struct str){0}, STR("a")));
}

static void trim_takes_blanks_off_both_ends(void **state)
{
	assert_true(str_is(str_trim(STR(" \t a b\r\n")), "a b"));
	assert_true(str_is(str_trim(STR("  ")), ""));
}

static void cut_walks_through_the_parts_and_ends_with_null(void **state)
{
	struct str s = STR("a,,b");

	assert_true(str_is(str_cut(&s, ','), "a"));
	assert_true(str_is(str_cut(&s, ','), ""));
	assert_true(str_is(str_cut(&s, ','), "b"));
	assert_null(s.p);
	s = STR("a,");
	str_cut(&s, ',');
	assert_non_null(s.p);
	assert_int_equal(s.n, 0);
}

static void numbers_are_whole_decimal_and_in_range(void **state)
{
	uint64_t n = 7;

	assert_int_equal(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &n), -ERANGE);
	assert_int_equal(str_to_u64(STR("99999999999999999999999"), UINT64_MAX, &n), -ERANGE);
	assert_int_equal(str_to_u64(STR("11"), 10, &n), -ERANGE);
	assert_int_equal(str_to_u64(STR(""), 10, &n), -EINVAL);
	assert_int_equal(str_to_u64(STR("-1"), 10, &n), -EINVAL);
	assert_int_equal(str_to_u64(STR("1 "), 10, &n), -EINVAL);
	assert_int_equal(str_to_u64(STR("0x1"), 10, &n), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparison_ignores_ascii_case_only_when_asked),
		cmocka_unit_test(prefixes_and_suffixes),
		cmocka_unit_test(a_part_is_found_in_either_case),
		cmocka_unit_test(trim_takes_blanks_off_both_ends),
		cmocka_unit_test(cut_walks_through_the_parts_and_ends_with_null),
		cmocka_unit_test(numbers_are_whole_decimal_and_in_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
