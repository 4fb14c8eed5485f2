#include "sandbox/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 300

/* A spawner that ends while the next one's sandbox comes up removes the folders of both. */
static void a_sandbox_comes_up_while_another_spawner_ends(void **state)
{
	struct cgroup_host h;
	struct cgroup c;
	char name[64];
	int status, failed = 0;

	snprintf(name, sizeof(name), "ogent-cgroup-test-%d", getpid());
	cgroup_host_init(&h, name);
	if (cgroup_host_is_empty(&h)) {
		print_message("# not here: no cgroup that we may use\n");
		return;
	}
	for (int i = 0; i < ROUNDS; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			usleep((useconds_t)(rand() % 300));
			cgroup_host_deinit(&h);
			_exit(0);
		}
		rand();
		usleep((useconds_t)(rand() % 300));
		if (cgroup_open(&h, "one", &(struct cgroup_limits){64 << 20, 16, 50, NULL, NULL}, &c) == 0)
			cgroup_deinit(&c);
		else
			failed++;
		waitpid(pid, &status, 0);
	}
	cgroup_host_deinit(&h);
	assert_int_equal(failed, 0);
}

/* A hybrid machine. */
static void each_controller_is_taken_where_it_is(void **state)
{
	struct cgroup_host h = {
		.leaf = "/leaf", .in_leaf = {[CGROUP_PIDS] = true}, .v1 = {[CGROUP_MEMORY] = "/memory"}};
	char text[140];

	assert_int_equal(cgroup_host_version(&h, CGROUP_MEMORY), 1);
	assert_int_equal(cgroup_host_version(&h, CGROUP_PIDS), 2);
	assert_int_equal(cgroup_host_version(&h, CGROUP_CPU), 0);
	assert_true(cgroup_host_limits(&h));
	cgroup_host_describe(&h, text, sizeof(text));
	assert_string_equal(text, "memory: cgroup version 1, pids: cgroup version 2, cpu: no quota");
	h.v1[CGROUP_MEMORY][0] = 0;
	assert_false(cgroup_host_limits(&h));
	cgroup_host_describe(&h, text, sizeof(text));
	assert_string_equal(text, "memory: rlimit of each process, pids: cgroup version 2, cpu: no quota");
}

/* What cannot be used is left in two steps, and then there is nothing. */
static void what_does_not_work_is_left(void **state)
{
	struct cgroup_host h;
	char name[64];

	snprintf(name, sizeof(name), "ogent-cgroup-left-%d", getpid());
	cgroup_host_init(&h, name);
	for (int i = 0; i < 2 && !cgroup_host_is_empty(&h); i++)
		cgroup_host_leave(&h);
	assert_true(cgroup_host_is_empty(&h));
	assert_false(cgroup_host_limits(&h));
	cgroup_host_deinit(&h);
}

/* Memory, processes and CPU are in the files of whichever version keeps them. */
static void limits_are_written_where_they_are_kept(void **state)
{
	static const char *const files[CGROUP_CONTROLLERS][3] = {
		[CGROUP_MEMORY] = {"", "memory.limit_in_bytes", "memory.max"},
		[CGROUP_PIDS] = {"", "pids.max", "pids.max"},
		[CGROUP_CPU] = {"", "cpu.cfs_quota_us", "cpu.max"}};
	static const long want[CGROUP_CONTROLLERS] = {64 << 20, 17, 50000};
	struct cgroup_host h;
	struct cgroup c;
	char name[64];

	snprintf(name, sizeof(name), "ogent-cgroup-kept-%d", getpid());
	cgroup_host_init(&h, name);
	assert_int_equal(cgroup_open(&h, "one", &(struct cgroup_limits){64 << 20, 16, 50, NULL, NULL}, &c), 0);
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		int version = cgroup_host_version(&h, (enum cgroup_controller)i);
		char text[32] = "";
		int fd = version ? openat(c.fds[i], files[i][version], O_RDONLY) : -1;

		assert_int_equal(fd >= 0, version > 0);
		if (fd < 0)
			continue;
		assert_true(read(fd, text, sizeof(text) - 1) > 0);
		assert_int_equal(atol(text), want[i]);
		close(fd);
	}
	cgroup_deinit(&c);
	cgroup_host_deinit(&h);
}

/* So that a command with many sessions has no more of the CPU than one with one. */
static void a_sandbox_has_a_share_of_the_cpu_without_a_quota_too(void **state)
{
	struct cgroup_host h;
	struct cgroup c;
	char name[64], text[32] = "";
	int fd;

	snprintf(name, sizeof(name), "ogent-cgroup-share-%d", getpid());
	cgroup_host_init(&h, name);
	assert_int_equal(cgroup_open(&h, "one", &(struct cgroup_limits){64 << 20, 16, 0, NULL, NULL}, &c), 0);
	assert_int_equal(c.fds[CGROUP_CPU] >= 0, cgroup_host_version(&h, CGROUP_CPU) > 0);
	if (cgroup_host_version(&h, CGROUP_CPU) == 1) {
		fd = openat(c.fds[CGROUP_CPU], "cpu.cfs_quota_us", O_RDONLY);
		assert_true(read(fd, text, sizeof(text) - 1) > 0);
		assert_int_equal(atol(text), -1);
		close(fd);
	}
	cgroup_deinit(&c);
	cgroup_host_deinit(&h);
}

static unsigned count_groups(const char *parent)
{
	DIR *d = opendir(parent);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += e->d_type == DT_DIR && e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static bool leaf_limits_nothing(const struct cgroup_host *h)
{
	return h->leaf[0] && !h->in_leaf[CGROUP_MEMORY] && !h->in_leaf[CGROUP_PIDS] && !h->in_leaf[CGROUP_CPU];
}

static void what_comes_one_after_the_other_has_groups_until_they_are_removed(void **state)
{
	struct cgroup_limits limits = {.memory = 64 << 20, .pids = 16, .share = "both", .leaf = "turn"};
	struct cgroup_host h;
	struct cgroup one, two, own;
	char name[64];

	snprintf(name, sizeof(name), "ogent-cgroup-both-%d", getpid());
	cgroup_host_init(&h, name);
	assert_int_equal(cgroup_open(&h, "one", &limits, &one), 0);
	assert_int_equal(cgroup_open(&h, "two", &limits, &two), 0);
	limits = (struct cgroup_limits){.memory = 64 << 20, .pids = 16, .cpu_percent = 50, .share = "both"};
	assert_int_equal(cgroup_open(&h, "own", &limits, &own), 0);
	if (cgroup_host_version(&h, CGROUP_CPU) == 1)
		assert_int_equal(count_groups(h.v1[CGROUP_CPU]), 2);
	if (h.leaf[0])
		assert_int_equal(count_groups(h.leaf), leaf_limits_nothing(&h) ? 2 : 3);
	cgroup_deinit(&own);
	cgroup_deinit(&one);
	cgroup_deinit(&two);
	if (cgroup_host_version(&h, CGROUP_CPU) == 1)
		assert_int_equal(count_groups(h.v1[CGROUP_CPU]), 1);
	if (h.leaf[0])
		assert_int_equal(count_groups(h.leaf), leaf_limits_nothing(&h));
	assert_true(cgroup_remove(&h, "both"));
	assert_true(cgroup_remove(&h, "turn"));
	cgroup_host_deinit(&h);
	if (h.v1[CGROUP_CPU][0])
		assert_int_equal(access(h.v1[CGROUP_CPU], F_OK), -1);
	if (h.leaf[0])
		assert_int_equal(access(h.leaf, F_OK), -1);
}

/* What is opened early tells what it is later, as what is opened late does. */
static void counts_that_are_opened_early_tell_of_the_moment(void **state)
{
	struct cgroup_host h;
	struct cgroup c;
	unsigned peak;
	char name[64];
	pid_t pid;

	snprintf(name, sizeof(name), "ogent-cgroup-counts-%d", getpid());
	cgroup_host_init(&h, name);
	assert_int_equal(cgroup_open(&h, "one", &(struct cgroup_limits){64 << 20, 16, 0, NULL, NULL}, &c), 0);
	cgroup_open_counts(&c);
	for (int i = 0; i < CGROUP_COUNTS; i++)
		if (cgroup_host_version(&h, i <= CGROUP_MEMORY_PEAK ? CGROUP_MEMORY : CGROUP_PIDS) == 0)
			assert_int_equal(c.counts[i], -1);
	assert_int_equal(cgroup_pids_peak(&c), 0);
	assert_int_equal(cgroup_oom_kills(&c), 0);
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(cgroup_move(&c, pid), 0);
	peak = cgroup_pids_peak(&c);
	if (c.counts[CGROUP_PIDS_PEAK] >= 0)
		assert_int_equal(peak, 1);
	cgroup_close_counts(&c);
	assert_int_equal(c.counts[CGROUP_PIDS_PEAK], -1);
	assert_int_equal(cgroup_pids_peak(&c), peak);
	assert_int_equal(cgroup_forks_refused(&c), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cgroup_deinit(&c);
	cgroup_host_deinit(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sandbox_comes_up_while_another_spawner_ends),
		cmocka_unit_test(each_controller_is_taken_where_it_is),
		cmocka_unit_test(what_does_not_work_is_left),
		cmocka_unit_test(limits_are_written_where_they_are_kept),
		cmocka_unit_test(a_sandbox_has_a_share_of_the_cpu_without_a_quota_too),
		cmocka_unit_test(what_comes_one_after_the_other_has_groups_until_they_are_removed),
		cmocka_unit_test(counts_that_are_opened_early_tell_of_the_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
