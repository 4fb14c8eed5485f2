#include "target/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

int place_open(const char *path, bool shared, int *ret_fd)
{
	mode_t mode = shared ? 0711 : 0700;
	int fd, r = 0;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (mkdirat(fd, "workspaces", mode) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0 && shared && (fchmod(fd, mode) < 0 || fchmodat(fd, "workspaces", mode, 0) < 0))
		r = -errno;
	if (r < 0)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

/* The number in the file goes up before anybody uses the old one. It is on the disk before a workspace has it for good;
 * for the others it need not be. */
static int take_uid(int dir_fd, uid_t first, bool for_good, uid_t *ret)
{
	int fd = openat(dir_fd, "uids", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), r = 0;
	char text[24] = "";
	uid_t uid;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX) < 0 || pread(fd, text, sizeof(text) - 1, 0) < 0)
		r = -errno;
	uid = (uid_t)strtoul(text, NULL, 10);
	if (uid < first)
		uid = first;
	snprintf(text, sizeof(text), "%u\n", uid + 1);
	if (r == 0 && pwrite(fd, text, strlen(text), 0) < 0)
		r = -errno;
	if (r == 0 && for_good && fsync(fd) < 0)
		r = -errno;
	close(fd);
	*ret = uid;
	return r;
}

/* One that was made and not given away yet is root's: by a helper that is at it now, or that died. */
static int own(int fd, int dir_fd, uid_t first, struct spec *spec)
{
	struct stat st;
	int r = 0;

	if (flock(fd, LOCK_EX) < 0 || fstat(fd, &st) < 0)
		return -errno;
	spec->uid = st.st_uid;
	if (geteuid() != 0 || st.st_uid != 0)
		return 0;
	r = take_uid(dir_fd, first, true, &spec->uid);
	return r == 0 && fchown(fd, spec->uid, spec->uid) < 0 ? -errno : r;
}

int place_prepare(int dir_fd, uid_t first, struct spec *spec)
{
	char path[80];
	int fd, r;

	spec->uid = geteuid();
	if (!spec->workspace[0])
		return geteuid() == 0 ? take_uid(dir_fd, first, false, &spec->uid) : 0;
	snprintf(path, sizeof(path), "workspaces/%.64s", spec->workspace);
	if (mkdirat(dir_fd, path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOTDIR || errno == ELOOP ? -EPERM : -errno;
	r = own(fd, dir_fd, first, spec);
	close(fd);
	return r;
}

/* ---- Who works in it ---- */

#define LOCK_MS 2000
#define LOCK_AGAIN_MS 20
#define LOCK_FD_MIN 10 /* away from the numbers that a sandbox gives to its command */

static int set_lock(int fd, short type)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET};

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

/* Whoever was left by its exec, and is at its end, has a moment for it. */
static int wait_for_lock(int fd, short type)
{
	int r = set_lock(fd, type);

	for (int ms = 0; r == -EBUSY && ms < LOCK_MS; ms += LOCK_AGAIN_MS) {
		usleep(LOCK_AGAIN_MS * 1000);
		r = set_lock(fd, type);
	}
	return r;
}

static int lock_file(int locks, const char *workspace, bool alone)
{
	int fd = openat(locks, workspace, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), high, r;

	if (fd < 0)
		return -errno;
	high = fcntl(fd, F_DUPFD_CLOEXEC, LOCK_FD_MIN);
	r = high < 0 ? -errno : wait_for_lock(high, alone ? F_WRLCK : F_RDLCK);
	close(fd);
	if (r < 0 && high >= 0)
		close(high);
	return r < 0 ? r : high;
}

int place_lock(int dir_fd, const char *workspace, bool alone)
{
	int locks = dir_make(dir_fd, "locks"), fd = locks;
	struct stat st;

	while (locks >= 0) {
		fd = lock_file(locks, workspace, alone);
		if (fd < 0 || fstat(fd, &st) < 0 || st.st_nlink > 0)
			break;
		close(fd); /* its workspace was removed meanwhile, and the file with it */
	}
	if (locks >= 0)
		close(locks);
	return fd;
}

int place_lock_alone(int lock_fd)
{
	return set_lock(lock_fd, F_WRLCK);
}

void place_unlock_for_good(int dir_fd, const char *workspace)
{
	int locks = dir_open(dir_fd, "locks");

	if (locks < 0)
		return;
	unlinkat(locks, workspace, 0);
	close(locks);
}
