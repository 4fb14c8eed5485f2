#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/batches/table.h"

static int read_it(struct arena *a, bool is_csv, const char *text, struct table *t, struct error *err)
{
	*err = (struct error){0};
	return is_csv ? table_read_csv(a, str_of(text), ',', 3, t, err) : table_read_jsonl(a, str_of(text), 3, t, err);
}

static void rows_become_objects(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct error err;
	struct table t;

	assert_int_equal(read_it(a, true, "\xef\xbb\xbfname, age\r\n\"A \"\"b\"\"\",3\r\n\nc,\n", &t, &err), 0);
	assert_int_equal(t.n_columns, 2);
	assert_string_equal(t.columns[1], "age");
	assert_int_equal(t.n_rows, 2);
	assert_string_equal(t.rows[0].p, "{\"name\":\"A \\\"b\\\"\",\"age\":\"3\"}");
	assert_string_equal(t.rows[1].p, "{\"name\":\"c\",\"age\":\"\"}");
	assert_int_equal(read_it(a, false, "{\"a\":1}\n\n{\"b\":[2]}", &t, &err), 0);
	assert_int_equal(t.n_columns, 2);
	assert_string_equal(t.rows[1].p, "{\"b\":[2]}");
}

static void what_is_no_table_is_told_by_line(void **state)
{
	static const struct {
		bool is_csv;
		const char *text, *code;
	} examples[] = {
		{true, "", "table_empty"},
		{true, "a,b\n", "table_empty"},
		{true, "a,b\n1\n", "csv_invalid"},
		{true, "a,a\n1,2\n", "csv_invalid"},
		{true, "a,\n1,2\n", "csv_invalid"},
		{true, "a\n\"1\n", "csv_invalid"},
		{true, "a\x01\n1\n", "csv_invalid"},
		{true, "a\n1\n2\n3\n4\n", "table_too_large"},
		{true, "a\n\xff\n", "table_not_utf8"},
		{false, "[1]\n", "jsonl_invalid"},
		{false, "{\"a\":1}\n{\n", NULL},
		{false, "\n", "table_empty"},
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		struct error err;
		struct table t;
		assert_true(read_it(a, examples[i].is_csv, examples[i].text, &t, &err) < 0);
		if (examples[i].code)
			assert_string_equal(err.code, examples[i].code);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_become_objects),
		cmocka_unit_test(what_is_no_table_is_told_by_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
