#include "data/postgres_sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void becomes(const char *sql, const char *expected, size_t n)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	assert_int_equal(postgres_sql_translate(&out, sql), n);
	assert_string_equal(out.p, expected);
}

static void placeholders_are_numbered(void **state)
{
	becomes("select 1", "select 1", 0);
	becomes("select a from t where b = ? and c in (?,?)", "select a from t where b = $1 and c in ($2,$3)", 3);
	becomes("insert into t values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"insert into t values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", 10);
}

static void what_is_quoted_stays_as_it_is(void **state)
{
	becomes("select '?', \"a?\", ? from t where b = 'it''s ?'", "select '?', \"a?\", $1 from t where b = 'it''s ?'",
		1);
	becomes("select ''", "select ''", 0);
	becomes("select '?", "select '?", 0);
	becomes("select '/*! ? */', ?", "select '/*! ? */', $1", 1);
}

static void comments_stay_as_they_are(void **state)
{
	becomes("select 1 -- why?\n, ?", "select 1 -- why?\n, $1", 1);
	becomes("select 1 -- why?", "select 1 -- why?", 0);
	becomes("select /* why? it's */ ?", "select /* why? it's */ $1", 1);
	becomes("select /* why?", "select /* why?", 0);
	becomes("select 4 / ? - ? * ?", "select 4 / $1 - $2 * $3", 3);
}

static void what_is_for_servers_is_unwrapped(void **state)
{
	becomes("select a from t where b = ? /*! for update */", "select a from t where b = $1  for update ", 1);
	becomes("select 1 /*! limit ? */ -- ?", "select 1  limit $1  -- ?", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(placeholders_are_numbered),
		cmocka_unit_test(what_is_quoted_stays_as_it_is),
		cmocka_unit_test(comments_stay_as_they_are),
		cmocka_unit_test(what_is_for_servers_is_unwrapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
