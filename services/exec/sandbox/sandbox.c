#include "sandbox/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/layers.h"

#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

/* The init's fds must be out of the way of the numbers it takes them to. */
#define FIRST_FD 10

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static pid_t clone_init(const struct sandbox_host *host, bool network, const struct cgroup *cgroup, int *ret_pidfd)
{
	uint64_t namespaces = network ? NAMESPACES & ~CLONE_NEWNET : NAMESPACES;
	struct clone_args args = {
		.flags = CLONE_PIDFD | (host->namespaces ? namespaces : 0),
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t pid;

	if (cgroup->leaf_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup->leaf_fd;
	}
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	/* Container engines hide clone3; what it gives beyond clone is not needed then. */
	if (pid < 0 && errno == ENOSYS && !host->namespaces && cgroup->leaf_fd < 0)
		pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_PIDFD | SIGCHLD), 0, ret_pidfd, 0, 0);
	return pid;
}

/* The copies for the init: [0..2] stdio, [3] control, [4] workspace or -1. */
static int copy_fds(const struct sandbox_host *host, const struct sandbox_spec *spec, int control, int fds[5])
{
	for (int i = 0; i < 5; i++)
		fds[i] = -1;
	for (int i = 0; i < 4; i++) {
		fds[i] = fcntl(i < 3 ? spec->stdio[i] : control, F_DUPFD_CLOEXEC, FIRST_FD);
		if (fds[i] < 0)
			return -errno;
	}
	if (spec->workspace && host->may_mount && host->namespaces) {
		int fd = mounts_workspace(spec->workspace);

		if (fd < 0)
			return fd;
		fds[4] = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
		close(fd);
		if (fds[4] < 0)
			return -errno;
	}
	return 0;
}

static int step(const struct sandbox *s)
{
	return send(s->control, "", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int clone_and_map(const struct sandbox_host *host, const struct sandbox_spec *spec, const int fds[5],
			 struct sandbox *s, struct error *err)
{
	struct sandbox_spec inner = *spec;
	struct init_args args = {
		.host = host, .spec = &inner, .cgroup = &s->cgroup, .control = fds[3], .workspace_fd = fds[4]};
	int r;

	memcpy(inner.stdio, fds, sizeof(inner.stdio));
	s->init = clone_init(host, spec->network, &s->cgroup, &s->pidfd);
	if (s->init == 0)
		init_main(&args);
	if (s->init < 0) {
		r = -errno;
		s->init = 0;
		s->pidfd = -1;
		error_set(err, "sandbox_failed", "clone3: %s.", strerror(-r));
		return r;
	}
	r = host->namespaces ? userns_map(s->init, host->is_root, spec->uid) : 0;
	if (r < 0)
		error_set(err, "sandbox_failed", "Mapping the user ids: %s.", strerror(-r));
	return r < 0 ? r : step(s);
}

int sandbox_start(const struct sandbox_host *host, const struct sandbox_spec *spec, struct sandbox *ret,
		  struct error *err)
{
	struct sandbox s = SANDBOX_INIT;
	int pair[2] = {-1, -1}, fds[5] = {-1, -1, -1, -1, -1};
	int r = cgroup_open(&host->cgroup, spec->id, spec->memory_max, spec->pids_max, &s.cgroup);

	if (r < 0) {
		error_set(err, "sandbox_failed", "Making the cgroup: %s.", strerror(-r));
		goto out;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
		error_set(err, "sandbox_failed", "socketpair: %s.", strerror(-r));
		goto out;
	}
	s.control = pair[0];
	r = copy_fds(host, spec, pair[1], fds);
	if (r < 0) {
		error_set(err, "sandbox_failed", "Opening the workspace: %s.", strerror(-r));
		goto out;
	}
	r = clone_and_map(host, spec, fds, &s, err);
out:
	for (int i = 0; i < 5; i++)
		close_fd(&fds[i]);
	close_fd(&pair[1]);
	if (r < 0)
		sandbox_deinit(host, &s);
	else
		*ret = s;
	return r;
}

int sandbox_go(struct sandbox *s)
{
	return step(s);
}

/* ---- The end ---- */

/* Without a pid namespace: stops, then kills what hangs below `pid`, children first found first stopped, so that none
 * is started behind our back. */
static void kill_below(pid_t pid)
{
	char path[64], text[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[MAX(n, 0)] = 0;
	for (char *p = text, *end; *p; p = end) {
		pid_t child = (pid_t)strtol(p, &end, 10);

		if (end == p || child <= 0)
			break;
		kill(child, SIGSTOP);
		kill_below(child);
		kill(child, SIGKILL);
	}
}

/* The supervisor is the subreaper of its tree: what loses its parent becomes our child. */
static void kill_tree(struct sandbox *s)
{
	for (int round = 0; round < 1000; round++) {
		pid_t pid;

		kill_below(getpid());
		while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
			s->is_reaped |= pid == s->init;
		if (pid < 0)
			return;
		usleep(1000);
	}
}

/* The kernel kills a pid namespace when its init dies. */
void sandbox_kill(const struct sandbox_host *host, struct sandbox *s)
{
	if (s->init <= 0 || s->is_reaped)
		return;
	if (cgroup_kill(&s->cgroup))
		return;
	if (!host->namespaces)
		kill_tree(s);
	else
		syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

void sandbox_reap(struct sandbox *s, struct rusage *ret_usage)
{
	memset(ret_usage, 0, sizeof(*ret_usage));
	while (!s->is_reaped && wait4(s->init, NULL, __WALL, ret_usage) < 0 && errno == EINTR)
		;
	s->is_reaped = true;
}

void sandbox_deinit(const struct sandbox_host *host, struct sandbox *s)
{
	struct rusage usage;

	if (s->init > 0 && !s->is_reaped) {
		sandbox_kill(host, s);
		sandbox_reap(s, &usage);
	}
	close_fd(&s->pidfd);
	close_fd(&s->control);
	cgroup_deinit(&s->cgroup);
	*s = SANDBOX_INIT;
}
