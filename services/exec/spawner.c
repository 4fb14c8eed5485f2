#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "supervisor.h"

/* ---- In the spawner ---- */

/* The sandboxes' first process is a copy of this one, so nothing of exec's environment and command line may stay.
 * Both lie one behind the other on the stack (environ(7)). */
static void wipe_environment(void)
{
	char *first = program_invocation_name, *last;

	for (char **e = environ; e && *e; e++) {
		last = *e;
		if (e == environ && first && last > first && last - first < 65536) {
			memset(first, 0, (size_t)(last - first));
			strncpy(first, "ogent", (size_t)(last - first - 1));
		}
		explicit_bzero(last, strlen(last));
	}
	if (environ)
		environ[0] = NULL;
}

static void settle(int fd)
{
	dup3(fd, 3, O_CLOEXEC);
	syscall(SYS_close_range, 4, ~0u, 0);
	signal(SIGINT, SIG_IGN); /* Ctrl-C goes to the whole group; exec decides */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* supervisors are reaped by the kernel */
	prctl(PR_SET_NAME, "ogent-spawner", 0, 0, 0);
}

/* Returns the number of bytes; the descriptor that came with them in *ret_fd, or -1. */
static ssize_t receive(int fd, struct spawn_request *req, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {req, sizeof(*req)};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n;

	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	*ret_fd = -1;
	for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return n;
}

static void start_supervisor(const struct sandbox_host *host, const char *exec_dir, const struct spawn_request *req,
			     int control)
{
	pid_t pid = fork();

	if (pid == 0)
		command_supervise(host, exec_dir, req->id, control);
	if (pid < 0) {
		struct control_event e = {.type = CONTROL_FAILED, .err = -errno};

		send(control, &e, sizeof(e), MSG_NOSIGNAL);
	}
}

static NORETURN void spawner_main(const char *exec_dir)
{
	static struct sandbox_host host;
	struct spawn_request req;
	int control;
	ssize_t n;

	signal(SIGCHLD, SIG_DFL); /* the probe reaps its own */
	sandbox_host_probe(&host, exec_dir);
	signal(SIGCHLD, SIG_IGN);
	if (send(3, &host.report, sizeof(host.report), MSG_NOSIGNAL) < 0)
		_exit(1);
	while ((n = receive(3, &req, &control)) > 0) {
		req.id[sizeof(req.id) - 1] = 0;
		if (n == sizeof(req) && control >= 0)
			start_supervisor(&host, exec_dir, &req, control);
		if (control >= 0)
			close(control);
	}
	sandbox_host_deinit(&host);
	_exit(0);
}

/* ---- In exec ---- */

int spawner_start(const char *exec_dir, void (*forget)(void *arg), void *arg, struct spawner *ret)
{
	int pair[2];
	ssize_t n;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		if (forget)
			forget(arg);
		wipe_environment();
		settle(pair[1]);
		spawner_main(exec_dir);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -EAGAIN;
	}
	*ret = (struct spawner){.pid = pid, .fd = pair[0]};
	do
		n = recv(ret->fd, &ret->report, sizeof(ret->report), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(ret->report)) {
		spawner_deinit(ret);
		return -EPIPE;
	}
	return 0;
}

static int send_request(int fd, const char *id, int control)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} extra = {0};
	struct spawn_request req = {0};
	struct iovec iov = {&req, sizeof(req)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof(extra)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	strncpy(req.id, id, sizeof(req.id) - 1);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &control, sizeof(int));
	return sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int spawner_ask(struct spawner *s, const char *id, int *ret_control)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	r = send_request(s->fd, id, pair[1]);
	close(pair[1]);
	if (r < 0)
		close(pair[0]);
	else
		*ret_control = pair[0];
	return r;
}

void spawner_deinit(struct spawner *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->pid > 0)
		while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
			;
	*s = (struct spawner){.fd = -1};
}
