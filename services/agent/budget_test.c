#include "agent/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void without_limits_nothing_stands_in_the_way(void **state)
{
	struct budgets b = {.used = {[BUDGET_USER_DAY] = {1000000, 1000000}}};
	struct budget_verdict v;
	int64_t left;

	assert_int_equal(budgets_check(&b, 1000, &left).scope, -1);
	assert_true(left == INT64_MAX);
	assert_int_equal(budgets_warning(&b, &v), 0);
}

static void what_a_call_takes_at_least_counts_before_it_is_made(void **state)
{
	struct budgets b = {.limit = {[BUDGET_RUN] = {1000, 0}, [BUDGET_USER_DAY] = {5000, 0}},
			    .used = {[BUDGET_RUN] = {600, 0}, [BUDGET_USER_DAY] = {4800, 0}}};
	int64_t left;

	assert_int_equal(budgets_check(&b, 100, &left).scope, -1);
	assert_int_equal(left, 100);
	assert_int_equal(budgets_check(&b, 200, &left).scope, BUDGET_USER_DAY);
	assert_int_equal(budgets_check(&b, 400, &left).scope, BUDGET_RUN);
}

static void money_counts_beside_tokens(void **state)
{
	struct budgets b = {.limit = {[BUDGET_AGENT_DAY] = {1000, 500}}, .used = {[BUDGET_AGENT_DAY] = {1, 500}}};
	int64_t left;
	struct budget_verdict v = budgets_check(&b, 0, &left);

	assert_int_equal(v.scope, BUDGET_AGENT_DAY);
	assert_true(v.is_money);
}

static void each_threshold_is_told_once(void **state)
{
	struct budgets b = {.limit = {[BUDGET_RUN] = {1000, 0}}, .used = {[BUDGET_RUN] = {799, 0}}};
	struct budget_verdict v;

	assert_int_equal(budgets_warning(&b, &v), 0);
	b.used[BUDGET_RUN].tokens = 800;
	assert_int_equal(budgets_warning(&b, &v), 80);
	assert_int_equal(budgets_warning(&b, &v), 0);
	b.used[BUDGET_RUN].tokens = 950;
	assert_int_equal(budgets_warning(&b, &v), 95);
	assert_int_equal(budgets_warning(&b, &v), 0);
	b.warned = 0;
	assert_int_equal(budgets_warning(&b, &v), 95);
	assert_int_equal(budgets_warning(&b, &v), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_limits_nothing_stands_in_the_way),
		cmocka_unit_test(what_a_call_takes_at_least_counts_before_it_is_made),
		cmocka_unit_test(money_counts_beside_tokens),
		cmocka_unit_test(each_threshold_is_told_once),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
