#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/id.h"
#include "sandbox/layers.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- Who holds the sandbox ---- */

static int send_seat(const struct sandbox *shared, int theirs)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} extra = {0};
	struct iovec iov = {(char[]){0}, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof(extra)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &theirs, sizeof(int));
	return sendmsg(shared->control, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* The limits come with the command. */
int seat_begin(const struct sandbox_host *host, const struct sandbox *shared, struct seat *ret)
{
	const struct sandbox_frame *f = &shared->frame;
	const struct cgroup_limits limits = {f->memory_max, f->pids_max, f->cpu_percent, NULL, NULL};
	struct seat s = SEAT_NONE;
	char name[ID_SIZE];
	int pair[2], on = 1, r;

	id_new(name);
	r = cgroup_open(&host->cgroup, name, &limits, &s.cgroup);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
	} else {
		s.control = pair[0];
		/* Its first message tells who it is, in our numbers. */
		r = setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ? -errno : 0;
		if (r == 0)
			r = send_seat(shared, pair[1]);
		close(pair[1]);
	}
	if (r < 0)
		seat_deinit(&s, true);
	else
		*ret = s;
	return r;
}

static int receive_ready(int fd, pid_t *ret)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(struct ucred))];
	} extra;
	struct init_message ready;
	struct iovec iov = {&ready, sizeof(ready)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof(extra)};
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n == sizeof(ready) ? CMSG_FIRSTHDR(&m) : NULL;
	struct ucred who;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!c || ready.event != INIT_READY || c->cmsg_type != SCM_CREDENTIALS)
		return -EPIPE;
	memcpy(&who, CMSG_DATA(c), sizeof(who));
	*ret = who.pid;
	return who.pid > 0 ? 1 : -ESRCH;
}

/* It starts nothing before its order comes, so all of the command's will be in the groups. */
int seat_await(struct seat *s)
{
	int off = 0, r = receive_ready(s->control, &s->pid);

	if (r <= 0)
		return r;
	setsockopt(s->control, SOL_SOCKET, SO_PASSCRED, &off, sizeof(off));
	r = cgroup_move(&s->cgroup, s->pid);
	return r < 0 ? r : 1;
}

void seat_deinit(struct seat *s, bool and_groups)
{
	close_fd(&s->control);
	if (!and_groups)
		s->cgroup.host = NULL; /* so that they stay */
	cgroup_deinit(&s->cgroup);
	*s = SEAT_NONE;
}

/* ---- Who gets it ---- */

static int make_order(struct sandbox *s)
{
	s->order_fd = memfd_create("order", MFD_CLOEXEC);
	if (s->order_fd < 0 || ftruncate(s->order_fd, ORDER_SIZE) < 0)
		return -errno;
	s->order = mmap(NULL, ORDER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, s->order_fd, 0);
	if (s->order != MAP_FAILED)
		return 0;
	s->order = NULL;
	return -ENOMEM;
}

/* Nobody else has the other end, so while it is open the number is the seat's. */
static int open_process(struct sandbox *s)
{
	struct pollfd p = {.fd = s->control};

	s->pidfd = (int)syscall(SYS_pidfd_open, s->init, 0);
	if (s->pidfd < 0)
		return -errno;
	return poll(&p, 1, 0) < 0 || p.revents ? -ESRCH : 0;
}

int seat_take(const struct sandbox_host *host, int control, pid_t pid, const char *group,
	      const struct sandbox_frame *frame, struct sandbox *ret, struct error *err)
{
	const struct cgroup_limits limits = {frame->memory_max, frame->pids_max, frame->cpu_percent, NULL, NULL};
	struct sandbox s = SANDBOX_INIT;
	const char *what = "Its process";
	int r;

	s.is_seat = true;
	s.init = pid;
	s.control = control;
	s.frame = *frame;
	s.frame.name = NULL;
	r = open_process(&s);
	if (r == 0) {
		what = "Its cgroup";
		r = cgroup_open(&host->cgroup, group, &limits, &s.cgroup);
	}
	if (r == 0) {
		what = "Its order";
		r = make_order(&s);
	}
	if (r < 0) {
		error_set(err, "sandbox_failed", "%s: %s.", what, strerror(-r));
		s.is_reaped = true;
		sandbox_deinit(host, &s);
		return r;
	}
	*ret = s;
	return 0;
}

void seat_leave(struct sandbox *s)
{
	if (s->is_seat)
		s->is_reaped = true;
}
