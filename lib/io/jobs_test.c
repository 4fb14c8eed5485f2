#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/util.h"
#include "io/jobs.h"

static uv_loop_t loop;
static uv_thread_t loop_thread;

struct task {
	struct job job;
	int number;
	bool was_on_thread, is_done;
	uv_sem_t *wait; /* before it runs, when set */
	uv_barrier_t *meeting;
	struct job_lane *lane;
	unsigned taken; /* by job_take_waiting */
};

static int order[100];
static unsigned n_done;

static void run(struct job *job)
{
	struct task *t = container_of(job, struct task, job);
	uv_thread_t self = uv_thread_self();

	if (t->wait)
		uv_sem_wait(t->wait);
	t->was_on_thread = !uv_thread_equal(&self, &loop_thread);
}

static void done(struct job *job)
{
	struct task *t = container_of(job, struct task, job);
	uv_thread_t self = uv_thread_self();

	assert_true(uv_thread_equal(&self, &loop_thread));
	assert_false(t->is_done);
	t->is_done = true;
	order[n_done++] = t->number;
}

static int setup(void **state)
{
	n_done = 0;
	loop_thread = uv_thread_self();
	return uv_loop_init(&loop);
}

static int teardown(void **state)
{
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

static void jobs_of_one_thread_run_in_order_and_end_on_the_loop(void **state)
{
	struct job_lane *lane = job_lane_new(&loop, "test", 1, 100, NULL, NULL, NULL);
	struct task tasks[100] = {0};

	for (int i = 0; i < 100; i++) {
		tasks[i] = (struct task){.job = {.run = run, .done = done}, .number = i};
		assert_int_equal(job_submit(lane, &tasks[i].job), 0);
	}
	assert_int_equal(n_done, 0); /* never from inside job_submit */
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(n_done, 100);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(order[i], i);
		assert_true(tasks[i].was_on_thread);
	}
	job_lane_free(lane);
}

static void a_full_queue_refuses(void **state)
{
	struct job_lane *lane = job_lane_new(&loop, "test", 1, 2, NULL, NULL, NULL);
	struct task tasks[4];
	uv_sem_t wait;

	uv_sem_init(&wait, 0);
	for (int i = 0; i < 4; i++)
		tasks[i] = (struct task){.job = {.run = run, .done = done}, .number = i, .wait = &wait};
	assert_int_equal(job_submit(lane, &tasks[0].job), 0);
	while (job_lane_depth(lane) > 0) /* until the thread has taken the first */
		usleep(1000);
	assert_int_equal(job_submit(lane, &tasks[1].job), 0);
	assert_int_equal(job_submit(lane, &tasks[2].job), 0);
	assert_int_equal(job_submit(lane, &tasks[3].job), -EAGAIN);
	assert_int_equal(job_lane_depth(lane), 2);
	for (int i = 0; i < 3; i++)
		uv_sem_post(&wait);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(n_done, 3);
	assert_false(tasks[3].is_done);
	job_lane_free(lane);
	uv_sem_destroy(&wait);
}

static void freeing_a_lane_runs_and_delivers_what_was_queued(void **state)
{
	struct job_lane *lane = job_lane_new(&loop, "test", 3, 100, NULL, NULL, NULL);
	struct task tasks[50];

	for (int i = 0; i < 50; i++) {
		tasks[i] = (struct task){.job = {.run = run, .done = done}, .number = i};
		job_submit(lane, &tasks[i].job);
	}
	job_lane_free(lane);
	assert_int_equal(n_done, 50);
}

static void free_lane(struct job *job)
{
	struct task *t = container_of(job, struct task, job);

	done(job);
	job_lane_free(t->lane);
	assert_int_equal(n_done, 10);
}

static void a_lane_can_be_freed_by_a_result(void **state)
{
	struct job_lane *lane = job_lane_new(&loop, "test", 1, 100, NULL, NULL, NULL);
	struct task tasks[10];

	for (int i = 0; i < 10; i++) {
		tasks[i] = (struct task){.job = {.run = run, .done = i ? done : free_lane}, .lane = lane};
		job_submit(lane, &tasks[i].job);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(n_done, 10);
}

static void submit_again(struct job *job)
{
	struct task *t = container_of(job, struct task, job);

	if (++t->number < 5)
		assert_int_equal(job_submit(t->lane, &t->job), 0);
	n_done++;
}

static void a_result_may_submit_again(void **state)
{
	struct job_lane *lane = job_lane_new(&loop, "test", 1, 1, NULL, NULL, NULL);
	struct task task = {.job = {.run = run, .done = submit_again}, .lane = lane};

	job_submit(lane, &task.job);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(n_done, 5);
	job_lane_free(lane);
}

/* Takes the others that wait, runs and finishes them, as a group commit does. */
static void run_group(struct job *job)
{
	struct task *t = container_of(job, struct task, job);
	struct list taken;
	struct job *other;

	uv_sem_wait(t->wait);
	list_init(&taken);
	t->taken = job_take_waiting(t->lane, &taken, 3);
	while ((other = list_first(&taken, struct job, link))) {
		list_remove(&other->link);
		other->run(other);
		job_finish(t->lane, other);
	}
}

static void a_job_can_take_those_that_wait_behind_it(void **state)
{
	struct job_lane *lane = job_lane_new(&loop, "test", 1, 100, NULL, NULL, NULL);
	struct task tasks[6];
	uv_sem_t wait;

	uv_sem_init(&wait, 0);
	for (int i = 0; i < 6; i++) {
		tasks[i] = (struct task){.job = {.run = run, .done = done}, .number = i, .lane = lane};
		if (i == 0)
			tasks[i].job.run = run_group;
		if (i == 0)
			tasks[i].wait = &wait;
		job_submit(lane, &tasks[i].job);
	}
	uv_sem_post(&wait);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(tasks[0].taken, 3);
	assert_int_equal(n_done, 6);
	/* The taker ends after those it took. */
	const int expected[] = {1, 2, 3, 0, 4, 5};
	assert_memory_equal(order, expected, sizeof(expected));
	job_lane_free(lane);
	uv_sem_destroy(&wait);
}

static int started, stopped; /* by the threads, joined before they are read */

static void *on_start(void *arg)
{
	__atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
	return arg;
}

static void on_stop(void *data)
{
	assert_ptr_equal(data, &loop);
	__atomic_add_fetch(&stopped, 1, __ATOMIC_SEQ_CST);
}

static void run_with_data(struct job *job)
{
	container_of(job, struct task, job)->was_on_thread = job_thread_data() == &loop;
}

static void threads_have_data_of_their_own(void **state)
{
	struct job_lane *lane = job_lane_new(&loop, "test", 2, 100, on_start, on_stop, &loop);
	struct task task = {.job = {.run = run_with_data, .done = done}};

	job_submit(lane, &task.job);
	uv_run(&loop, UV_RUN_DEFAULT);
	job_lane_free(lane);
	assert_true(task.was_on_thread);
	assert_int_equal(started, 2);
	assert_int_equal(stopped, 2);
}

static void run_until_all_are_here(struct job *job)
{
	uv_barrier_wait(container_of(job, struct task, job)->meeting);
}

/* A job for each of four threads, which all end when the last has begun. */
static void run_four(struct job_lane *lane)
{
	struct task tasks[4];
	uv_barrier_t meeting;

	uv_barrier_init(&meeting, 4);
	for (int i = 0; i < 4; i++) {
		tasks[i] = (struct task){.job = {.run = run_until_all_are_here, .done = done}, .meeting = &meeting};
		job_submit(lane, &tasks[i].job);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_barrier_destroy(&meeting);
}

static void jobs_that_come_together_have_all_threads(void **state)
{
	struct job_lane *lane = job_lane_new(&loop, "test", 4, 100, NULL, NULL, NULL);

	for (int round = 0; round < 20; round++)
		run_four(lane);
	assert_int_equal(n_done, 80);
	job_lane_free(lane);
}

static unsigned n_used; /* threads that had a job of the test below */

static void run_counted(struct job *job)
{
	static __thread bool was_here;

	n_used += !was_here;
	was_here = true;
}

static void jobs_that_come_one_by_one_are_of_one_thread(void **state)
{
	struct job_lane *lane = job_lane_new(&loop, "test", 4, 100, NULL, NULL, NULL);
	struct task tasks[50];

	run_four(lane); /* so that all have started */
	for (int i = 0; i < 50; i++) {
		tasks[i] = (struct task){.job = {.run = run_counted, .done = done}, .number = i};
		job_submit(lane, &tasks[i].job);
		uv_run(&loop, UV_RUN_DEFAULT);
	}
	assert_int_equal(n_used, 1);
	job_lane_free(lane);
}

static void slow_work_in_one_lane_does_not_hold_up_another(void **state)
{
	struct job_lane *slow = job_lane_new(&loop, "slow", 1, 100, NULL, NULL, NULL);
	struct job_lane *quick = job_lane_new(&loop, "quick", 1, 100, NULL, NULL, NULL);
	uv_sem_t wait;

	uv_sem_init(&wait, 0);
	struct task first = {.job = {.run = run, .done = done}, .number = 1, .wait = &wait};
	struct task second = {.job = {.run = run, .done = done}, .number = 2};
	job_submit(slow, &first.job);
	job_submit(quick, &second.job);
	while (n_done == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(order[0], 2);
	uv_sem_post(&wait);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(n_done, 2);
	job_lane_free(slow);
	job_lane_free(quick);
	uv_sem_destroy(&wait);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(jobs_of_one_thread_run_in_order_and_end_on_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_queue_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(freeing_a_lane_runs_and_delivers_what_was_queued, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lane_can_be_freed_by_a_result, setup, teardown),
		cmocka_unit_test_setup_teardown(a_result_may_submit_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_job_can_take_those_that_wait_behind_it, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_have_data_of_their_own, setup, teardown),
		cmocka_unit_test_setup_teardown(jobs_that_come_one_by_one_are_of_one_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(jobs_that_come_together_have_all_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_work_in_one_lane_does_not_hold_up_another, setup, teardown),
	};

	return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
