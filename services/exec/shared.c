#include "shared.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "control.h"
#include "files.h"
#include "keeper.h"

#define ANSWER_MS 30000
#define END_MS 20000
#define AGAIN_MS 10

const char *shared_name(struct arena *a, const char *workspace, const char *user_id)
{
	return arena_printf(a, "%s@%s", workspace, user_id);
}

/* Its keeper holds the lock. */
static bool is_live(int sessions, const char *name)
{
	char path[NAME_MAX + 8]; /* of a folder that is there */
	bool is_locked;
	int fd;

	snprintf(path, sizeof(path), "%s/lock", name);
	fd = openat(sessions, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return false;
	is_locked = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
	return is_locked;
}

static bool is_of(const char *name, const char *workspace)
{
	size_t n = strlen(workspace);

	return strncmp(name, workspace, n) == 0 && name[n] == '@';
}

unsigned shared_count(int exec_fd, const char *workspace, const char *but)
{
	int fd = dir_open(exec_fd, SHARED_FOLDER);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		if (strchr(e->d_name, '@') && (!workspace || is_of(e->d_name, workspace)) &&
		    (!but || strcmp(e->d_name, but) != 0))
			n += is_live(dirfd(d), e->d_name);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return n;
}

/* The path by the folder's descriptor, because a socket's path may be 107 bytes long only. */
int keeper_address(int dir_fd, int *ret_socket, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/" CONTROL_SOCKET, dir_fd);
	*ret_socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return *ret_socket < 0 ? -errno : 0;
}

static int connect_to(int dir_fd)
{
	struct sockaddr_un addr;
	int fd, r = keeper_address(dir_fd, &fd, &addr);

	if (r == 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = -errno;
		close(fd);
	}
	return r < 0 ? r : fd;
}

static int open_session(int exec_fd, const char *name)
{
	char path[NAME_MAX + 16];

	snprintf(path, sizeof(path), SHARED_FOLDER "/%s", name);
	return dir_open(exec_fd, path);
}

static int ask(int fd, enum keeper_request_type type, struct keeper_answer *ret, int *ret_fd)
{
	struct keeper_request req = {.type = type};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n;

	if (send(fd, &req, sizeof(req), MSG_NOSIGNAL) < 0)
		return -errno;
	if (poll(&p, 1, ANSWER_MS) <= 0)
		return -ETIMEDOUT;
	n = spawn_receive(fd, ret, sizeof(*ret), 0, ret_fd);
	if (n < 0)
		return -errno;
	return n < (ssize_t)sizeof(*ret) ? -EPIPE : ret->err;
}

/* ---- exec ---- */

int shared_ask(int exec_fd, const char *name, struct shared_status *ret)
{
	struct keeper_answer answer;
	int dir = open_session(exec_fd, name), fd = dir < 0 ? dir : connect_to(dir), none = -1, r;

	*ret = (struct shared_status){0};
	if (dir >= 0)
		close(dir);
	if (fd < 0)
		return fd == -ENOENT || fd == -ECONNREFUSED ? 0 : fd;
	r = ask(fd, KEEPER_STATUS, &answer, &none);
	close(fd);
	if (r == 0)
		*ret = (struct shared_status){true, answer.started_us, answer.running, answer.processes,
					      answer.idle_ms};
	return r == -EPIPE ? 0 : r;
}

static void tell_end(int dir)
{
	struct keeper_request req = {.type = KEEPER_END};
	int fd = connect_to(dir);

	if (fd < 0)
		return;
	send(fd, &req, sizeof(req), MSG_NOSIGNAL);
	close(fd);
}

/* W@USER is of the user, and has been there since before then. */
static bool is_of_user(int exec_fd, const char *name, const char *user_id, int64_t before_us)
{
	const char *at = strrchr(name, '@');
	struct shared_status status;

	return at && strcmp(at + 1, user_id) == 0 && shared_ask(exec_fd, name, &status) == 0 && status.is_live &&
	       status.started_us <= before_us;
}

void shared_end_of(int exec_fd, const char *user_id, int64_t before_us)
{
	int fd = dir_open(exec_fd, SHARED_FOLDER), dir;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		dir = is_of_user(exec_fd, e->d_name, user_id, before_us) ? open_session(exec_fd, e->d_name) : -1;
		if (dir < 0)
			continue;
		tell_end(dir);
		close(dir);
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
}

static bool wait_for_exit(int pidfd, uint64_t until_us)
{
	uint64_t now = clock_mono_us();
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, now < until_us ? (int)((until_us - now) / 1000) : 0) > 0;
}

static int keeper_pidfd(int fd)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	int pidfd = -1;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0)
		pidfd = (int)syscall(SYS_pidfd_open, who.pid, 0);
	return pidfd < 0 ? -errno : pidfd;
}

/* Its keeper is at the other end; one that began after `before_us` is another's. Waits for the process, because the
 * folder and its lock may be a successor's the moment after. */
static int end_keeper(int fd, int64_t before_us, uint64_t until_us)
{
	struct keeper_request req = {.type = KEEPER_END};
	struct keeper_answer answer;
	int none = -1, pidfd = keeper_pidfd(fd), r;

	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	r = ask(fd, KEEPER_STATUS, &answer, &none);
	if (r == 0 && answer.started_us > before_us) {
		close(pidfd);
		return 0;
	}
	send(fd, &req, sizeof(req), MSG_NOSIGNAL);
	r = wait_for_exit(pidfd, until_us) ? 0 : -ETIMEDOUT;
	close(pidfd);
	return r;
}

/* One that lives and cannot be reached either comes up or is at its end. fd, or -ENOENT, -ETIMEDOUT. */
static int reach_keeper(int sessions, const char *name, uint64_t until_us)
{
	while (clock_mono_us() < until_us) {
		int dir = dir_open(sessions, name), fd = dir < 0 ? dir : connect_to(dir);

		if (dir >= 0)
			close(dir);
		if (fd >= 0)
			return fd;
		if (!is_live(sessions, name))
			return -ENOENT;
		usleep(AGAIN_MS * 1000);
	}
	return -ETIMEDOUT;
}

int shared_end(int exec_fd, const char *name)
{
	int64_t before_us = clock_now_us();
	uint64_t until_us = clock_mono_us() + END_MS * 1000ull;
	int sessions = dir_open(exec_fd, SHARED_FOLDER), fd, r;

	fd = sessions < 0 ? sessions : reach_keeper(sessions, name, until_us);
	if (sessions >= 0)
		close(sessions);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = end_keeper(fd, before_us, until_us);
	close(fd);
	return r;
}

/* ---- A supervisor ---- */

static int failed(struct error *err, int r, const char *what)
{
	return error_set(err, "sandbox_failed", "The shared sandbox could not be used (%s: %s).", what, strerror(-r));
}

static int lock_for_start(int exec_fd, int *ret_sessions)
{
	int sessions = dir_make(exec_fd, SHARED_FOLDER), fd, r = 0;

	if (sessions < 0)
		return sessions;
	fd = openat(sessions, ".starting", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX) < 0) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		close(sessions);
		return r;
	}
	*ret_sessions = sessions;
	return fd;
}

/* Connected to it: to one that lives, or that is started here. Nobody else starts one meanwhile; one that ends is
 * waited for. */
static int reach(struct attendant *a, int sessions, const char *exec_dir, struct error *err)
{
	uint64_t until = clock_mono_us() + END_MS * 1000ull;
	int dir = dir_make(sessions, a->spec->session), fd;

	if (dir < 0)
		return failed(err, dir, "its folder");
	while ((fd = connect_to(dir)) < 0 && is_live(sessions, a->spec->session) && clock_mono_us() < until)
		usleep(AGAIN_MS * 1000);
	if (fd < 0 && keeper_start(a, dir, sessions, exec_dir, err) == 0) {
		fd = connect_to(dir);
		if (fd < 0)
			failed(err, fd, "its keeper");
	}
	close(dir);
	return fd;
}

static int take_seat(struct attendant *a, int fd, struct error *err)
{
	const struct spec *s = a->spec;
	const struct sandbox_frame frame = {.memory_max = s->memory_max,
					    .tmp_max = s->tmp_max,
					    .pids_max = s->pids_max,
					    .cpu_percent = s->cpu_percent};
	struct keeper_answer answer;
	int control = -1, r = ask(fd, KEEPER_JOIN, &answer, &control);

	if (r == 0 && control < 0)
		r = -EPIPE;
	if (r < 0)
		return failed(err, r, r == -EUSERS ? "it has too many commands" : "a seat in it");
	answer.group[sizeof(answer.group) - 1] = 0;
	fcntl(control, F_SETFL, O_NONBLOCK);
	return seat_take(a->host, control, answer.pid, answer.group, &frame, &a->sandbox, err);
}

int shared_join(struct attendant *a, int exec_fd, const char *exec_dir, int *ret_fd, struct error *err)
{
	int sessions = -1, lock, fd = -1, r = -EAGAIN;

	/* One that is about to end for want of commands may have let us in just before. */
	for (int tries = 0; tries < 3 && r < 0; tries++) {
		lock = lock_for_start(exec_fd, &sessions);
		if (lock < 0)
			return failed(err, lock, "its lock");
		fd = reach(a, sessions, exec_dir, err);
		close(lock);
		close(sessions);
		if (fd < 0)
			return -EIO;
		r = take_seat(a, fd, err);
		if (r < 0)
			close(fd);
	}
	if (r < 0)
		return r;
	a->is_ready = true;
	*ret_fd = fd;
	return 0;
}

bool shared_told(int fd, char *ret_why, size_t size)
{
	struct keeper_answer answer;
	ssize_t n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);

	if (n != sizeof(answer) || !answer.why[0])
		return false;
	answer.why[sizeof(answer.why) - 1] = 0;
	snprintf(ret_why, size, "%s", answer.why);
	return true;
}

void shared_leave(int fd, int out[2], bool has_strays)
{
	struct keeper_request req = {.type = has_strays ? KEEPER_END : KEEPER_DRAIN};

	for (int i = 0; i < 2; i++) {
		if (out[i] < 0)
			continue;
		if (!has_strays)
			spawn_send(fd, &req, sizeof(req), out[i]);
		close(out[i]);
		out[i] = -1;
	}
	if (has_strays)
		send(fd, &req, sizeof(req), MSG_NOSIGNAL);
	close(fd);
}
