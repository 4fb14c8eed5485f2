#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "control.h"
#include "shared.h"

#define PEERS_MAX 128
#define DRAINS_MAX 128
#define GROUPS_MAX 256 /* of ended commands that left something behind */
#define START_MS 30000
#define FAREWELL_MS 2000 /* for the commands to end on their own account */
#define TIDY_US 5000000

struct group {
	char name[64]; /* "" = free */
};

struct peer {
	int fd;         /* -1 = free */
	bool is_joined; /* a supervisor whose command runs */
	char group[64];
};

struct keeper {
	const struct sandbox_host *host;
	const struct spec *spec;
	struct sandbox sandbox;
	struct seat seat; /* made ahead of the next command; control -1 = none */
	bool is_seat_ready;
	unsigned failures; /* of seats, one after the other */
	struct watch watch;
	int dir_fd, lock_fd, listen_fd;
	struct peer peers[PEERS_MAX];
	int waiting; /* the peer that gets the next seat, -1 = none; others are not heard meanwhile */
	int drains[DRAINS_MAX];
	struct group groups[GROUPS_MAX];
	int64_t started_us;
	uint64_t idle_us, tidy_us; /* monotonic: since when nobody has been there; when to look at groups again */
	const char *why;           /* it ends */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static unsigned count_joined(const struct keeper *k)
{
	unsigned n = 0;

	for (int i = 0; i < PEERS_MAX; i++)
		n += k->peers[i].fd >= 0 && k->peers[i].is_joined;
	return n;
}

static void end_for(struct keeper *k, const char *why)
{
	if (!k->why)
		k->why = why;
}

/* ---- What ended commands left ---- */

static void keep_group(struct keeper *k, const char name[static 64])
{
	for (int i = 0; i < GROUPS_MAX; i++)
		if (!k->groups[i].name[0]) {
			memcpy(k->groups[i].name, name, sizeof(k->groups[i].name));
			return;
		}
	end_for(k, "Too many of its commands left something behind.");
}

static void tidy_groups(struct keeper *k)
{
	for (int i = 0; i < GROUPS_MAX; i++)
		if (k->groups[i].name[0] && cgroup_remove(&k->host->cgroup, k->groups[i].name))
			k->groups[i].name[0] = 0;
	k->tidy_us = clock_mono_us() + TIDY_US;
}

static void drain(int *fd)
{
	static char rest[64 << 10];
	ssize_t n = read(*fd, rest, sizeof(rest));

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_fd(fd);
}

static void add_drain(struct keeper *k, int fd)
{
	for (int i = 0; i < DRAINS_MAX; i++)
		if (k->drains[i] < 0) {
			fcntl(fd, F_SETFL, O_NONBLOCK);
			k->drains[i] = fd;
			return;
		}
	close(fd);
}

/* ---- Seats ---- */

static void make_seat(struct keeper *k)
{
	int r = seat_begin(k->host, &k->sandbox, &k->seat);

	k->is_seat_ready = false;
	if (r < 0 && ++k->failures > 3)
		end_for(k, "Its sandbox takes no more commands.");
}

static void on_seat(struct keeper *k)
{
	int r = seat_await(&k->seat);

	k->is_seat_ready = r > 0;
	if (r > 0)
		k->failures = 0;
	if (r >= 0)
		return;
	seat_deinit(&k->seat, true);
	if (++k->failures > 3)
		end_for(k, "Its sandbox takes no more commands.");
}

static void drop_peer(struct keeper *k, int i)
{
	struct peer *p = &k->peers[i];

	close_fd(&p->fd);
	if (k->waiting == i)
		k->waiting = -1;
	if (p->is_joined) {
		keep_group(k, p->group);
		tidy_groups(k);
		k->idle_us = clock_mono_us();
	}
	*p = (struct peer){.fd = -1};
}

static void hand_out_seat(struct keeper *k)
{
	struct peer *p = &k->peers[k->waiting];
	struct keeper_answer answer = {.pid = k->seat.pid};
	int i = k->waiting;

	snprintf(answer.group, sizeof(answer.group), "%s", k->seat.cgroup.name);
	snprintf(p->group, sizeof(p->group), "%s", answer.group);
	p->is_joined = true;
	k->waiting = -1;
	if (spawn_send(p->fd, &answer, sizeof(answer), k->seat.control) < 0)
		drop_peer(k, i);
	seat_deinit(&k->seat, false);
	k->is_seat_ready = false;
}

/* ---- Who asks ---- */

static void count_process(pid_t pid, uint32_t *n, unsigned *budget)
{
	char path[64], text[4096];
	ssize_t got;
	int fd;

	if (*budget == 0)
		return;
	--*budget;
	++*n;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[MAX(got, 0)] = 0;
	for (char *p = text, *end; *p; p = end) {
		pid_t child = (pid_t)strtol(p, &end, 10);

		if (end == p || child <= 0)
			break;
		count_process(child, n, budget);
	}
}

/* The first one, and a seat for each command that runs or left something, are there for the sandbox's sake. */
static uint32_t count_processes(const struct keeper *k)
{
	uint32_t all = 0, seats = 1 + (k->seat.control >= 0);
	unsigned budget = 4096;

	count_process(k->sandbox.init, &all, &budget);
	for (int i = 0; i < GROUPS_MAX; i++)
		seats += k->groups[i].name[0] != 0;
	seats += count_joined(k);
	return all > seats ? all - seats : 0;
}

static void tell_status(struct keeper *k, struct peer *p)
{
	struct keeper_answer answer = {.started_us = k->started_us, .running = count_joined(k)};

	tidy_groups(k);
	answer.processes = count_processes(k);
	if (answer.running == 0)
		answer.idle_ms = (clock_mono_us() - k->idle_us) / 1000;
	spawn_send(p->fd, &answer, sizeof(answer), -1);
}

static void on_peer(struct keeper *k, int i)
{
	struct peer *p = &k->peers[i];
	struct keeper_request req;
	int fd;
	ssize_t n = spawn_receive(p->fd, &req, sizeof(req), MSG_DONTWAIT, &fd);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < (ssize_t)sizeof(req)) {
		drop_peer(k, i);
		return;
	}
	switch ((enum keeper_request_type)req.type) {
	case KEEPER_JOIN: k->waiting = i; break;
	case KEEPER_STATUS: tell_status(k, p); break;
	case KEEPER_END: end_for(k, "Its session was ended."); break;
	case KEEPER_DRAIN:
		if (fd >= 0)
			add_drain(k, fd);
		fd = -1;
		break;
	}
	close_fd(&fd);
}

static void on_listen(struct keeper *k)
{
	int fd = accept4(k->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	for (int i = 0; fd >= 0 && i < PEERS_MAX; i++)
		if (k->peers[i].fd < 0) {
			k->peers[i] = (struct peer){.fd = fd};
			return;
		}
	close_fd(&fd);
}

/* ---- The loop ---- */

static void on_watch(struct keeper *k)
{
	switch (watch_look(&k->watch, &k->sandbox)) {
	case WATCH_FINE:
	case WATCH_CPU: break;
	case WATCH_BYTES:
	case WATCH_FILES: end_for(k, "The workspace of its session has more than its quota."); break;
	}
}

static int milliseconds(const struct keeper *k)
{
	uint64_t now = clock_mono_us(), at = MIN(k->watch.due_us, k->tidy_us);

	if (count_joined(k) == 0 && k->waiting < 0)
		at = MIN(at, k->idle_us + k->spec->session_idle_ms * 1000);
	return now >= at ? 0 : (int)MIN((at - now + 999) / 1000, 3600000);
}

static void on_time(struct keeper *k)
{
	uint64_t now = clock_mono_us();

	if (now >= k->watch.due_us)
		on_watch(k);
	if (now >= k->tidy_us)
		tidy_groups(k);
	if (count_joined(k) == 0 && k->waiting < 0 && now >= k->idle_us + k->spec->session_idle_ms * 1000)
		end_for(k, "Nobody has used its session for a while.");
}

enum { FD_LISTEN, FD_PID, FD_SEAT, FD_PEERS, FD_DRAINS = FD_PEERS + PEERS_MAX, FD_COUNT = FD_DRAINS + DRAINS_MAX };

/* While one waits for its seat, nobody's request may take its place. */
static bool is_heard(const struct keeper *k, const struct peer *p)
{
	return p->fd >= 0 && (k->waiting < 0 || p->is_joined);
}

static void turn(struct keeper *k)
{
	static struct pollfd p[FD_COUNT];

	p[FD_LISTEN] = (struct pollfd){.fd = k->waiting < 0 ? k->listen_fd : -1, .events = POLLIN};
	p[FD_PID] = (struct pollfd){.fd = k->sandbox.pidfd, .events = POLLIN};
	p[FD_SEAT] = (struct pollfd){.fd = k->is_seat_ready ? -1 : k->seat.control, .events = POLLIN};
	for (int i = 0; i < PEERS_MAX; i++)
		p[FD_PEERS + i] =
			(struct pollfd){.fd = is_heard(k, &k->peers[i]) ? k->peers[i].fd : -1, .events = POLLIN};
	for (int i = 0; i < DRAINS_MAX; i++)
		p[FD_DRAINS + i] = (struct pollfd){.fd = k->drains[i], .events = POLLIN};
	if (poll(p, FD_COUNT, milliseconds(k)) < 0)
		return;
	if (p[FD_PID].revents)
		end_for(k, "The sandbox of its session was killed from outside.");
	if (p[FD_SEAT].revents)
		on_seat(k);
	/* Who leaves is not counted any more in what others are told. */
	for (int joined = 1; joined >= 0; joined--)
		for (int i = 0; i < PEERS_MAX; i++)
			if (p[FD_PEERS + i].revents && k->peers[i].is_joined == joined && is_heard(k, &k->peers[i]))
				on_peer(k, i);
	for (int i = 0; i < DRAINS_MAX; i++)
		if (p[FD_DRAINS + i].revents)
			drain(&k->drains[i]);
	if (p[FD_LISTEN].revents)
		on_listen(k);
	on_time(k);
}

static void loop(struct keeper *k)
{
	while (!k->why) {
		if (k->seat.control < 0)
			make_seat(k);
		if (k->waiting >= 0 && k->is_seat_ready)
			hand_out_seat(k);
		else
			turn(k);
	}
}

/* ---- The end ---- */

/* Each command's supervisor ends it with the reason; what is left dies with the sandbox. */
static void say_farewell(struct keeper *k)
{
	struct keeper_answer end = {.err = -ECANCELED};
	uint64_t until = clock_mono_us() + FAREWELL_MS * 1000;

	snprintf(end.why, sizeof(end.why), "%s", k->why);
	for (int i = 0; i < PEERS_MAX; i++)
		if (k->peers[i].fd >= 0)
			spawn_send(k->peers[i].fd, &end, sizeof(end), -1);
	while (count_joined(k) > 0 && clock_mono_us() < until) {
		struct pollfd p[PEERS_MAX];

		for (int i = 0; i < PEERS_MAX; i++)
			p[i] = (struct pollfd){.fd = k->peers[i].is_joined ? k->peers[i].fd : -1, .events = POLLIN};
		poll(p, PEERS_MAX, 50);
		for (int i = 0; i < PEERS_MAX; i++)
			if (p[i].revents)
				on_peer(k, i);
	}
}

/* Its folder, unless somebody is about to start another one in it. */
static void leave_folder(const struct keeper *k)
{
	int sessions = openat(k->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int starting = openat(sessions, ".starting", O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (starting >= 0 && flock(starting, LOCK_EX | LOCK_NB) == 0) {
		unlinkat(k->dir_fd, "lock", 0);
		unlinkat(sessions, k->spec->session, AT_REMOVEDIR);
	}
	if (starting >= 0)
		close(starting);
	close(sessions);
}

static void finish(struct keeper *k)
{
	unlinkat(k->dir_fd, CONTROL_SOCKET, 0);
	close_fd(&k->listen_fd);
	say_farewell(k);
	if (k->seat.control >= 0)
		keep_group(k, k->seat.cgroup.name);
	seat_deinit(&k->seat, false);
	watch_deinit(&k->watch);
	sandbox_deinit(k->host, &k->sandbox);
	for (int i = 0; i < PEERS_MAX; i++)
		if (k->peers[i].fd >= 0)
			drop_peer(k, i);
	tidy_groups(k);
	leave_folder(k);
}

/* ---- The start ---- */

static void settle(const struct sandbox_host *host, int keep[3])
{
	int last = MAX(MAX(host->template_fd, host->mounts_fd), SANDBOX_FIRST_FD - 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), high[3];

	for (int i = 0; i < 3; i++)
		high[i] = fcntl(keep[i], F_DUPFD_CLOEXEC, last + 20);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	for (int i = 0; i < 3; i++)
		keep[i] = dup3(high[i], 3 + i, O_CLOEXEC);
	syscall(SYS_close_range, 6, SANDBOX_FIRST_FD - 1, 0);
	syscall(SYS_close_range, last + 1, ~0u, 0);
	setsid();
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, "ogent-session", 0, 0, 0);
}

static int await_ready(struct keeper *k)
{
	for (;;) {
		struct pollfd p = {.fd = k->sandbox.control, .events = POLLIN};
		struct init_message m;
		int r;

		if (poll(&p, 1, START_MS) <= 0)
			return -ETIMEDOUT;
		r = sandbox_receive(k->host, &k->sandbox, &m);
		if (r > 0)
			return m.event == INIT_READY ? 0 : m.err ? -m.err : -EIO;
		if (r != -EAGAIN)
			return r < 0 ? r : -EPIPE;
	}
}

static int open_sandbox(struct keeper *k, const char *exec_dir, struct arena *a, struct error *err)
{
	static char *none[] = {NULL};
	const struct spec *s = k->spec;
	const struct sandbox_frame frame = {.name = arena_printf(a, "session-%d", (int)getpid()),
					    .memory_max = s->memory_max,
					    .tmp_max = s->tmp_max,
					    .pids_max = s->pids_max,
					    .cpu_percent = s->cpu_percent,
					    .is_shared = true};
	const struct sandbox_spec spec = {
		.uid = s->uid,
		.workspace = arena_printf(a, "%s/workspaces/%s", exec_dir, s->workspace),
		.cwd = "/workspace",
		.argv = none,
		.envp = none,
		.memory_max = s->memory_max,
		.tmp_max = s->tmp_max,
		.file_size_max = s->file_size_max,
		.cpu_max_ms = s->cpu_max_ms,
		.pids_max = s->pids_max,
		.protects = s->protects,
		.is_shared = true,
		.stdio = {0, 1, 2},
	};
	const struct watch_limits limits = {0, s->quota_bytes, s->quota_files};
	int r = sandbox_open(k->host, &frame, &k->sandbox, err);

	if (r < 0)
		return r;
	r = await_ready(k);
	if (r < 0)
		return error_set(err, "sandbox_failed", "The sandbox did not come up: %s.", strerror(-r));
	r = sandbox_go(k->host, &k->sandbox, &spec, err);
	if (r == 0)
		r = await_ready(k);
	if (r < 0 && !err->message[0])
		error_set(err, "sandbox_failed", "The sandbox did not come up: %s.", strerror(-r));
	if (r == 0 && watch_start(&k->watch, &k->sandbox, &limits, spec.workspace, s->uid) != WATCH_FINE)
		r = error_set(err, "quota", "The workspace has more than its quota. Remove files to go on.");
	return r;
}

static int listen_at(struct keeper *k)
{
	struct sockaddr_un addr;
	int r = keeper_address(k->dir_fd, &k->listen_fd, &addr);

	unlinkat(k->dir_fd, CONTROL_SOCKET, 0);
	if (r == 0 && (bind(k->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(k->listen_fd, 16) < 0))
		r = -errno;
	return r;
}

static NORETURN void keeper_main(const struct attendant *a, int dir_fd, int lock_fd, int told, const char *exec_dir)
{
	static struct keeper k;
	int keep[3] = {dir_fd, lock_fd, told}, r;
	struct error err = {0};

	settle(a->host, keep);
	k = (struct keeper){.host = a->host,
			    .spec = a->spec,
			    .sandbox = SANDBOX_INIT,
			    .seat = SEAT_NONE,
			    .watch = WATCH_INIT,
			    .dir_fd = keep[0],
			    .lock_fd = keep[1],
			    .listen_fd = -1,
			    .waiting = -1,
			    .started_us = clock_now_us(),
			    .idle_us = clock_mono_us()};
	for (int i = 0; i < PEERS_MAX; i++)
		k.peers[i].fd = -1;
	for (int i = 0; i < DRAINS_MAX; i++)
		k.drains[i] = -1;
	r = open_sandbox(&k, exec_dir, a->arena, &err);
	if (r == 0 && (r = listen_at(&k)) < 0)
		error_set(&err, "sandbox_failed", "Its keeper cannot listen: %s.", strerror(-r));
	k.tidy_us = k.idle_us = clock_mono_us();
	send(keep[2], &err, sizeof(err), MSG_NOSIGNAL);
	close(keep[2]);
	if (r < 0)
		end_for(&k, "It did not come up.");
	loop(&k);
	finish(&k);
	_exit(0);
}

static int hear(int fd, struct error *err)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (poll(&p, 1, START_MS) <= 0 || recv(fd, err, sizeof(*err), 0) != sizeof(*err))
		return error_set(err, "sandbox_failed", "The keeper of the shared sandbox could not be started.");
	return err->message[0] ? -EIO : 0;
}

static int lock(int dir_fd)
{
	int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -EBUSY;
}

int keeper_start(struct attendant *a, int dir_fd, int sessions, const char *exec_dir, struct error *err)
{
	int exec_fd = openat(sessions, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = lock(dir_fd), pair[2], r;
	unsigned n = shared_count(exec_fd, NULL, a->spec->session);
	pid_t pid;

	close(exec_fd);
	if (fd < 0)
		return error_set(err, "sandbox_failed", "The last sandbox of this session does not end.");
	if (n >= a->spec->sessions_max) {
		close(fd);
		return error_set(err, "too_many_sessions",
				 "%u shared sandboxes live (option sandbox_sessions_max). End one.", n);
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		close(fd);
		return error_set(err, "sandbox_failed", "The keeper of the shared sandbox: %s.", strerror(errno));
	}
	pid = fork();
	if (pid == 0)
		keeper_main(a, dir_fd, fd, pair[1], exec_dir);
	close(pair[1]);
	close(fd);
	r = pid < 0 ? error_set(err, "sandbox_failed", "There are too many processes.") : hear(pair[0], err);
	close(pair[0]);
	return r;
}
