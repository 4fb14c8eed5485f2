#include "waiting.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/util.h"

#define MAX_THREADS 512 /* looked at */
#define MAX_DEPTH 32
#define MAX_POLLED 64
#define PTS_MAJOR 136

struct search {
	struct stat pipe; /* of a pipe */
	dev_t tty;        /* of a terminal, otherwise 0 */
	unsigned budget;
};

static ssize_t read_proc(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, size - 1);
	close(fd);
	text[MAX(n, 0)] = 0;
	return n;
}

/* Whether that descriptor of the process is the command's stdin. */
static bool is_input(const struct search *s, pid_t pid, uint64_t fd)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)pid, (unsigned)fd);
	if (fd > 65535 || stat(path, &st) < 0)
		return false;
	if (s->tty)
		return S_ISCHR(st.st_mode) && (st.st_rdev == s->tty || st.st_rdev == makedev(5, 0));
	return S_ISFIFO(st.st_mode) && st.st_dev == s->pipe.st_dev && st.st_ino == s->pipe.st_ino;
}

static ssize_t read_memory(pid_t pid, uint64_t from, void *to, size_t n)
{
	struct iovec local = {to, n}, remote = {(void *)(uintptr_t)from, n};

	return process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

static bool polls_input(const struct search *s, pid_t pid, const uint64_t arg[static 3])
{
	struct pollfd p[MAX_POLLED];
	ssize_t n = read_memory(pid, arg[0], p, MIN(arg[1], (uint64_t)MAX_POLLED) * sizeof(*p));

	for (ssize_t i = 0; i < n / (ssize_t)sizeof(*p); i++)
		if (p[i].fd >= 0 && (p[i].events & POLLIN) && is_input(s, pid, (uint64_t)p[i].fd))
			return true;
	return false;
}

static bool selects_input(const struct search *s, pid_t pid, const uint64_t arg[static 3])
{
	unsigned char bits[128];
	size_t size = (MIN(arg[0], (uint64_t)1024) + 63) / 64 * 8;
	ssize_t n = arg[1] ? read_memory(pid, arg[1], bits, size) : 0;

	for (unsigned fd = 0; fd < MIN(arg[0], (uint64_t)MAX(n, 0) * 8); fd++)
		if ((bits[fd / 8] >> fd % 8 & 1) && is_input(s, pid, fd))
			return true;
	return false;
}

static bool epolls_input(const struct search *s, pid_t pid, uint64_t epoll)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%u", (int)pid, (unsigned)epoll);
	if (read_proc(path, text, sizeof(text)) <= 0)
		return false;
	for (const char *p = text; (p = strstr(p, "tfd:")); p += 4)
		if (is_input(s, pid, strtoul(p + 4, NULL, 10)))
			return true;
	return false;
}

static bool call_reads_input(const struct search *s, pid_t pid, long nr, const uint64_t arg[static 3])
{
	switch (nr) {
	case SYS_read:
	case SYS_readv: return is_input(s, pid, arg[0]);
#ifdef SYS_poll
	case SYS_poll:
#endif
	case SYS_ppoll: return polls_input(s, pid, arg);
#ifdef SYS_select
	case SYS_select:
#endif
	case SYS_pselect6: return selects_input(s, pid, arg);
#ifdef SYS_epoll_wait
	case SYS_epoll_wait:
#endif
	case SYS_epoll_pwait: return epolls_input(s, pid, arg[0]);
	default: return false;
	}
}

/* "NR 0xARG…" of a thread that sleeps in a call, otherwise "running" or "-1 …". */
static bool thread_reads_input(struct search *s, pid_t pid, pid_t tid)
{
	char path[64], text[256], *p = text;
	uint64_t arg[3];
	long nr;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", (int)pid, (int)tid);
	if (read_proc(path, text, sizeof(text)) <= 0 || text[0] < '0' || text[0] > '9')
		return false;
	nr = strtol(p, &p, 10);
	for (size_t i = 0; i < ARRAY_SIZE(arg); i++)
		arg[i] = strtoull(p, &p, 16);
	return call_reads_input(s, pid, nr, arg);
}

static bool process_reads_input(struct search *s, pid_t pid, unsigned depth);

static bool children_read_input(struct search *s, pid_t pid, pid_t tid, unsigned depth)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)tid);
	if (depth >= MAX_DEPTH || read_proc(path, text, sizeof(text)) <= 0)
		return false;
	for (char *p = text, *end; *p; p = end) {
		pid_t child = (pid_t)strtol(p, &end, 10);

		if (end == p || child <= 0)
			break;
		if (process_reads_input(s, child, depth + 1))
			return true;
	}
	return false;
}

static bool process_reads_input(struct search *s, pid_t pid, unsigned depth)
{
	char path[64];
	bool found = false;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d && !found && s->budget > 0 && (e = readdir(d))) {
		pid_t tid = (pid_t)atoi(e->d_name);

		if (tid <= 0)
			continue;
		s->budget--;
		found = (depth > 0 && thread_reads_input(s, pid, tid)) || children_read_input(s, pid, tid, depth);
	}
	if (d)
		closedir(d);
	return found;
}

bool waiting_for_input(pid_t init, int fd, bool is_tty)
{
	struct search s = {.budget = MAX_THREADS};
	unsigned number;
	int unread;

	if (init <= 0 || fstat(fd, &s.pipe) < 0)
		return false;
	if (is_tty && ioctl(fd, TIOCGPTN, &number) < 0)
		return false;
	if (is_tty)
		s.tty = makedev(PTS_MAJOR, number);
	else if (ioctl(fd, FIONREAD, &unread) < 0 || unread > 0)
		return false;
	return process_reads_input(&s, init, 0);
}

pid_t waiting_first_child(pid_t pid)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	return read_proc(path, text, sizeof(text)) <= 0 ? 0 : (pid_t)strtol(text, NULL, 10);
}
