/* What a command cannot do, class by class: by sandbox_probe.c, copied into the workspace, or by scripts. */
#include "sandbox/sandbox.h"

#include <assert.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "testing.h"

#define ARG(text) ((char *)(uintptr_t)(text))

static bool as_user;
static struct bench *bench;
static char probe_path[PATH_MAX];
static char tag[32]; /* seconds that only sleeps of this run sleep */

static int open_bench(void **state)
{
	bench = bench_new_with(as_user, true, as_user ? 0 : 2);
	snprintf(tag, sizeof(tag), "5318.%d", getpid());
	assert_true(bench->spawner.report.level >= SANDBOX_STANDARD);
	return 0;
}

static int close_bench(void **state)
{
	bench_free(bench);
	return 0;
}

static void copy_probe(const struct trial *t)
{
	char *command = arena_printf(bench->arena, "cp '%s' '%s/workspaces/%s/probe'", probe_path, bench->dir,
				     t->spec.workspace);

	bench_workspace(bench, t->spec.workspace, t->spec.uid);
	assert_int_equal(system(command), 0);
}

static struct trial probe(const char *name)
{
	char **argv = arena_alloc(bench->arena, 4 * sizeof(*argv));
	struct trial t;

	argv[0] = ARG("/workspace/probe");
	argv[1] = arena_strdup(bench->arena, name);
	argv[2] = tag;
	t = trial_argv(bench, argv);
	copy_probe(&t);
	return t;
}

static struct trial run_inside(const char *name)
{
	struct trial t = probe(name);

	trial_start(&t);
	trial_wait(&t);
	return t;
}

static void expect_line(const struct trial *t, const char *line)
{
	const char *output = t->output.p ? t->output.p : "", *p = strstr(output, line);

	if (t->result.reason[0])
		print_message("reason: %s\n", t->result.reason);
	if (!p || (p != output && p[-1] != '\n') || p[strlen(line)] != '\n')
		fail_msg("no line '%s' in:\n%s", line, output);
}

static void expect_output(const struct trial *t, const char *want)
{
	assert_string_equal(t->output.p ? t->output.p : "", want);
}

static void privileged_calls_are_refused(void **state)
{
	static const char *const eperm[] = {
		"mount",       "umount",      "pivot_root", "chroot",
		"unshare",     "unshare_net", "setns",      "clone",
		"fsopen",      "open_tree",   "ptrace",     "process_vm_readv",
		"keyctl",      "add_key",     "bpf",        "perf_event_open",
		"userfaultfd", "init_module", "kexec_load", "name_to_handle_at",
		"syslog",      "sethostname", "reboot",
	};
	struct trial t = run_inside("calls");

	for (size_t i = 0; i < ARRAY_SIZE(eperm); i++)
		expect_line(&t, arena_printf(bench->arena, "%s EPERM", eperm[i]));
	expect_line(&t, bench->spawner.report.landlock_abi ? "mknod EACCES" : "mknod EPERM");
	expect_line(&t, "clone3 ENOSYS");
	expect_line(&t, "io_uring_setup ENOSYS");
	/* There is no such user inside. */
	expect_line(&t, "setuid EINVAL");
	expect_line(&t, "setgid EINVAL");
	expect_line(&t, "chown EINVAL");
}

static void nothing_of_the_kernel_is_reached_by_other_calls(void **state)
{
	struct trial t = run_inside("surface");
	struct str rest = t.output;
	bool is_filtered = true; /* the first of them never come as far as to look at their arguments */
	unsigned n = 0;

	while (rest.p) {
		struct str line = str_cut(&rest, '\n'), name = str_cut(&line, ' ');

		is_filtered &= !str_is(name, "security_xattr");
		if (name.n && (!line.p || str_is(line, "ok")))
			fail_msg("%.*s succeeded", STR_ARG(name));
		if (name.n && is_filtered && !str_is(line, "EPERM") && !str_is(line, "ENOSYS"))
			fail_msg("%.*s: %.*s", STR_ARG(name), STR_ARG(line));
		n += name.n > 0;
	}
	assert_true(n > 70);
	assert_int_equal(t.result.status, COMMAND_EXITED);
}

static void sockets_are_of_four_families(void **state)
{
	struct trial t = run_inside("families");

	expect_output(&t, "family 1\nfamily 2\nfamily 10\nfamily 16\nnetlink 0\n");
}

static void the_network_is_off(void **state)
{
	struct trial t = run_inside("sockets");

	expect_line(&t, "mptcp EPROTONOSUPPORT");
	expect_line(&t, "sctp EPROTONOSUPPORT");
	expect_line(&t, "raw EPERM");
	expect_line(&t, "packet EAFNOSUPPORT");
	expect_line(&t, "vsock EAFNOSUPPORT");
	expect_line(&t, "alg EAFNOSUPPORT");
	expect_line(&t, "netfilter EAFNOSUPPORT");
	expect_line(&t, "high_family EAFNOSUPPORT");
	expect_line(&t, "tcp_connect ENETUNREACH");
	expect_line(&t, "udp_send ENETUNREACH");
}

static void loopback_works_inside(void **state)
{
	struct trial t = trial_run(bench, "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; "
					  "exec 3<>/dev/tcp/127.0.0.1/1; true");

	assert_non_null(strstr(t.output.p, "lo\n"));
	assert_non_null(strstr(t.output.p, "Connection refused"));
	assert_null(strstr(t.output.p, "eth"));
}

static void terminals_cannot_be_typed_into(void **state)
{
	struct trial t = run_inside("terminal");

	expect_line(&t, "tiocsti EPERM");
	expect_line(&t, "tiocsti_high EPERM");
	expect_line(&t, "tioclinux EPERM");
	expect_line(&t, "tty ENXIO");
}

static void foreign_call_tables_end_the_process(void **state)
{
	struct trial t = run_inside("foreign");

	assert_int_equal(t.result.status, COMMAND_SIGNALLED);
	assert_int_equal(t.result.signal, SIGSYS);
	t = run_inside("x32");
	if (t.result.status != COMMAND_SIGNALLED)
		expect_output(&t, "x32 returned -1\n"); /* a kernel without it */
	else
		assert_int_equal(t.result.signal, SIGSYS);
}

static void the_root_is_small_and_read_only(void **state)
{
	struct trial t =
		trial_run(bench, "ls -A / | tr '\\n' ' '; echo; for d in / /usr /usr/bin /etc /dev /proc /var; do "
				 "touch $d/x 2>/dev/null && echo wrote $d; done; rm -f /usr/bin/true 2>/dev/null "
				 "&& echo removed; chmod 777 /usr 2>/dev/null && echo changed; ls /home /root "
				 "/sys /boot /mnt 2>/dev/null; true");

	assert_null(strstr(t.output.p, "wrote"));
	assert_null(strstr(t.output.p, "removed"));
	assert_null(strstr(t.output.p, "changed"));
	assert_non_null(strstr(t.output.p, "workspace"));
	assert_null(strstr(t.output.p, "home"));
	assert_null(strstr(t.output.p, "root"));
	assert_null(strstr(t.output.p, "sys"));
}

/* As root the first process begins as the host's root: it must not stay that, and the host's /proc must be gone. */
static void the_first_process_keeps_nothing(void **state)
{
	struct trial t =
		trial_run(bench, "until grep -q '^CapPrm:[[:space:]]0*$' /proc/1/status; do sleep 0.01; done; "
				 "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)' /proc/1/status | tr -s "
				 "'\\t ' ' ' | grep -vE ': ?(0+|1000 1000 1000 1000|1|2| ?(65534 ?)*)$'; ls -A /run "
				 "/var/tmp; grep -c ' - proc ' /proc/self/mountinfo");

	expect_output(&t, "/run:\n\n/var/tmp:\n1\n");
}

static void nothing_is_left_for_the_next_command(void **state)
{
	static const char script[] =
		"ls -A /tmp /dev/shm; touch /tmp/left /dev/shm/left; (sleep 30 &); ls -d /proc/[0-9]* | "
		"wc -l";

	for (int i = 0; i < 6; i++) {
		struct trial t = trial_run(bench, script);

		assert_null(strstr(t.output.p, "left"));
		assert_true(t.output.n > 0 && atoi(t.output.p + t.output.n - 2) < 8);
	}
}

static void three_places_are_writable(void **state)
{
	struct trial t =
		trial_run(bench, "for d in /workspace /tmp /dev/shm; do echo x > $d/f && cat $d/f; done; echo y > "
				 "/dev/null; head -c 3 /dev/zero | wc -c; echo z > /dev/stdout");

	expect_output(&t, "x\nx\nx\n3\nz\n");
}

static void secrets_of_the_host_are_not_there(void **state)
{
	struct trial t =
		trial_run(bench, "cat /etc/shadow /proc/1/environ /proc/1/maps 2>&1 | grep -v -E "
				 "'No such file|Permission denied'; env; ls "
				 "/proc | grep -c '^[0-9]'; tr '\\0' ' ' < /proc/1/cmdline; echo; ls -l /proc/1/fd "
				 "/proc/1/cwd /proc/1/root 2>&1 | grep -v 'Permission denied'");

	expect_line(&t, "HOME=/workspace");
	expect_line(&t, "PATH=/usr/local/bin:/usr/bin:/bin");
	assert_null(strstr(t.output.p, "OGENT"));
	assert_null(strstr(t.output.p, "->"));
	assert_null(strstr(t.output.p, "/tmp/ogent"));
}

static void only_three_descriptors_are_open(void **state)
{
	struct trial t = trial_run(bench, "ls /proc/self/fd; ulimit -c; ulimit -n");

	expect_output(&t, "0\n1\n2\n3\n0\n1024\n" /* 3 is the folder that ls lists */);
}

static void it_has_no_rights(void **state)
{
	struct trial t =
		trial_run(bench, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr -s '\\t ' ' '; umask");

	expect_output(&t, "CapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\nCapBnd: "
			  "0000000000000000\nCapAmb: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n0022\n");
}

static void setuid_programs_give_nothing(void **state)
{
	struct trial t =
		trial_run(bench, "cp /bin/sh s; chmod 4755 s; ./s -c 'id -u'; for p in su mount passwd; do "
				 "command -v $p >/dev/null && $p root </dev/null >/dev/null 2>&1 && echo $p worked; "
				 "done; true");

	expect_output(&t, "1000\n");
}

static void sandboxes_do_not_meet(void **state)
{
	struct trial server = probe("listen"), client;

	trial_start(&server);
	assert_true(trial_until(&server, trial_has_output, 10000));
	client = run_inside("connect");
	expect_output(&client, "connect ECONNREFUSED\n");
	trial_cancel(&server);
	trial_wait(&server);
}

static void links_of_the_workspace_lead_nowhere(void **state)
{
	struct trial t =
		trial_script(bench, "ln -s / root; ln -s /etc/shadow secret; ln -s ../../../../../../etc up; cat "
				    "secret; ls root/home up/shadow; ln /usr/bin/true hard; true");
	char *path;

	trial_start(&t);
	trial_wait(&t);
	assert_null(strstr(t.output.p, "root:"));
	/* A link in the place of the workspace itself is refused, not followed. */
	path = arena_printf(bench->arena, "%s/workspaces/link", bench->dir);
	assert_int_equal(symlink("/usr", path), 0);
	t = trial_script(bench, "ls /workspace");
	t.spec.workspace = "link";
	trial_start_in(&t);
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_ERROR);
	unlink(path);
}

static void daemons_do_not_survive(void **state)
{
	struct trial t = run_inside("daemon");

	assert_int_equal(t.result.status, COMMAND_EXITED);
	assert_int_equal(count_processes(tag), 0);
}

static void a_fork_bomb_stops_at_the_limit(void **state)
{
	struct trial t = probe("bomb");
	unsigned n = 0;
	const char *p;

	t.spec.pids_max = 40;
	trial_start(&t);
	trial_wait(&t);
	p = strstr(t.output.p, "forks ");
	assert_non_null(p);
	n = (unsigned)atoi(p + 6);
	assert_true(n > 10 && n < 41);
	assert_int_equal(t.result.status, COMMAND_EXITED);
}

static void a_shell_fork_bomb_is_cleaned_up(void **state)
{
	struct trial t = trial_script(bench, "f() { f | f & }; f; sleep 10");
	uint64_t start;

	t.spec.timeout_ms = 700;
	trial_start(&t);
	start = clock_mono_us();
	trial_wait(&t);
	assert_true(command_status_is_end(t.result.status));
	assert_true(clock_mono_us() - start < 5000000);
}

static void memory_has_a_limit(void **state)
{
	struct trial t = probe("memory");

	t.spec.memory_max = 64 << 20;
	trial_start(&t);
	trial_wait(&t);
	if (bench->spawner.report.cgroup_version > 0) {
		assert_int_equal(t.result.status, COMMAND_OOM);
		assert_non_null(strstr(t.result.reason, "64 MiB"));
	} else {
		assert_int_equal(t.result.exit_code, 1);
		assert_non_null(strstr(t.output.p, "refused after"));
	}
}

static void files_and_tmp_have_limits(void **state)
{
	struct trial t =
		trial_script(bench, "head -c 3000000 /dev/zero > big; echo $?; head -c 9000000 /dev/zero > /tmp/big; "
				    "wc -c < big");

	t.spec.file_size_max = 2000000;
	t.spec.tmp_max = 1 << 20;
	trial_start(&t);
	trial_wait(&t);
	assert_non_null(strstr(t.output.p, "153\n"));
	assert_non_null(strstr(t.output.p, "No space left"));
	assert_non_null(strstr(t.output.p, "2000000\n"));
}

static void a_full_process_table_of_one_does_not_stop_another(void **state)
{
	struct trial bomb = trial_script(bench, "f() { f | f & }; f; sleep 3"), t;

	trial_start(&bomb);
	assert_true(trial_until(&bomb, trial_has_started, 10000));
	t = trial_run(bench, "echo fine");
	expect_output(&t, "fine\n");
	trial_cancel(&bomb);
	trial_wait(&bomb);
}

/* What of /proc, /sys and /dev would act on the machine. */
static void the_kernels_files_cannot_be_written_or_read(void **state)
{
	struct trial t = trial_run(
		bench,
		"for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname "
		"/proc/sys/vm/drop_caches "
		"/proc/sys/kernel/modprobe /proc/sys/fs/binfmt_misc/register /proc/self/oom_score_adj "
		"/proc/1/oom_score_adj "
		"/proc/self/uid_map /proc/self/setgroups; do case $f in */self/oom*) v=-900;; *) v=1;; esac; "
		"{ echo $v > $f; } 2>/dev/null && echo wrote $f; done; "
		"for f in /proc/kcore /proc/kmsg /dev/kmsg /dev/mem /dev/port /dev/kvm /dev/fuse "
		"/dev/loop-control /dev/net/tun "
		"/proc/1/mem /proc/1/fd/0 /proc/1/root/etc /proc/1/ns/mnt /sys/kernel "
		"/sys/fs/cgroup/cgroup.procs /run/docker.sock; "
		"do { if [ -d $f ]; then ls $f/; else head -c 1 $f; fi; } >/dev/null 2>&1 && echo read $f; done; true");

	expect_output(&t, "");
}

static void limits_cannot_be_raised(void **state)
{
	struct trial t = trial_run(
		bench, "for l in '-Hn 100000' '-Hu 100000' '-Hc 1' '-He 10' '-Hr 10' '-Hl 1000000'; do ulimit $l "
		       "2>/dev/null && echo raised $l; done; true");

	expect_output(&t, "");
}

/* Sockets, locks and memory that have a name reach nobody else. */
static void neighbours_have_no_channel(void **state)
{
	static const char name[] = "/tmp/channel /dev/shm/channel";
	struct trial a = trial_script(
			     bench,
			     arena_printf(bench->arena,
					  "for f in %s; do echo word > $f; done; ipcmk -M 4096 -p 0666 >/dev/null; "
					  "ipcmk -Q -p 0666 >/dev/null; echo on; read x",
					  name)),
		     b;

	a.spec.has_input = true;
	trial_start(&a);
	assert_true(trial_until(&a, trial_has_output, 30000));
	b = trial_run(bench,
		      arena_printf(bench->arena, "cat %s 2>/dev/null; ipcs -m | grep -c 0x; ipcs -q | grep -c 0x; true",
				   name));
	expect_output(&b, "0\n0\n");
	trial_cancel(&a);
	trial_wait(&a);
}

static void many_at_once_all_come_up(void **state)
{
	struct trial t[40];

	for (size_t i = 0; i < 40; i++) {
		t[i] = trial_script(bench, "echo up; sleep 0.2");
		trial_start(&t[i]);
	}
	for (size_t i = 0; i < 40; i++) {
		trial_wait(&t[i]);
		expect_output(&t[i], "up\n");
	}
}

static void ordinary_work_is_possible(void **state)
{
	struct trial t = trial_run(
		bench, "mkdir -p a/b && cd a/b && printf '%s\\n' 3 1 2 | sort > f && grep -c . f && ln -s f g "
		       "&& tar cf x.tar f g && tar tf x.tar && sed -n 1p g && (sleep 0.01 & wait) && "
		       "mkfifo p && echo done && date -u +%Z && id -un && hostname");

	expect_output(&t, "3\nf\ng\n1\ndone\nUTC\nogent\nogent\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(privileged_calls_are_refused),
		cmocka_unit_test(nothing_of_the_kernel_is_reached_by_other_calls),
		cmocka_unit_test(sockets_are_of_four_families),
		cmocka_unit_test(the_network_is_off),
		cmocka_unit_test(loopback_works_inside),
		cmocka_unit_test(terminals_cannot_be_typed_into),
		cmocka_unit_test(foreign_call_tables_end_the_process),
		cmocka_unit_test(the_root_is_small_and_read_only),
		cmocka_unit_test(the_first_process_keeps_nothing),
		cmocka_unit_test(nothing_is_left_for_the_next_command),
		cmocka_unit_test(three_places_are_writable),
		cmocka_unit_test(secrets_of_the_host_are_not_there),
		cmocka_unit_test(only_three_descriptors_are_open),
		cmocka_unit_test(it_has_no_rights),
		cmocka_unit_test(setuid_programs_give_nothing),
		cmocka_unit_test(sandboxes_do_not_meet),
		cmocka_unit_test(links_of_the_workspace_lead_nowhere),
		cmocka_unit_test(daemons_do_not_survive),
		cmocka_unit_test(a_fork_bomb_stops_at_the_limit),
		cmocka_unit_test(a_shell_fork_bomb_is_cleaned_up),
		cmocka_unit_test(memory_has_a_limit),
		cmocka_unit_test(files_and_tmp_have_limits),
		cmocka_unit_test(a_full_process_table_of_one_does_not_stop_another),
		cmocka_unit_test(the_kernels_files_cannot_be_written_or_read),
		cmocka_unit_test(limits_cannot_be_raised),
		cmocka_unit_test(neighbours_have_no_channel),
		cmocka_unit_test(many_at_once_all_come_up),
		cmocka_unit_test(ordinary_work_is_possible),
	};

	assert(readlink("/proc/self/exe", probe_path, sizeof(probe_path) - 20) > 0);
	strcpy(strrchr(probe_path, '/'), "/test-exec-probe");
	as_user = argc > 1;
	return cmocka_run_group_tests(tests, open_bench, close_bench);
}
