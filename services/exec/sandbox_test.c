/* What a command cannot do, class by class. The tests run probes inside: this program itself, copied into the
 * workspace, with the probe's name as its argument; or a script. */
#include "sandbox/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "testing.h"

#define ARG(text) ((char *)(uintptr_t)(text))

/* ---- Inside ---- */

static void say(const char *what, long r)
{
	printf("%s %s\n", what, r < 0 ? strerrorname_np(errno) : "ok");
	fflush(stdout);
}

static void probe_calls(void)
{
	char stack[64] = "";
	struct clone_args {
		uint64_t flags, rest[7];
	} clone3_args = {.flags = CLONE_NEWUSER};

	say("mount", mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
	say("umount", umount2("/proc", MNT_DETACH));
	say("pivot_root", syscall(SYS_pivot_root, ".", "."));
	say("chroot", chroot("/tmp"));
	say("unshare", unshare(CLONE_NEWUSER));
	say("unshare_net", unshare(CLONE_NEWNET));
	say("setns", setns(0, 0));
	say("clone", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	say("clone3", syscall(SYS_clone3, &clone3_args, sizeof(clone3_args)));
	say("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
	say("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
	say("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
	say("process_vm_readv", syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0));
	say("keyctl", syscall(SYS_keyctl, 0, -3, 0));
	say("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
	say("bpf", syscall(SYS_bpf, 0, stack, sizeof(stack)));
	say("perf_event_open", syscall(SYS_perf_event_open, stack, 0, -1, -1, 0));
	say("userfaultfd", syscall(SYS_userfaultfd, 0));
	say("io_uring_setup", syscall(SYS_io_uring_setup, 1, stack));
	say("init_module", syscall(SYS_init_module, stack, 0, ""));
	say("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	say("name_to_handle_at", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", stack, stack, 0));
	say("syslog", syscall(SYS_syslog, 3, stack, 10));
	say("sethostname", sethostname("x", 1));
	say("setuid", setuid(0));
	say("setgid", setgid(0));
	say("mknod", mknod("/tmp/null", S_IFCHR | 0666, 0x103));
	say("chown", chown("/workspace", 0, 0));
	say("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
}

static void probe_sockets(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(0x08080808)}};
	int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);

	say("mptcp", socket(AF_INET, SOCK_STREAM, 262));
	say("sctp", socket(AF_INET, SOCK_STREAM, 132));
	say("raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	say("packet", socket(AF_PACKET, SOCK_RAW, 0));
	say("vsock", socket(40, SOCK_STREAM, 0));
	say("alg", socket(38, SOCK_SEQPACKET, 0));
	say("netfilter", socket(AF_NETLINK, SOCK_RAW, 12));
	say("high_family", syscall(SYS_socket, 0x100000028, SOCK_STREAM, 0));
	say("tcp_connect", tcp < 0 ? -1 : connect(tcp, (struct sockaddr *)&to, sizeof(to)));
	say("udp_send", udp < 0 ? -1 : sendto(udp, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
}

static void probe_terminal(void)
{
	say("tiocsti", ioctl(0, TIOCSTI, "x"));
	say("tiocsti_high", syscall(SYS_ioctl, 0, 0x100000000 | TIOCSTI, "x"));
	say("tioclinux", ioctl(0, TIOCLINUX, "\2"));
	say("tty", open("/dev/tty", O_RDWR));
}

/* getpid by the 32-bit table; the number 20 is writev in the 64-bit one. */
static void probe_foreign(void)
{
#ifdef __x86_64__
	long r = 20;

	__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
	printf("int80 returned %ld\n", r);
#else
	raise(SIGSYS);
#endif
}

static void probe_x32(void)
{
#ifdef __x86_64__
	printf("x32 returned %ld\n", syscall(0x40000000 + SYS_getpid));
#else
	raise(SIGSYS);
#endif
}

static void probe_abstract(bool listen_here)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "\0ogent-test"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (listen_here) {
		say("bind", bind(fd, (struct sockaddr *)&addr, 20));
		listen(fd, 1);
		sleep(20);
	} else {
		say("connect", connect(fd, (struct sockaddr *)&addr, 20));
	}
}

/* A process that leaves its session, its parent and its pipes. */
static void probe_daemon(const char *seconds)
{
	if (fork() == 0) {
		setsid();
		if (fork() == 0) {
			close(0);
			close(1);
			close(2);
			execl("/bin/sleep", "sleep", seconds, NULL);
		}
		_exit(0);
	}
	wait(NULL);
}

static void probe_bomb(void)
{
	unsigned n = 0;

	for (int i = 0; i < 100000; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			pause();
			_exit(0);
		}
		if (pid < 0)
			break;
		n++;
	}
	printf("forks %u\n", n);
	fflush(stdout);
}

static void probe_memory(void)
{
	for (size_t i = 0; i < 4096; i++) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			printf("refused after %zu MiB\n", i);
			exit(1);
		}
		memset(p, 1, 1 << 20);
	}
	puts("got it all");
}

static int run_probe(const char *name, const char *seconds)
{
	if (strcmp(name, "calls") == 0)
		probe_calls();
	else if (strcmp(name, "sockets") == 0)
		probe_sockets();
	else if (strcmp(name, "terminal") == 0)
		probe_terminal();
	else if (strcmp(name, "foreign") == 0)
		probe_foreign();
	else if (strcmp(name, "x32") == 0)
		probe_x32();
	else if (strcmp(name, "listen") == 0 || strcmp(name, "connect") == 0)
		probe_abstract(name[0] == 'l');
	else if (strcmp(name, "daemon") == 0)
		probe_daemon(seconds);
	else if (strcmp(name, "bomb") == 0)
		probe_bomb();
	else if (strcmp(name, "memory") == 0)
		probe_memory();
	else
		return 2;
	return 0;
}

/* ---- Outside ---- */

static bool as_user;
static struct bench *bench;
static char tag[32]; /* seconds that only sleeps of this run sleep */

static int open_bench(void **state)
{
	bench = bench_new(as_user, true);
	snprintf(tag, sizeof(tag), "5318.%d", getpid());
	assert_true(bench->spawner.report.level >= SANDBOX_STANDARD);
	return 0;
}

static int close_bench(void **state)
{
	bench_free(bench);
	return 0;
}

static void copy_self(const struct trial *t)
{
	char *command = arena_printf(bench->arena, "cp /proc/%d/exe '%s/workspaces/%s/probe'", getpid(), bench->dir,
				     t->spec.workspace);

	bench_workspace(bench, t->spec.workspace, t->spec.uid);
	assert_int_equal(system(command), 0);
}

static struct trial probe(const char *name)
{
	char **argv = arena_alloc(bench->arena, 5 * sizeof(*argv));
	struct trial t;

	argv[0] = ARG("/workspace/probe");
	argv[1] = ARG("--inside");
	argv[2] = arena_strdup(bench->arena, name);
	argv[3] = tag;
	t = trial_argv(bench, argv);
	copy_self(&t);
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
		cmocka_unit_test(the_network_is_off),
		cmocka_unit_test(loopback_works_inside),
		cmocka_unit_test(terminals_cannot_be_typed_into),
		cmocka_unit_test(foreign_call_tables_end_the_process),
		cmocka_unit_test(the_root_is_small_and_read_only),
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
		cmocka_unit_test(ordinary_work_is_possible),
	};

	if (argc > 3 && strcmp(argv[1], "--inside") == 0)
		return run_probe(argv[2], argv[3]);
	as_user = argc > 1;
	return cmocka_run_group_tests(tests, open_bench, close_bench);
}
