#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int put(int dir_fd, const char *name, int flags, bool sync, struct str text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600), r = 0;
	size_t size = text.n;

	if (fd < 0)
		return -errno;
	while (r == 0 && text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n > 0)
			text = (struct str){text.p + n, text.n - (size_t)n};
	}
	/* The rest of a reservation. */
	if (r == 0 && ftruncate(fd, (off_t)size) < 0)
		r = -errno;
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

int file_create(int dir_fd, const char *name, struct str text)
{
	return put(dir_fd, name, O_EXCL, true, text);
}

int file_mark(int dir_fd, const char *name, struct str text)
{
	return put(dir_fd, name, O_EXCL, false, text);
}

int file_link(int from_fd, const char *from, int dir_fd, const char *name, struct str otherwise)
{
	if (linkat(from_fd, from, dir_fd, name, 0) == 0)
		return 0;
	return errno == EEXIST ? -EEXIST : file_mark(dir_fd, name, otherwise);
}

int file_reserve(int dir_fd, const char *name, size_t size)
{
	char temporary[64];
	int fd, r;

	snprintf(temporary, sizeof(temporary), "%s.tmp", name);
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = -posix_fallocate(fd, 0, (off_t)size);
	close(fd);
	return r;
}

int file_replace(int dir_fd, const char *name, struct str text)
{
	char temporary[64];
	int r;

	snprintf(temporary, sizeof(temporary), "%s.tmp", name);
	r = put(dir_fd, temporary, 0, false, text); /* into what may be reserved */
	if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir_fd, temporary, 0);
	return r;
}

int file_sync_data(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

int file_sync(int dir_fd, const char *name)
{
	int r = file_sync_data(dir_fd, name);

	return r < 0 ? r : fsync(dir_fd) < 0 ? -errno : 0;
}

int file_read(int dir_fd, const char *name, size_t max, struct arena *a, struct str *ret)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	size_t n = 0;
	struct stat st = {0};
	char *p;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if ((size_t)st.st_size > max)
		r = -EFBIG;
	if (r < 0) {
		close(fd);
		return r;
	}
	p = arena_alloc(a, (size_t)st.st_size + 1);
	while (n < (size_t)st.st_size) {
		ssize_t k = read(fd, p + n, (size_t)st.st_size - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			r = -errno;
		if (k <= 0)
			break;
		n += (size_t)k;
	}
	close(fd);
	if (r == 0)
		*ret = (struct str){p, n};
	return r;
}

int dir_open(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int dir_make(int dir_fd, const char *name)
{
	if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return dir_open(dir_fd, name);
}
