/* Gateways that share a real Redis. Each has a table and a share of its own on the one loop of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "data/redis_for_tests.h"
#include "limit_share.h"

#define GATEWAYS 3
#define WAIT_US (20 * UINT64_C(1000000))

struct gateway_ {
	struct limit_table *table;
	struct limit_share *share;
	unsigned n_on, n_off;
};

static uv_loop_t loop;
static struct wheel *wheel;
static struct test_redis server;
static struct gateway_ gateways[GATEWAYS];
static struct limit_rules rules;

static void on_state(void *arg, bool is_on, const char *why)
{
	struct gateway_ *g = arg;

	if (is_on)
		g->n_on++;
	else
		g->n_off++;
}

static void until(const unsigned *what, unsigned least)
{
	for (uint64_t end = clock_mono_us() + WAIT_US; *what < least && clock_mono_us() < end;)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(*what >= least);
}

static int setup(void **state)
{
	struct error err = {0};

	uv_loop_init(&loop);
	wheel = wheel_new(&loop);
	/* Slow enough that nothing comes back while a test runs. */
	assert_int_equal(limit_rules_parse(&rules, 0, 1, "few=40/1d,login=5/1d/address,fast=2000/1s/user/100", &err),
			 0);
	*state = NULL;
	memset(gateways, 0, sizeof(gateways));
	if (!test_redis_start(&server, false, NULL))
		return 0;
	*state = &server;
	for (size_t i = 0; i < GATEWAYS; i++) {
		struct gateway_ *g = &gateways[i];

		g->table = limit_table_new();
		assert_int_equal(limit_share_new(g->table, &loop, wheel, server.url, on_state, g, &g->share, &err), 0);
		until(&g->n_on, 1);
	}
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < GATEWAYS; i++) {
		limit_share_free(gateways[i].share);
		limit_table_free(gateways[i].table);
	}
	for (int i = 0; i < 4; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	wheel_free(wheel);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	test_redis_remove(&server);
	server = (struct test_redis){0};
	return 0;
}

struct request {
	struct gateway_ *gateway;
	struct limit_claim claims[LIMITS_MAX];
	size_t n;
	struct limit_wait wait;
	struct limit_verdict verdicts[LIMITS_MAX];
	enum limit_outcome outcome; /* LIMIT_ASK: none yet */
	unsigned n_done;
};

static void try(struct request *q)
{
	q->outcome = limit_share_take(q->gateway->share, q->gateway->table, q->claims, q->n, clock_mono_us(),
				      q->verdicts, &q->wait);
	q->n_done = q->outcome != LIMIT_ASK;
}

static void on_waited(struct limit_wait *w)
{
	try(container_of(w, struct request, wait));
}

static void begin(struct request *q, unsigned gateway, const char *rule)
{
	*q = (struct request){.gateway = &gateways[gateway], .n = 1, .wait.done = on_waited};
	q->claims[0] = (struct limit_claim){limit_rules_find(&rules, str_of(rule)), STR("somebody")};
	try(q);
}

static enum limit_outcome ask_of(unsigned gateway, const char *rule)
{
	struct request q;

	begin(&q, gateway, rule);
	until(&q.n_done, 1);
	return q.outcome;
}

static void gateways_let_through_no_more_than_the_limit_in_total(void **state)
{
	unsigned allowed = 0;
	struct limit_share_stats stats;

	if (!*state)
		skip();
	for (unsigned i = 0; i < 120; i++)
		allowed += ask_of(i % GATEWAYS, "few") == LIMIT_OK;
	/* What one still holds when it is refused to another is at most a slice. */
	assert_true(allowed <= 40);
	assert_true(allowed >= 40 - (GATEWAYS - 1) * limit_rules_find(&rules, STR("few"))->slice);
	limit_share_stats(gateways[0].share, &stats);
	assert_true(stats.is_on);
	assert_int_equal(stats.failed, 0);
	allowed = 0;
	for (unsigned i = 0; i < 30; i++)
		allowed += ask_of(i % GATEWAYS, "login") == LIMIT_OK;
	assert_int_equal(allowed, 5);
}

static void requests_that_come_at_once_wait_together(void **state)
{
	enum { N = 300 };
	static struct request q[N];
	unsigned allowed = 0;

	if (!*state)
		skip();
	for (unsigned i = 0; i < N; i++)
		begin(&q[i], i % GATEWAYS, "few");
	for (unsigned i = 0; i < N; i++) {
		until(&q[i].n_done, 1);
		allowed += q[i].outcome == LIMIT_OK;
	}
	assert_true(allowed <= 40);
	assert_true(allowed >= 20);
}

static void a_steady_client_asks_seldom_and_is_not_limited(void **state)
{
	struct limit_share_stats before, after;
	unsigned allowed = 0;
	uint64_t from;

	if (!*state)
		skip();
	limit_share_stats(gateways[0].share, &before);
	from = clock_mono_us();
	/* Under half of what the limit allows, for a second. */
	for (unsigned i = 0; i < 800; i++) {
		while (clock_mono_us() < from + i * 1250)
			uv_run(&loop, UV_RUN_NOWAIT);
		allowed += ask_of(0, "fast") == LIMIT_OK;
	}
	limit_share_stats(gateways[0].share, &after);
	assert_true(allowed > 760); /* a pause of a busy machine may let a burst pile up */
	assert_true(after.calls - before.calls < 200);
}

static void several_limits_are_one_call(void **state)
{
	struct limit_share_stats before, after;
	struct request q = {.gateway = &gateways[1], .n = 2, .wait.done = on_waited};

	if (!*state)
		skip();
	q.claims[0] = (struct limit_claim){limit_rules_find(&rules, STR("few")), STR("a")};
	q.claims[1] = (struct limit_claim){limit_rules_find(&rules, STR("login")), STR("10.0.0.1")};
	limit_share_stats(gateways[1].share, &before);
	try(&q);
	until(&q.n_done, 1);
	limit_share_stats(gateways[1].share, &after);
	assert_int_equal(q.outcome, LIMIT_OK);
	assert_int_equal(after.calls - before.calls, 1);
}

static void without_redis_each_gateway_counts_for_itself(void **state)
{
	unsigned allowed = 0;
	uint64_t from, worst = 0;

	if (!*state)
		skip();
	assert_int_equal(ask_of(0, "login"), LIMIT_OK);
	test_redis_signal(&server, SIGKILL);
	until(&gateways[0].n_off, 1);
	until(&gateways[1].n_off, 1);
	for (unsigned i = 0; i < 20; i++) {
		struct request q;

		from = clock_mono_us();
		begin(&q, i % 2, "login");
		assert_int_equal(q.n_done, 1); /* nothing waits */
		allowed += q.outcome == LIMIT_OK;
		worst = MAX(worst, clock_mono_us() - from);
	}
	assert_int_equal(allowed, 9); /* five each, and one was before */
	print_message("slowest without Redis: %llu us\n", (unsigned long long)worst);
	test_redis_again(&server, NULL);
	until(&gateways[0].n_on, 2);
	assert_int_equal(ask_of(0, "few"), LIMIT_OK);
}

static void a_redis_that_hangs_is_waited_for_once(void **state)
{
	struct request q;

	if (!*state)
		skip();
	test_redis_signal(&server, SIGSTOP);
	begin(&q, 0, "few");
	assert_int_equal(q.n_done, 0);
	until(&q.n_done, 1);
	assert_int_equal(q.outcome, LIMIT_OK);
	assert_int_equal(gateways[0].n_off, 1);
	for (unsigned i = 0; i < 10; i++) {
		begin(&q, 0, "few");
		assert_int_equal(q.n_done, 1);
		assert_int_equal(q.outcome, LIMIT_OK);
	}
	test_redis_signal(&server, SIGCONT);
	until(&gateways[0].n_on, 2);
	begin(&q, 0, "few");
	assert_int_equal(q.n_done, 0); /* asks again */
	until(&q.n_done, 1);
	assert_int_equal(q.outcome, LIMIT_OK);
}

static void who_leaves_while_he_waits_is_not_called(void **state)
{
	struct request gone, other;

	if (!*state)
		skip();
	begin(&gone, 0, "few");
	begin(&other, 0, "few");
	limit_wait_cancel(&gone.wait);
	until(&other.n_done, 1);
	assert_int_equal(gone.n_done, 0);
}

static void what_a_dead_gateway_held_is_free_again_in_time(void **state)
{
	if (!*state)
		skip();
	/* A lease of one, not used by anybody, ends and counts as one used; the rest is still there for others. */
	assert_int_equal(ask_of(2, "login"), LIMIT_OK);
	limit_share_free(gateways[2].share);
	gateways[2].share = NULL;
	unsigned allowed = 0;
	for (unsigned i = 0; i < 10; i++)
		allowed += ask_of(0, "login") == LIMIT_OK;
	assert_int_equal(allowed, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gateways_let_through_no_more_than_the_limit_in_total),
		TEST(requests_that_come_at_once_wait_together),
		TEST(a_steady_client_asks_seldom_and_is_not_limited),
		TEST(several_limits_are_one_call),
		TEST(without_redis_each_gateway_counts_for_itself),
		TEST(a_redis_that_hangs_is_waited_for_once),
		TEST(who_leaves_while_he_waits_is_not_called),
		TEST(what_a_dead_gateway_held_is_free_again_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
