#include "oauth/form.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/buf.h"

static struct arena *arena;

static int set_up(void **state)
{
	arena = arena_new();
	return 0;
}

static int tear_down(void **state)
{
	arena_free(arena);
	return 0;
}

static struct form parse(const char *text)
{
	struct form f;

	assert_int_equal(form_parse(arena, str_of(text), &f), 0);
	return f;
}

static void names_and_values_are_decoded(void **state)
{
	struct form f = parse("a=1&b=x+y%2Bz&c%20d=%C3%A4&&e");

	assert_string_equal(form_get(&f, "a"), "1");
	assert_string_equal(form_get(&f, "b"), "x y+z");
	assert_string_equal(form_get(&f, "c d"), "ä");
	assert_null(form_get(&f, "e"));
	assert_null(form_get(&f, "missing"));
	assert_null(f.repeated);
	assert_int_equal(parse("").n, 0);
}

static void what_is_there_twice_is_told(void **state)
{
	struct form f = parse("a=1&b=2&%61=3");

	assert_string_equal(f.repeated, "a");
	assert_true(form_is_repeated(&f, "a"));
	assert_false(form_is_repeated(&f, "b"));
}

static void what_is_no_form_is_refused(void **state)
{
	static const char *const bad[] = {"a=%", "a=%4", "a=%zz", "a=%00", "%ff=1", "a=%c3"};
	struct buf many = BUF_INIT;
	struct form f;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(form_parse(arena, str_of(bad[i]), &f), -EINVAL);
	for (int i = 0; i <= FORM_MAX; i++)
		buf_printf(&many, "a%d=1&", i);
	assert_int_equal(form_parse(arena, buf_str(&many), &f), -E2BIG);
	buf_deinit(&many);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(names_and_values_are_decoded),
		T(what_is_there_twice_is_told),
		T(what_is_no_form_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
