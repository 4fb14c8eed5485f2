/* The choice of an endpoint, with time and chance in the test's hands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "balance.h"

#define MAX_HOSTS 8

static struct balancer b;
static struct endpoint *hosts[MAX_HOSTS];

static void begin(size_t n)
{
	b = (struct balancer){
		.settings = {.eject_after = 5, .eject_ms = 10000, .retry_percent = 20, .retry_floor = 10},
		.items = hosts,
		.n = n,
		.random = 88172645463325252ull,
	};
	for (size_t i = 0; i < n; i++) {
		char address[32];

		snprintf(address, sizeof(address), "10.0.0.%zu:80", i);
		hosts[i] = endpoint_new(address, 1, 0);
	}
}

static int end(void **state)
{
	for (size_t i = 0; i < MAX_HOSTS; i++) {
		endpoint_unref(hosts[i]);
		hosts[i] = NULL;
	}
	return 0;
}

static size_t index_of(const struct endpoint *e)
{
	for (size_t i = 0; i < b.n; i++)
		if (hosts[i] == e)
			return i;
	fail_msg("none of ours");
	return 0;
}

/* Draws n times without load. */
static void draw(unsigned n, uint64_t now, unsigned counts[MAX_HOSTS])
{
	for (size_t i = 0; i < MAX_HOSTS; i++)
		counts[i] = 0;
	while (n--)
		counts[index_of(balance_pick(&b, NULL, 0, now))]++;
}

static void fail_times(struct endpoint *e, unsigned n, uint64_t now)
{
	while (n--)
		balance_report(&b, e, true, now);
}

static void without_load_all_get_their_share_by_weight(void **state)
{
	unsigned counts[MAX_HOSTS];

	begin(3);
	hosts[0]->weight = 1;
	hosts[1]->weight = 3;
	hosts[2]->weight = 6;
	draw(10000, 0, counts);
	assert_in_range(counts[0], 800, 1200);
	assert_in_range(counts[1], 2700, 3300);
	assert_in_range(counts[2], 5600, 6400);
}

static void with_load_no_endpoint_is_left_far_behind(void **state)
{
	unsigned most = 0, least = 1000;

	begin(8);
	for (unsigned i = 0; i < 800; i++)
		balance_pick(&b, NULL, 0, 0)->active++;
	for (size_t i = 0; i < b.n; i++) {
		most = MAX(most, hosts[i]->active);
		least = MIN(least, hosts[i]->active);
	}
	assert_true(most - least <= 6); /* drawn at random it would be some 40 */
}

static void a_slow_endpoint_gets_less(void **state)
{
	unsigned counts[MAX_HOSTS] = {0};

	begin(2);
	hosts[0]->active = 10; /* has not answered for long */
	for (unsigned i = 0; i < 100; i++)
		counts[index_of(balance_pick(&b, NULL, 0, 0))]++;
	assert_int_equal(counts[0], 0);
}

static void five_failures_in_a_row_eject_and_a_success_begins_anew(void **state)
{
	unsigned counts[MAX_HOSTS];

	begin(2);
	fail_times(hosts[0], 4, 1000);
	balance_report(&b, hosts[0], false, 1000);
	fail_times(hosts[0], 4, 1000);
	assert_true(balance_is_available(&b, hosts[0], 1000));
	assert_true(balance_report(&b, hosts[0], true, 1000));
	assert_false(balance_is_available(&b, hosts[0], 1000));
	draw(100, 1000, counts);
	assert_int_equal(counts[0], 0);
	draw(100, 11000, counts);
	assert_true(counts[0] > 20);
}

static void each_ejection_takes_longer_until_it_was_good_for_long(void **state)
{
	uint64_t now = 1000000;

	begin(2);
	for (unsigned i = 1; i <= 3; i++) {
		fail_times(hosts[0], 5, now);
		assert_int_equal(hosts[0]->ejected_until, now + i * 10000);
		now += i * 10000;
		assert_true(balance_is_available(&b, hosts[0], now));
	}
	now += 100001;
	fail_times(hosts[0], 5, now);
	assert_int_equal(hosts[0]->ejected_until, now + 10000);
	assert_int_equal(hosts[0]->n_ejections, 4);
}

static void at_most_half_are_ejected_and_never_the_last(void **state)
{
	static const size_t out[] = {0, 0, 1, 1, 2, 2};

	for (size_t n = 1; n < ARRAY_SIZE(out); n++) {
		size_t ejected = 0;

		begin(n);
		for (size_t i = 0; i < n; i++)
			fail_times(hosts[i], 20, 1000);
		for (size_t i = 0; i < n; i++)
			ejected += hosts[i]->ejected_until > 0;
		assert_int_equal(ejected, out[n]);
		assert_non_null(balance_pick(&b, NULL, 0, 1000));
		end(state);
	}
}

static void what_the_check_calls_down_gets_nothing_unless_all_are(void **state)
{
	unsigned counts[MAX_HOSTS];

	begin(2);
	balance_set_down(&b, hosts[0], true, 0);
	draw(100, 0, counts);
	assert_int_equal(counts[1], 100);
	balance_set_down(&b, hosts[1], true, 0);
	draw(100, 0, counts);
	assert_true(counts[0] > 20 && counts[1] > 20);
}

static void what_was_tried_is_not_tried_again(void **state)
{
	struct endpoint *tried[2];

	begin(2);
	tried[0] = balance_pick(&b, NULL, 0, 0);
	tried[1] = balance_pick(&b, tried, 1, 0);
	assert_ptr_not_equal(tried[0], tried[1]);
	assert_null(balance_pick(&b, tried, 2, 0));
}

static void a_lower_priority_is_for_when_the_first_are_out(void **state)
{
	unsigned counts[MAX_HOSTS];

	begin(3);
	hosts[2]->priority = 1;
	draw(100, 0, counts);
	assert_int_equal(counts[2], 0);
	balance_set_down(&b, hosts[0], true, 0);
	balance_set_down(&b, hosts[1], true, 0);
	draw(100, 0, counts);
	assert_int_equal(counts[2], 100);
}

static void who_comes_back_starts_slowly(void **state)
{
	unsigned counts[MAX_HOSTS];

	begin(2);
	b.settings.slow_start_ms = 10000;
	balance_set_down(&b, hosts[0], true, 50000);
	balance_set_down(&b, hosts[0], false, 50000);
	draw(10000, 50000, counts); /* 0.1 : 1 */
	assert_in_range(counts[0], 700, 1150);
	draw(10000, 55000, counts); /* 0.5 : 1 */
	assert_in_range(counts[0], 3000, 3700);
	draw(10000, 60000, counts);
	assert_in_range(counts[0], 4700, 5300);
}

static void retries_stay_within_a_fifth_of_the_requests(void **state)
{
	unsigned taken = 0;

	begin(2);
	for (unsigned i = 0; i < 1000; i++) {
		balance_count_request(&b, 5000 + i);
		taken += balance_take_retry(&b, 5000 + i);
	}
	assert_int_equal(taken, 200 + 10);
	assert_false(balance_take_retry(&b, 6500));
	for (taken = 0; balance_take_retry(&b, 60000); taken++)
		;
	assert_int_equal(taken, 10); /* what was long ago does not count */
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, end)
	const struct CMUnitTest tests[] = {
		T(without_load_all_get_their_share_by_weight),
		T(with_load_no_endpoint_is_left_far_behind),
		T(a_slow_endpoint_gets_less),
		T(five_failures_in_a_row_eject_and_a_success_begins_anew),
		T(each_ejection_takes_longer_until_it_was_good_for_long),
		T(at_most_half_are_ejected_and_never_the_last),
		T(what_the_check_calls_down_gets_nothing_unless_all_are),
		T(what_was_tried_is_not_tried_again),
		T(a_lower_priority_is_for_when_the_first_are_out),
		T(who_comes_back_starts_slowly),
		T(retries_stay_within_a_fifth_of_the_requests),
	};

	return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
