#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/layers.h"

static int open_file(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int write_file(pid_t pid, const char *name, const char *text)
{
	int fd = open_file(pid, name), r = 0;

	if (fd < 0)
		return fd;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* ---- The spawner's own ---- */

/* From outside, because only there a root may give all ids. An ordinary user may map only himself, and only with
 * setgroups switched off. */
static int map_all(pid_t pid, const struct sandbox_host *host)
{
	char uids[64] = "0 0 4294967295\n", gids[64] = "0 0 4294967295\n";
	int r = 0;

	if (!host->is_root) {
		snprintf(uids, sizeof(uids), "%u %u 1\n", geteuid(), geteuid());
		snprintf(gids, sizeof(gids), "%u %u 1\n", getegid(), getegid());
		r = write_file(pid, "setgroups", "deny");
	}
	if (r == 0)
		r = write_file(pid, "uid_map", uids);
	return r < 0 ? r : write_file(pid, "gid_map", gids);
}

int userns_own(const struct sandbox_host *host)
{
	pid_t self = getpid(), helper;
	int pipe_fds[2], status = 0;
	char c = 0;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	helper = fork();
	if (helper == 0) {
		close(pipe_fds[1]); /* else its own end keeps it waiting when there is no namespace */

		int r = read(pipe_fds[0], &c, 1) == 1 ? map_all(self, host) : -EPIPE;

		_exit(r < 0 ? -r : 0);
	}
	if (helper > 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		status = errno;
	else if (helper > 0 && write(pipe_fds[1], &c, 1) != 1)
		status = EPIPE;
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	if (helper < 0)
		return -EAGAIN;
	if (status) {
		waitpid(helper, NULL, 0);
		return -status;
	}
	while (waitpid(helper, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EPIPE;
}

/* ---- A sandbox's ---- */

int userns_enter(const char **what)
{
	*what = "user namespace";
	return unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

int userns_open(pid_t init, int *ret_uid_map, int *ret_gid_map)
{
	*ret_uid_map = open_file(init, "uid_map");
	*ret_gid_map = *ret_uid_map < 0 ? -1 : open_file(init, "gid_map");
	return *ret_uid_map < 0 ? *ret_uid_map : *ret_gid_map < 0 ? *ret_gid_map : 0;
}

static int map(int fd, unsigned id)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%d %u 1\n", INNER_UID, id);

	return write(fd, text, (size_t)n) < 0 ? -errno : 0;
}

int userns_map(int uid_map, int gid_map, uid_t uid, gid_t gid)
{
	int r = map(uid_map, uid);

	return r < 0 ? r : map(gid_map, gid);
}

/* The raw calls, because glibc's would signal other threads; there are none. */
int userns_become(const struct sandbox_host *host, uid_t uid, const char **what)
{
	uid_t id = host->namespaces && HAS(LAYER_USERNS) ? INNER_UID : uid;

	if (!host->is_root)
		return 0;
	*what = "setgroups";
	if (syscall(SYS_setgroups, 0, NULL) < 0)
		return -errno;
	*what = "setresgid";
	if (syscall(SYS_setresgid, id, id, id) < 0)
		return -errno;
	*what = "setresuid";
	if (syscall(SYS_setresuid, id, id, id) < 0)
		return -errno;
	return 0;
}
