#include "data/statements.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect(const char *sql, const char *const *wanted)
{
	struct str rest = str_of(sql), one;

	for (; (one = sql_cut(&rest)).n; wanted++) {
		assert_non_null(*wanted);
		assert_int_equal(one.n, strlen(*wanted));
		assert_memory_equal(one.p, *wanted, one.n);
	}
	assert_null(one.p);
	assert_null(*wanted);
}

#define EXPECT(sql, ...) expect(sql, (const char *const[]){__VA_ARGS__, NULL})

static void statements_end_at_semicolons(void **state)
{
	EXPECT("select 1", "select 1");
	EXPECT(" select 1 ;\n\tselect 2;; ", "select 1", "select 2");
	expect("", (const char *const[]){NULL});
	expect(" ;\n; ", (const char *const[]){NULL});
}

static void a_semicolon_in_quotes_ends_nothing(void **state)
{
	EXPECT("select 'a;''b', \"c;d\", `e;f`; select 'x'", "select 'a;''b', \"c;d\", `e;f`", "select 'x'");
	EXPECT("select 'open; x", "select 'open; x");
	EXPECT("select 'back\\'; select 2", "select 'back\\'", "select 2");
}

static void comments_end_nothing_and_stand_alone_for_nothing(void **state)
{
	EXPECT("-- one; two\nselect 1 -- three; four\n, 2; /* five; six */", "select 1 -- three; four\n, 2");
	EXPECT("select 1 /*! for update; */; select 2", "select 1 /*! for update; */", "select 2");
	EXPECT("select '-- no comment;'; select 2 - -1", "select '-- no comment;'", "select 2 - -1");
	expect("-- nothing", (const char *const[]){NULL});
	expect("/* nothing", (const char *const[]){NULL});
	expect("/*", (const char *const[]){NULL});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_end_at_semicolons),
		cmocka_unit_test(a_semicolon_in_quotes_ends_nothing),
		cmocka_unit_test(comments_end_nothing_and_stand_alone_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
