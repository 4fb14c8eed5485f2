#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "key_plan.h"

static const struct key_policy policy = {.algorithm = "Ed25519", .lead_us = 360, .keep_us = 660, .rotate_us = 10000};

static struct key_row row(const char *algorithm, int64_t active_from)
{
	struct key_row r = {.active_from = active_from};

	strcpy(r.algorithm, algorithm);
	return r;
}

static void the_first_key_signs_at_once(void **state)
{
	struct key_plan plan;

	key_plan(NULL, 0, &policy, 5, &plan);
	assert_true(plan.make_key);
	assert_int_equal(plan.active_from, 5);
	assert_int_equal(plan.active, -1);
}

static void a_key_signs_until_its_time_is_over(void **state)
{
	struct key_row rows[] = {row("Ed25519", 1000)};
	struct key_plan plan;

	key_plan(rows, 1, &policy, 1000, &plan);
	assert_false(plan.make_key);
	assert_int_equal(plan.active, 0);
	assert_int_equal(plan.again_at, 10640);
	key_plan(rows, 1, &policy, 10639, &plan);
	assert_false(plan.make_key);
	key_plan(rows, 1, &policy, 10640, &plan);
	assert_true(plan.make_key);
	assert_int_equal(plan.active_from, 11000);
	assert_int_equal(plan.active, 0);
}

static void the_next_is_published_before_it_signs_and_the_old_one_after_it_signed(void **state)
{
	struct key_row rows[] = {row("Ed25519", 11000), row("Ed25519", 1000)};
	struct key_plan plan;

	key_plan(rows, 2, &policy, 10999, &plan);
	assert_int_equal(plan.active, 1);
	assert_int_equal(rows[0].state, KEY_NEXT);
	assert_int_equal(plan.again_at, 11000);
	key_plan(rows, 2, &policy, 11000, &plan);
	assert_int_equal(plan.active, 0);
	assert_int_equal(rows[1].state, KEY_OLD);
	assert_int_equal(rows[1].gone_at, 11660);
	assert_int_equal(plan.again_at, 11660);
	key_plan(rows, 2, &policy, 11660, &plan);
	assert_int_equal(rows[1].state, KEY_GONE);
	assert_int_equal(rows[0].state, KEY_ACTIVE);
}

static void another_algorithm_is_prepared_at_once_and_only_once(void **state)
{
	struct key_row rows[] = {row("ES256", 1000), row("Ed25519", 2360)};
	struct key_plan plan;

	key_plan(rows, 1, &policy, 2000, &plan);
	assert_true(plan.make_key);
	assert_int_equal(plan.active_from, 2360);
	key_plan(rows, 2, &policy, 2001, &plan);
	assert_false(plan.make_key);
	assert_int_equal(plan.active, 0);
}

static void without_a_schedule_a_key_stays(void **state)
{
	struct key_policy still = policy;
	struct key_row rows[] = {row("Ed25519", 1000)};
	struct key_plan plan;

	still.rotate_us = 0;
	key_plan(rows, 1, &still, INT64_C(1) << 60, &plan);
	assert_false(plan.make_key);
	assert_int_equal(plan.again_at, INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_key_signs_at_once),
		cmocka_unit_test(a_key_signs_until_its_time_is_over),
		cmocka_unit_test(the_next_is_published_before_it_signs_and_the_old_one_after_it_signed),
		cmocka_unit_test(another_algorithm_is_prepared_at_once_and_only_once),
		cmocka_unit_test(without_a_schedule_a_key_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
