#include "agent/loops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static enum loop_kind call(struct loops *l, const char *arguments)
{
	const char *why = NULL;

	return loops_call(l, "shell", str_of(arguments), &why);
}

static void the_third_same_call_is_warned_about_and_the_fourth_is_one_too_many(void **state)
{
	struct loops l = {0};

	assert_int_equal(call(&l, "a"), LOOP_NONE);
	assert_int_equal(call(&l, "a"), LOOP_NONE);
	assert_int_equal(call(&l, "a"), LOOP_WARN);
	assert_int_equal(call(&l, "a"), LOOP_STOP);
}

static void another_call_between_them_begins_anew(void **state)
{
	struct loops l = {0};

	for (int i = 0; i < 4; i++) {
		assert_int_equal(call(&l, "a"), LOOP_NONE);
		assert_int_equal(call(&l, "a"), LOOP_NONE);
		assert_int_equal(call(&l, i % 2 ? "b" : "c"), LOOP_NONE);
	}
}

static void two_calls_in_turn_are_a_loop_over_six(void **state)
{
	struct loops l = {0};

	assert_int_equal(call(&l, "a"), LOOP_NONE);
	assert_int_equal(call(&l, "b"), LOOP_NONE);
	assert_int_equal(call(&l, "a"), LOOP_NONE);
	assert_int_equal(call(&l, "b"), LOOP_NONE);
	assert_int_equal(call(&l, "a"), LOOP_WARN);
	assert_int_equal(call(&l, "b"), LOOP_STOP);
}

static void three_calls_in_turn_are_none(void **state)
{
	static const char *const names[] = {"a", "b", "c"};
	struct loops l = {0};

	for (int i = 0; i < 30; i++)
		assert_int_equal(call(&l, names[i % 3]), LOOP_NONE);
}

static void the_same_error_in_a_row_is_a_loop_whatever_was_called(void **state)
{
	struct loops l = {0};
	const char *why = NULL;

	for (int i = 1; i <= 5; i++)
		assert_int_equal(loops_result(&l, STR("no such file"), &why), i < 3   ? LOOP_NONE
									      : i < 5 ? LOOP_WARN
										      : LOOP_STOP);
	l = (struct loops){0};
	for (int i = 0; i < 10; i++)
		assert_int_equal(loops_result(&l, i % 2 ? STR("no such file") : (struct str){0}, &why), LOOP_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_third_same_call_is_warned_about_and_the_fourth_is_one_too_many),
		cmocka_unit_test(another_call_between_them_begins_anew),
		cmocka_unit_test(two_calls_in_turn_are_a_loop_over_six),
		cmocka_unit_test(three_calls_in_turn_are_none),
		cmocka_unit_test(the_same_error_in_a_row_is_a_loop_whatever_was_called),
	};

	return cmocka_run_group_tests_name("loops", tests, NULL, NULL);
}
