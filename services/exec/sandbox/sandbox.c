#include "sandbox/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/layers.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static uint64_t namespaces_of(const struct sandbox_host *host, bool network)
{
	if (!host->namespaces)
		return 0;
	return (HAS(LAYER_PIDNS) ? CLONE_NEWPID : 0u) | (HAS(LAYER_NETNS) && !network ? CLONE_NEWNET : 0u) |
	       (HAS(LAYER_IPCNS) ? CLONE_NEWIPC : 0u) | (HAS(LAYER_UTSNS) ? CLONE_NEWUTS : 0u);
}

static pid_t clone_init(const struct sandbox_host *host, bool network, const struct cgroup *cgroup, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | namespaces_of(host, network),
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

/* A pair of sockets: ours in *ret, theirs (out of the way) in *ret_inner. */
static int make_pair(int *ret, int *ret_inner)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*ret = pair[0];
	*ret_inner = fcntl(pair[1], F_DUPFD_CLOEXEC, SANDBOX_FIRST_FD);
	close(pair[1]);
	return *ret_inner < 0 ? -errno : 0;
}

static int start_init(const struct sandbox_host *host, struct sandbox *s, struct init_args *args)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), r;

	args->null = null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, SANDBOX_FIRST_FD);
	close_fd(&null);
	r = args->null < 0 ? -errno : make_pair(&s->control, &args->control);
	if (r < 0)
		return r;
	s->order = mmap(NULL, ORDER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->order == MAP_FAILED) {
		s->order = NULL;
		return -ENOMEM;
	}
	s->order->used = 0; /* so that its first page is there */
	args->order = s->order;
	s->init = clone_init(host, s->frame.network || s->frame.net, &s->cgroup, &s->pidfd);
	if (s->init == 0)
		init_main(args);
	if (s->init > 0)
		return 0;
	r = -errno;
	s->init = 0;
	s->pidfd = -1;
	return r;
}

int sandbox_open_groups(const struct sandbox_host *host, const struct sandbox_frame *frame, struct cgroup *ret)
{
	const struct cgroup_limits limits = {frame->memory_max, frame->pids_max, frame->cpu_percent, frame->share,
					     frame->leaf};

	*ret = CGROUP_INIT;
	return HAS(LAYER_CGROUP) ? cgroup_open(&host->cgroup, frame->name, &limits, ret) : 0;
}

/* Those that were made before, unless somebody has removed them since. */
static int take_groups(const struct sandbox_host *host, const struct sandbox_frame *frame, struct cgroup *ret)
{
	if (frame->groups && cgroup_is_there(frame->groups)) {
		*ret = *frame->groups;
		*frame->groups = CGROUP_INIT;
		return 0;
	}
	if (frame->groups)
		cgroup_deinit(frame->groups);
	return sandbox_open_groups(host, frame, ret);
}

int sandbox_open(const struct sandbox_host *host, const struct sandbox_frame *frame, struct sandbox *ret,
		 struct error *err)
{
	struct sandbox s = SANDBOX_INIT;
	struct init_args args = {.host = host, .null = -1, .control = -1};
	int r = take_groups(host, frame, &s.cgroup);

	if (r < 0) {
		error_set(err, "sandbox_failed", "Making the cgroup: %s.", strerror(-r));
	} else {
		s.frame = *frame;
		args.frame = &s.frame;
		args.cgroup = &s.cgroup;
		r = start_init(host, &s, &args);
		if (r < 0)
			error_set(err, "sandbox_failed", "Cloning its first process: %s.", strerror(-r));
	}
	close_fd(&args.null);
	close_fd(&args.control);
	if (frame->net)
		s.net = *frame->net;
	s.frame.name = s.frame.share = s.frame.leaf = NULL;
	s.frame.net = NULL;
	s.frame.groups = NULL;
	if (r < 0)
		sandbox_deinit(host, &s);
	else
		*ret = s;
	return r;
}

static int step(const struct sandbox *s)
{
	return send(s->control, "", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* By its pidfd since Linux 6.11 (pidfd(2)): what was looked at in /proc has to go from there when the process does, and
 * all that end then wait for each other. */
static int open_namespace(const struct sandbox *s, unsigned request, const char *name)
{
	char path[64];
	int fd = ioctl(s->pidfd, request, 0);

	if (fd >= 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)s->init, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_mounts(const struct sandbox *s)
{
	return open_namespace(s, _IO(0xFF, 3), "mnt"); /* PIDFD_GET_MNT_NAMESPACE */
}

/* Out of the way of the numbers that an init gives its own. */
static int open_net(const struct sandbox *s)
{
	int fd = open_namespace(s, _IO(0xFF, 4), "net"); /* PIDFD_GET_NET_NAMESPACE */
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, SANDBOX_FIRST_FD);

	close_fd(&fd);
	return high;
}

/* Its files in /proc are ours to open now; an ordinary user could not later. */
static int on_userns(const struct sandbox_host *host, struct sandbox *s)
{
	int r = userns_open(s->init, &s->uid_map, &s->gid_map);

	if (r < 0)
		return r;
	s->mounts_fd = open_mounts(s);
	if (s->mounts_fd < 0)
		return s->mounts_fd;
	if (!s->frame.network && s->net.fd < 0)
		s->net = (struct sandbox_net){open_net(s), s->frame.keeps_net ? net_counts(s->init) : 0};
	return host->owns_userns ? step(s) : 0;
}

/* As recv; a descriptor that comes with the message is the way out's. */
static ssize_t receive(struct sandbox *s, struct init_message *ret)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} extra;
	struct iovec iov = {ret, sizeof(*ret)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof(extra)};
	ssize_t n = recvmsg(s->control, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

	if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
		close_fd(&s->proxy_fd);
		memcpy(&s->proxy_fd, CMSG_DATA(c), sizeof(int));
	}
	return n;
}

/* Its user namespace was not told of. */
static bool is_due(const struct sandbox_host *host, const struct sandbox *s)
{
	return host->namespaces && !s->is_seat && s->mounts_fd < 0;
}

int sandbox_receive(const struct sandbox_host *host, struct sandbox *s, struct init_message *ret)
{
	for (;;) {
		ssize_t n = receive(s, ret);
		int r;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return -EAGAIN;
		if (n != sizeof(*ret))
			return 0;
		if (ret->event != INIT_USERNS && (ret->event != INIT_READY || !is_due(host, s)))
			return 1;
		r = on_userns(host, s);
		if (r == 0 && ret->event == INIT_READY)
			return 1;
		if (r < 0)
			return r == -EAGAIN ? -EIO : r;
	}
}

/* ---- The order ---- */

static void *order_alloc(struct sandbox_order *o, size_t n)
{
	size_t at = (o->used + 7) & ~(size_t)7;

	if (n > ORDER_SIZE - sizeof(*o) - at)
		return NULL;
	o->used = at + n;
	return o->data + at;
}

static char *order_string(struct sandbox_order *o, const char *text)
{
	size_t n = strlen(text) + 1;
	char *p = order_alloc(o, n);

	return p ? memcpy(p, text, n) : NULL;
}

static char **order_strings(struct sandbox_order *o, char *const *items)
{
	size_t n = 0;
	char **p;

	while (items[n])
		n++;
	p = order_alloc(o, (n + 1) * sizeof(*p));
	for (size_t i = 0; p && i < n; i++)
		if (!(p[i] = order_string(o, items[i])))
			return NULL;
	if (p)
		p[n] = NULL;
	return p;
}

static int write_order(const struct sandbox_host *host, const struct sandbox *s, const struct sandbox_spec *spec)
{
	struct sandbox_order *o = s->order;

	o->used = 0;
	o->place = o;
	o->is_shared = spec->is_shared;
	o->is_seat = s->is_seat;
	o->uid = spec->uid;
	o->memory_max = spec->memory_max;
	o->file_size_max = spec->file_size_max;
	o->pids_max = spec->pids_max;
	o->cpu_max_ms = spec->cpu_max_ms;
	o->has_proxy = spec->has_proxy && host->namespaces && !s->is_seat;
	o->workspace = order_string(o, host->namespaces && HAS(LAYER_ROOT) ? "/workspace" : spec->workspace);
	o->cwd = order_string(o, spec->cwd);
	o->argv = order_strings(o, spec->argv);
	o->envp = order_strings(o, spec->envp);
	return o->workspace && o->cwd && o->argv && o->envp ? 0 : -E2BIG;
}

/* A seat's order is not in memory that it has already. */
static int send_order(const struct sandbox *s, const int stdio[3])
{
	const int fds[4] = {stdio[0], stdio[1], stdio[2], s->order_fd};
	const size_t n = (s->is_seat ? 4 : 3) * sizeof(int);
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(fds))];
	} extra = {0};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = CMSG_SPACE(n)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), fds, n);
	return sendmsg(s->control, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The init first, for the leader waits for it in the end, and may end at once. */
static int give_order(const struct sandbox *s, const int stdio[3])
{
	__atomic_store_n(&s->order->step, ORDER_GIVEN, __ATOMIC_RELEASE);
	syscall(SYS_futex, &s->order->step, FUTEX_WAKE, 1, NULL, NULL, 0);
	return send_order(s, stdio);
}

/* Whoever it is on the host, inside it is INNER_UID. */
static int map_ids(const struct sandbox_host *host, const struct sandbox *s, uid_t uid)
{
	return userns_map(s->uid_map, s->gid_map, host->is_root ? uid : geteuid(), host->is_root ? uid : getegid());
}

/* What stands in the way of holding a file. */
static int protection_failed(struct error *err, int r, const char *what)
{
	return error_set(err, "sandbox_failed",
			 "The workspace's %s cannot be protected, because %s. Remove it, or switch the option "
			 "workspace_protect off.",
			 what,
			 r == -ELOOP    ? "it is a link"
			 : r == -EMLINK ? "it has other names (hard links)"
					: strerror(-r));
}

int sandbox_go(const struct sandbox_host *host, struct sandbox *s, const struct sandbox_spec *spec, struct error *err)
{
	const char *what = "Its arguments and variables";
	int r = write_order(host, s, spec);

	if (r == 0 && !s->is_seat && host->namespaces && spec->workspace && spec->protects) {
		r = protect_begin(spec->workspace, &s->protection, &what);
		if (r < 0) {
			protection_failed(err, r, what);
			return r;
		}
	}
	if (r == 0 && (spec->memory_max != s->frame.memory_max || spec->pids_max != s->frame.pids_max)) {
		what = "Its limits";
		r = cgroup_limit(&s->cgroup, &(struct cgroup_limits){spec->memory_max, spec->pids_max, 0, NULL, NULL});
	}
	if (r == 0 && !s->is_seat && host->namespaces && HAS(LAYER_ROOT)) {
		what = "Its workspace";
		r = mounts_workspace(host, s, spec, &what);
	}
	if (r == 0 && !s->is_seat && host->namespaces && HAS(LAYER_USERNS)) {
		what = "Its user ids";
		r = map_ids(host, s, spec->uid);
	}
	if (r == 0) {
		what = "Its first process";
		r = give_order(s, spec->stdio);
	}
	close_fd(&s->uid_map);
	close_fd(&s->gid_map);
	if (r < 0)
		error_set(err, "sandbox_failed", "%s: %s.", what, strerror(-r));
	return r;
}

void sandbox_forget_order(struct sandbox *s)
{
	if (s->order)
		munmap(s->order, ORDER_SIZE);
	s->order = NULL;
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

static bool has_children(pid_t pid)
{
	char path[64], c;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, &c, 1);
	if (fd >= 0)
		close(fd);
	return n > 0;
}

/* What loses its parent becomes the seat's child, so all of it is below; the seat ends with the last one. One that was
 * killed by what it minds has lost it. */
static void kill_seat(struct sandbox *s)
{
	struct pollfd p = {.fd = s->pidfd, .events = POLLIN};

	s->has_strays = poll(&p, 1, 0) > 0;
	for (int round = 0; round < 1000 && !s->has_strays && has_children(s->init); round++) {
		kill_below(s->init);
		usleep(200);
	}
	syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

/* The kernel kills a pid namespace when its init dies. */
void sandbox_kill(const struct sandbox_host *host, struct sandbox *s)
{
	if (s->init <= 0 || s->is_reaped)
		return;
	if (cgroup_kill(&s->cgroup))
		return;
	if (s->is_seat)
		kill_seat(s);
	else if (!host->namespaces)
		kill_tree(s);
	else
		syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

void sandbox_reap(struct sandbox *s, struct rusage *ret_usage)
{
	memset(ret_usage, 0, sizeof(*ret_usage));
	while (!s->is_seat && !s->is_reaped && wait4(s->init, NULL, __WALL, ret_usage) < 0 && errno == EINTR)
		;
	s->is_reaped = true;
}

struct sandbox_net sandbox_take_net(struct sandbox *s)
{
	struct sandbox_net net = s->net;

	if (net.fd < 0 || net.counts == 0 || net_counts(s->init) != net.counts)
		return SANDBOX_NO_NET;
	s->net = SANDBOX_NO_NET;
	return net;
}

/* While its mount namespace is there, each file that goes has to be unmounted in it, and that waits for all CPUs. The
 * namespace itself is dear to take apart: that comes later (sandbox_deinit). */
void sandbox_tidy(const struct sandbox_host *host, struct sandbox *s)
{
	if (s->mounts_fd >= 0 && s->init > 0 && s->protection.lock_fd >= 0)
		mounts_leave_workspace(host, s);
	protect_end(&s->protection);
}

void sandbox_deinit(const struct sandbox_host *host, struct sandbox *s)
{
	struct rusage usage;

	if (s->init > 0 && !s->is_reaped) {
		sandbox_kill(host, s);
		sandbox_reap(s, &usage);
	}
	sandbox_tidy(host, s);
	close_fd(&s->pidfd);
	close_fd(&s->control);
	close_fd(&s->uid_map);
	close_fd(&s->gid_map);
	close_fd(&s->mounts_fd);
	close_fd(&s->proxy_fd);
	close_fd(&s->order_fd);
	close_fd(&s->net.fd);
	sandbox_forget_order(s);
	cgroup_deinit(&s->cgroup);
	*s = SANDBOX_INIT;
}
