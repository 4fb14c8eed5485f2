/* run.c's flow with steps that only note that they were begun. */
#include "agent/run.h"
#include "agent/run_compact.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/publish.h"
#include "agent/runner.h"
#include "base/alloc.h"

static struct agent agent;
static char trace[400];
static int n_open;    /* calls without a result */
static bool is_final; /* the next answer asks for no calls */

static void note(const char *what)
{
	strcat(trace, trace[0] ? " " : "");
	strcat(trace, what);
}

enum run_state run_park(struct run *run, const char *status, const char *state, int64_t wake_at);

enum run_state run_load(struct run *run, struct run_preload *preload)
{
	note("load");
	return RUN_LOADING;
}

enum run_state run_think(struct run *run)
{
	note("think");
	return RUN_THINKING;
}

static bool is_held; /* the open calls wait for a person */

enum run_state run_tool(struct run *run)
{
	if (is_held)
		return run_park(run, "waiting", "approving", 0);
	note("tool");
	return RUN_TOOLING;
}

enum run_state run_check_output(struct run *run)
{
	return run_save(run);
}

enum run_state run_save(struct run *run)
{
	note("save");
	if (run->state == RUN_TOOLING)
		n_open--;
	else if (run->state == RUN_THINKING)
		run->is_answered = is_final;
	return RUN_SAVING;
}

enum run_state run_park(struct run *run, const char *status, const char *state, int64_t wake_at)
{
	note("park");
	return RUN_PARKING;
}

enum run_state run_fail(struct run *run)
{
	note("fail");
	return RUN_FAILING;
}

static bool is_due; /* a snapshot is */

bool run_must_keep(const struct run *run)
{
	return is_due;
}

enum run_state run_keep(struct run *run)
{
	note("keep");
	is_due = false;
	return RUN_KEEPING;
}

void run_keep_cancel(struct run *run)
{
	note("cancel-keeping");
}

void run_think_cancel(struct run *run)
{
	note("cancel-model");
}

void run_tool_leave(struct run *run)
{
	note("leave-calls");
}

void run_tool_cancel(struct run *run)
{
	note("cancel-call");
}

bool run_has_open_calls(const struct run *run)
{
	return n_open > 0;
}

void run_write_init(struct run *run)
{
	deadline_init(&run->flush_at, NULL);
	deadline_init(&run->write_again, NULL);
}

void run_flush(struct run *run)
{
}

void run_fit_free(struct run *run)
{
}

void model_call_clear(struct model_call *c)
{
}

void runner_on_ended(struct runner *r, struct run *run)
{
	note("end");
	run_free(run);
}

void run_trace(struct run *run, const char *traceparent)
{
}

void publisher_add(struct publisher *p, const char *execution_id, const char *conversation_id, const char *user_id,
		   const char *traceparent, struct str event)
{
}

static struct run *begin(int open, bool final)
{
	struct run *run = xcalloc(1, sizeof(*run));

	trace[0] = '\0';
	n_open = open;
	is_final = final;
	run->agent = &agent;
	run_start(run, NULL);
	return run;
}

static void an_answer_without_calls_is_saved_and_ends_it(void **state)
{
	struct run *run = begin(0, true);

	for (int i = 0; i < 3; i++)
		run_on_done(run, 0);
	assert_string_equal(trace, "load think save end");
}

static void each_call_is_saved_before_the_next_thing_begins(void **state)
{
	struct run *run = begin(0, false);

	run_on_done(run, 0);
	run_on_done(run, 0); /* an answer with two calls */
	n_open = 2;
	for (int i = 0; i < 5; i++)
		run_on_done(run, 0);
	is_final = true;
	run_on_done(run, 0);
	run_on_done(run, 0);
	assert_string_equal(trace, "load think save tool save tool save think save end");
}

static void a_restarted_run_with_open_calls_goes_on_with_them(void **state)
{
	struct run *run = begin(1, true);

	for (int i = 0; i < 5; i++)
		run_on_done(run, 0);
	assert_string_equal(trace, "load tool save think save end");
}

static void a_cancel_while_thinking_closes_the_call_and_stores_the_end(void **state)
{
	struct run *run = begin(0, true);

	run_on_done(run, 0);
	run_stop(run, "cancelled", NULL, NULL);
	run_stop(run, "failed", "time_limit", "too late to count");
	assert_string_equal(run->stop.status, "cancelled");
	run_on_done(run, -ECANCELED);
	run_on_done(run, 0);
	assert_string_equal(trace, "load think cancel-model fail end");
}

static void a_cancel_while_a_call_runs_stops_the_call(void **state)
{
	struct run *run = begin(1, true);

	run_on_done(run, 0);
	run_stop(run, "cancelled", NULL, NULL);
	run_on_done(run, 0);
	run_on_done(run, 0);
	assert_string_equal(trace, "load tool cancel-call fail end");
}

static void a_cancel_while_loading_or_saving_waits_for_it(void **state)
{
	struct run *run = begin(0, false);

	run_stop(run, "cancelled", NULL, NULL);
	run_on_done(run, 0);
	run_on_done(run, 0);
	assert_string_equal(trace, "load fail end");

	run = begin(0, false);
	run_on_done(run, 0);
	run_on_done(run, 0);
	run_stop(run, "failed", "time_limit", "over");
	run_on_done(run, 0);
	run_on_done(run, 0);
	assert_string_equal(trace, "load think save fail end");
}

static void a_cancel_of_what_is_answered_already_comes_too_late(void **state)
{
	struct run *run = begin(0, true);

	run_on_done(run, 0);
	run_on_done(run, 0);
	run_stop(run, "cancelled", NULL, NULL);
	assert_null(run->stop.status);
	run_on_done(run, 0);
	assert_string_equal(trace, "load think save end");
}

static void a_failure_of_the_model_is_stored(void **state)
{
	struct run *run = begin(0, true);

	run_on_done(run, 0);
	run->stop.status = "failed";
	run_on_done(run, -EIO);
	run_on_done(run, 0);
	assert_string_equal(trace, "load think fail end");
}

static void a_run_that_is_not_ours_any_more_leaves_without_a_trace(void **state)
{
	struct run *run = begin(0, true);

	run_on_done(run, -ESTALE);
	assert_string_equal(trace, "load end");

	run = begin(0, true);
	run_on_done(run, 0);
	run_drop(run);
	run_on_done(run, -ECANCELED);
	assert_string_equal(trace, "load think cancel-model end");
}

static void a_run_whose_calls_wait_for_people_is_let_go(void **state)
{
	struct run *run = begin(1, true);

	is_held = true;
	run_on_done(run, 0);
	/* It is in the database by then, and ends the run that is woken for it. */
	run_stop(run, "cancelled", NULL, NULL);
	run_on_done(run, 0);
	is_held = false;
	assert_string_equal(trace, "load park end");
}

static void make_metrics(void)
{
	for (size_t i = 0; i < RUN_STATES; i++)
		agent.metrics.runs_in[i] = metric_gauge("runs", "Runs", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_without_calls_is_saved_and_ends_it),
		cmocka_unit_test(each_call_is_saved_before_the_next_thing_begins),
		cmocka_unit_test(a_restarted_run_with_open_calls_goes_on_with_them),
		cmocka_unit_test(a_cancel_while_thinking_closes_the_call_and_stores_the_end),
		cmocka_unit_test(a_cancel_while_a_call_runs_stops_the_call),
		cmocka_unit_test(a_cancel_while_loading_or_saving_waits_for_it),
		cmocka_unit_test(a_cancel_of_what_is_answered_already_comes_too_late),
		cmocka_unit_test(a_failure_of_the_model_is_stored),
		cmocka_unit_test(a_run_whose_calls_wait_for_people_is_let_go),
		cmocka_unit_test(a_run_that_is_not_ours_any_more_leaves_without_a_trace),
	};

	make_metrics();
	return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
