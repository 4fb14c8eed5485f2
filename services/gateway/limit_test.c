#include "limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const uint64_t s = 1000000;
static struct limit_rules rules;
static struct limit_table *table;

static int setup(void **state)
{
	table = limit_table_new();
	return limit_rules_parse(&rules, 10, 20, "login=2/1s/address,big=1000000/1s/route", NULL);
}

static int teardown(void **state)
{
	limit_table_free(table);
	return 0;
}

static enum limit_outcome take(const char *rule, const char *client, uint64_t now, struct limit_verdict *v)
{
	struct limit_claim claim = {limit_rules_find(&rules, str_of(rule)), str_of(client)};

	return limit_take(table, &claim, 1, now, NULL, v, NULL, NULL);
}

static void a_burst_passes_and_then_one_request_in_each_interval(void **state)
{
	struct limit_verdict v;

	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(take("default", "a", 5 * s, &v), LIMIT_OK);
		assert_int_equal(v.remaining, 19 - i);
		assert_int_equal(v.full_us, (i + 1) * s / 10);
	}
	assert_int_equal(take("default", "a", 5 * s, &v), LIMIT_REFUSED);
	assert_int_equal(v.retry_us, s / 10);
	assert_int_equal(v.remaining, 0);
	assert_int_equal(take("default", "a", 5 * s + s / 10 - 1, &v), LIMIT_REFUSED);
	assert_int_equal(v.retry_us, 1);
	assert_int_equal(take("default", "a", 5 * s + s / 10, &v), LIMIT_OK);
	assert_int_equal(take("default", "a", 5 * s + s / 10, &v), LIMIT_REFUSED);
	assert_int_equal(take("default", "b", 5 * s, &v), LIMIT_OK);
	assert_int_equal(take("login", "a", 5 * s, &v), LIMIT_OK);
	assert_int_equal(v.remaining, 1);
	/* As if he had never come. */
	assert_int_equal(take("default", "a", 8 * s, &v), LIMIT_OK);
	assert_int_equal(v.remaining, 19);
}

static void a_request_counts_for_all_its_limits_or_for_none(void **state)
{
	struct limit_claim claims[] = {{limit_rules_find(&rules, STR("default")), STR("a")},
				       {limit_rules_find(&rules, STR("login")), STR("a")}};
	struct limit_verdict v[2];

	assert_int_equal(limit_take(table, claims, 2, s, NULL, v, NULL, NULL), LIMIT_OK);
	assert_int_equal(limit_take(table, claims, 2, s, NULL, v, NULL, NULL), LIMIT_OK);
	assert_int_equal(v[0].remaining, 18);
	assert_int_equal(v[1].remaining, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(limit_take(table, claims, 2, s, NULL, v, NULL, NULL), LIMIT_REFUSED);
	assert_int_equal(v[0].remaining, 18);
	assert_int_equal(v[0].retry_us, 0);
	assert_int_equal(v[1].retry_us, s / 2);
}

static void who_is_limited_keeps_his_place_among_many(void **state)
{
	struct limit_verdict v;
	char name[32];

	for (int i = 0; i < 20; i++)
		take("default", "greedy", s, &v);
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "passer-by %d", i);
		assert_int_equal(take("default", name, s + 1, &v), LIMIT_OK);
	}
	assert_int_equal(take("default", "greedy", s + 2, &v), LIMIT_REFUSED);
}

/* ---- Leases ---- */

static struct limit_ask asks[LIMITS_MAX];
static size_t n_asks;

static enum limit_outcome take_shared(const char *rule, const char *client, uint64_t now, const void *asker,
				      struct limit_verdict *v)
{
	struct limit_claim claim = {limit_rules_find(&rules, str_of(rule)), str_of(client)};

	return limit_take(table, &claim, 1, now, asker, v, asks, &n_asks);
}

static void grant(uint64_t sent, uint32_t granted, uint32_t left, uint64_t retry)
{
	limit_grant(table, &asks[0].claim, limit_generation(table), sent, granted, left, retry);
}

static void a_slice_is_asked_for_once_and_used_without_asking(void **state)
{
	struct limit_verdict v;
	int me = 1, other = 2;

	assert_int_equal(take_shared("big", "a", s, &me, &v), LIMIT_ASK);
	assert_int_equal(n_asks, 1);
	assert_int_equal(asks[0].want, 1);
	assert_int_equal(asks[0].used, 0);
	assert_int_equal(take_shared("big", "a", s, &me, &v), LIMIT_ASK);
	assert_int_equal(n_asks, 0); /* on its way */
	assert_int_equal(take_shared("big", "a", s, &other, &v), LIMIT_ASK);
	assert_int_equal(n_asks, 1); /* not for another thread */
	grant(s, 1, 999, 0);
	assert_int_equal(take_shared("big", "a", s + 1, &me, &v), LIMIT_OK);
	assert_int_equal(n_asks, 0);
	assert_int_equal(v.remaining, 999);
	assert_int_equal(take_shared("big", "a", s + 2, &me, &v), LIMIT_ASK);
	assert_int_equal(n_asks, 1);
	assert_int_equal(asks[0].want, 2);
	assert_int_equal(asks[0].used, 1);
	grant(s + 2, 2, 997, 0);
	/* The next ones are asked for while there are some. */
	assert_int_equal(take_shared("big", "a", s + 3, &me, &v), LIMIT_OK);
	assert_int_equal(take_shared("big", "a", s + 3, &me, &v), LIMIT_OK);
	assert_int_equal(n_asks, 1);
	assert_int_equal(asks[0].want, 4);
	assert_int_equal(asks[0].used, 2);
}

static void a_lease_ends_and_what_was_left_of_it_counts(void **state)
{
	struct limit_verdict v;
	int me = 1;

	take_shared("big", "a", s, &me, &v);
	grant(s, 1, 9, 0);
	take_shared("big", "a", s, &me, &v);
	take_shared("big", "a", s, &me, &v);
	grant(s, 8, 9, 0);
	assert_int_equal(take_shared("big", "a", s + 1, &me, &v), LIMIT_OK);
	assert_int_equal(take_shared("big", "a", s + LIMIT_LEASE_US - 1, &me, &v), LIMIT_OK);
	assert_int_equal(take_shared("big", "a", s + LIMIT_LEASE_US, &me, &v), LIMIT_ASK);
	assert_int_equal(asks[0].used, 8);
	assert_int_equal(asks[0].want, 1);
	grant(s + LIMIT_LEASE_US, 1, 9, 0);
	assert_int_equal(take_shared("big", "a", s + LIMIT_LEASE_US, &me, &v), LIMIT_OK);
	assert_int_equal(take_shared("big", "a", s + LIMIT_LEASE_US, &me, &v), LIMIT_ASK);
}

static void leases_of_another_generation_are_void(void **state)
{
	struct limit_verdict v;
	uint32_t generation = limit_generation(table);
	int me = 1;

	take_shared("big", "a", s, &me, &v);
	grant(s, 1, 9, 0);
	limit_generation_next(table);
	assert_int_equal(take_shared("big", "a", s, &me, &v), LIMIT_ASK);
	assert_int_equal(asks[0].used, 0);
	limit_grant(table, &asks[0].claim, generation, s, 1, 9, 0);
	assert_int_equal(take_shared("big", "a", s, &me, &v), LIMIT_ASK);
}

static void a_refusal_by_the_others_is_believed_for_a_moment(void **state)
{
	struct limit_verdict v;
	int me = 1;

	take_shared("big", "a", s, &me, &v);
	grant(s, 0, 0, 3 * s);
	assert_int_equal(take_shared("big", "a", s + 1, &me, &v), LIMIT_REFUSED);
	assert_int_equal(v.retry_us, 3 * s - 1);
	assert_int_equal(v.remaining, 0);
	assert_int_equal(take_shared("big", "a", s + LIMIT_REFUSAL_US, &me, &v), LIMIT_ASK);
	/* Without Redis his own numbers count. */
	assert_int_equal(take("big", "a", s + 1, &v), LIMIT_OK);
}

/* ---- Threads ---- */

enum { THREADS = 4, TRIES = 50000 };
static atomic_uint n_allowed;

static void *hammer(void *arg)
{
	struct limit_claim claims[] = {{limit_rules_find(&rules, STR("big")), STR("x")},
				       {limit_rules_find(&rules, STR("default")), STR("y")}};
	struct limit_verdict v[2];

	for (unsigned i = 0; i < TRIES; i++)
		if (limit_take(table, claims + i % 2, 2 - i % 2, s, NULL, v, NULL, NULL) == LIMIT_OK)
			atomic_fetch_add(&n_allowed, 1);
	return NULL;
}

static void threads_share_one_exact_count(void **state)
{
	pthread_t threads[THREADS];
	struct limit_verdict v;

	atomic_store(&n_allowed, 0);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, hammer, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&n_allowed), 20); /* all have "default", which lets 20 through */
	/* What was refused by the one was not counted by the other. */
	assert_int_equal(take("big", "x", s, &v), LIMIT_OK);
	assert_true(v.remaining >= 1000000 - 21);
}

static void *lease(void *arg)
{
	struct limit_claim claim = {limit_rules_find(&rules, STR("big")), STR("x")};
	struct limit_verdict v;
	struct limit_ask mine[LIMITS_MAX];
	size_t n;

	for (unsigned i = 0; i < TRIES; i++) {
		if (limit_take(table, &claim, 1, s + i, &n, &v, mine, &n) == LIMIT_OK)
			atomic_fetch_add(&n_allowed, 1);
		for (size_t j = 0; j < n; j++) {
			atomic_fetch_add((atomic_uint *)arg, mine[j].want);
			limit_grant(table, &claim, limit_generation(table), s + i, mine[j].want, 5, 0);
		}
	}
	return NULL;
}

static void threads_use_no_more_than_was_granted(void **state)
{
	pthread_t threads[THREADS];
	atomic_uint granted = 0;

	atomic_store(&n_allowed, 0);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, lease, &granted);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(atomic_load(&n_allowed) <= atomic_load(&granted));
	assert_true(atomic_load(&n_allowed) > 0);
}

static void taking_costs_well_under_a_microsecond(void **state)
{
	enum { N = 1000000 };
	struct timespec from, to;
	struct limit_verdict v;
	struct limit_claim claim = {limit_rules_find(&rules, STR("big")), STR("01932b7c-5c2e-7a3e-8b1f-1234567890ab")};

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	for (unsigned i = 0; i < N; i++)
		limit_take(table, &claim, 1, s + i, NULL, &v, NULL, NULL);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);

	double ns = ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / N;
	print_message("one request against one limit: %.0f ns\n", ns);
	assert_true(ns < 5000); /* the figure is for reading; sanitizers and a busy machine are slow */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_burst_passes_and_then_one_request_in_each_interval),
		TEST(a_request_counts_for_all_its_limits_or_for_none),
		TEST(who_is_limited_keeps_his_place_among_many),
		TEST(a_slice_is_asked_for_once_and_used_without_asking),
		TEST(a_lease_ends_and_what_was_left_of_it_counts),
		TEST(leases_of_another_generation_are_void),
		TEST(a_refusal_by_the_others_is_believed_for_a_moment),
		TEST(threads_share_one_exact_count),
		TEST(threads_use_no_more_than_was_granted),
		TEST(taking_costs_well_under_a_microsecond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
