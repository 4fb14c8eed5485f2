#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "control.h"
#include "supervisor.h"

#define EXEC_FD 3
#define OFFERS_FD 4
#define FILL_AFTER_MS 3
#define LOST_US 10000000
#define LOOK_EVERY 64 /* commands between looks whether fewer would do */

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

static void settle(int fd, int offers)
{
	int high = fcntl(offers, F_DUPFD_CLOEXEC, OFFERS_FD + 1);

	dup3(fd, EXEC_FD, O_CLOEXEC);
	dup3(high, OFFERS_FD, O_CLOEXEC);
	syscall(SYS_close_range, OFFERS_FD + 1, ~0u, 0);
	signal(SIGINT, SIG_IGN); /* Ctrl-C goes to the whole group; exec decides */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* supervisors are reaped by the kernel */
	prctl(PR_SET_NAME, "ogent-spawner", 0, 0, 0);
}

/* What is made when the command that was asked for last has had its start. */
struct filling {
	unsigned wanted; /* supervisors that wait with a sandbox */
	bool wants_spare;
	uint64_t at_us;
	int spare; /* to the supervisor that waits without one, so that no command waits for its fork; -1 = none */
};

static void drop_spare(struct filling *f)
{
	if (f->spare >= 0)
		close(f->spare);
	f->spare = -1;
	f->wants_spare = false;
}

static void start_supervisor(const struct supervisor_place *place, const struct spawn_request *req, int control,
			     struct filling *f)
{
	bool is_taken = f->spare >= 0 && spawn_send(f->spare, req, sizeof(*req), control) == 0;
	pid_t pid;

	drop_spare(f);
	f->wants_spare = true;
	if (is_taken)
		return;
	pid = fork();

	if (pid == 0)
		command_supervise(place, req->id, control);
	if (pid < 0) {
		struct control_event e = {.type = CONTROL_FAILED, .err = -errno};

		send(control, &e, sizeof(e), MSG_NOSIGNAL);
	}
}

static void make_spare(const struct supervisor_place *place, struct filling *f)
{
	int pair[2];

	f->wants_spare = false;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	if (fork() == 0)
		command_supervise_spare(place, pair[1]);
	close(pair[1]);
	f->spare = pair[0];
}

static void fill(const struct supervisor_place *place, struct filling *f)
{
	uint64_t now = clock_mono_us();

	if (now < f->at_us)
		return;
	if (f->wants_spare && f->spare < 0)
		make_spare(place, f);
	if (!f->wanted)
		return;
	f->wanted--;
	f->at_us = now;
	if (fork() == 0)
		command_supervise_ahead(place);
}

static int milliseconds(const struct filling *f)
{
	uint64_t now = clock_mono_us();

	if (!f->wanted && !f->wants_spare)
		return -1;
	return now >= f->at_us ? 0 : (int)((f->at_us - now + 999) / 1000);
}

/* Returns false when exec is gone. */
static bool serve(const struct supervisor_place *place, struct filling *f)
{
	struct spawn_request req;
	int control;
	ssize_t n = spawn_receive(EXEC_FD, &req, sizeof(req), MSG_DONTWAIT, &control);

	if (n < 0)
		return errno == EAGAIN;
	if (n == 0)
		return false;
	req.id[sizeof(req.id) - 1] = 0;
	if (n < (ssize_t)sizeof(req)) { /* nobody has asked for a while */
		drop_spare(f);
		if (control >= 0)
			close(control);
		return true;
	}
	if (!f->wanted && !f->wants_spare)
		f->at_us = clock_mono_us() + FILL_AFTER_MS * 1000;
	if (control < 0) {
		f->wanted++;
		return true;
	}
	start_supervisor(place, &req, control, f);
	close(control);
	return true;
}

static NORETURN void spawner_main(const char *exec_dir, const struct spawner_pool *pool)
{
	static struct sandbox_host host;
	struct supervisor_place place = {&host,      exec_dir, &pool->frame, pool->size > 0 ? OFFERS_FD : -1,
					 {{{0}}, 0}, NULL};
	struct filling filling = {.spare = -1};
	struct pollfd p = {.fd = EXEC_FD, .events = POLLIN};

	signal(SIGCHLD, SIG_DFL); /* the probe reaps its own */
	sandbox_host_probe(&host, exec_dir);
	signal(SIGCHLD, SIG_IGN);
	lean_find(&place.lean);
	place.is_over = mmap(NULL, sizeof(bool), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (place.is_over == MAP_FAILED)
		_exit(1);
	supervisor_rehearse();
	malloc_trim(0); /* so that no copy of us has to put the free memory in order: each would get it for itself */
	if (send(EXEC_FD, &host.report, sizeof(host.report), MSG_NOSIGNAL) < 0)
		_exit(1);
	for (;;) {
		if (poll(&p, 1, milliseconds(&filling)) > 0 && !serve(&place, &filling))
			break;
		fill(&place, &filling);
	}
	__atomic_store_n(place.is_over, true, __ATOMIC_SEQ_CST);
	sandbox_host_deinit(&host);
	_exit(0);
}

/* ---- In exec ---- */

int spawner_start(const char *exec_dir, const struct spawner_pool *pool, void (*forget)(void *arg), void *arg,
		  struct spawner *ret)
{
	int pair[2], offers[2];
	ssize_t n;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, offers) < 0) {
		close(pair[0]);
		close(pair[1]);
		return -EMFILE;
	}
	pid = fork();
	if (pid == 0) {
		if (forget)
			forget(arg);
		wipe_environment();
		settle(pair[1], offers[1]);
		spawner_main(exec_dir, pool);
	}
	close(pair[1]);
	close(offers[1]);
	*ret = (struct spawner){
		.pid = pid, .fd = pair[0], .offers = offers[0], .size = MIN(pool->size, SPAWNER_POOL_MAX)};
	if (pid < 0) {
		spawner_deinit(ret);
		return -EAGAIN;
	}
	do
		n = recv(ret->fd, &ret->report, sizeof(ret->report), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(ret->report)) {
		spawner_deinit(ret);
		return -EPIPE;
	}
	return 0;
}

/* ---- The pool, as exec sees it ---- */

static void let_go_oldest(struct spawner *s)
{
	close(s->idle[0]);
	memmove(s->idle, s->idle + 1, --s->waiting * sizeof(s->idle[0]));
}

/* More than are kept ready come back from many commands at once, and stay while there are so many. */
static unsigned room(const struct spawner *s)
{
	return s->size ? MAX(s->size, SPAWNER_KEEP) : 0;
}

/* Asks for what is missing. One that died on its way is never offered: after a while nobody waits for it. */
static void top_up(struct spawner *s)
{
	struct spawn_request more = {0};
	uint64_t now = clock_mono_us();

	if (now - s->asked_us > LOST_US)
		s->coming = 0;
	while (s->waiting + s->coming < s->size && spawn_send(s->fd, &more, sizeof(more), -1) == 0) {
		s->coming++;
		s->asked_us = now;
	}
}

static void take_offers(struct spawner *s)
{
	struct spawn_offer offer;
	int fd;

	while (spawn_receive(s->offers, &offer, sizeof(offer), MSG_DONTWAIT, &fd) > 0) {
		s->coming -= s->coming > 0;
		if (fd >= 0 && s->waiting < room(s))
			s->idle[s->waiting++] = fd;
		else if (fd >= 0)
			close(fd);
		s->is_short |= fd < 0 && offer.err == -EBUSY;
	}
}

int spawner_receive(struct spawner *s)
{
	char byte;

	take_offers(s);
	if (s->is_short)
		top_up(s);
	s->is_short = false;
	return recv(s->fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN ? 0 : -EPIPE;
}

void spawner_empty(struct spawner *s)
{
	while (s->waiting > 0)
		close(s->idle[--s->waiting]);
	send(s->fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The newest first: what it used last is still at hand. Those that nobody needed for a while go. */
static void count_need(struct spawner *s)
{
	s->least = MIN(s->least, s->waiting);
	if (++s->asked < LOOK_EVERY)
		return;
	while (s->least-- > s->size)
		let_go_oldest(s);
	s->asked = 0;
	s->least = SPAWNER_POOL_MAX;
}

/* One that waits. Its control connection, or -1: there is none. */
static int ask_idle(struct spawner *s, const struct spawn_request *req)
{
	while (s->waiting > 0) {
		int fd = s->idle[--s->waiting];

		if (spawn_send(fd, req, sizeof(*req), -1) == 0)
			return fd;
		close(fd);
	}
	return -1;
}

static int ask_spawner(struct spawner *s, const struct spawn_request *req)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = spawn_send(s->fd, req, sizeof(*req), pair[1]);
	close(pair[1]);
	if (r == 0)
		return pair[0];
	close(pair[0]);
	return r;
}

int spawner_ask(struct spawner *s, const char *id, int *ret_control)
{
	struct spawn_request req = {0};
	int fd;

	strncpy(req.id, id, sizeof(req.id) - 1);
	take_offers(s);
	fd = ask_idle(s, &req);
	if (fd < 0)
		fd = ask_spawner(s, &req);
	s->coming += s->size > 0; /* it comes back, or says that it does not */
	s->asked_us = clock_mono_us();
	count_need(s);
	top_up(s);
	if (fd < 0)
		return fd;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	*ret_control = fd;
	return 0;
}

void spawner_deinit(struct spawner *s)
{
	spawner_empty(s);
	if (s->fd >= 0)
		close(s->fd);
	if (s->offers >= 0)
		close(s->offers);
	if (s->pid > 0)
		while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
			;
	*s = (struct spawner){.fd = -1, .offers = -1};
}
