#include "service/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/seal.h"

#define CONTENT_MAX 4096

static int failed(struct error *err, const char *what, const char *dir, const char *name)
{
	return error_set(err, "secret_file", "Cannot %s %s/%s: %s.", what, dir, name, strerror(errno));
}

int secret_dir_make(const char *dir, struct error *err)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_set(err, "secret_file", "Cannot make the folder %s: %s.", dir, strerror(errno));
	return 0;
}

static int write_all(int fd, struct str content)
{
	while (content.n > 0) {
		ssize_t n = write(fd, content.p, content.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		content.p += n;
		content.n -= n;
	}
	return fsync(fd);
}

/* Several processes may share the folder. Returns a descriptor, whose close ends the lock, or -1. */
static int lock_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && flock(fd, LOCK_EX) < 0) {
		if (errno == EINTR)
			continue;
		close(fd);
		fd = -1;
	}
	return fd;
}

static int write_locked(int lock, const char *dir, const char *name, struct str content, struct error *err)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(fresh, sizeof(fresh), "%s/.%s.new", dir, name);
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return failed(err, "write", dir, name);
	r = write_all(fd, content);
	close(fd);
	if (r < 0 || rename(fresh, path) < 0 || fsync(lock) < 0)
		return failed(err, "write", dir, name);
	return 0;
}

int secret_file_write(const char *dir, const char *name, struct str content, struct error *err)
{
	int lock = lock_dir(dir), r;

	if (lock < 0)
		return failed(err, "write", dir, name);
	r = write_locked(lock, dir, name, content, err);
	close(lock);
	return r;
}

int secret_file_read(const char *dir, const char *name, struct buf *ret, struct error *err)
{
	char path[PATH_MAX], content[CONTENT_MAX];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0)
		return failed(err, "read", dir, name);
	n = read(fd, content, sizeof(content));
	close(fd);
	if (n < 0)
		return failed(err, "read", dir, name);
	if (n > 0 && content[n - 1] == '\n')
		n--;
	buf_add(ret, content, n);
	sodium_memzero(content, sizeof(content));
	return 0;
}

void secret_file_remove(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
}

int secret_file_key(const char *dir, const char *name, uint8_t *ret, size_t n, struct error *err)
{
	struct buf text = BUF_INIT;
	int lock = lock_dir(dir), r;

	if (lock < 0)
		return failed(err, "read", dir, name);
	r = secret_file_read(dir, name, &text, err);
	if (r == -ENOENT) {
		randombytes_buf(ret, n);
		base64url_encode(&text, ret, n);
		buf_add_char(&text, '\n');
		r = write_locked(lock, dir, name, buf_str(&text), err);
	} else if (r == 0 && base64url_decode(buf_str(&text), ret, n) != (ssize_t)n) {
		r = error_set(err, "secret_file",
			      "%s/%s does not hold a key; restore it from a backup, or remove it to "
			      "have a new one made.",
			      dir, name);
	}
	close(lock);
	buf_wipe(&text);
	return r;
}
