/* Sandboxes that commands share: what they have in common, and what stays each one's own. */
#include "shared.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "testing.h"

static bool as_user;
static struct bench *bench;
static char tag[32]; /* seconds that only sleeps of this run sleep */
static unsigned n_sessions;

static int open_bench(void **state)
{
	bench = bench_new_with(as_user, true, 2);
	snprintf(tag, sizeof(tag), "7531.%d", getpid());
	return 0;
}

static int close_bench(void **state)
{
	bench_free(bench);
	return 0;
}

/* A session in a workspace of its own. */
static struct trial session_script(const char *script)
{
	struct trial t = trial_script(bench, script);

	t.spec.workspace = arena_printf(bench->arena, "s%u", ++n_sessions);
	t.spec.session = shared_name(bench->arena, t.spec.workspace, "somebody");
	t.spec.session_idle_ms = 600000;
	t.spec.sessions_max = 8;
	return t;
}

static struct trial same(const struct trial *first, const char *script)
{
	struct trial t = trial_script(bench, script);

	t.spec.workspace = first->spec.workspace;
	t.spec.uid = first->spec.uid;
	t.spec.session = first->spec.session;
	t.spec.session_idle_ms = first->spec.session_idle_ms;
	t.spec.sessions_max = first->spec.sessions_max;
	return t;
}

static void run(struct trial *t)
{
	trial_start(t);
	trial_wait(t);
	if (t->result.status == COMMAND_ERROR)
		print_message("# %s\n", t->result.reason);
}

static struct trial run_same(const struct trial *first, const char *script)
{
	struct trial t = same(first, script);

	run(&t);
	return t;
}

static void expect(const struct trial *t, const char *want)
{
	assert_string_equal(t->output.p ? t->output.p : "", want);
}

static const char *tagged(const char *fmt)
{
	return arena_printf(bench->arena, fmt, tag);
}

static unsigned count_tagged(void)
{
	char text[48];

	snprintf(text, sizeof(text), "%s", tag);
	return count_processes(text);
}

static void expect_tagged(unsigned n)
{
	for (int i = 0; i < 1500 && count_tagged() != n; i++)
		usleep(20000);
	assert_int_equal(count_tagged(), n);
}

static void end(const struct trial *t)
{
	assert_int_equal(shared_end(bench->dir_fd, t->spec.session), 0);
}

/* ---- Together ---- */

static void commands_keep_tmp_and_see_each_others_processes(void **state)
{
	struct trial a = session_script(tagged("sleep %s & echo $! > /tmp/pid; echo $$ > f; sleep 0.1")), b;

	run(&a);
	assert_int_equal(a.result.status, COMMAND_EXITED);
	b = run_same(&a,
		     "kill -0 $(cat /tmp/pid) && echo alive; tr '\\0' ' ' < /proc/$(cat /tmp/pid)/cmdline | cut -c1-6");
	expect(&b, "alive\nsleep \n");
	b = run_same(&a, "kill $(cat /tmp/pid) && echo ended");
	expect(&b, "ended\n");
	expect_tagged(0);
	end(&a);
}

static void what_is_left_in_the_background_goes_on_when_nobody_reads_it(void **state)
{
	struct trial a = session_script("( while :; do echo more; sleep 0.02; done ) & echo $! > /tmp/pid"), b;

	run(&a);
	assert_int_equal(a.result.status, COMMAND_EXITED);
	b = run_same(&a, "sleep 0.5; kill -0 $(cat /tmp/pid) && echo alive");
	expect(&b, "alive\n");
	end(&a);
}

static void sandboxes_of_others_are_apart(void **state)
{
	struct trial a = session_script(tagged("touch /tmp/mine; sleep %s & sleep 0.1")), b, c;

	run(&a);
	b = session_script("ls /tmp; ls -d /proc/[0-9]* | wc -l; grep -l sleep /proc/[0-9]*/comm");
	run(&b);
	assert_null(strstr(b.output.p, "mine"));
	assert_null(strstr(b.output.p, "comm"));
	/* The same workspace, and another user; and one without a session. */
	c = same(&a, "ls /tmp; grep -l sleep /proc/[0-9]*/comm");
	c.spec.session = shared_name(bench->arena, c.spec.workspace, "another");
	run(&c);
	expect(&c, "");
	end(&c);
	c = same(&a, "ls /tmp; grep -l sleep /proc/[0-9]*/comm");
	c.spec.session = "";
	run(&c);
	expect(&c, "");
	assert_int_equal(shared_count(bench->dir_fd, NULL, NULL), 2);
	end(&a);
	end(&b);
	expect_tagged(0);
}

/* ---- Apart ---- */

static void a_cancel_ends_one_command_and_all_it_started_but_no_other(void **state)
{
	struct trial a = session_script(tagged("sleep %s & sleep 0.1")), b;

	run(&a);
	b = same(&a, tagged("(setsid setsid sleep %s &); (setsid sh -c 'sleep 3600' &) ; echo on; sleep 3600"));
	trial_start(&b);
	assert_true(trial_until(&b, trial_has_output, 20000));
	for (int i = 0; i < 1500 && count_tagged() < 2; i++) /* and, for a moment or longer, bash's own line */
		usleep(20000);
	assert_true(count_tagged() >= 2);
	trial_cancel(&b);
	trial_wait(&b);
	assert_int_equal(b.result.status, COMMAND_CANCELLED);
	expect_tagged(1);
	end(&a);
	expect_tagged(0);
}

static void the_end_and_its_reason_are_each_commands_own(void **state)
{
	struct trial a = session_script("exit 7"), b;

	run(&a);
	assert_int_equal(a.result.exit_code, 7);
	b = same(&a, "sleep 3600");
	b.spec.timeout_ms = 300;
	run(&b);
	assert_int_equal(b.result.status, COMMAND_TIMEOUT);
	b = run_same(&a, "kill -9 $$");
	assert_int_equal(b.result.status, COMMAND_SIGNALLED);
	assert_int_equal(b.result.signal, SIGKILL);
	b = same(&a, "x");
	b.spec.script = NULL;
	b.spec.argv = (char *[]){(char *)(uintptr_t) "no-such-program", NULL};
	run(&b);
	assert_int_equal(b.result.exit_code, 127);
	b = run_same(&a, "read a; echo \"<$a>\"; echo $$ > /tmp/x; cat /tmp/x | wc -l");
	expect(&b, "<>\n1\n");
	end(&a);
}

static void memory_is_limited_for_each_command(void **state)
{
	struct trial a = session_script("sleep 3600 & sleep 0.1"), b;

	if (!bench->spawner.report.controllers[CGROUP_MEMORY]) {
		print_message("# not here: no memory controller\n");
		return;
	}
	run(&a);
	b = same(&a, "head -c 300000000 /dev/zero | tail | wc -c");
	b.spec.memory_max = 64 << 20;
	run(&b);
	assert_true(b.result.status == COMMAND_OOM || b.result.memory_kills > 0);
	b = run_same(&a, "grep -c sleep /proc/[0-9]*/comm | grep -c :1");
	assert_int_equal(b.result.exit_code, 0);
	end(&a);
}

static void processes_are_limited_for_each_command(void **state)
{
	struct trial a = session_script("echo up"), b;

	if (!bench->spawner.report.controllers[CGROUP_PIDS]) {
		print_message("# not here: no controller for processes\n");
		return;
	}
	run(&a);
	b = same(&a, "for i in 1 2 3 4 5 6 7 8 9; do sleep 3600 & done 2>&1 | grep -c -i 'fork\\|resource'; echo end");
	b.spec.pids_max = 6;
	b.spec.timeout_ms = 3000; /* bash tries again for longer */
	trial_start(&b);
	trial_wait(&b);
	assert_true(b.result.forks_refused > 0);
	b = run_same(&a, "sleep 0.01 & sleep 0.01 & sleep 0.01 & wait; echo fine");
	expect(&b, "fine\n");
	end(&a);
}

/* ---- The end ---- */

static void the_end_of_the_session_ends_everything_with_a_reason(void **state)
{
	struct trial a = session_script(tagged("sleep %s & sleep 0.1")), b;

	run(&a);
	b = same(&a, tagged("echo on; sleep %s"));
	trial_start(&b);
	assert_true(trial_until(&b, trial_has_output, 20000));
	end(&a);
	trial_wait(&b);
	assert_int_equal(b.result.status, COMMAND_CANCELLED);
	assert_string_equal(b.result.reason, "Its session was ended.");
	expect_tagged(0);
	assert_int_equal(shared_count(bench->dir_fd, NULL, NULL), 0);
	b = run_same(&a, "ls /tmp | wc -l; ls .profile 2>&1 | wc -l");
	assert_int_equal(b.result.status, COMMAND_EXITED);
	end(&a);
}

/* Ends the session in a process of its own, which says by its status whether that went well. */
static pid_t end_beside(const struct trial *t)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(shared_end(bench->dir_fd, t->spec.session) == 0 ? 0 : 1);
	return pid;
}

static void who_ends_it_does_not_wait_for_its_successor(void **state)
{
	struct trial first = session_script("sleep 0.1"), old, next;
	int status;
	pid_t pid;

	run(&first);
	for (int i = 0; i < 8; i++) {
		old = same(&first, "echo on; sleep 3600");
		trial_start(&old);
		assert_true(trial_until(&old, trial_has_output, 20000));
		pid = end_beside(&first);
		trial_wait(&old);
		next = run_same(&first, "echo next");
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		expect(&next, "next\n");
	}
	end(&first);
}

static bool has_folder(const struct trial *t)
{
	return faccessat(bench->dir_fd, arena_printf(bench->arena, SHARED_FOLDER "/%s", t->spec.session), F_OK, 0) == 0;
}

static void it_ends_when_nobody_uses_it(void **state)
{
	struct trial a = session_script(tagged("sleep %s & sleep 0.1"));

	a.spec.session_idle_ms = 400;
	run(&a);
	expect_tagged(0);
	for (int i = 0; i < 1000 && shared_count(bench->dir_fd, NULL, NULL) > 0; i++)
		usleep(20000);
	assert_int_equal(shared_count(bench->dir_fd, NULL, NULL), 0);
	for (int i = 0; i < 1000 && has_folder(&a); i++)
		usleep(10000);
	assert_false(has_folder(&a));
}

static void no_more_live_than_allowed(void **state)
{
	struct trial a = session_script("true"), b = session_script("true");

	run(&a);
	b.spec.sessions_max = 1;
	trial_start(&b);
	trial_wait(&b);
	assert_int_equal(b.result.status, COMMAND_ERROR);
	assert_non_null(strstr(b.result.reason, "shared sandboxes live"));
	b = run_same(&a, "echo still");
	expect(&b, "still\n");
	end(&a);
}

static void it_outlives_exec_and_its_spawner(void **state)
{
	struct spawner_pool none = {.frame = {.memory_max = 256 << 20, .tmp_max = 64 << 20, .pids_max = 64}};
	struct trial a = session_script(tagged("echo kept > /tmp/x; sleep %s & sleep 0.1")), b;

	run(&a);
	kill(bench->spawner.pid, SIGKILL);
	spawner_deinit(&bench->spawner);
	assert_int_equal(spawner_start(bench->dir, &none, NULL, NULL, &bench->spawner), 0);
	b = run_same(&a, "cat /tmp/x; grep -l sleep /proc/[0-9]*/comm | wc -l");
	expect(&b, "kept\n1\n");
	end(&a);
	expect_tagged(0);
}

static pid_t keeper_of(const struct trial *t)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct ucred who;
	socklen_t n = sizeof(who);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.30s/" SHARED_FOLDER "/%.40s/ctl", bench->dir,
		 t->spec.session);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n), 0);
	close(fd);
	return who.pid;
}

static void the_keepers_death_ends_it_and_the_next_command_has_a_new_one(void **state)
{
	struct trial a = session_script(tagged("echo old > /tmp/x; sleep %s & sleep 0.1")), b;
	pid_t keeper;

	run(&a);
	b = same(&a, "echo on; sleep 3600");
	trial_start(&b);
	assert_true(trial_until(&b, trial_has_output, 20000));
	keeper = keeper_of(&a);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	trial_wait(&b);
	assert_int_equal(b.result.status, COMMAND_SIGNALLED);
	assert_non_null(strstr(b.result.reason, "from outside"));
	expect_tagged(0);
	b = run_same(&a, "cat /tmp/x 2>&1 | wc -c");
	assert_int_equal(b.result.status, COMMAND_EXITED);
	end(&a);
}

/* It can reach the processes that mind the others, which are of the same user: then it ends them, and nothing gets out.
 */
static void who_kills_all_it_can_reach_sets_nothing_free(void **state)
{
	struct trial a = session_script(tagged("(setsid sleep %s &) ; sleep 0.1")), b;

	run(&a);
	b = run_same(&a, tagged("(setsid sleep %s &) ; sleep 0.1; kill -9 -1"));
	assert_true(b.result.status != COMMAND_RUNNING);
	b = run_same(&a, "echo next");
	expect(&b, "next\n");
	end(&a);
	expect_tagged(0);
}

static void protected_files_stay_so(void **state)
{
	struct trial a = session_script("echo x > .bashrc; mkdir -p .git/hooks; echo y > .git/hooks/post-checkout"), b;

	run(&a);
	assert_int_not_equal(a.result.exit_code, 0);
	b = run_same(
		&a,
		"cat .bashrc; mv .git old; rm -f .bashrc; ls -A old 2>/dev/null; umount .bashrc; echo z >> .bashrc");
	assert_int_not_equal(b.result.exit_code, 0);
	end(&a);
	b = trial_script(bench, "ls -A");
	b.spec.workspace = a.spec.workspace;
	b.spec.uid = a.spec.uid;
	b.spec.protects = false;
	run(&b);
	expect(&b, "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_keep_tmp_and_see_each_others_processes),
		cmocka_unit_test(what_is_left_in_the_background_goes_on_when_nobody_reads_it),
		cmocka_unit_test(sandboxes_of_others_are_apart),
		cmocka_unit_test(a_cancel_ends_one_command_and_all_it_started_but_no_other),
		cmocka_unit_test(the_end_and_its_reason_are_each_commands_own),
		cmocka_unit_test(memory_is_limited_for_each_command),
		cmocka_unit_test(processes_are_limited_for_each_command),
		cmocka_unit_test(the_end_of_the_session_ends_everything_with_a_reason),
		cmocka_unit_test(who_ends_it_does_not_wait_for_its_successor),
		cmocka_unit_test(it_ends_when_nobody_uses_it),
		cmocka_unit_test(no_more_live_than_allowed),
		cmocka_unit_test(it_outlives_exec_and_its_spawner),
		cmocka_unit_test(the_keepers_death_ends_it_and_the_next_command_has_a_new_one),
		cmocka_unit_test(who_kills_all_it_can_reach_sets_nothing_free),
		cmocka_unit_test(protected_files_stay_so),
	};

	as_user = argc > 1 && strcmp(argv[1], "--as-user") == 0;
	return cmocka_run_group_tests(tests, open_bench, close_bench);
}
