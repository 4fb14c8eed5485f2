/* Limits of a command as a whole: each with the end that tells of it. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "testing.h"

static bool as_user;
static struct bench *bench;

static int open_bench(void **state)
{
	bench = bench_new_with(as_user, true, 0);
	return 0;
}

static int close_bench(void **state)
{
	bench_free(bench);
	return 0;
}

static void run(struct trial *t)
{
	trial_start(t);
	trial_wait(t);
}

static struct trial again(const struct trial *first, const char *script)
{
	struct trial t = trial_script(bench, script);

	t.spec.workspace = first->spec.workspace;
	t.spec.uid = first->spec.uid;
	t.spec.quota_bytes = first->spec.quota_bytes;
	t.spec.quota_files = first->spec.quota_files;
	return t;
}

static void run_again(struct trial *t)
{
	trial_start_in(t);
	trial_wait(t);
}

#define BURN "while :; do :; done"

static void cpu_time_of_one_process_has_a_limit(void **state)
{
	struct trial t = trial_script(bench, BURN);

	t.spec.cpu_max_ms = 300;
	run(&t);
	assert_int_equal(t.result.status, COMMAND_CPU);
	assert_non_null(strstr(t.result.reason, "300 ms of CPU time"));
	assert_true(t.result.cpu_ms >= 250);
}

/* None of them reaches it alone, and those that ended count. */
static void cpu_time_of_many_processes_is_counted_together(void **state)
{
	struct trial t = trial_script(
		bench, "while :; do for i in 1 2 3 4; do (for j in {1..3000}; do :; done) & done; wait; done");

	t.spec.cpu_max_ms = 500;
	run(&t);
	assert_int_equal(t.result.status, COMMAND_CPU);
}

static void sleeping_costs_no_cpu_time(void **state)
{
	bool is_slow = trials_are_slow(); /* there bash alone takes more than half a second of CPU time */
	struct trial t = trial_script(bench, is_slow ? "sleep 12; echo rested" : "sleep 0.8; echo rested");

	t.spec.cpu_max_ms = is_slow ? 8000 : 500;
	run(&t);
	assert_int_equal(t.result.status, COMMAND_EXITED);
}

static void a_quota_of_cpu_slows_it_down(void **state)
{
	struct trial t = trial_script(bench, "for i in {1..200000}; do :; done");
	unsigned throttled;

	if (bench->spawner.report.controllers[CGROUP_CPU] == 0) {
		print_message("# not here: no cgroup keeps a quota of CPU\n");
		return;
	}
	t.spec.cpu_percent = 20;
	run(&t);
	throttled = t.result.throttled;
	assert_int_equal(t.result.status, COMMAND_EXITED);
	assert_true(throttled > 0);
	/* At a fifth of a CPU it takes about five times as long as it computes. */
	assert_true((uint64_t)(t.result.ended_us - t.result.started_us) / 1000 > 3 * t.result.cpu_ms);
}

#define WRITE "i=0; while :; do i=$((i+1)); head -c 4000000 /dev/urandom > f$i; done"

static void bytes_of_the_workspace_have_a_quota(void **state)
{
	struct trial t = trial_script(bench, WRITE), next;

	t.spec.quota_bytes = 40 << 20;
	run(&t);
	assert_int_equal(t.result.status, COMMAND_QUOTA);
	assert_non_null(strstr(t.result.reason, "quota of 40 MiB"));
	next = again(&t, "rm -f f*; echo fine > f");
	run_again(&next);
	/* So much more than the quota was written in an instant that it must be emptied from outside, or it can be. */
	if (next.result.status == COMMAND_EXITED) {
		next = again(&t, "cat f");
		run_again(&next);
		assert_string_equal(next.output.p, "fine\n");
	} else {
		assert_int_equal(next.result.status, COMMAND_QUOTA);
	}
}

#define OTHERS 8
#define OTHERS_SIZE (64 << 20)

/* What is written does not show by what is free when others delete as much. */
static void what_others_delete_hides_nothing(void **state)
{
	struct trial t =
		trial_script(bench, "sleep 0.5; for i in {1..20}; do head -c 4000000 /dev/zero > f$i; done; sleep 60");
	char path[64];

	for (int i = 0; i < OTHERS; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/others-%d", bench->dir, i);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(posix_fallocate(fd, 0, OTHERS_SIZE), 0);
		close(fd);
	}
	t.spec.quota_bytes = 40 << 20;
	trial_start(&t);
	for (int i = 0; i < OTHERS; i++) {
		usleep(150000);
		snprintf(path, sizeof(path), "%s/others-%d", bench->dir, i);
		assert_int_equal(unlink(path), 0);
	}
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_QUOTA);
}

static void files_of_the_workspace_have_a_quota(void **state)
{
	struct trial t = trial_script(bench, "i=0; while :; do i=$((i+1)); : > f$i; done");

	t.spec.quota_files = 3000;
	run(&t);
	assert_int_equal(t.result.status, COMMAND_QUOTA);
	assert_non_null(strstr(t.result.reason, "3000 files"));
}

static void folders_that_are_nested_too_deeply_count_as_too_many(void **state)
{
	struct trial t = trial_script(bench, "for i in {1..400}; do mkdir d && cd d || break; done; sleep 30");

	t.spec.quota_files = 3000;
	t.spec.quota_bytes = 1 << 20;
	run(&t);
	assert_int_equal(t.result.status, COMMAND_QUOTA);
}

static void deleted_files_that_are_open_count_too(void **state)
{
	struct trial t = trial_script(bench, "exec 3>f; rm f; head -c 90000000 /dev/urandom >&3; sleep 30");

	t.spec.quota_bytes = 30 << 20;
	run(&t);
	assert_int_equal(t.result.status, COMMAND_QUOTA);
}

static void hard_links_count_once(void **state)
{
	struct trial t =
		trial_script(bench, "head -c 20000000 /dev/urandom > f; for i in {1..50}; do ln f g$i; done; sleep 1; "
				    "head -c 4000000 /dev/urandom > h; echo fine");

	t.spec.quota_bytes = 40 << 20;
	run(&t);
	assert_string_equal(t.output.p, "fine\n");
	assert_int_equal(t.result.status, COMMAND_EXITED);
}

/* Little by little, each too short to be looked at while it runs. */
static void many_short_commands_come_to_the_quota_too(void **state)
{
	struct trial t = trial_script(bench, "true");
	unsigned n = 0;

	t.spec.quota_bytes = 20 << 20;
	run(&t);
	for (struct trial next = t; next.result.status == COMMAND_EXITED && n < 20; n++) {
		next = again(&t, arena_printf(bench->arena, "head -c 8000000 /dev/urandom > f%u", n));
		run_again(&next);
		if (n == 19)
			fail_msg("160 MB were written under a quota of 20 MiB");
		t.result.status = next.result.status;
	}
	assert_int_equal(t.result.status, COMMAND_QUOTA);
}

/* Before the first look: by a program that has ended, deleted and still open, and shut away. */
static void what_came_in_the_first_moment_counts(void **state)
{
	static const char *const scripts[] = {
		"head -c 50000000 /dev/zero > f; sleep 30",
		"exec 3>f; rm f; head -c 60000000 /dev/zero >&3; sleep 30",
		"mkdir d; cd d; head -c 60000000 /dev/zero > f; chmod 000 .; sleep 30",
		"mkdir d; cd d; for i in {1..2500}; do : > f$i; done; sleep 30",
	};

	if (getenv("OGENT_TEST_PROJECT_QUOTA"))
		return; /* the kernel refuses it */
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		enum command_status got = COMMAND_TIMEOUT;

		/* On a machine where others remove as much at the same moment it is not seen. */
		for (unsigned n = 0; n < 4 && got != COMMAND_QUOTA; n++) {
			struct trial t = trial_script(bench, scripts[i]);

			t.spec.quota_bytes = 20 << 20;
			t.spec.quota_files = 2000;
			t.spec.timeout_ms = 3000;
			run(&t);
			got = t.result.status;
		}
		if (got != COMMAND_QUOTA)
			fail_msg("%s: %d", scripts[i], (int)got);
	}
}

/* A disk could be full before the first look. */
static void room_is_not_taken_without_writing(void **state)
{
	struct trial t =
		trial_script(bench, "fallocate -l 1M f 2>/dev/null || echo no; fallocate -zl 1M f 2>/dev/null || "
				    "echo no; fallocate -xl 1M f && stat -c %s f; fallocate -pl 1M f && stat -c %b f");

	run(&t);
	assert_string_equal(t.output.p, "no\nno\n1048576\n0\n");
}

static void what_is_in_it_already_may_stay(void **state)
{
	struct trial t = trial_script(bench, "head -c 22000000 /dev/urandom > f; sync"), next;

	if (getenv("OGENT_TEST_PROJECT_QUOTA")) /* the kernel lets nobody be over it */
		t.spec.quota_bytes = 20 << 20;
	run(&t);
	t.spec.quota_bytes = 20 << 20;
	next = again(&t, getenv("OGENT_TEST_PROJECT_QUOTA") ? "sleep 1; wc -c f" : "sleep 1; echo x > g; cat g");
	run_again(&next);
	assert_int_equal(next.result.status, COMMAND_EXITED);
	next = again(&t, "sleep 1; rm f; echo less");
	run_again(&next);
	assert_int_equal(next.result.status, COMMAND_EXITED);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpu_time_of_one_process_has_a_limit),
		cmocka_unit_test(cpu_time_of_many_processes_is_counted_together),
		cmocka_unit_test(sleeping_costs_no_cpu_time),
		cmocka_unit_test(a_quota_of_cpu_slows_it_down),
		cmocka_unit_test(bytes_of_the_workspace_have_a_quota),
		cmocka_unit_test(what_others_delete_hides_nothing),
		cmocka_unit_test(files_of_the_workspace_have_a_quota),
		cmocka_unit_test(folders_that_are_nested_too_deeply_count_as_too_many),
		cmocka_unit_test(deleted_files_that_are_open_count_too),
		cmocka_unit_test(hard_links_count_once),
		cmocka_unit_test(many_short_commands_come_to_the_quota_too),
		cmocka_unit_test(what_came_in_the_first_moment_counts),
		cmocka_unit_test(room_is_not_taken_without_writing),
		cmocka_unit_test(what_is_in_it_already_may_stay),
	};

	as_user = argc > 1;
	return cmocka_run_group_tests(tests, open_bench, close_bench);
}
