/* The inner init, process 1 of the sandbox, and the leader, its first child, which becomes the command. The init is a
 * copy of the supervisor's memory that never returns to it: from the clone on it makes system calls only. The leader
 * borrows its memory until it becomes the command, so that nothing is copied for it. The init cannot be traced or
 * looked into from inside (not dumpable), takes no signals from there (process 1), and is under every layer that the
 * command is under.
 *
 * Reading order: init_main (everything that is the same for all commands), lead_ahead (the leader is there before its
 * command), take_on (the rest, on order), leader_main.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/plan.h"
#include "sandbox/layers.h"

enum { FD_CONTROL = 3, FD_TEMPLATE, FD_RULES = FD_TEMPLATE /* when that is used */, FD_REST };

#define STACK_SIZE (2u << 20) /* of the leader: execvp may copy the arguments */

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

static void require(enum sandbox_layer layer, int r, const char *what)
{
	if (r < 0)
		fail(layer, r, what);
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

/* A root with the host's network is another one. */
static bool has_template(const struct init_args *a)
{
	return a->host->namespaces && a->host->template_fd >= 0 && !a->frame->network;
}

/* Closes all but our own: whatever the supervisor had open ends here. Ours have numbers from SANDBOX_FIRST_FD up, so
 * nothing is overwritten. */
static int settle_descriptors(const struct init_args *a)
{
	for (int i = 0; i < 3; i++)
		if (dup2(a->null, i) < 0)
			return -errno;
	if (dup3(a->control, FD_CONTROL, O_CLOEXEC) < 0)
		return -errno;
	if (has_template(a) && dup3(a->host->template_fd, FD_TEMPLATE, O_CLOEXEC) < 0)
		return -errno;
	if (!HAS(WITHOUT_CLOSED_DESCRIPTORS))
		return 0;
	return syscall(SYS_close_range, FD_TEMPLATE + has_template(a), ~0u, 0) < 0 ? -errno : 0;
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

/* ---- Before there is a command ---- */

/* The layers that only exist with namespaces. All of them belong to the spawner's user namespace; the own one comes
 * last, so that not even its root would have a right over them. */
static void enter_namespaces(const struct init_args *a)
{
	struct init_message m = {.event = INIT_USERNS};
	const char *what = "";
	enum sandbox_layer layer;
	int r;

	if (HAS(LAYER_UTSNS))
		require(LAYER_UTSNS, sethostname("ogent", 5) < 0 ? -errno : 0, "host name");
	if (!a->frame->network && !a->frame->net && HAS(LAYER_NETNS))
		require(LAYER_NETNS, net_enter(&what), what);
	if (HAS(LAYER_ROOT)) {
		r = mounts_enter(a->host, a->frame, has_template(a) ? FD_TEMPLATE : -1, &layer, &what);
		require(layer, r, what);
	}
	if (has_template(a))
		close(FD_TEMPLATE);
	if (a->host->cgroupns && HAS(LAYER_CGROUPNS) && unshare(CLONE_NEWCGROUP) < 0)
		fail(LAYER_CGROUPNS, -errno, "cgroup namespace");
	r = HAS(LAYER_USERNS) ? userns_enter(&what) : 0;
	require(LAYER_USERNS, r, what);
	/* An ordinary supervisor cannot look at us later; root can, and is not woken for it where nobody waits. */
	if (a->host->owns_userns || !a->frame->is_ahead)
		say(&m);
	if (a->host->owns_userns)
		await_step();
}

static void lock_down(const struct init_args *a)
{
	const char *what = "";
	int fd = -1, r = HAS(LAYER_CAPABILITIES) ? caps_bound(&what) : 0;

	require(LAYER_CAPABILITIES, r, what);
	if (HAS(LAYER_NO_NEW_PRIVS))
		require(LAYER_NO_NEW_PRIVS, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0, "no_new_privs");
	r = HAS(LAYER_LANDLOCK) ? landlock_prepare(a->host, a->frame->network, &fd, &what) : 0;
	require(LAYER_LANDLOCK, r, what);
	r = HAS(LAYER_RLIMITS) ? limits_set_common(&what) : 0;
	require(LAYER_RLIMITS, r, what);
	if (fd >= 0 && fd != FD_RULES) {
		require(LAYER_LANDLOCK, dup3(fd, FD_RULES, O_CLOEXEC) < 0 ? -errno : 0, "landlock rules");
		close(fd);
	}
	r = HAS(LAYER_SECCOMP) ? seccomp_enter(a->host, a->frame->network, &what) : 0;
	require(LAYER_SECCOMP, r, what);
}

/* ---- On order ---- */

static bool has_rules(const struct init_args *a)
{
	return a->host->landlock_abi > 0 && HAS(LAYER_LANDLOCK);
}

static void become_user(const struct init_args *a)
{
	const char *what = "";
	int r = userns_become(a->host, a->order->uid, &what);

	require(LAYER_USERNS, r, what);
	r = HAS(LAYER_CAPABILITIES) ? caps_drop(&what) : 0;
	require(LAYER_CAPABILITIES, r, what);
}

/* What is left of the layers; what is cloned later inherits them. Where the init's death must end the leader by a
 * signal, it may not be in a Landlock domain, from which it could not send one. */
static void take_on(const struct init_args *a)
{
	const struct sandbox_order *o = a->order;
	const char *what = "";
	int r = HAS(LAYER_RLIMITS) ? limits_set(a->host, o, &what) : 0;

	require(LAYER_RLIMITS, r, what);
	if (has_rules(a)) {
		r = landlock_allow_workspace(a->host, FD_RULES, o->workspace, &what);
		if (r == 0 && a->host->namespaces)
			r = landlock_enter(FD_RULES, &what);
		require(LAYER_LANDLOCK, r, what);
	}
	become_user(a);
}

/* The change of user cleared it. */
static void die_with_supervisor(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/* What the init has not: a Landlock domain of its own (so that it may not signal or trace the init), and the limit of
 * processes, of which the init's later ones are not. Commands that share a sandbox have one domain, since they may
 * signal each other; a leader that waited has its own already. */
static void take_on_as_leader(const struct init_args *a, bool has_domain)
{
	const char *what = "";
	int r = has_rules(a) && !has_domain ? landlock_enter(FD_RULES, &what) : 0;

	require(LAYER_LANDLOCK, r, what);
	r = HAS(LAYER_RLIMITS) ? limits_set_pids(a->host, a->order->pids_max, &what) : 0;
	require(LAYER_RLIMITS, r, what);
}

/* The order is in the shared memory; its message brings the standard descriptors, for a seat the memory too. */
static int await_order(int *ret_memory)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(4 * sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	size_t size = (ret_memory ? 4 : 3) * sizeof(int);
	int fds[4];
	ssize_t n;

	do
		n = recvmsg(FD_CONTROL, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(size))
		return -EPIPE;
	memcpy(fds, CMSG_DATA(c), size);
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			return -errno;
	if (ret_memory && dup3(fds[3], FD_RULES, O_CLOEXEC) < 0)
		return -errno;
	if (ret_memory)
		*ret_memory = FD_RULES;
	if (!HAS(WITHOUT_CLOSED_DESCRIPTORS))
		return 0;
	return syscall(SYS_close_range, FD_REST, ~0u, 0) < 0 ? -errno : 0;
}

/* A plan's processes work on it, each on its own copy: at the same place, but not shared any more. */
static int own_order(const struct sandbox_order *o)
{
	size_t n = (sizeof(*o) + o->used + 4095) & ~(size_t)4095;
	void *copy = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy == MAP_FAILED)
		return -ENOMEM;
	memcpy(copy, o, sizeof(*o) + o->used);
	if (mremap(copy, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(uintptr_t)o) == MAP_FAILED)
		return -errno;
	return 0;
}

/* With a descriptor, which is closed here. */
static int say_with(struct init_message *say, int fd)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} extra = {0};
	struct iovec iov = {say, sizeof(*say)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof(extra)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int r;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	r = sendmsg(FD_CONTROL, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* The way out is served from outside; here is only its socket, which nobody inside keeps. */
static void hand_out_proxy(void)
{
	struct init_message here = {.event = INIT_PROXY};
	const char *what = "";
	int fd = net_proxy_listen(&what);

	require(LAYER_NETNS, fd, what);
	require(LAYER_NETNS, say_with(&here, fd), "handing out the way out");
}

static void await_change(const uint32_t *word, uint32_t value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

/* In the leader, before it becomes the command. */
static void begin_session(void)
{
	setsid();
	umask(022);
}

/* *may_go (NULL: now) is waited for last. */
static int lead(const struct init_args *a, const uint32_t *may_go)
{
	struct init_message m = {.event = INIT_EXEC_FAILED};
	const struct sandbox_order *o = a->order;

	ioctl(STDIN_FILENO, TIOCSCTTY, 0); /* a terminal becomes its own; on anything else this does nothing */
	if (chdir(o->cwd) < 0) {
		m.event = INIT_CWD_FAILED;
		m.err = errno;
	}
	if (may_go)
		await_change(may_go, 0);
	if (m.err) {
		say(&m);
		return 126;
	}
	if (plan_is(o->argv) && own_order(o) == 0)
		plan_run(o->argv, o->envp);
	environ = o->envp; /* execvp looks for PATH there */
	execvp(o->argv[0], o->argv);
	m.err = errno;
	say(&m);
	return m.err == ENOENT ? 127 : 126; /* to who started it, which ends the process without a word */
}

static int leader_main(void *args)
{
	const struct init_args *a = args;

	/* A pid namespace would end it with the init. */
	if (!a->host->namespaces)
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	begin_session();
	take_on_as_leader(a, a->order->is_seat);
	close(FD_RULES);
	return lead(a, NULL);
}

/* A plan is run by the leader itself, in memory and on a stack of its own. */
static pid_t start_leader(const struct init_args *a, char *stack)
{
	bool is_plan = plan_is(a->order->argv);
	pid_t pid = is_plan ? fork()
			    : clone(leader_main, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD,
				    (void *)(uintptr_t)a);

	if (is_plan && pid == 0)
		_exit(leader_main((void *)(uintptr_t)a));
	return pid < 0 ? -errno : pid;
}

/* ---- A leader that waits ---- */

/* To clone it when its command is there would cost a tenth of the command's time. It has the init's memory and
 * descriptors until it becomes the command, and a stack and credentials of its own. */
static struct {
	uint32_t may_go; /* the init has given up its rights: nothing foreign runs beside one that has any */
	uint32_t pid;    /* the kernel makes it 0 when the leader has left this memory */
} ahead;

static struct sandbox_order *awaited;

/* It died before there was an order: there will be none. */
static void on_child(int signal)
{
	uint32_t waits = ORDER_AWAITED;

	(void)signal;
	__atomic_compare_exchange_n(&awaited->step, &waits, ORDER_REFUSED, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* What is needed on order is there then: a clone's tables have no pages of files in them, and its data are copied when
 * they are first written. */
static void touch(void)
{
	const uintptr_t code[] = {(uintptr_t)take_on,   (uintptr_t)landlock_enter,  (uintptr_t)userns_become,
				  (uintptr_t)caps_drop, (uintptr_t)limits_set_pids, (uintptr_t)lead,
				  (uintptr_t)getrlimit, (uintptr_t)execvp,          (uintptr_t)chdir,
				  (uintptr_t)sigaction, (uintptr_t)syscall,         (uintptr_t)reap_all};
	char **volatile *env = &environ;

	for (size_t i = 0; i < ARRAY_SIZE(code); i++)
		(void)*(const volatile char *)code[i];
	*env = *env;
}

/* A plan is run in a memory of its own, by one whom the init starts. */
static int waiting_leader_main(void *args)
{
	const struct init_args *a = args;

	begin_session();
	touch();
	if (await_order(NULL) < 0)
		return 1;
	if (plan_is(a->order->argv))
		return 0;
	if (a->order->has_proxy)
		hand_out_proxy();
	take_on(a);
	take_on_as_leader(a, true);
	return lead(a, &ahead.may_go);
}

/* The init's part of an order that the leader has. */
static void follow_leader(const struct init_args *a)
{
	const char *what = "";
	int r = has_rules(a) ? landlock_enter(FD_RULES, &what) : 0;

	require(LAYER_LANDLOCK, r, what);
	become_user(a);
	die_with_supervisor();
	__atomic_store_n(&ahead.may_go, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &ahead.may_go, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static pid_t clone_waiting(const struct init_args *a, char *stack)
{
	int pid;

	awaited = a->order;
	signal(SIGCHLD, on_child);
	pid = clone(waiting_leader_main, stack + STACK_SIZE,
		    CLONE_VM | CLONE_FILES | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, (void *)(uintptr_t)a,
		    &ahead.pid, NULL, &ahead.pid);
	return pid < 0 ? -errno : pid;
}

/* Returns the leader when it has become the command. 0: the order is a plan, and its descriptors are there. */
static pid_t lead_ahead(const struct init_args *a, char *stack)
{
	struct init_message ready = {.event = INIT_READY};
	pid_t pid = clone_waiting(a, stack);

	require(LAYER_PIDNS, pid, "starting the leader");
	say(&ready);
	await_change(&a->order->step, ORDER_AWAITED);
	if (a->order->step == ORDER_REFUSED)
		_exit(1);
	if (!plan_is(a->order->argv))
		follow_leader(a);
	signal(SIGCHLD, SIG_DFL);
	await_change(&ahead.pid, (uint32_t)pid);
	if (!plan_is(a->order->argv))
		return pid;
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return 0;
}

/* ---- Seats ---- */

static void *moved(const void *p, const struct sandbox_order *from, const struct sandbox_order *to)
{
	return (char *)(uintptr_t)to + ((const char *)p - (const char *)from);
}

static char **moved_strings(char **items, const struct sandbox_order *from, const struct sandbox_order *to)
{
	items = moved(items, from, to);
	for (char **p = items; *p; p++)
		*p = moved(*p, from, to);
	return items;
}

/* An own copy of what another process has written, at another place: behind the stack. A limit of data allows no
 * mapping any more when there is one already. */
static struct sandbox_order *take_order(int memory, char *stack)
{
	struct sandbox_order *o = (struct sandbox_order *)(stack + STACK_SIZE);
	size_t n;

	if (pread(memory, o, sizeof(*o), 0) != (ssize_t)sizeof(*o) || o->used > ORDER_SIZE - sizeof(*o))
		return NULL;
	n = o->used;
	if (pread(memory, o->data, n, sizeof(*o)) != (ssize_t)n)
		return NULL;
	o->workspace = moved(o->workspace, o->place, o);
	o->cwd = moved(o->cwd, o->place, o);
	o->argv = moved_strings(o->argv, o->place, o);
	o->envp = moved_strings(o->envp, o->place, o);
	return o;
}

/* The process of a seat: to its command what the init is to a command that has the sandbox for itself. */
static NORETURN void seat_main(const struct init_args *a, int control, char *stack)
{
	struct init_message ready = {.event = INIT_READY};
	struct init_args own = *a;
	int memory;
	pid_t leader;

	if (dup3(control, FD_CONTROL, O_CLOEXEC) < 0 || syscall(SYS_close_range, FD_RULES, ~0u, 0) < 0)
		_exit(1);
	signal(SIGCHLD, SIG_DFL);
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	say(&ready);
	if (await_order(&memory) < 0)
		_exit(1);
	own.order = take_order(memory, stack);
	require(LAYER_PIDNS, own.order ? 0 : -EIO, "the order");
	leader = start_leader(&own, stack);
	require(LAYER_PIDNS, leader, "starting the leader");
	syscall(SYS_close_range, 0, 2, 0);
	close(FD_RULES);
	reap_all(FD_CONTROL, leader, own.frame->keeps_net);
}

/* One descriptor each: the seat's end of its control connection. */
static int await_seat(void)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} extra;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof(extra)};
	struct cmsghdr *c;
	ssize_t n;
	int fd = -1;

	do
		n = recvmsg(FD_CONTROL, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Whoever has no parent any more falls to us, and the kernel buries it. */
static NORETURN void serve_seats(const struct init_args *a, char *stack)
{
	struct init_message ready = {.event = INIT_READY};
	int fd;

	signal(SIGCHLD, SIG_IGN);
	close(FD_RULES);
	say(&ready);
	while ((fd = await_seat()) >= 0) {
		if (fork() == 0)
			seat_main(a, fd, stack);
		close(fd); /* who could not be forked is heard by its end */
	}
	_exit(0);
}

/* Where a signal must end the leader, it is a child of an init that has taken all on; so is who makes seats. */
static pid_t await_leader(const struct init_args *a, char *stack)
{
	struct init_message ready = {.event = INIT_READY};
	bool is_ahead = a->host->namespaces && !a->frame->is_shared;
	pid_t leader = is_ahead ? lead_ahead(a, stack) : 0;

	if (leader > 0)
		return leader;
	if (!is_ahead) {
		say(&ready);
		if (await_order(NULL) < 0)
			_exit(1);
	}
	if (a->order->has_proxy)
		hand_out_proxy();
	take_on(a);
	die_with_supervisor();
	if (a->order->is_shared)
		serve_seats(a, stack);
	leader = start_leader(a, stack);
	require(LAYER_PIDNS, leader, "starting the leader");
	return leader;
}

void init_main(const struct init_args *a)
{
	int r, joined = cgroup_join(a->cgroup), net = net_join(a->frame);
	char *stack;
	pid_t leader;

	if (settle_descriptors(a) < 0)
		_exit(1);
	require(LAYER_CGROUP, joined, "entering the cgroup");
	require(LAYER_NETNS, net, "entering the network namespace");
	reset_signals();
	/* With a pid namespace nobody else in it has the supervisor's session, and a session is dear: the kernel makes
	 * a share of the CPU for each. */
	if (!a->host->namespaces)
		setsid();
	umask(0);
	/* Our end if the supervisor dies; changes of rights clear it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (a->host->namespaces)
		enter_namespaces(a);
	else
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	r = HAS(WITHOUT_UNDUMPABLE) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
	require(LAYER_USERNS, r, "dumpable");
	lock_down(a);
	stack = mmap(NULL, STACK_SIZE + ORDER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		     -1, 0);
	require(LAYER_PIDNS, stack == MAP_FAILED ? -ENOMEM : 0, "a stack for the leader");
	stack[STACK_SIZE - 1] = 0; /* so that its first page is there, as the order's */
	(void)*(const volatile size_t *)&a->order->used;
	die_with_supervisor();
	leader = await_leader(a, stack);
	syscall(SYS_close_range, 0, 2, 0);
	close(FD_RULES);
	reap_all(FD_CONTROL, leader, a->frame->keeps_net);
}
