#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/evaluations/compare.h"

static void a_case_passes_when_most_of_its_times_do(void **state)
{
	static const struct {
		struct case_result base, other;
		enum case_change change;
	} examples[] = {
		{{1, 1}, {1, 1}, CASE_BOTH_PASSED}, {{1, 0}, {1, 1}, CASE_IMPROVED}, {{1, 1}, {1, 0}, CASE_WORSE},
		{{1, 0}, {1, 0}, CASE_BOTH_FAILED}, {{0, 0}, {1, 1}, CASE_OPEN},     {{1, 1}, {0, 0}, CASE_OPEN},
		{{3, 2}, {3, 1}, CASE_WORSE},       {{2, 1}, {2, 2}, CASE_IMPROVED}, {{2, 1}, {3, 1}, CASE_BOTH_FAILED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++)
		assert_int_equal(compare_case(examples[i].base, examples[i].other), examples[i].change);
}

/* By the sum of binomial coefficients, done by hand or with R's binom.test. */
static void the_exact_test_is_mcnemars(void **state)
{
	static const struct {
		int64_t improved, worse;
		double p;
	} examples[] = {
		{0, 0, 1},           {3, 3, 1},
		{1, 0, 1},           {5, 0, 0.0625},
		{6, 0, 0.03125},     {8, 1, 0.0390625},
		{1, 9, 0.021484375}, {10, 2, 0.03857421875},
		{2, 1, 1},           {60, 40, 0.05688793},
		{1000, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		double p = compare_p_value(examples[i].improved, examples[i].worse);
		if (fabs(p - examples[i].p) > 1e-7)
			fail_msg("%zu: %.10f", i, p);
		assert_true(fabs(p - compare_p_value(examples[i].worse, examples[i].improved)) < 1e-12);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_case_passes_when_most_of_its_times_do),
		cmocka_unit_test(the_exact_test_is_mcnemars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
