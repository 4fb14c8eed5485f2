#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_at(int fd, struct str text, off_t at)
{
	while (text.n > 0) {
		ssize_t n = pwrite(fd, text.p, text.n, at);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text = (struct str){text.p + n, text.n - (size_t)n};
			at += n;
		}
	}
	return 0;
}

static int put(int dir_fd, const char *name, int flags, bool sync, struct str text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600), r;

	if (fd < 0)
		return -errno;
	r = write_at(fd, text, 0);
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

/* ---- Room ---- */

struct str file_with_room(struct arena *a, struct str text)
{
	char *p = arena_alloc(a, text.n + 1 + FILE_ROOM);

	memcpy(p, text.p, text.n);
	p[text.n] = '\n';
	memset(p + text.n + 1, ' ', FILE_ROOM);
	return (struct str){p, text.n + 1 + FILE_ROOM};
}

struct str file_first(struct str text)
{
	return str_cut(&text, '\n');
}

struct str file_second(struct str text)
{
	str_cut(&text, '\n');
	return str_trim(file_first(text));
}

static void temporary_of(const char *name, char ret[static 64])
{
	snprintf(ret, 64, "%s.tmp", name);
}

int file_reserve(int from_fd, const char *from, int dir_fd, const char *name, struct str otherwise)
{
	char temporary[64];

	temporary_of(name, temporary);
	return file_link(from_fd, from, dir_fd, temporary, otherwise);
}

/* Under that name there may be a reservation, which is the file of another name too: *ret_room, otherwise 0, is where
 * its room begins. What else is there was left by one who was killed. fd or -errno. */
static int open_temporary(int dir_fd, const char *temporary, size_t n, off_t *ret_room)
{
	const int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir_fd, temporary, flags, 0600);
	struct stat st;

	*ret_room = 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_nlink < 2)
		return fd;
	if (n <= FILE_ROOM && st.st_size > FILE_ROOM) {
		*ret_room = st.st_size - FILE_ROOM;
		return fd;
	}
	close(fd);
	unlinkat(dir_fd, temporary, 0);
	fd = openat(dir_fd, temporary, flags | O_EXCL, 0600);
	return fd < 0 ? -errno : fd;
}

static int write_room(int fd, struct str text, off_t at)
{
	char room[FILE_ROOM];

	memset(room, ' ', sizeof(room));
	memcpy(room, text.p, text.n);
	if (text.n < sizeof(room))
		room[text.n] = '\n';
	return write_at(fd, (struct str){room, sizeof(room)}, at);
}

static int write_whole(int fd, struct str text)
{
	int r = write_at(fd, text, 0);

	return r == 0 && ftruncate(fd, (off_t)text.n) < 0 ? -errno : r;
}

int file_replace(int dir_fd, const char *name, struct str text)
{
	char temporary[64];
	off_t room;
	int fd, r;

	temporary_of(name, temporary);
	fd = open_temporary(dir_fd, temporary, text.n, &room);
	if (fd < 0)
		return fd;
	r = room ? write_room(fd, text, room) : write_whole(fd, text);
	close(fd);
	if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir_fd, temporary, 0);
	return r;
}

/* ---- The disk ---- */

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

/* A room is in blocks that the file had before, so that its times alone need not be written. */
int file_sync(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), r;
	struct stat st;
	bool is_room;

	if (fd < 0)
		return -errno;
	is_room = fstat(fd, &st) == 0 && st.st_nlink > 1;
	r = (is_room ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
	close(fd);
	return r < 0 || is_room ? r : fsync(dir_fd) < 0 ? -errno : 0;
}

/* From there to the end. */
static int read_from(int fd, off_t at, size_t size, struct arena *a, struct str *ret)
{
	char *p = arena_alloc(a, size + 1);
	size_t n = 0;

	while (n < size) {
		ssize_t k = pread(fd, p + n, size - n, at + (off_t)n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		n += (size_t)k;
	}
	*ret = (struct str){p, n};
	return 0;
}

/* What was just written would be written once more for the time of being read; only its owner may leave that out. */
static int open_to_read(int dir_fd, const char *name, size_t *ret_size)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir_fd, name, flags | O_NOATIME), r;
	struct stat st;

	if (fd < 0 && errno == EPERM)
		fd = openat(dir_fd, name, flags);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	*ret_size = (size_t)st.st_size;
	return fd;
}

int file_read(int dir_fd, const char *name, size_t max, struct arena *a, struct str *ret)
{
	size_t size;
	int fd = open_to_read(dir_fd, name, &size), r;

	if (fd < 0)
		return fd;
	r = size > max ? -EFBIG : read_from(fd, 0, size, a, ret);
	close(fd);
	return r;
}

int file_read_second(int dir_fd, const char *name, size_t max, struct arena *a, struct str *ret)
{
	struct str tail = {0};
	size_t size;
	int fd = open_to_read(dir_fd, name, &size), r = 0;

	if (fd < 0)
		return fd;
	if (size > FILE_ROOM)
		r = read_from(fd, (off_t)size - FILE_ROOM - 1, FILE_ROOM + 1, a, &tail);
	if (r == 0 && tail.n > 0 && tail.p[0] == '\n')
		*ret = file_second(tail);
	else if (r == 0)
		r = size > max ? -EFBIG : read_from(fd, 0, size, a, ret);
	close(fd);
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
