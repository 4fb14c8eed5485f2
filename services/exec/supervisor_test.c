#include "supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/encode.h"
#include "control.h"
#include "testing.h"

#define ARG(text) ((char *)(uintptr_t)(text))

static bool as_user, namespaces = true;
static unsigned pool;
static struct bench *bench;
static char tag[32]; /* seconds that only sleeps of this run sleep */

static const char *tagged(const char *script)
{
	return arena_printf(bench->arena, script, tag);
}

static int open_bench(void **state)
{
	bench = bench_new_with(as_user, namespaces, pool);
	snprintf(tag, sizeof(tag), "8642.%d", getpid());
	return 0;
}

static int close_bench(void **state)
{
	bench_free(bench);
	return 0;
}

static void expect_output(const struct trial *t, const char *want)
{
	assert_string_equal(t->output.p ? t->output.p : "", want);
}

/* Those of the pool that were asked for, or come back, are there. */
static void expect_calm_pool(void)
{
	for (int i = 0; pool && i < 3000 && bench->spawner.waiting < bench->spawner.size; i++) {
		assert_int_equal(spawner_receive(&bench->spawner), 0);
		usleep(10000);
	}
	assert_true(bench->spawner.waiting >= bench->spawner.size);
}

static void a_script_runs_and_tells_exit_and_output(void **state)
{
	struct trial t = trial_run(bench, "echo out; echo err >&2; exit 7");

	assert_int_equal(t.result.status, COMMAND_EXITED);
	assert_int_equal(t.result.exit_code, 7);
	assert_true(t.started_us > 0);
	assert_int_equal(t.result.output_bytes, 8);
	assert_int_equal(t.result.truncated_bytes, 0);
	assert_true(t.result.ended_us >= t.result.started_us && t.result.started_us > 0);
}

static void arguments_arrive_byte_exact(void **state)
{
	static char *const argv[] = {ARG("printf"), ARG("%s|"), ARG("a b"), ARG("$(id)"),
				     ARG("\"'\\"),  ARG(""),    ARG("\n"),  NULL};
	struct trial t = trial_argv(bench, argv);

	trial_start(&t);
	trial_wait(&t);
	expect_output(&t, "a b|$(id)|\"'\\||\n|");
}

static void input_is_given_and_otherwise_empty(void **state)
{
	struct trial t = trial_script(bench, "cat; echo end");

	t.spec.input = STR("some input\n");
	trial_start(&t);
	trial_wait(&t);
	expect_output(&t, "some input\nend\n");
	t = trial_run(bench, "cat; echo end");
	expect_output(&t, "end\n");
}

static void type_in(struct trial *t, const char *text)
{
	assert_int_equal(control_send_data(t->control, text, strlen(text)), 0);
}

static void open_input_is_waited_for_taken_and_ended(void **state)
{
	struct trial t = trial_script(bench, "read a; echo \"<$a>\"; cat; echo end");

	t.spec.has_input = true;
	t.spec.input = STR("first\nnext ");
	trial_start(&t);
	assert_true(trial_until(&t, trial_is_waiting, 10000));
	type_in(&t, "one\ntwo\n");
	control_send(t.control, CONTROL_DATA_END);
	trial_wait(&t);
	expect_output(&t, "<first>\nnext one\ntwo\nend\n");
	assert_int_equal(t.input_taken, 8);
	assert_int_equal(t.result.exit_code, 0);
}

static void input_is_closed_when_the_command_closes_it(void **state)
{
	struct trial t = trial_script(bench, "exec </dev/null; mkfifo f; echo on; read x < f");

	t.spec.has_input = true;
	trial_start(&t);
	assert_true(trial_until(&t, trial_input_is_closed, 10000));
	trial_cancel(&t);
	trial_wait(&t);
}

static void who_only_sleeps_does_not_wait_for_input(void **state)
{
	struct trial t = trial_script(bench, "sleep 0.7");

	t.spec.has_input = true;
	trial_start(&t);
	assert_false(trial_until(&t, trial_is_waiting, 500));
	trial_wait(&t);
}

static void signals_go_to_the_group_or_to_the_leader(void **state)
{
	struct trial t =
		trial_script(bench, "trap 'echo usr1' USR1; echo on; (trap 'echo below' USR1; sleep 0.6) & wait; wait");

	trial_start(&t);
	assert_true(trial_until(&t, trial_has_output, 10000));
	usleep(100000);
	control_send_with(t.control, CONTROL_SIGNAL, SIGUSR1, 1);
	trial_wait(&t);
	expect_output(&t, "on\nusr1\n");

	t = trial_script(bench, tagged("echo on; sleep %1$s; echo never"));
	trial_start(&t);
	assert_true(trial_until(&t, trial_has_output, 10000));
	control_send_with(t.control, CONTROL_SIGNAL, SIGINT, 0);
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_SIGNALLED);
	assert_int_equal(t.result.signal, SIGINT);
}

static struct trial terminal(const char *script)
{
	struct trial t = trial_script(bench, script);

	t.spec.has_input = true;
	t.spec.tty = (struct tty_size){30, 100};
	return t;
}

static void a_terminal_has_its_size_and_is_the_controlling_one(void **state)
{
	struct trial t = terminal("stty size; test -t 0 && test -t 1 && test -t 2 && echo all; echo me > /dev/tty");

	trial_start(&t);
	trial_wait(&t);
	expect_output(&t, "30 100\r\nall\r\nme\r\n");
	assert_int_equal(t.result.exit_code, 0);
}

static bool has_been_resized(const struct trial *t)
{
	return t->total > 4;
}

static void a_resize_reaches_the_foreground(void **state)
{
	struct trial t = terminal("trap 'stty size; exit' WINCH; echo on; while :; do sleep 0.05; done");

	trial_start(&t);
	assert_true(trial_until(&t, trial_has_output, 10000));
	control_send_with(t.control, CONTROL_RESIZE, 50, 132);
	assert_true(trial_until(&t, has_been_resized, 10000));
	trial_wait(&t);
	expect_output(&t, "on\r\n50 132\r\n");
}

static void ctrl_c_goes_to_the_foreground(void **state)
{
	struct trial t = terminal(tagged("trap 'echo caught' INT; sleep %1$s; echo after $?"));

	trial_start(&t);
	for (int i = 0; i < 500 && !count_processes(tag); i++)
		usleep(10000);
	usleep(trials_are_slow() ? 3000000 : 100000);
	type_in(&t, "\003");
	trial_wait(&t);
	expect_output(&t, "^Ccaught\r\nafter 130\r\n");
}

static void the_end_of_a_terminals_input_is_a_character(void **state)
{
	struct trial t = terminal("cat; echo end");

	trial_start(&t);
	type_in(&t, "line\n");
	assert_true(trial_until(&t, trial_is_waiting, 10000));
	control_send(t.control, CONTROL_DATA_END);
	trial_wait(&t);
	assert_non_null(strstr(t.output.p, "line\r\nline\r\n"));
	assert_non_null(strstr(t.output.p, "end\r\n"));
}

static void nobody_types_into_a_terminal_from_inside(void **state)
{
	struct trial t = terminal("LC_ALL=C perl -e '$c = \"x\"; ioctl(STDIN, 0x5412, $c) or print "
				  "\"no: $!\\n\"'");

	trial_start(&t);
	trial_wait(&t);
	expect_output(&t, "no: Operation not permitted\r\n");
}

static void a_missing_program_is_told_by_name(void **state)
{
	static char *const argv[] = {ARG("no-such-program"), NULL};
	struct trial t = trial_argv(bench, argv);

	trial_start(&t);
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_EXITED);
	assert_int_equal(t.result.exit_code, 127);
	assert_string_equal(t.result.reason, "command not found: no-such-program");
}

static void a_missing_working_directory_is_an_error(void **state)
{
	struct trial t = trial_script(bench, "pwd");

	t.spec.cwd = "nowhere";
	trial_start(&t);
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_ERROR);
	assert_non_null(strstr(t.result.reason, "nowhere: No such file"));
}

static void a_signal_is_told(void **state)
{
	struct trial t = trial_run(bench, "kill -SEGV $$");

	assert_int_equal(t.result.status, COMMAND_SIGNALLED);
	assert_int_equal(t.result.signal, SIGSEGV);
}

static void the_time_out_ends_everything(void **state)
{
	struct trial t =
		trial_script(bench, tagged("setsid sleep %1$s & (setsid sleep %1$s &) ; trap '' TERM; sleep %1$s"));
	uint64_t start = clock_mono_us();

	t.spec.timeout_ms = 500;
	trial_start(&t);
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_TIMEOUT);
	assert_true(clock_mono_us() - start < 2500000);
	assert_int_equal(count_processes(tag), 0);
}

static void cancel_ends_everything_at_once(void **state)
{
	struct trial t =
		trial_script(bench, tagged("(setsid sleep %1$s &); yes | cat >/dev/null & echo on; sleep %1$s"));
	uint64_t start;

	trial_start(&t);
	assert_true(trial_until(&t, trial_has_output, 10000));
	start = clock_mono_us();
	trial_cancel(&t);
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_CANCELLED);
	assert_true(clock_mono_us() - start < 1000000);
	assert_int_equal(count_processes(tag), 0);
}

static void a_daemon_that_holds_the_pipe_does_not_hold_the_result(void **state)
{
	uint64_t start = clock_mono_us();
	struct trial t = trial_run(bench, tagged("(setsid sleep %1$s &) ; echo done"));

	assert_true(clock_mono_us() - start < 3000000);
	assert_int_equal(t.result.exit_code, 0);
	expect_output(&t, "done\n");
	assert_int_equal(count_processes(tag), 0);
}

static void late_output_of_a_child_is_kept(void **state)
{
	struct trial t = trial_run(bench, "{ while kill -0 $$ 2>/dev/null; do :; done; echo late; } & echo early");

	expect_output(&t, "early\nlate\n");
}

static void output_is_told_while_it_runs(void **state)
{
	struct trial t = trial_script(bench, "mkfifo fifo; echo one; read x < fifo");

	trial_start(&t);
	assert_true(trial_until(&t, trial_has_output, 10000));
	assert_false(t.is_ended);
	trial_cancel(&t);
	trial_wait(&t);
}

static void a_flood_is_bounded_and_ends_by_itself(void **state)
{
	struct trial t = trial_script(bench, "head -c 300000000 /dev/zero");

	t.spec.output_max = 1 << 20;
	trial_start(&t);
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_EXITED);
	assert_int_equal(t.result.exit_code, 0);
	assert_int_equal(t.result.output_bytes, 300000000);
	assert_true(t.output.n <= 1 << 20 && t.output.n > 512 << 10);
	assert_int_equal(t.output.n + t.result.truncated_bytes, 300000000);
}

static void the_supervisors_death_ends_the_sandbox(void **state)
{
	struct trial t = trial_script(bench, tagged("echo on; sleep %1$s"));
	pid_t pid;

	trial_start(&t);
	assert_true(trial_until(&t, trial_has_output, 10000));
	pid = trial_supervisor(&t);
	assert_true(pid > 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	trial_until(&t, trial_has_ended, 5000);
	assert_true(t.is_closed && !t.is_ended);
	for (int i = 0; i < (trials_are_slow() ? 1000 : 100) && count_processes(tag); i++)
		usleep(10000);
	assert_int_equal(count_processes(tag), 0);
}

static void a_command_outlives_exec_and_its_spawner(void **state)
{
	struct bench *other = bench_new_with(as_user, namespaces, pool), *mine = bench;
	struct trial t;

	bench = other;
	t = trial_script(other, "echo on; sleep 0.6; echo off");
	trial_start(&t);
	assert_true(trial_until(&t, trial_has_output, 10000));
	spawner_deinit(&other->spawner);
	assert_true(trial_supervisor(&t) > 1);
	trial_wait(&t);
	expect_output(&t, "on\noff\n");
	bench_free(other);
	bench = mine;
}

static void a_command_never_runs_twice(void **state)
{
	struct trial t = trial_script(bench, "echo ran >> log; sleep 0.3; cat log");
	struct pollfd p = {.events = POLLIN};
	struct control_event e = {0};

	trial_start(&t);
	assert_true(trial_until(&t, trial_has_started, 10000));
	assert_int_equal(spawner_ask(&bench->spawner, t.spec.id, &p.fd), 0);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(read(p.fd, &e, sizeof(e)), sizeof(e));
	assert_int_equal(e.type, CONTROL_TAKEN);
	close(p.fd);
	trial_wait(&t);
	expect_output(&t, "ran\n");
	assert_int_equal(spawner_ask(&bench->spawner, t.spec.id, &p.fd), 0);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(read(p.fd, &e, sizeof(e)), sizeof(e));
	assert_int_equal(e.type, CONTROL_FAILED);
	close(p.fd);
}

static pid_t first_child(pid_t pid)
{
	char path[64];
	int child = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%d", &child) != 1)
		child = 0;
	if (f)
		fclose(f);
	return child;
}

/* Of the supervisor's first child, the sandbox's first process. */
static long init_kib(const struct trial *t)
{
	pid_t init = first_child(trial_supervisor(t));
	char path[64], line[128];
	long kib = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)init);
	f = init > 0 ? fopen(path, "re") : NULL;
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

/* … and does all the same what it is there for: buries orphans, minds nobody's signals, tells the end and its costs. */
static void the_first_process_of_a_lasting_command_gives_its_memory_back(void **state)
{
	struct trial t = trial_script(
		bench, "echo on; read -r line; (sleep 0.1 &); (sleep 0.2 & sleep 0.05); sleep 0.4; "
		       "test -d /proc/1/task && kill -ALRM 1; test -d /proc/1/task && kill -TERM 1; "
		       "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; ps -e -o stat= | grep -c Z; exit 7");
	long kib = -1;

	if (!namespaces) /* process 1 is the machine's */
		t.spec.script = "echo on; read -r line; (sleep 0.1 &); sleep 0.4; echo 0; exit 7";
	t.spec.has_input = true;
	trial_start(&t);
	assert_true(trial_until(&t, trial_has_output, 30000));
#if defined(__x86_64__) || defined(__aarch64__)
	for (int i = 0; i < 3000 && (kib < 0 || kib > 16); i++) {
		usleep(10000);
		kib = init_kib(&t);
	}
	assert_in_range(kib, 1, 16);
#else
	usleep(200000);
#endif
	assert_int_equal(control_send_data(t.control, "go\n", 3), 0);
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_EXITED);
	assert_int_equal(t.result.exit_code, 7);
	assert_non_null(strstr(t.output.p, "\n0\n"));
	assert_true(!namespaces || t.result.cpu_ms > 0);
}

static void a_workspace_keeps_its_files(void **state)
{
	struct trial t = trial_run(bench, "mkdir d; echo kept > d/f; chmod 700 d"), again;

	again = trial_script(bench, "cat d/f; echo more >> d/f; rm -r d; ls");
	again.spec.workspace = t.spec.workspace;
	again.spec.uid = t.spec.uid;
	trial_start(&again);
	trial_wait(&again);
	expect_output(&again, "kept\n");
}

static void no_workspace_is_an_empty_one(void **state)
{
	struct trial t = trial_script(bench, "ls -A; echo x > f; cat f");

	t.spec.workspace = "";
	trial_start(&t);
	trial_wait(&t);
	expect_output(&t, "x\n");
}

/* A network namespace may serve several sandboxes one after the other, as long as nothing went through it. */
static void no_sandbox_sees_what_went_through_anothers_network(void **state)
{
	for (int i = 0; namespaces && i < 8; i++) {
		struct trial t =
			trial_run(bench, "grep -c 'lo: *0 *0 ' /proc/net/dev; grep -c '^Udp: 0 0 0 0 ' /proc/net/snmp; "
					 "echo x >/dev/udp/127.0.0.1/9");

		expect_output(&t, "1\n1\n");
		expect_calm_pool();
	}
}

static void refusals_of_another_network_are_not_seen_either(void **state)
{
	for (int i = 0; namespaces && i < 8; i++) {
		struct trial t = trial_run(bench, "awk '$1 == \"Ip:\" {print $13}' /proc/net/snmp; "
						  "(echo x >/dev/udp/192.0.2.1/9) 2>/dev/null; true");

		expect_output(&t, "OutNoRoutes\n0\n");
		expect_calm_pool();
	}
}

static pid_t peer_of(int fd)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size), 0);
	return who.pid;
}

static void a_supervisor_comes_back_after_a_short_command(void **state)
{
	pid_t seen[32];
	size_t n = 0;

	/* What is short is told by the clock. */
	for (int i = 0; pool && namespaces && !trials_are_slow() && i < 8; i++) {
		trial_run(bench, "true");
		expect_calm_pool();
		for (unsigned k = 0; k < bench->spawner.waiting; k++) {
			pid_t who = peer_of(bench->spawner.idle[k]);
			bool is_known = false;

			for (size_t j = 0; j < n; j++)
				is_known |= seen[j] == who;
			if (!is_known)
				seen[n++] = who;
		}
	}
	assert_true(n <= 5); /* one for each command, and the two that wait, if none came back */
}

/* A group that counts CPU may be that of sandboxes before it. */
static void what_commands_before_it_used_is_not_told_of_a_command(void **state)
{
	struct trial t;
	uint64_t before = 0;

	for (int i = 0; pool && namespaces && i < 24; i++) {
		t = trial_run(bench, "for ((i = 0; i < 4000; i++)); do :; done");
		before += t.result.cpu_ms;
	}
	t = trial_run(bench, "sleep 100 & true"); /* the group is asked, for who is left behind is nobody's child */
	assert_int_equal(t.result.status, COMMAND_EXITED);
	assert_true(before == 0 || t.result.cpu_ms < before / 8);
}

/* Nobody has anything from it but the next command, which takes another sandbox. */
static void a_leader_that_dies_while_it_waits_harms_no_command(void **state)
{
	for (int i = 0; pool && namespaces && i < 3; i++) {
		struct trial t;
		pid_t leader;

		expect_calm_pool();
		/* The one that is asked next; another one may be dead already. */
		leader = first_child(first_child(peer_of(bench->spawner.idle[bench->spawner.waiting - 1])));
		assert_true(leader > 1 || i > 0);
		if (leader > 1)
			assert_int_equal(kill(leader, SIGKILL), 0);
		usleep(50000);
		t = trial_run(bench, "echo on");
		expect_output(&t, "on\n");
	}
}

static unsigned count_entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Of ours alone: another program on the machine may mount and start what it likes meanwhile. */
struct leaks {
	unsigned fds, spawner_fds, mounts, processes, family;
};

/* Lines that only we can have made. */
static unsigned count_lines(const char *path, const char *text)
{
	char line[4096];
	FILE *f = fopen(path, "re");
	unsigned n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, text) != NULL;
	if (f)
		fclose(f);
	return n;
}

/* The spawner's children. A namespace lives by a process in it or by a descriptor, so that none is left when these are
 * none and the spawner's descriptors are as many as before. */
static unsigned count_family(void)
{
	char path[64], children[4096];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", bench->spawner.pid, bench->spawner.pid);
	f = fopen(path, "re");
	if (f && fgets(children, sizeof(children), f))
		for (char *rest = children; strtok_r(NULL, " ", &rest);)
			n++;
	if (f)
		fclose(f);
	return n;
}

/* The spare supervisor, which waits for a command or not, is one process and one descriptor of the spawner's. */
static struct leaks count_leaks(void)
{
	char path[64], mounts[64];
	unsigned family = count_family(), fds;

	snprintf(path, sizeof(path), "/proc/%d/fd", bench->spawner.pid);
	snprintf(mounts, sizeof(mounts), "/proc/%d/mountinfo", bench->spawner.pid);
	fds = count_entries(path);
	return (struct leaks){count_entries("/proc/self/fd"), fds - MIN(fds, family), count_lines(mounts, bench->dir),
			      count_processes(tag), MAX(family, 1u)};
}

/* As find(1) names those of exec's folder `dir`. */
static char *cgroups_of(const char *dir)
{
	char hex[SHA256_HEX_SIZE];

	sha256_hex(dir, strlen(dir), hex);
	return arena_printf(bench->arena, "find /sys/fs/cgroup -depth -type d -path '*ogent-exec.%.12s*'", hex);
}

static unsigned count_groups(const char *find)
{
	FILE *f = popen(arena_printf(bench->arena, "%s 2>/dev/null | wc -l", find), "re");
	unsigned n = 0;

	if (fscanf(f, "%u", &n) != 1)
		n = 0;
	pclose(f);
	return n;
}

static unsigned count_cgroups(void)
{
	return count_groups(cgroups_of(bench->dir));
}

/* What the last commands leave goes when their sandboxes do, which is after their results. */
static bool is_clean(const struct leaks *before, unsigned cgroups)
{
	struct leaks now;

	spawner_receive(&bench->spawner);
	spawner_empty(&bench->spawner);
	now = count_leaks();
	return memcmp(before, &now, sizeof(now)) == 0 && count_cgroups() == cgroups;
}

/* What there is when nothing changes any more: a spare supervisor that is just coming or going counts half. */
static struct leaks settled(void)
{
	struct leaks now = {0}, last;
	int same = 0;

	for (int i = 0; i < 500 && same < 15; i++) {
		spawner_receive(&bench->spawner);
		spawner_empty(&bench->spawner);
		usleep(20000);
		last = now;
		now = count_leaks();
		same = count_family() <= 1 && memcmp(&now, &last, sizeof(now)) == 0 ? same + 1 : 0;
	}
	return now;
}

static void nothing_leaks_over_many_runs(void **state)
{
	const char *wanted = getenv("OGENT_TEST_RUNS");
	int runs = wanted ? atoi(wanted) : 200;
	struct leaks before = settled(), after;
	unsigned cgroups = count_cgroups();

	for (int i = 0; i < runs; i++) {
		struct trial t = trial_script(bench, "");
		static char *argv[] = {ARG("true"), tag, NULL};

		t.spec.script = NULL;
		t.spec.argv = argv;
		t.spec.workspace = "shared";
		t.spec.uid = 1900000000;
		trial_start(&t);
		trial_wait(&t);
		assert_int_equal(t.result.exit_code, 0);
	}
	for (int i = 0; i < 500 && !is_clean(&before, cgroups); i++)
		usleep(20000);
	after = settled();
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(count_cgroups(), cgroups);
}

/* Also those of supervisors that are there before their command. */
static void the_groups_go_with_the_spawner(void **state)
{
	struct bench *own = bench_new_with(as_user, namespaces, pool);
	struct trial t = trial_run(own, "exit 3");
	char *find = cgroups_of(own->dir);

	assert_int_equal(t.result.exit_code, 3);
	bench_free(own);
	for (int i = 0; i < 250 && count_groups(find); i++)
		usleep(20000);
	assert_int_equal(count_groups(find), 0);
}

static void groups_that_somebody_removed_are_made_again(void **state)
{
	struct trial t = trial_run(bench, "exit 4");
	char *remove = arena_printf(bench->arena, "%s -exec rmdir {} \\; 2>/dev/null", cgroups_of(bench->dir));

	assert_int_equal(t.result.exit_code, 4);
	settled(); /* a supervisor waits, with its groups */
	assert_int_not_equal(system(remove), -1);
	t = trial_run(bench, "exit 5");
	assert_int_equal(t.result.status, COMMAND_EXITED);
	assert_int_equal(t.result.exit_code, 5);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_script_runs_and_tells_exit_and_output),
		cmocka_unit_test(arguments_arrive_byte_exact),
		cmocka_unit_test(input_is_given_and_otherwise_empty),
		cmocka_unit_test(open_input_is_waited_for_taken_and_ended),
		cmocka_unit_test(input_is_closed_when_the_command_closes_it),
		cmocka_unit_test(who_only_sleeps_does_not_wait_for_input),
		cmocka_unit_test(signals_go_to_the_group_or_to_the_leader),
		cmocka_unit_test(a_terminal_has_its_size_and_is_the_controlling_one),
		cmocka_unit_test(a_resize_reaches_the_foreground),
		cmocka_unit_test(ctrl_c_goes_to_the_foreground),
		cmocka_unit_test(the_end_of_a_terminals_input_is_a_character),
		cmocka_unit_test(nobody_types_into_a_terminal_from_inside),
		cmocka_unit_test(a_missing_program_is_told_by_name),
		cmocka_unit_test(a_missing_working_directory_is_an_error),
		cmocka_unit_test(a_signal_is_told),
		cmocka_unit_test(the_time_out_ends_everything),
		cmocka_unit_test(cancel_ends_everything_at_once),
		cmocka_unit_test(a_daemon_that_holds_the_pipe_does_not_hold_the_result),
		cmocka_unit_test(late_output_of_a_child_is_kept),
		cmocka_unit_test(output_is_told_while_it_runs),
		cmocka_unit_test(a_flood_is_bounded_and_ends_by_itself),
		cmocka_unit_test(the_supervisors_death_ends_the_sandbox),
		cmocka_unit_test(a_command_outlives_exec_and_its_spawner),
		cmocka_unit_test(a_command_never_runs_twice),
		cmocka_unit_test(the_first_process_of_a_lasting_command_gives_its_memory_back),
		cmocka_unit_test(a_workspace_keeps_its_files),
		cmocka_unit_test(no_workspace_is_an_empty_one),
		cmocka_unit_test(no_sandbox_sees_what_went_through_anothers_network),
		cmocka_unit_test(refusals_of_another_network_are_not_seen_either),
		cmocka_unit_test(a_supervisor_comes_back_after_a_short_command),
		cmocka_unit_test(what_commands_before_it_used_is_not_told_of_a_command),
		cmocka_unit_test(a_leader_that_dies_while_it_waits_harms_no_command),
		cmocka_unit_test(nothing_leaks_over_many_runs),
		cmocka_unit_test(groups_that_somebody_removed_are_made_again),
		cmocka_unit_test(the_groups_go_with_the_spawner),
	};

	namespaces = argc < 2 || strcmp(argv[1], "--without-namespaces") != 0;
	pool = argc > 1 && strcmp(argv[1], "--pool") == 0 ? 2 : 0;
	as_user = argc > 1 && !pool;
	if (getenv("OGENT_TEST_RUNS"))
		cmocka_set_test_filter("nothing_leaks*");
	return cmocka_run_group_tests(tests, open_bench, close_bench);
}
