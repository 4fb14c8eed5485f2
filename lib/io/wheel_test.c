#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>

#include "base/util.h"
#include "io/wheel.h"

static uv_loop_t loop;
static struct wheel *wheel;

struct item {
	struct deadline deadline;
	struct later later;
	uint64_t set_at, after, fired_at;
	unsigned n_fired;
	struct item *other;
};

static unsigned n_fired;

static int setup(void **state)
{
	n_fired = 0;
	uv_loop_init(&loop);
	wheel = wheel_new(&loop);
	return 0;
}

static int teardown(void **state)
{
	wheel_free(wheel);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

static void on_expire(struct deadline *d)
{
	struct item *i = container_of(d, struct item, deadline);

	i->fired_at = uv_now(&loop);
	i->n_fired++;
	n_fired++;
}

static void set(struct item *i, uint64_t ms)
{
	i->set_at = uv_now(&loop);
	i->after = ms;
	deadline_set(wheel, &i->deadline, ms);
}

static void deadlines_fire_at_most_a_tick_late_and_never_early(void **state)
{
	static const uint64_t times[] = {0, 1, 20, 49, 50, 51, 99, 120, 120, 333, 250};
	struct item items[ARRAY_SIZE(times)] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		deadline_init(&items[i].deadline, on_expire);
		set(&items[i], times[i]);
		assert_true(deadline_is_set(&items[i].deadline));
	}
	uv_run(&loop, UV_RUN_DEFAULT); /* ends by itself: nothing is armed any more */
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		uint64_t took = items[i].fired_at - items[i].set_at;

		assert_int_equal(items[i].n_fired, 1);
		assert_false(deadline_is_set(&items[i].deadline));
		assert_in_range(took, times[i], times[i] + 50 + 300); /* a tick, and what a busy machine takes */
	}
}

static void clearing_and_setting_again_are_heeded(void **state)
{
	struct item a = {0}, b = {0}, never = {0};

	deadline_init(&a.deadline, on_expire);
	deadline_init(&b.deadline, on_expire);
	deadline_init(&never.deadline, on_expire);
	set(&a, 50);
	set(&a, 200);
	set(&b, 500);
	set(&b, 10);
	set(&never, 50);
	deadline_clear(&never.deadline);
	deadline_clear(&never.deadline);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(a.fired_at - a.set_at >= 200);
	assert_true(b.fired_at - b.set_at < 450);
	assert_int_equal(never.n_fired, 0);
	assert_int_equal(n_fired, 2);
}

static void a_cleared_deadline_does_not_keep_the_loop_running(void **state)
{
	struct item a = {0};
	uint64_t start = uv_now(&loop);

	deadline_init(&a.deadline, on_expire);
	set(&a, 2000);
	deadline_clear(&a.deadline);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(uv_now(&loop) - start < 1000);
}

/* The next round of the wheel is 51 s away: this one must not fire in the first. */
static void a_deadline_beyond_a_round_waits(void **state)
{
	struct item far = {0}, near = {0};

	deadline_init(&far.deadline, on_expire);
	deadline_init(&near.deadline, on_expire);
	set(&far, 51200 + 100);
	set(&near, 250);
	while (near.n_fired == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(far.n_fired, 0);
	assert_true(deadline_is_set(&far.deadline));
	deadline_clear(&far.deadline);
}

static void clear_other(struct deadline *d)
{
	struct item *i = container_of(d, struct item, deadline);

	on_expire(d);
	deadline_clear(&i->other->deadline);
}

static void set_again(struct deadline *d)
{
	struct item *i = container_of(d, struct item, deadline);

	on_expire(d);
	if (i->n_fired < 3)
		set(i, 0);
}

static void a_callback_may_clear_others_and_set_itself(void **state)
{
	struct item a = {0}, b = {0}, again = {0};

	deadline_init(&a.deadline, clear_other);
	deadline_init(&b.deadline, clear_other);
	deadline_init(&again.deadline, set_again);
	a.other = &b;
	b.other = &a;
	set(&a, 50);
	set(&b, 50);
	set(&again, 50);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(a.n_fired + b.n_fired, 1);
	assert_int_equal(again.n_fired, 3);
}

static void free_wheel(struct deadline *d)
{
	on_expire(d);
	wheel_free(wheel);
	wheel = NULL;
}

static void what_is_armed_never_fires_once_the_wheel_is_freed(void **state)
{
	struct item a = {0}, b = {0}, c = {0};

	deadline_init(&a.deadline, free_wheel);
	deadline_init(&b.deadline, on_expire);
	deadline_init(&c.deadline, on_expire);
	set(&a, 50);
	set(&b, 50);
	set(&c, 200);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(n_fired, 1);
	deadline_clear(&b.deadline);
	deadline_clear(&c.deadline);
}

static char ran[8];

static void on_turn(struct later *l)
{
	struct item *i = container_of(l, struct item, later);

	ran[n_fired++] = (char)('a' + i->after);
	if (i->other)
		later_set(wheel, &i->other->later);
}

static void later_runs_once_in_order_and_not_from_inside(void **state)
{
	struct item items[4] = {{.after = 0}, {.after = 1}, {.after = 2}, {.after = 3}};

	for (int i = 0; i < 4; i++)
		later_init(&items[i].later, on_turn);
	items[0].other = &items[3];
	later_set(wheel, &items[1].later);
	later_set(wheel, &items[0].later);
	later_set(wheel, &items[1].later);
	later_set(wheel, &items[2].later);
	later_clear(&items[2].later);
	assert_int_equal(n_fired, 0);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(n_fired, 2); /* what is set meanwhile waits for the next turn */
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_string_equal(ran, "bad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(deadlines_fire_at_most_a_tick_late_and_never_early, setup, teardown),
		cmocka_unit_test_setup_teardown(clearing_and_setting_again_are_heeded, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cleared_deadline_does_not_keep_the_loop_running, setup, teardown),
		cmocka_unit_test_setup_teardown(a_deadline_beyond_a_round_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(a_callback_may_clear_others_and_set_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_armed_never_fires_once_the_wheel_is_freed, setup, teardown),
		cmocka_unit_test_setup_teardown(later_runs_once_in_order_and_not_from_inside, setup, teardown),
	};

	return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}
