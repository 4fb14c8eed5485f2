#include "agent/tools/files_text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void the_old_text_must_stand_there_once(void **state)
{
	static const struct {
		const char *text, *old, *new;
		bool is_all, is_repeated;
		const char *result; /* NULL = refused with `code` */
		const char *code;
		unsigned changes;
	} cases[] = {
		{"a b c", "b", "x", false, false, "a x c", NULL, 1},
		{"a b", "b", "", false, false, "a ", NULL, 1},
		{"b b b", "b", "bb", true, false, "bb bb bb", NULL, 3},
		{"b b", "b", "x", false, false, NULL, "ambiguous", 0},
		{"a", "b", "x", false, false, NULL, "not_found", 0},
		{"", "b", "x", false, false, NULL, "not_found", 0},
		{"a x", "b", "x", false, false, NULL, "not_found", 0},
		{"a x", "b", "x", false, true, "", NULL, 0},
		{"a b", "b", "b", false, false, NULL, "same", 0},
		{"aaa", "aa", "b", false, false, "ba", NULL, 1},
		{"1\n2\n3\n", "2\n3", "x", false, false, "1\nx\n", NULL, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(buf_deinit) struct buf out = BUF_INIT;
		struct error err = {0};
		unsigned changes = 99;
		int r = files_replace(str_of(cases[i].text), str_of(cases[i].old), str_of(cases[i].new),
				      cases[i].is_all, cases[i].is_repeated, &out, &changes, &err);
		if (!cases[i].result) {
			assert_int_equal(r, -EINVAL);
			assert_string_equal(err.code, cases[i].code);
			continue;
		}
		assert_int_equal(r, 0);
		assert_true(str_is(buf_str(&out), cases[i].result));
		assert_int_equal(changes, cases[i].changes);
	}
}

static void a_text_that_differs_in_its_spaces_only_is_pointed_at(void **state)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct error err = {0};
	unsigned changes;

	assert_int_equal(files_replace(STR("if (a)\n\tb();\n"), STR("if (a)\n    b();"), STR("x"), false, false, &out,
				       &changes, &err),
			 -EINVAL);
	assert_non_null(strstr(err.message, "its first line \"if (a)\" is"));
}

static void parts_of_a_file_say_where_they_are(void **state)
{
	static const struct {
		const char *text;
		int64_t from, lines;
		const char *result;
	} cases[] = {
		{"", 1, 0, "The file is empty."},
		{"a\nb\nc\n", 1, 0, "a\nb\nc\n"},
		{"a\nb\nc", 1, 0, "a\nb\nc"},
		{"a\nb\nc\n", 2, 1, "b\n\n[Lines 2 to 2 of 3.]"},
		{"a\nb\nc\n", 3, 10, "c\n\n[Lines 3 to 3 of 3.]"},
		{"a\nb\nc\n", 4, 0, "The file has only 3 lines."},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(buf_deinit) struct buf out = BUF_INIT;
		files_write_part(&out, str_of(cases[i].text), cases[i].from, cases[i].lines);
		assert_string_equal(out.p, cases[i].result);
	}
}

static void a_long_file_comes_in_parts_without_a_hole(void **state)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, all = BUF_INIT;
	int64_t from = 1;

	for (int i = 0; i < 9000; i++)
		buf_printf(&text, "line %d of a file that is long\n", i);
	for (int parts = 0; from <= 9000; parts++) {
		_cleanup_(buf_deinit) struct buf out = BUF_INIT;
		files_write_part(&out, buf_str(&text), from, 0);
		const char *note = strstr(out.p, "\n[Lines ");
		assert_non_null(note);
		assert_true(parts < 100);
		buf_add(&all, out.p, (size_t)(note - out.p));
		long long last = 0;
		assert_int_equal(sscanf(note, "\n[Lines %*d to %lld of 9000.]", &last), 1);
		from = last + 1;
	}
	assert_true(str_eq(buf_str(&all), buf_str(&text)));
}

static void a_line_without_end_is_cut(void **state)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, out = BUF_INIT;

	for (int i = 0; i < 100000; i++)
		buf_add_str(&text, "\xe2\x82\xac");
	files_write_part(&out, buf_str(&text), 1, 0);
	assert_true(out.n < 60000);
	assert_non_null(strstr(out.p, "[the line is longer]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_old_text_must_stand_there_once),
		cmocka_unit_test(a_text_that_differs_in_its_spaces_only_is_pointed_at),
		cmocka_unit_test(parts_of_a_file_say_where_they_are),
		cmocka_unit_test(a_long_file_comes_in_parts_without_a_hole),
		cmocka_unit_test(a_line_without_end_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
