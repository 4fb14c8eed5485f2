#include "target/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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
