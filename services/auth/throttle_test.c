#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "throttle.h"

static const struct throttle_policy policy = {.free = 3, .first_ms = 1000, .max_ms = 8000, .forget_ms = 60000};

/* A try that fails, if it is let through; returns the wait. */
static uint64_t failed_try(struct throttle *t, struct str name, uint64_t now)
{
	uint64_t wait = throttle_begin(t, name, now);

	if (wait == 0)
		throttle_end(t, name, THROTTLE_FAILED, now);
	return wait;
}

static void the_wait_doubles_up_to_its_limit(void **state)
{
	struct throttle *t = throttle_new(&policy, 64);
	static const uint64_t waits[] = {1000, 2000, 4000, 8000, 8000, 8000};
	uint64_t now = 1000000;

	for (int i = 0; i < 3; i++)
		assert_int_equal(failed_try(t, STR("ada"), now), 0);
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		assert_int_equal(failed_try(t, STR("ada"), now), waits[i]);
		assert_int_equal(failed_try(t, STR("ada"), now + waits[i] - 1), 1);
		now += waits[i];
		assert_int_equal(failed_try(t, STR("ada"), now), 0);
	}
	assert_int_equal(failed_try(t, STR("bob"), now), 0);
	throttle_free(t);
}

static void a_pass_forgets_the_failures(void **state)
{
	struct throttle *t = throttle_new(&policy, 64);

	for (int i = 0; i < 2; i++)
		failed_try(t, STR("ada"), 1000);
	assert_int_equal(throttle_begin(t, STR("ada"), 1000), 0);
	throttle_end(t, STR("ada"), THROTTLE_PASSED, 1000);
	assert_true(throttle_has_passed(t, STR("ada"), 1000));
	for (int i = 0; i < 3; i++)
		assert_int_equal(failed_try(t, STR("ada"), 1000), 0);
	assert_int_equal(failed_try(t, STR("ada"), 1000), 1000);
	throttle_free(t);
}

static void quiet_time_forgets_too(void **state)
{
	struct throttle *t = throttle_new(&policy, 64);

	for (int i = 0; i < 3; i++)
		failed_try(t, STR("ada"), 1000);
	assert_true(failed_try(t, STR("ada"), 1000) > 0);
	assert_int_equal(failed_try(t, STR("ada"), 1000 + policy.forget_ms + 1), 0);
	assert_int_equal(failed_try(t, STR("ada"), 1000 + policy.forget_ms + 1), 0);
	throttle_free(t);
}

static void many_at_once_all_count(void **state)
{
	struct throttle *t = throttle_new(&policy, 64);

	for (int i = 0; i < 50; i++)
		assert_int_equal(throttle_begin(t, STR("ada"), 1000), 0);
	for (int i = 0; i < 50; i++)
		throttle_end(t, STR("ada"), THROTTLE_FAILED, 1000);
	assert_int_equal(throttle_begin(t, STR("ada"), 1000), policy.max_ms);
	/* From now on, one at a time. */
	assert_int_equal(throttle_begin(t, STR("ada"), 1000 + policy.max_ms), 0);
	assert_int_equal(throttle_begin(t, STR("ada"), 1000 + policy.max_ms), policy.first_ms);
	throttle_end(t, STR("ada"), THROTTLE_UNKNOWN, 1000 + policy.max_ms);
	assert_int_equal(throttle_begin(t, STR("ada"), 1000 + policy.max_ms), 0);
	throttle_free(t);
}

static void a_flood_of_names_takes_no_more_room(void **state)
{
	struct throttle *t = throttle_new(&policy, 64);
	char name[32];

	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "name %d", i);
		assert_int_equal(failed_try(t, str_of(name), 1000 + i), 0);
	}
	throttle_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wait_doubles_up_to_its_limit),
		cmocka_unit_test(a_pass_forgets_the_failures),
		cmocka_unit_test(quiet_time_forgets_too),
		cmocka_unit_test(many_at_once_all_count),
		cmocka_unit_test(a_flood_of_names_takes_no_more_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
