#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/csv.h"

#define MAX_CELLS 8

/* The records as one text: cells in brackets, records apart by a slash; an error as its sentence. */
static const char *flat(struct arena *a, struct str text, char separator)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct str cells[MAX_CELLS];
	struct error err = {0};
	struct csv c;
	size_t n;
	int r;

	csv_init(&c, text, separator);
	while ((r = csv_next(&c, a, cells, MAX_CELLS, &n, &err)) == 1) {
		buf_add_str(&out, out.n ? "/" : "");
		for (size_t i = 0; i < n; i++)
			buf_printf(&out, "[%.*s]", STR_ARG(cells[i]));
	}
	if (r < 0)
		buf_add_str(&out, err.message);
	return arena_strndup(a, out.p ? out.p : "", out.n);
}

static void cells_are_read_by_the_rfc(void **state)
{
	static const struct {
		const char *text, *flat;
		char separator;
	} cases[] = {
		{"a,b\r\n1,2\r\n", "[a][b]/[1][2]"},
		{"a,b\n1,2", "[a][b]/[1][2]"},
		{"a,b\r1,2\r", "[a][b]/[1][2]"},
		{"\xef\xbb\xbf"
		 "a,b",
		 "[a][b]"},
		{"\"a\",\"b \"\"c\"\"\"", "[a][b \"c\"]"},
		{"\"a\r\nb\",c", "[a\r\nb][c]"},
		{"\"\",", "[][]"},
		{",", "[][]"},
		{"\n\n a ,\n\n", "[ a ][]"},
		{"\"\"", "[]"},
		{"\"\"\"\"", "[\"]"},
		{"a;b", "[a][b]", ';'},
		{"a\t\"b\tc\"", "[a][b\tc]", '\t'},
		{"", ""},
		{"\xef\xbb\xbf", ""},
		{"\r\n\r\n", ""},
	};
	struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(flat(a, str_of(cases[i].text), cases[i].separator ? cases[i].separator : ','),
				    cases[i].flat);
	arena_free(a);
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"a\n\"b", "Line 2: the quote that opens"},
		{"\"", "Line 1: the quote that opens"},
		{"\"\"\"", "Line 1: the quote that opens"},
		{"\"a\nb\"c", "Line 2: behind a closing quote"},
		{"a\n\nb\"c\"", "Line 3: a cell with a quote in it"},
		{"1,2,3,4,5,6,7,8,9", "Line 1 has more than 8 cells"},
	};
	struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_non_null(strstr(flat(a, str_of(cases[i].text), ','), cases[i].says));
	arena_free(a);
}

static void a_cell_is_quoted_and_no_formula(void **state)
{
	static const struct {
		const char *text, *cell, *safe;
	} cases[] = {
		{"plain", "plain", "plain"},
		{"a,b", "\"a,b\"", "\"a,b\""},
		{"say \"hi\"", "\"say \"\"hi\"\"\"", "\"say \"\"hi\"\"\""},
		{"two\nlines", "\"two\nlines\"", "\"two\nlines\""},
		{"=1+1", "=1+1", "\"'=1+1\""},
		{"@SUM(A1)", "@SUM(A1)", "\"'@SUM(A1)\""},
		{"+cmd|' /C calc'!A0", "+cmd|' /C calc'!A0", "\"'+cmd|' /C calc'!A0\""},
		{"\t=1", "\t=1", "\"'\t=1\""},
		{" =1", "\" =1\"", "\"' =1\""},
		{"\uff1d1", "\uff1d1", "\"'\uff1d1\""},
		{"-12.5", "-12.5", "-12.5"},
		{"+49", "+49", "+49"},
		{"-1-2", "-1-2", "\"'-1-2\""},
		{"-", "-", "\"'-\""},
		{"", "", ""},
	};
	struct buf b = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_clear(&b);
		csv_add_cell(&b, str_of(cases[i].text), false);
		assert_string_equal(b.n ? b.p : "", cases[i].cell);
		buf_clear(&b);
		csv_add_cell(&b, str_of(cases[i].text), true);
		assert_string_equal(b.n ? b.p : "", cases[i].safe);
	}
	buf_deinit(&b);
}

static void what_is_written_is_read_back(void **state)
{
	static const char *const texts[] = {"", "a", "a\"b", "\"", "a,b\r\nc", " x ", "=1", "\n"};
	struct arena *a = arena_new();
	struct str cells[ARRAY_SIZE(texts)];
	struct buf b = BUF_INIT;
	struct csv c;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		buf_add_str(&b, i ? "," : "");
		csv_add_cell(&b, str_of(texts[i]), false);
	}
	csv_init(&c, buf_str(&b), ',');
	assert_int_equal(csv_next(&c, a, cells, ARRAY_SIZE(cells), &n, NULL), 1);
	assert_int_equal(n, ARRAY_SIZE(texts));
	for (size_t i = 0; i < n; i++)
		assert_true(str_is(cells[i], texts[i]));
	buf_deinit(&b);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cells_are_read_by_the_rfc),
		cmocka_unit_test(what_is_wrong_is_told_with_its_line),
		cmocka_unit_test(a_cell_is_quoted_and_no_formula),
		cmocka_unit_test(what_is_written_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
