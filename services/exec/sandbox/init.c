/* The inner init: process 1 of the sandbox. It is a copy of the supervisor's memory that never returns to it: from the
 * clone on it makes system calls only. It cannot be traced or looked into from inside (not dumpable), takes no signals
 * from there (process 1), and is under every layer that the leader is under. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/plan.h"
#include "sandbox/layers.h"

enum { FD_CONTROL = 3, FD_WORKSPACE = 4, FD_REST = 5 };

static void say(const struct init_message *m)
{
	while (send(FD_CONTROL, m, sizeof(*m), MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

static NORETURN void fail(enum sandbox_layer layer, int err, const char *what)
{
	struct init_message m = {.event = INIT_FAILED, .layer = layer, .err = -err};

	strncpy(m.what, what, sizeof(m.what) - 1);
	say(&m);
	_exit(1);
}

/* The supervisor's next step; without a supervisor there is nothing to do. */
static void await_step(void)
{
	char step;
	ssize_t n;

	do
		n = recv(FD_CONTROL, &step, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		_exit(1);
}

/* Closes all but our own: whatever the supervisor had open ends here. Numbers from 10 up are the supervisor's copies
 * (sandbox_start), so nothing is overwritten. */
static int settle_descriptors(const struct init_args *a)
{
	for (int i = 0; i < 3; i++)
		if (dup2(a->spec->stdio[i], i) < 0)
			return -errno;
	if (dup3(a->control, FD_CONTROL, O_CLOEXEC) < 0)
		return -errno;
	if (a->workspace_fd >= 0 && dup3(a->workspace_fd, FD_WORKSPACE, O_CLOEXEC) < 0)
		return -errno;
	return syscall(SYS_close_range, FD_REST - (a->workspace_fd < 0), ~0u, 0) < 0 ? -errno : 0;
}

static void reset_signals(void)
{
	struct sigaction def = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		sigaction(s, &def, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The layers that only exist with namespaces. */
static void enter_namespaces(const struct init_args *a)
{
	const char *what = "";
	enum sandbox_layer layer;
	int r;

	if (sethostname("ogent", 5) < 0)
		fail(LAYER_UTSNS, -errno, "host name");
	r = a->spec->network ? 0 : net_enter(&what);
	if (r < 0)
		fail(LAYER_NETNS, r, what);
	if (a->host->cgroupns && unshare(CLONE_NEWCGROUP) < 0)
		fail(LAYER_CGROUPNS, -errno, "cgroup namespace");
	r = mounts_enter(a->host, a->spec, a->workspace_fd < 0 ? -1 : FD_WORKSPACE, &layer, &what);
	if (r < 0)
		fail(layer, r, what);
}

static void lock_down(const struct init_args *a)
{
	const char *what = "";
	int r = limits_set(a->host, a->spec, &what);

	if (r < 0)
		fail(LAYER_RLIMITS, r, what);
	r = caps_drop(&what);
	if (r < 0)
		fail(LAYER_CAPABILITIES, r, what);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail(LAYER_NO_NEW_PRIVS, -errno, "no_new_privs");
	r = landlock_enter(a->host, a->spec, &what);
	if (r < 0)
		fail(LAYER_LANDLOCK, r, what);
	r = seccomp_enter(a->host, a->spec->network, &what);
	if (r < 0)
		fail(LAYER_SECCOMP, r, what);
}

static NORETURN void leader_main(const struct sandbox_host *host, const struct sandbox_spec *spec)
{
	struct init_message m = {.event = INIT_EXEC_FAILED};

	if (!host->namespaces)
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a pid namespace would end it with the init */
	setsid();
	ioctl(STDIN_FILENO, TIOCSCTTY, 0); /* a terminal becomes its own; on anything else this does nothing */
	umask(022);
	if (chdir(spec->cwd) < 0) {
		m.event = INIT_CWD_FAILED;
	} else if (plan_is(spec->argv)) {
		plan_run((char **)(uintptr_t)spec->argv, spec->envp);
	} else {
		environ = (char **)(uintptr_t)spec->envp; /* execvp looks for PATH there */
		execvp(spec->argv[0], spec->argv);
	}
	m.err = errno;
	say(&m);
	_exit(m.err == ENOENT ? 127 : 126);
}

/* Reaps until there is nobody left. */
static NORETURN void reap_all(pid_t leader)
{
	struct init_message m = {.event = INIT_EXITED};
	struct rusage usage;
	int status;

	for (;;) {
		pid_t pid = wait4(-1, &status, __WALL, &usage);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			_exit(0);
		if (pid != leader)
			continue;
		m.wait_status = status;
		m.max_rss_kib = (uint64_t)usage.ru_maxrss;
		say(&m);
	}
}

void init_main(const struct init_args *a)
{
	struct init_message ready = {.event = INIT_READY};
	const char *what = "";
	pid_t leader;
	int r = cgroup_join(a->cgroup), joined = r;

	r = settle_descriptors(a);
	if (r < 0)
		_exit(1);
	if (joined < 0)
		fail(LAYER_CGROUP, joined, "entering the cgroup");
	reset_signals();
	setsid();
	await_step(); /* the ids are mapped */
	r = userns_enter(a->host, a->spec->uid, &what);
	if (r < 0)
		fail(LAYER_USERNS, r, what);
	/* Our end if the supervisor dies; a change of user clears it, so it comes after. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (a->host->namespaces)
		enter_namespaces(a);
	else
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	lock_down(a);
	say(&ready);
	await_step(); /* it is on record that the leader starts */
	leader = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, 0, 0, 0, 0);
	if (leader == 0)
		leader_main(a->host, a->spec);
	if (leader < 0)
		fail(LAYER_PIDNS, -errno, "starting the command");
	syscall(SYS_close_range, 0, 2, 0);
	reap_all(leader);
}
