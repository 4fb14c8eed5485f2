#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attend.h"
#include "base/clock.h"
#include "control.h"
#include "egress/proxy.h"
#include "files.h"
#include "session.h"
#include "shared.h"
#include "spec.h"
#include "spool.h"

#define LAST_WORDS_MS 200 /* for the log of the way out */
#define MAX_PEERS 4
#define CONTROL_FD 3 /* the first connection */
#define OFFERS_FD 4  /* where it says that it waits, or does not come */
#define AHEAD_MS 30000
#define SHORT_MS 50
#define PEER_RUNS_MS 1
#define OTHERS_END_MS 200
#define SPEC_MAX (32 << 20)
#define PAGE 4096u
#define STACK_USED (64u << 10) /* at the most, by starting */

/* A connection to exec; two at once while a new exec takes over. */
struct peer {
	int fd; /* -1 = free */
	bool is_told_start;
	bool is_waiting; /* told about output, and has not said that it saw it */
	uint64_t told;   /* bytes */
	/* Of the input, as told. */
	bool is_told_input, is_told_closed, is_told_waiting;
	uint64_t told_received, told_taken;
};

struct supervisor {
	const struct supervisor_place *place;
	pid_t spawner;
	unsigned rounds; /* sandboxes that it made ahead */
	bool has_groups; /* that these have in common */
	bool is_away;    /* it has said that it does not come back */
	struct arena *arena;
	struct spec spec;
	struct attendant attendant;
	pid_t way_out; /* the process that serves the command's hosts, 0 = none */
	struct spool_writer spool;
	struct session session;
	int shared_fd;        /* the keeper of a shared sandbox; -1 = it has one of its own */
	bool is_published;    /* the result is there */
	bool is_light;        /* see lighten_if_due */
	int dir_fd;           /* the command's folder, locked */
	int exec_fd;          /* the exec folder */
	int listen_fd;        /* -1 until listen_if_due */
	uint64_t lasts_at_us; /* monotonic: from then on it is no short one */
	struct peer peers[MAX_PEERS];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- exec ---- */

static void peer_send(struct peer *p, const struct control_event *e)
{
	if (p->fd >= 0 && send(p->fd, e, sizeof(*e), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		close_fd(&p->fd);
}

static void peer_tell_input(struct supervisor *s, struct peer *p)
{
	const struct attendant *a = &s->attendant;
	bool is_closed = a->in < 0 || a->is_input_ended;
	struct control_event input = {
		.type = CONTROL_INPUT, .err = is_closed ? -EPIPE : 0, .total = a->received, .at_us = (int64_t)a->taken};
	struct control_event waiting = {.type = CONTROL_WAITING, .total = a->is_waiting};

	if (!p->is_told_input || p->told_received != a->received || p->told_taken != a->taken ||
	    p->is_told_closed != is_closed) {
		p->is_told_input = true;
		p->is_told_closed = is_closed;
		p->told_received = a->received;
		p->told_taken = a->taken;
		peer_send(p, &input);
	}
	if (p->is_told_waiting != a->is_waiting) {
		p->is_told_waiting = a->is_waiting;
		peer_send(p, &waiting);
	}
}

static bool lasts(const struct supervisor *s)
{
	return clock_mono_us() >= s->lasts_at_us;
}

/* Tells what it does not know yet. Of a short command without output only the end, which says the rest. */
static void peer_tell(struct supervisor *s, struct peer *p)
{
	struct control_event started = {.type = CONTROL_STARTED, .at_us = s->attendant.result.started_us};
	struct control_event output = {.type = CONTROL_OUTPUT, .total = spool_total(&s->spool)};

	if (!p->is_told_start && s->attendant.result.started_us && (output.total || lasts(s))) {
		p->is_told_start = true;
		peer_send(p, &started);
	}
	if (s->attendant.pending) /* its stdin is there */
		peer_tell_input(s, p);
	if (!p->is_waiting && p->told < output.total) {
		p->is_waiting = true;
		p->told = output.total;
		peer_send(p, &output);
	}
}

static void tell_all(struct supervisor *s)
{
	for (size_t i = 0; i < MAX_PEERS; i++)
		if (s->peers[i].fd >= 0)
			peer_tell(s, &s->peers[i]);
}

static void peer_add(struct supervisor *s, int fd)
{
	for (size_t i = 0; i < MAX_PEERS; i++) {
		if (s->peers[i].fd >= 0)
			continue;
		s->peers[i] = (struct peer){.fd = fd};
		peer_tell(s, &s->peers[i]);
		return;
	}
	close(fd);
}

/* By a relative path, because a socket's path may be 107 bytes long only. */
static int listen_control(int dir_fd)
{
	const struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = CONTROL_SOCKET};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r = 0;

	if (fd < 0)
		return -errno;
	unlinkat(dir_fd, CONTROL_SOCKET, 0);
	if (fchdir(dir_fd) < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, MAX_PEERS) < 0)
		r = -errno;
	if (chdir("/") < 0 && r == 0)
		r = -errno;
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* ---- The command ---- */

/* On record before the leader runs. Not synced: if the machine itself dies, a command that was accepted before it and
 * has no result counts as lost, with or without this (command_settle). */
static int record_start(struct supervisor *s)
{
	const struct timespec now[] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};

	utimensat(s->dir_fd, SPEC_FILE, now, AT_SYMLINK_NOFOLLOW);
	return file_link(s->dir_fd, SPEC_FILE, s->dir_fd, STARTED_FILE, STR(""));
}

/* Since the leader's start. */
static uint32_t at_ms(const struct supervisor *s)
{
	return (uint32_t)((clock_mono_us() - s->attendant.start_us) / 1000);
}

static void on_output(struct attendant *a, int i, const void *data, size_t n)
{
	struct supervisor *s = container_of(a, struct supervisor, attendant);

	spool_write(&s->spool, i == 0 ? SPOOL_STDOUT : SPOOL_STDERR, at_ms(s), data, n);
}

static void on_data(struct supervisor *s, const char *data, size_t n)
{
	ssize_t taken = attendant_input(&s->attendant, data, n);

	if (taken > 0 && s->spec.keeps_input)
		session_input(&s->session, at_ms(s), data, (size_t)taken);
}

/* What cannot be done (it has just ended, say) is seen in the command's state. */
static void on_request(struct supervisor *s, struct peer *p, const struct control_request *m, const char *data,
		       size_t n)
{
	struct attendant *a = &s->attendant;
	struct tty_size size = {m->a, m->b};

	switch ((enum control_request_type)m->type) {
	case CONTROL_CANCEL: attendant_cancel(a); break;
	case CONTROL_SEEN: p->is_waiting = false; break;
	case CONTROL_DATA: on_data(s, data, n); break;
	case CONTROL_DATA_END: attendant_input_end(a); break;
	case CONTROL_SIGNAL: attendant_signal(a, (int)m->a, m->b != 0); break;
	case CONTROL_RESIZE:
		if (attendant_resize(a, &size) == 0)
			session_resize(&s->session, at_ms(s), &size);
		break;
	}
}

static void on_peer(struct supervisor *s, struct peer *p)
{
	static char data[CONTROL_DATA_MAX];
	struct control_request m = {0};
	struct iovec parts[] = {{&m, sizeof(m)}, {data, sizeof(data)}};
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts)};
	ssize_t n = recvmsg(p->fd, &msg, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < (ssize_t)sizeof(m.type)) {
		close_fd(&p->fd);
		return;
	}
	on_request(s, p, &m, data, MAX((size_t)n, sizeof(m)) - sizeof(m));
}

/* ---- The way out ---- */

/* The way out is a process of its own, as the command's user, with nothing of ours but its socket and its log. */
static NORETURN void serve_hosts(struct supervisor *s)
{
	struct egress_config config = {.allowed = *s->spec.hosts, .uid = s->attendant.host->is_root ? s->spec.uid : 0};
	int log = openat(s->dir_fd, NETWORK_FILE, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	config.dns_servers = s->spec.dns[0] ? s->spec.dns : NULL;
	networks_parse(&config.inner, s->spec.inner, "", NULL);
	config.listen_fd = 3;
	config.log_fd = log < 0 ? -1 : 4;
	log = log < 0 ? -1 : fcntl(log, F_DUPFD, 5);
	dup2(s->attendant.sandbox.proxy_fd, 3);
	dup2(log, 4);
	syscall(SYS_close_range, log < 0 ? 4 : 5, ~0u, 0);
	egress_main(&config);
}

static void open_way_out(struct supervisor *s)
{
	int *fd = &s->attendant.sandbox.proxy_fd;
	pid_t pid;

	if (*fd < 0)
		return;
	lean_undo(&s->place->lean);
	pid = fork();
	if (pid == 0)
		serve_hosts(s);
	lean_apply(&s->place->lean);
	s->way_out = MAX(pid, 0);
	if (pid < 0)
		attendant_fail(&s->attendant, "The way out could not be started: there are too many processes.");
	close_fd(fd);
}

static void close_way_out(struct supervisor *s)
{
	if (s->way_out <= 0)
		return;
	kill(s->way_out, SIGTERM);
	for (unsigned ms = 0; ms < LAST_WORDS_MS; ms++) {
		if (waitpid(s->way_out, NULL, WNOHANG) != 0)
			return;
		usleep(1000);
	}
	kill(s->way_out, SIGKILL);
	waitpid(s->way_out, NULL, 0);
}

/* ---- The shared sandbox ---- */

static void on_keeper(struct supervisor *s)
{
	char why[160];

	if (shared_told(s->shared_fd, why, sizeof(why)))
		attendant_cancel_for(&s->attendant, why);
	else
		close_fd(&s->shared_fd); /* it died, and the sandbox with it */
}

/* Without the sandbox that was made ahead, should there be one. */
static int join(struct supervisor *s)
{
	struct attendant *a = &s->attendant;
	struct error err = {0};
	int r;

	if (!s->spec.session[0])
		return 0;
	sandbox_deinit(a->host, &a->sandbox);
	a->is_ready = false;
	lean_undo(&s->place->lean); /* for its keeper, which may be made here */
	r = shared_join(a, s->exec_fd, s->place->exec_dir, &s->shared_fd, &err);
	lean_apply(&s->place->lean);
	if (r < 0)
		attendant_fail(a, err.message);
	return r;
}

static void leave(struct supervisor *s)
{
	struct attendant *a = &s->attendant;

	if (s->shared_fd >= 0 && (a->is_left || a->sandbox.has_strays)) {
		shared_leave(s->shared_fd, a->out, a->sandbox.has_strays);
		s->shared_fd = -1;
	}
	close_fd(&s->shared_fd); /* before its end is told */
}

/* ---- The pool ---- */

/* It does not wait for a command (again): exec may want another one in its place. */
static void stay_away(struct supervisor *s, int err)
{
	struct spawn_offer offer = {.err = err};

	if (!s->is_away && s->place->offers >= 0)
		spawn_send(OFFERS_FD, &offer, sizeof(offer), -1);
	s->is_away = true;
}

/* ---- The loop ---- */

/* Most commands are over before anybody but the exec that asked for them could want to reach them, and a socket is
 * dear. Whoever looks for it before it is there sees the lock and looks again. */
static void listen_if_due(struct supervisor *s)
{
	bool is_alone = true;

	for (size_t i = 0; i < MAX_PEERS; i++)
		is_alone &= s->peers[i].fd < 0;
	if (s->listen_fd >= 0 || (!is_alone && !lasts(s)))
		return;
	stay_away(s, -EBUSY);
	s->listen_fd = listen_control(s->dir_fd);
	if (s->listen_fd < 0)
		attendant_fail(&s->attendant, arena_printf(s->arena, "The command could not be reached: %s.",
							   strerror(-s->listen_fd)));
}

/* What starting has left of memory: the order, free blocks, the pages of the stack below us. One whose command lasts
 * waits for most of its time. */
static void lighten_if_due(struct supervisor *s)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(PAGE - 1);

	if (s->is_light || s->listen_fd < 0 || s->attendant.state == ATTEND_SETUP)
		return;
	s->is_light = true;
	cgroup_close_counts(&s->attendant.sandbox.cgroup);
	sandbox_forget_order(&s->attendant.sandbox);
	malloc_trim(0);
	madvise((void *)(here - STACK_USED), STACK_USED - PAGE, MADV_DONTNEED);
}

static int milliseconds(const struct supervisor *s)
{
	int ms = attendant_milliseconds(&s->attendant);
	uint64_t now = clock_mono_us();

	if (s->listen_fd >= 0)
		return ms;
	return now >= s->lasts_at_us ? 0 : MIN(ms, (int)((s->lasts_at_us - now + 999) / 1000));
}

enum { FD_LISTEN = ATTEND_FDS, FD_SHARED, FD_PEERS, FD_COUNT = FD_PEERS + MAX_PEERS };

static void wait_for_something(struct supervisor *s)
{
	struct pollfd p[FD_COUNT] = {[FD_LISTEN] = {.fd = s->listen_fd, .events = POLLIN},
				     [FD_SHARED] = {.fd = s->shared_fd, .events = POLLIN}};

	attendant_poll(&s->attendant, p);
	for (size_t i = 0; i < MAX_PEERS; i++)
		p[FD_PEERS + i] = (struct pollfd){.fd = s->peers[i].fd, .events = POLLIN};
	if (poll(p, FD_COUNT, milliseconds(s)) < 0)
		return;
	if (p[FD_SHARED].revents & POLLIN)
		on_keeper(s);
	attendant_handle(&s->attendant, p);
	open_way_out(s);
	for (size_t i = 0; i < MAX_PEERS; i++)
		if (p[FD_PEERS + i].revents)
			on_peer(s, &s->peers[i]);
	if (p[FD_LISTEN].revents) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			peer_add(s, fd);
	}
}

static void loop(struct supervisor *s)
{
	while (s->attendant.state != ATTEND_ENDED) {
		wait_for_something(s);
		attendant_step(&s->attendant);
		tell_all(s);
		listen_if_due(s);
		lighten_if_due(s);
	}
}

/* ---- After ---- */

static void judge_output(struct supervisor *s)
{
	struct result *r = &s->attendant.result;

	r->output_bytes = spool_total(&s->spool);
	r->truncated_bytes = spool_truncated(&s->spool);
	if (s->spool.err < 0 && !r->reason[0])
		snprintf(r->reason, sizeof(r->reason), "Output could not be kept: %s.", strerror(-s->spool.err));
}

/* A wake-up by a local socket puts who is woken on this CPU, since who wrote to it mostly waits next. We do not. */
static void let_peer_run(const struct supervisor *s)
{
	struct pollfd p = {.fd = s->peers[0].fd};

	if (p.fd >= 0)
		poll(&p, 1, PEER_RUNS_MS); /* until it has closed its end */
}

/* Whoever cancels one command that lasts may be cancelling hundreds, and waits until all have ended. */
static void let_others_end(struct supervisor *s)
{
	for (size_t i = 0; i < MAX_PEERS; i++)
		close_fd(&s->peers[i].fd);
	usleep(OTHERS_END_MS * 1000);
}

/* exec is told before the disk has it: what a power failure takes in between reads as lost. Room for the result was
 * reserved with the command; a disk that fails all the same must not hide the end: exec is told and calls it lost. */
static void publish(struct supervisor *s)
{
	struct control_event ended = {.type = CONTROL_ENDED};

	ended.err = file_replace(s->dir_fd, RESULT_FILE, result_to_json(s->arena, &s->attendant.result));
	if (s->listen_fd >= 0)
		unlinkat(s->dir_fd, CONTROL_SOCKET, 0);
	for (size_t i = 0; i < MAX_PEERS; i++)
		peer_send(&s->peers[i], &ended);
	if (s->listen_fd >= 0 && s->attendant.result.status == COMMAND_CANCELLED && !s->spec.session[0])
		let_others_end(s);
	else
		let_peer_run(s);
	if (ended.err == 0)
		unlinkat(s->exec_fd, arena_printf(s->arena, "running/%s", s->spec.id), 0);
	s->is_published = ended.err == 0;
}

static void sync_result(struct supervisor *s)
{
	spool_writer_sync(&s->spool);
	if (s->is_published)
		file_sync(s->dir_fd, RESULT_FILE);
}

/* ---- The process ---- */

static void settle_process(const struct supervisor_place *place, int keep)
{
	const struct sandbox_host *host = place->host;
	int last = MAX(MAX(host->template_fd, host->mounts_fd), SANDBOX_FIRST_FD - 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int offers = place->offers < 0 ? -1 : fcntl(place->offers, F_DUPFD_CLOEXEC, OFFERS_FD + 1);

	setsid();
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	dup3(keep >= 0 ? keep : STDIN_FILENO, CONTROL_FD, O_CLOEXEC); /* the number is taken in any case */
	if (offers >= 0)
		dup3(offers, OFFERS_FD, O_CLOEXEC);
	else
		close(OFFERS_FD);
	syscall(SYS_close_range, OFFERS_FD + 1, SANDBOX_FIRST_FD - 1, 0);
	syscall(SYS_close_range, last + 1, ~0u, 0);
	prctl(PR_SET_NAME, "ogent-command", 0, 0, 0);
	if (!host->namespaces)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/* For one command. */
static void begin(struct supervisor *s)
{
	arena_reset(s->arena);
	s->spec = (struct spec){0};
	s->way_out = 0;
	s->is_published = s->is_light = false;
	s->dir_fd = s->listen_fd = s->shared_fd = -1;
	s->lasts_at_us = 0;
	attendant_init(&s->attendant, s->arena);
	s->attendant.host = s->place->host;
	s->attendant.spec = &s->spec;
	s->attendant.on_output = on_output;
	for (size_t i = 0; i < MAX_PEERS; i++)
		s->peers[i] = (struct peer){.fd = -1};
	spool_writer_init(&s->spool, -1, 0);
	session_init(&s->session, -1);
}

static void init(struct supervisor *s, const struct supervisor_place *place, int keep)
{
	*s = (struct supervisor){.place = place, .spawner = getppid(), .arena = arena_new(), .exec_fd = -1};
	settle_process(place, keep);
	lean_apply(&place->lean);
	begin(s);
}

/* Takes the command's folder for itself, or leaves it to who has it. */
static int take_folder(struct supervisor *s, const char *id)
{
	if (s->exec_fd < 0)
		s->exec_fd = open(s->place->exec_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->exec_fd < 0)
		return -errno;
	s->dir_fd = dir_open(s->exec_fd, arena_printf(s->arena, "commands/%s", id));
	if (s->dir_fd < 0)
		return s->dir_fd;
	return flock(s->dir_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int load(struct supervisor *s)
{
	struct str text;
	int r = file_read(s->dir_fd, SPEC_FILE, SPEC_MAX, s->arena, &text);

	return r < 0 ? r : spec_from_json(s->arena, file_first(text), &s->spec);
}

static const char *share_name(struct supervisor *s)
{
	return arena_printf(s->arena, "pool-%d", (int)getpid());
}

/* Two take turns: while the next sandbox comes up the last one may still be ending. Without a pid namespace only its
 * leaf kills a sandbox, and none has another's. */
static const char *leaf_name(struct supervisor *s, unsigned round)
{
	if (!s->place->host->namespaces)
		return NULL;
	return arena_printf(s->arena, "pool-%d.%u", (int)getpid(), round % 2);
}

/* What its sandboxes had in common is nobody's now. Whoever outlives the spawner, which may have been killed, removes
 * as the last one what that could not. */
static NORETURN void leave_host(struct supervisor *s, int code)
{
	const struct cgroup_host *host = &s->place->host->cgroup;

	if (s->has_groups) {
		cgroup_remove(host, share_name(s));
		for (unsigned i = 0; i < 2 && s->place->host->namespaces; i++)
			cgroup_remove(host, leaf_name(s, i));
	}
	if (__atomic_load_n(s->place->is_over, __ATOMIC_SEQ_CST) || getppid() != s->spawner)
		cgroup_host_deinit(host);
	_exit(code);
}

static NORETURN void give_up(struct supervisor *s, enum control_event_type type, int err)
{
	struct control_event e = {.type = type, .err = err};

	send(CONTROL_FD, &e, sizeof(e), MSG_NOSIGNAL);
	stay_away(s, err);
	sandbox_deinit(s->attendant.host, &s->attendant.sandbox);
	leave_host(s, 1);
}

/* Everything before the sandbox: the folder, the spec. */
static void prepare(struct supervisor *s, const char *id)
{
	int r = take_folder(s, id);

	if (r < 0)
		give_up(s, r == -EWOULDBLOCK ? CONTROL_TAKEN : CONTROL_FAILED, r);
	r = load(s);
	if (r < 0)
		give_up(s, CONTROL_FAILED, r);
	peer_add(s, CONTROL_FD);
}

static void start(struct supervisor *s)
{
	int r;

	s->attendant.network = s->spec.network;
	if (join(s) < 0 || attendant_start(&s->attendant, s->place->exec_dir) < 0)
		return;
	r = record_start(s);
	if (r == -EEXIST) /* whoever started it before us may have run it: never again */
		give_up(s, CONTROL_FAILED, -EALREADY);
	if (r < 0)
		attendant_fail(&s->attendant,
			       arena_printf(s->arena, "The command could not be recorded: %s.", strerror(-r)));
	attendant_go(&s->attendant);
	cgroup_open_counts(&s->attendant.sandbox.cgroup); /* while the sandbox comes up, or the command starts */
	s->lasts_at_us = clock_mono_us() + SHORT_MS * 1000;
}

/* One command, until its end is told. */
static void run(struct supervisor *s, const char *id)
{
	prepare(s, id);
	spool_writer_init(&s->spool, s->dir_fd, s->spec.output_max);
	session_init(&s->session, s->dir_fd);
	start(s);
	loop(s);
	close_way_out(s);
	attendant_finish(&s->attendant);
	leave(s);
	judge_output(s);
	publish(s);
}

/* ---- Ahead of a command ---- */

/* Everything that is parsed and written once. */
static void rehearse(struct arena *a)
{
	char *none[] = {NULL};
	struct spec spec = {.id = "00000000-0000-7000-8000-000000000000",
			    .user_id = "",
			    .key = "",
			    .request_hash = "",
			    .argv = none,
			    .script = "",
			    .cwd = "",
			    .env = none,
			    .target = "",
			    .workspace = "",
			    .timeout_ms = 1,
			    .memory_max = 1,
			    .output_max = 1,
			    .pids_max = 1};
	struct result result = {.status = COMMAND_EXITED};

	spec_from_json(a, spec_to_json(a, &spec), &spec);
	result_to_json(a, &result);
}

void supervisor_rehearse(void)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	rehearse(a);
}

/* Since the init was cloned our pages are common ones: those that the next command makes us write to become our own
 * before there is one. */
static void own_pages(struct supervisor *s)
{
	volatile char *at = (volatile char *)s;

	for (size_t i = 0; i < sizeof(*s); i += PAGE)
		at[i] = at[i];
	at[sizeof(*s) - 1] = at[sizeof(*s) - 1];
	rehearse(s->arena);
	arena_reset(s->arena);
}

static NORETURN void leave_pool(struct supervisor *s, int err)
{
	stay_away(s, err);
	sandbox_deinit(s->place->host, &s->attendant.sandbox);
	leave_host(s, 0);
}

/* Of the next sandbox. */
static struct sandbox_frame next_frame(struct supervisor *s)
{
	struct sandbox_frame own = *s->place->frame;

	own.keeps_net = true;
	s->has_groups = true;
	own.share = share_name(s);
	own.leaf = leaf_name(s, s->rounds);
	own.name = arena_printf(s->arena, "pool-%d-%u", (int)getpid(), s->rounds++);
	return own;
}

static int open_ahead(struct supervisor *s, const struct sandbox_net *net)
{
	struct sandbox_frame own = next_frame(s);
	struct error err;

	own.net = net->fd >= 0 ? net : NULL;
	own.is_ahead = true;
	return attendant_open(&s->attendant, &own, &err);
}

/* Until its sandbox waits for the command. */
static int finish_ahead(struct attendant *a)
{
	int r = 0;

	while (r == 0 && !a->is_ready) {
		struct pollfd p = {.fd = a->sandbox.control, .events = POLLIN};

		r = poll(&p, 1, AHEAD_MS) > 0 ? attendant_await(a) : -ETIMEDOUT;
	}
	if (r == 0)
		cgroup_open_counts(&a->sandbox.cgroup);
	return r;
}

/* What becomes CONTROL_FD is taken over. */
static void take_control(int fd)
{
	if (fd == CONTROL_FD)
		return;
	dup3(fd, CONTROL_FD, O_CLOEXEC);
	close(fd);
}

/* The command's id, on a control connection. False: it is not wanted any more. */
static bool await_request(int fd, struct spawn_request *ret, int *ret_passed)
{
	ssize_t n = spawn_receive(fd, ret, sizeof(*ret), 0, ret_passed);

	ret->id[sizeof(ret->id) - 1] = 0;
	return n == sizeof(*ret);
}

static void offer(struct supervisor *s, struct spawn_request *ret)
{
	struct spawn_offer here = {0};
	int pair[2], none, r = finish_ahead(&s->attendant);

	if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		r = -errno;
	if (r < 0 || spawn_send(OFFERS_FD, &here, sizeof(here), pair[1]) < 0)
		leave_pool(s, r);
	close(pair[1]);
	take_control(pair[0]);
	s->is_away = true; /* from here on exec counts it as there, until it gives it a command */
	if (!await_request(CONTROL_FD, ret, &none))
		leave_pool(s, 0);
	s->is_away = false;
}

/* Whoever was given hosts, or left somebody behind, has used it, or may have. */
static struct sandbox_net take_net(struct supervisor *s)
{
	struct attendant *a = &s->attendant;

	return a->is_alone && !s->spec.hosts ? sandbox_take_net(&a->sandbox) : SANDBOX_NO_NET;
}

/* The next sandbox is begun first, and comes up while the rest of the last one goes. */
static void begin_again(struct supervisor *s)
{
	struct sandbox_net net = take_net(s);
	struct supervisor last = *s;
	int r;

	for (size_t i = 0; i < MAX_PEERS; i++)
		close_fd(&s->peers[i].fd);
	dup3(STDIN_FILENO, CONTROL_FD, O_CLOEXEC);
	close_fd(&s->listen_fd);
	close_fd(&s->session.fd);
	s->attendant.sandbox = SANDBOX_INIT;
	attendant_deinit(&s->attendant, s->place->exec_dir);
	begin(s);
	r = open_ahead(s, &net);
	sync_result(&last);
	spool_writer_deinit(&last.spool);
	close(last.dir_fd);
	sandbox_deinit(s->place->host, &last.attendant.sandbox);
	if (r < 0)
		leave_pool(s, r);
	own_pages(s);
}

/* Who has been with one command for long has others waiting in its place. Without namespaces all that a command left
 * behind are our children. */
static bool comes_back(const struct supervisor *s)
{
	return s->place->offers >= 0 && !s->is_away && s->place->host->namespaces && s->is_published &&
	       !s->spec.session[0];
}

/* What is left is taken apart when nobody waits for anything. Where the scheduler shares by sessions, each supervisor
 * is one, and its own priority says nothing to others; nor does it under a scheduler of real time. */
static void step_back(void)
{
	int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);

	sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
	setpriority(PRIO_PROCESS, 0, 19);
	if (fd < 0)
		return;
	if (write(fd, "19", 2) < 0)
		errno = 0; /* then it is as dear as the others */
	close(fd);
}

static NORETURN void serve(struct supervisor *s, struct spawn_request *req)
{
	for (;;) {
		run(s, req->id);
		if (!comes_back(s))
			break;
		begin_again(s);
		offer(s, req);
	}
	if (!s->spec.session[0]) /* whoever ends a shared sandbox waits until it is gone */
		step_back();
	sync_result(s);
	stay_away(s, 0);
	attendant_deinit(&s->attendant, s->place->exec_dir);
	leave_host(s, 0);
}

/* ---- The process ---- */

void command_supervise(const struct supervisor_place *place, const char *id, int control)
{
	static struct supervisor s;
	struct spawn_request req;

	init(&s, place, control);
	memcpy(req.id, id, sizeof(req.id));
	serve(&s, &req);
}

/* The sandbox is begun before the command is looked at, and goes on meanwhile. A failure is told when it is tried again
 * with the command's own frame. */
void command_supervise_spare(const struct supervisor_place *place, int spawner)
{
	static struct supervisor s;
	struct sandbox_frame frame;
	struct cgroup groups;
	struct spawn_request req;
	struct error err;
	int control;

	init(&s, place, spawner);
	rehearse(s.arena);
	frame = next_frame(&s);
	if (sandbox_open_groups(place->host, &frame, &groups) == 0)
		frame.groups = &groups;
	if (!await_request(CONTROL_FD, &req, &control) || control < 0) {
		cgroup_deinit(&groups);
		leave_host(&s, 0);
	}
	take_control(control);
	attendant_open(&s.attendant, &frame, &err);
	cgroup_deinit(&groups);
	serve(&s, &req);
}

void command_supervise_ahead(const struct supervisor_place *place)
{
	static struct supervisor s;
	struct spawn_request req;
	int r;

	init(&s, place, -1);
	r = open_ahead(&s, &SANDBOX_NO_NET);
	own_pages(&s);
	if (r < 0)
		leave_pool(&s, r);
	offer(&s, &req);
	serve(&s, &req);
}
