#include "agent/account/export_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/util.h"
#include "io/archive_api.h"

#define PIECE (64 * 1024)

struct export_file {
	const struct archive_api *api;
	struct archive *out;
	struct archive_entry *entry;
	int fd, lines_fd;
	int64_t max, written, n_lines;
	char piece[PIECE];
};

static int write_all(int fd, const void *data, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t k = write(fd, (const char *)data + at, n - at);

		if (k < 0 && errno != EINTR)
			return -errno;
		at += k > 0 ? (size_t)k : 0;
	}
	return 0;
}

/* What is packed goes here. */
static la_ssize_t on_write(struct archive *a, void *arg, const void *data, size_t n)
{
	struct export_file *f = arg;

	f->written += (int64_t)n;
	return f->written <= f->max && write_all(f->fd, data, n) == 0 ? (la_ssize_t)n : -1;
}

/* What libarchive says of a failure, as far as it is known. */
static int failure(const struct export_file *f)
{
	return f->written > f->max ? -EFBIG : -EIO;
}

static int begin(struct export_file *f, const char *path, int64_t size)
{
	f->api->entry_clear(f->entry);
	f->api->entry_set_pathname(f->entry, path);
	f->api->entry_set_filetype(f->entry, S_IFREG);
	f->api->entry_set_perm(f->entry, 0600);
	f->api->entry_set_size(f->entry, size);
	f->api->entry_set_mtime(f->entry, time(NULL), 0);
	return f->api->write_header(f->out, f->entry) == ARCHIVE_OK ? 0 : failure(f);
}

static int unlinked(const char *folder)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/export-XXXXXX", folder);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

struct export_file *export_file_new(const char *folder, int64_t max, struct error *err)
{
	struct export_file *f = xcalloc(1, sizeof(*f));

	f->max = max;
	f->fd = unlinked(folder);
	f->lines_fd = unlinked(folder);
	f->api = archive_api_load();
	if (!f->api)
		error_set(err, "not_installed", "libarchive is not installed here (package libarchive13).");
	else if (f->fd < 0 || f->lines_fd < 0)
		error_set(err, "data_folder", "Cannot make a file in %s: %s.", folder,
			  strerror(-(f->fd < 0 ? f->fd : f->lines_fd)));
	if (!f->api || f->fd < 0 || f->lines_fd < 0) {
		export_file_free(f);
		return NULL;
	}
	f->out = f->api->write_new();
	f->entry = f->api->entry_new();
	if (!f->out || !f->entry)
		abort();
	f->api->write_set_format_pax_restricted(f->out);
	f->api->write_add_filter_gzip(f->out);
	f->api->write_set_bytes_in_last_block(f->out, 1);
	f->api->write_open(f->out, f, NULL, on_write, NULL);
	return f;
}

void export_file_free(struct export_file *f)
{
	if (!f)
		return;
	if (f->out)
		f->api->write_free(f->out);
	if (f->entry)
		f->api->entry_free(f->entry);
	if (f->fd >= 0)
		close(f->fd);
	if (f->lines_fd >= 0)
		close(f->lines_fd);
	free(f);
}

int export_file_add(struct export_file *f, const char *path, struct str bytes)
{
	int r = begin(f, path, (int64_t)bytes.n);

	if (r == 0 && f->api->write_data(f->out, bytes.p, bytes.n) != (la_ssize_t)bytes.n)
		r = failure(f);
	return r;
}

int export_file_line(struct export_file *f, struct str line)
{
	int r = write_all(f->lines_fd, line.p, line.n);

	f->n_lines += (int64_t)line.n + 1;
	return r < 0 ? r : write_all(f->lines_fd, "\n", 1);
}

static int copy_lines(struct export_file *f)
{
	for (int64_t at = 0; at < f->n_lines;) {
		ssize_t n = pread(f->lines_fd, f->piece, PIECE, at);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		if (f->api->write_data(f->out, f->piece, (size_t)n) != n)
			return failure(f);
		at += n;
	}
	return 0;
}

int export_file_end_lines(struct export_file *f, const char *path)
{
	int r = begin(f, path, f->n_lines);

	if (r == 0)
		r = copy_lines(f);
	if (r == 0 && (ftruncate(f->lines_fd, 0) < 0 || lseek(f->lines_fd, 0, SEEK_SET) < 0))
		r = -errno;
	f->n_lines = 0;
	return r;
}

int export_file_close(struct export_file *f)
{
	return f->api->write_close(f->out) == ARCHIVE_OK ? 0 : failure(f);
}

int64_t export_file_size(const struct export_file *f)
{
	return f->written;
}

ssize_t export_file_read(struct export_file *f, int64_t from, char *ret, size_t max)
{
	ssize_t n = pread(f->fd, ret, max, from);

	return n < 0 ? -errno : n;
}
