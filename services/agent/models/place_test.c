#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/models/place.h"

#define MOST 16

/* Calls of users, in the order in which they were let in. */
struct call {
	struct model_turn turn; /* first */
	const char *name;
};

static struct {
	uv_loop_t loop;
	struct wheel *wheel;
	struct model_place *place;
	char order[MOST * 4];
	struct call calls[MOST];
} w;

static void on_turn(struct model_turn *t)
{
	strcat(w.order, ((struct call *)t)->name);
}

static int set_up(void **state)
{
	memset(&w, 0, sizeof(w));
	uv_loop_init(&w.loop);
	w.wheel = wheel_new(&w.loop);
	return 0;
}

static int tear_down(void **state)
{
	model_place_unref(w.place);
	wheel_free(w.wheel);
	uv_run(&w.loop, UV_RUN_DEFAULT);
	return uv_loop_close(&w.loop);
}

static void make(int64_t at_once, int64_t per_minute)
{
	w.place = model_place_new(&w.loop, w.wheel, NULL, &(struct model_place_limits){at_once, per_minute, 0});
}

static enum model_hold enter(int i, const char *user, const char *name)
{
	w.calls[i] = (struct call){.turn = {.user_id = user, .on_turn = on_turn}, .name = name};
	return model_place_enter(w.place, &w.calls[i].turn);
}

static void leave(int i)
{
	model_place_leave(&w.calls[i].turn);
	for (int k = 0; k < 3; k++)
		uv_run(&w.loop, UV_RUN_NOWAIT);
}

static void users_take_turns_however_many_calls_one_of_them_has(void **state)
{
	make(1, 0);
	assert_int_equal(enter(0, "ann", "-"), HOLD_NONE);
	assert_int_equal(enter(1, "ann", "a"), HOLD_AT_ONCE);
	assert_int_equal(enter(2, "ann", "b"), HOLD_AT_ONCE);
	assert_int_equal(enter(3, "ann", "c"), HOLD_AT_ONCE);
	assert_int_equal(enter(4, "bob", "X"), HOLD_AT_ONCE);
	assert_int_equal(enter(5, "cid", "Y"), HOLD_AT_ONCE);
	assert_int_equal(model_place_n_waiting(w.place), 5);
	leave(0);
	for (int done = 0; done < 5; done++)
		for (int i = 1; i < 6; i++)
			if (w.calls[i].turn.is_in) {
				leave(i);
				break;
			}
	assert_string_equal(w.order, "aXYbc");
	assert_int_equal(model_place_n_waiting(w.place), 0);
}

static void who_leaves_the_line_is_not_called(void **state)
{
	make(1, 0);
	enter(0, "ann", "-");
	enter(1, "ann", "a");
	enter(2, "bob", "b");
	model_place_leave(&w.calls[1].turn);
	leave(0);
	assert_string_equal(w.order, "b");
	leave(2);
}

static void nobody_overtakes_those_who_wait(void **state)
{
	make(2, 0);
	enter(0, "ann", "-");
	enter(1, "ann", "-");
	enter(2, "ann", "a");
	model_place_leave(&w.calls[0].turn); /* its room is given away with the next turn of the loop */
	assert_int_equal(enter(3, "bob", "b"), HOLD_AT_ONCE);
	leave(1);
	assert_string_equal(w.order, "ab");
	leave(2);
	leave(3);
}

static void beginnings_are_spread_over_the_minute(void **state)
{
	make(0, 1200);
	for (int i = 0; i < 1200; i++) {
		assert_int_equal(enter(0, "ann", "-"), HOLD_NONE);
		model_place_leave(&w.calls[0].turn);
	}
	assert_int_equal(enter(0, "ann", "a"), HOLD_PER_MINUTE);
	while (!w.order[0])
		uv_run(&w.loop, UV_RUN_ONCE);
	leave(0);
}

static enum model_hold enter_with(int i, const char *user, const char *name, int64_t tokens)
{
	w.calls[i] = (struct call){.turn = {.user_id = user, .tokens = tokens, .on_turn = on_turn}, .name = name};
	return model_place_enter(w.place, &w.calls[i].turn);
}

static void settle(int i, int64_t tokens)
{
	model_place_settle(&w.calls[i].turn, tokens);
	leave(i);
}

static void run_until(size_t n)
{
	while (strlen(w.order) < n)
		uv_run(&w.loop, UV_RUN_ONCE);
}

/* 60,000 a minute are 60 in 60 ms. */
static void tokens_of_a_minute_are_estimated_and_then_counted(void **state)
{
	w.place = model_place_new(&w.loop, w.wheel, NULL, &(struct model_place_limits){.tokens = 60000});
	assert_int_equal(enter_with(0, "ann", "-", 59000), HOLD_NONE);
	assert_int_equal(enter_with(1, "ann", "a", 2000), HOLD_TOKENS);
	assert_string_equal(model_hold_names[HOLD_TOKENS], "tokens_per_minute");
	model_place_leave(&w.calls[1].turn);
	settle(0, 50000); /* it took less: 10,000 are free */
	assert_int_equal(enter_with(1, "ann", "-", 9000), HOLD_NONE);
	settle(1, 10100); /* it took more: 100 are owed */
	assert_int_equal(enter_with(2, "ann", "a", 20), HOLD_TOKENS);
	run_until(1);
	settle(2, 0);
	/* What never began took nothing. */
	assert_int_equal(enter_with(3, "ann", "-", 10), HOLD_NONE);
	settle(3, 0);
}

static void a_call_that_needs_much_is_not_overtaken_and_one_beyond_the_limit_begins_when_all_is_free(void **state)
{
	w.place = model_place_new(&w.loop, w.wheel, NULL, &(struct model_place_limits){.tokens = 60000});
	assert_int_equal(enter_with(0, "ann", "-", 500000), HOLD_NONE);
	settle(0, 60050);
	assert_int_equal(enter_with(1, "ann", "a", 100), HOLD_TOKENS);
	assert_int_equal(enter_with(2, "bob", "b", 10), HOLD_TOKENS);
	run_until(2);
	assert_string_equal(w.order, "ab");
	settle(1, 0);
	settle(2, 0);
}

static void what_the_provider_asks_for_holds_all_calls(void **state)
{
	make(0, 0);
	model_place_report(w.place, true, 30);
	assert_int_equal(enter(0, "ann", "a"), HOLD_ASKED);
	while (!w.order[0])
		uv_run(&w.loop, UV_RUN_ONCE);
	leave(0);
}

static void a_place_that_fails_again_and_again_is_left_alone_until_one_call_succeeds(void **state)
{
	make(0, 0);
	for (int i = 0; i < 5; i++)
		model_place_report(w.place, false, 0);
	assert_false(model_place_is_broken(w.place));
	model_place_report(w.place, false, 0);
	assert_true(model_place_is_broken(w.place));
	assert_int_equal(enter(0, "ann", "a"), HOLD_BROKEN);
	model_place_leave(&w.calls[0].turn);
	model_place_report(w.place, true, 0);
	assert_false(model_place_is_broken(w.place));
	assert_int_equal(enter(0, "ann", "a"), HOLD_NONE);
	leave(0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(users_take_turns_however_many_calls_one_of_them_has),
		T(who_leaves_the_line_is_not_called),
		T(nobody_overtakes_those_who_wait),
		T(beginnings_are_spread_over_the_minute),
		T(tokens_of_a_minute_are_estimated_and_then_counted),
		T(a_call_that_needs_much_is_not_overtaken_and_one_beyond_the_limit_begins_when_all_is_free),
		T(what_the_provider_asks_for_holds_all_calls),
		T(a_place_that_fails_again_and_again_is_left_alone_until_one_call_succeeds),
	};

	return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
