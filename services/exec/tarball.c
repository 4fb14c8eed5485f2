#include "tarball.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/archive_api.h"
#include "sandbox/protect.h"

#define BLOCK (64 << 10)

/* ---- Making ---- */

struct making {
	const struct archive_api *api;
	struct archive *out;
	struct archive_entry *entry;
	struct buf path; /* of the folder that is being read, with a slash at the end */
	unsigned depth;
	struct tree_size max, size;
	int file, err; /* err: of writing it */
	char block[BLOCK];
};

static ssize_t write_out(struct archive *a, void *arg, const void *data, size_t n)
{
	struct making *m = arg;
	const char *p = data;

	for (size_t left = n; left > 0;) {
		ssize_t k = write(m->file, p, left);

		if (k < 0 && errno != EINTR) {
			m->err = -errno;
			return -1;
		}
		p += MAX(k, 0);
		left -= (size_t)MAX(k, 0);
	}
	return (ssize_t)n;
}

static int failure(struct making *m)
{
	return m->err < 0 ? m->err : -EIO;
}

static int put_bytes(struct making *m, int fd, uint64_t size)
{
	while (size > 0) {
		ssize_t n = read(fd, m->block, MIN(size, sizeof(m->block)));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) { /* it became shorter: the rest is zeros, as it was announced */
			n = (ssize_t)MIN(size, sizeof(m->block));
			memset(m->block, 0, (size_t)n);
		}
		if (m->api->write_data(m->out, m->block, (size_t)n) < 0)
			return failure(m);
		size -= (uint64_t)n;
	}
	return 0;
}

static void fill_entry(struct making *m, const struct stat *st, const char *link)
{
	m->api->entry_clear(m->entry);
	m->api->entry_set_pathname(m->entry, m->path.p);
	m->api->entry_set_filetype(m->entry, st->st_mode & S_IFMT);
	m->api->entry_set_perm(m->entry, st->st_mode & 0777);
	m->api->entry_set_mtime(m->entry, st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	m->api->entry_set_size(m->entry, S_ISREG(st->st_mode) ? st->st_size : 0);
	if (link)
		m->api->entry_set_symlink(m->entry, link);
}

static int put_header(struct making *m, const struct stat *st, const char *link)
{
	fill_entry(m, st, link);
	return m->api->write_header(m->out, m->entry) < ARCHIVE_WARN ? failure(m) : 0;
}

static int put_folder(struct making *m, int fd);

static int put_link(struct making *m, int dir, const char *name, const struct stat *st)
{
	char text[TREE_PATH_MAX + 1];
	ssize_t n = readlinkat(dir, name, text, sizeof(text) - 1);

	if (n < 0)
		return errno == ENOENT || errno == EINVAL ? 0 : -errno; /* EINVAL: it is no link any more */
	text[n] = 0;
	return put_header(m, st, text);
}

static int put_file_or_folder(struct making *m, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : -errno;
	r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && S_ISDIR(st.st_mode)) {
		buf_add_char(&m->path, '/');
		r = put_header(m, &st, NULL);
		return r < 0 ? (close(fd), r) : put_folder(m, fd);
	}
	if (r == 0 && S_ISREG(st.st_mode)) {
		m->size.bytes += (uint64_t)st.st_size;
		r = m->size.bytes > m->max.bytes ? -EFBIG : put_header(m, &st, NULL);
		if (r == 0)
			r = put_bytes(m, fd, (uint64_t)st.st_size);
	}
	close(fd);
	return r;
}

static int put_item(struct making *m, int dir, const char *name)
{
	size_t at = m->path.n;
	struct stat st;
	int r = 0;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (protect_is_placeholder(&st))
		return 0;
	if (++m->size.files > m->max.files)
		return -EFBIG;
	buf_add_str(&m->path, name);
	if (S_ISLNK(st.st_mode))
		r = put_link(m, dir, name, &st);
	else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		r = put_file_or_folder(m, dir, name);
	m->path.n = at;
	if (m->path.p)
		m->path.p[at] = 0;
	return r;
}

/* Closes it. */
static int put_folder(struct making *m, int fd)
{
	DIR *d = m->depth >= TREE_DEPTH_MAX ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!d) {
		close(fd);
		return m->depth >= TREE_DEPTH_MAX ? -ENAMETOOLONG : -errno;
	}
	m->depth++;
	while (r == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = put_item(m, dirfd(d), e->d_name);
	m->depth--;
	closedir(d);
	return r;
}

static int open_out(struct making *m, bool gzip)
{
	m->out = m->api->write_new();
	m->entry = m->api->entry_new();
	if (!m->out || !m->entry)
		return -ENOMEM;
	if (m->api->write_set_format_pax_restricted(m->out) < ARCHIVE_WARN ||
	    (gzip && m->api->write_add_filter_gzip(m->out) < ARCHIVE_WARN) ||
	    m->api->write_set_bytes_in_last_block(m->out, 1) < ARCHIVE_WARN ||
	    m->api->write_open(m->out, m, NULL, write_out, NULL) < ARCHIVE_WARN)
		return failure(m);
	return 0;
}

int tarball_make(int root, const char *path, bool gzip, int file, const struct tree_size *max)
{
	const struct archive_api *api = archive_api_load();
	struct making *m = api ? malloc(sizeof(*m)) : NULL;
	int fd, r;

	if (!m)
		return api ? -ENOMEM : -ENOPKG;
	*m = (struct making){.api = api, .max = *max, .file = file};
	fd = tree_dir(root, path);
	r = fd < 0 ? fd : open_out(m, gzip);
	if (r == 0)
		r = put_folder(m, fd);
	else if (fd >= 0)
		close(fd);
	if (r == 0 && api->write_close(m->out) < ARCHIVE_WARN)
		r = failure(m);
	if (m->out)
		api->write_free(m->out);
	if (m->entry)
		api->entry_free(m->entry);
	buf_deinit(&m->path);
	free(m);
	return r;
}

/* ---- Unpacking ---- */

struct unpacking {
	const struct archive_api *api;
	struct archive *in;
	int root, file;
	const char *path; /* of the folder, "" = the root */
	bool is_running;
	struct tree_size max, size;
	uint64_t entries;             /* links too, and the folders that their paths need */
	char last[TREE_PATH_MAX + 2]; /* the path before this one, as a folder */
	struct error *err;
	char block[BLOCK];
};

static int refuse(struct unpacking *u, const char *what, const char *name)
{
	error_set(u->err, "bad_archive", "The archive is refused: %s: %.200s", what, name);
	return -EBADMSG;
}

/* "./a/b/" is "a/b"; NULL: it leads out or has no form. */
static const char *plain_path(struct arena *a, const char *text)
{
	struct buf out = BUF_INIT;
	struct str rest = str_of(text);
	const char *path;

	if (*text == '/')
		return NULL;
	while (rest.n > 0) {
		struct str part = str_cut(&rest, '/');

		if (part.n == 0 || str_eq(part, STR(".")))
			continue;
		if (out.n)
			buf_add_char(&out, '/');
		buf_add(&out, part.p, part.n);
	}
	path = arena_strndup(a, out.p ? out.p : "", out.n);
	buf_deinit(&out);
	return tree_path_is_valid(str_of(path)) ? path : NULL;
}

/* Where a link leads, taken together with the folder it is in, stays below the place that is unpacked to. */
static bool link_stays(const char *path, const char *link)
{
	struct str rest = str_of(link);
	int depth = 0;

	if (*link == '/' || !*link || strlen(link) > TREE_PATH_MAX)
		return false;
	for (const char *p = path; (p = strchr(p, '/')); p++)
		depth++;
	while (rest.n > 0) {
		struct str part = str_cut(&rest, '/');

		if (str_eq(part, STR("..")))
			depth--;
		else if (part.n > 0 && !str_eq(part, STR(".")))
			depth++;
		if (depth < 0)
			return false;
	}
	return true;
}

/* Below the folder. */
static const char *full_path(struct unpacking *u, struct arena *a, const char *name)
{
	const char *path = plain_path(a, name);

	if (!*u->path || !*path)
		return *path ? path : u->path;
	return arena_printf(a, "%s/%s", u->path, path);
}

/* Headers of an entry: its own, and those of its long names and of what else is said of it. */
#define HEADERS_MAX 4096

/* A small file can become any number of links, or of headers that mean nothing. */
static bool is_too_much(struct unpacking *u)
{
	uint64_t read = (uint64_t)MAX(u->api->filter_bytes(u->in, 0), 0);

	return ++u->entries > u->max.files || read > u->max.bytes + u->max.files * HEADERS_MAX;
}

/* A short path can need a thousand folders. Those that it has in common with the path before it were counted then. */
static void count_folders(struct unpacking *u, const char *path)
{
	size_t same = 0;

	while (path[same] && path[same] == u->last[same])
		same++;
	while (same > 0 && path[same - 1] != '/')
		same--;
	for (const char *p = path + same; (p = strchr(p, '/')); p++)
		u->entries++;
	snprintf(u->last, sizeof(u->last), "%s/", path);
}

/* Two names of one file, of which one is protected, would be a way to write it. */
static bool is_second_name(struct unpacking *u, struct arena *a, const char *name, const char *hard)
{
	return hard && plain_path(a, hard) &&
	       (protect_covers(full_path(u, a, name)) || protect_covers(full_path(u, a, hard)));
}

static int check_entry(struct unpacking *u, struct arena *a, struct archive_entry *e)
{
	const char *name = u->api->entry_pathname(e), *hard = u->api->entry_hardlink(e);
	const char *soft = u->api->entry_symlink(e), *path = name ? plain_path(a, name) : NULL;
	mode_t type = u->api->entry_filetype(e);
	int64_t size = u->api->entry_size(e);

	if (path)
		count_folders(u, path);
	if (is_too_much(u))
		return -EFBIG;
	if (!path)
		return refuse(u, "a path leads out of it or cannot be one", name ? name : "");
	if (u->is_running && protect_covers(full_path(u, a, name)))
		return refuse(u, "a protected file cannot be replaced while commands run in the workspace", name);
	if (is_second_name(u, a, name, hard))
		return refuse(u, "a protected file cannot have a second name", name);
	if (hard)
		return plain_path(a, hard) ? 0 : refuse(u, "a link leads out of it", name);
	if (type == S_IFLNK)
		return soft && link_stays(path, soft) ? 0 : refuse(u, "a link leads out of it", name);
	if (type != S_IFREG && type != S_IFDIR)
		return refuse(u, "only files, folders and links can be unpacked", name);
	u->size.files++;
	u->size.bytes += (uint64_t)MAX(size, 0);
	return size < 0 || u->size.bytes > u->max.bytes ? -EFBIG : 0;
}

/* Never more than was counted: a map of holes may place a byte anywhere, and what is in front of it is read as zeros.
 */
static int take_bytes(struct unpacking *u, int fd, uint64_t size)
{
	for (;;) {
		ssize_t n = u->api->read_data(u->in, u->block, sizeof(u->block));

		if (n < 0)
			return refuse(u, "it is broken",
				      u->api->error_string(u->in) ? u->api->error_string(u->in) : "");
		if (n == 0)
			return 0;
		if ((uint64_t)n > size)
			return refuse(u, "a file is longer than it says", "");
		size -= (uint64_t)n;
		for (ssize_t at = 0; at < n;) {
			ssize_t k = write(fd, u->block + at, (size_t)(n - at));

			if (k < 0 && errno != EINTR)
				return -errno;
			at += MAX(k, 0);
		}
	}
}

static int take_file(struct unpacking *u, const char *path, struct archive_entry *e)
{
	const struct timespec times[] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = u->api->entry_mtime(e)}};
	struct tree_upload up;
	int r = tree_upload_start(u->root, path, true, &up);

	if (r < 0)
		return r;
	r = take_bytes(u, up.fd, (uint64_t)MAX(u->api->entry_size(e), 0));
	if (r == 0 && futimens(up.fd, times) < 0)
		r = -errno;
	if (r == 0)
		r = tree_upload_place(&up, u->root, path, u->api->entry_perm(e), true);
	tree_upload_deinit(&up);
	return r;
}

static int take_link(struct unpacking *u, const char *path, const char *link)
{
	const char *name;
	int fd = tree_parent_make(u->root, path, &name), r = 0;
	struct stat st;

	if (fd < 0)
		return fd;
	unlinkat(fd, name, 0);
	if (symlinkat(link, fd, name) < 0 || fstat(fd, &st) < 0 ||
	    (geteuid() == 0 && fchownat(fd, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0))
		r = -errno;
	close(fd);
	return r;
}

/* A second name of a file that is there: looked up like any other. */
static int take_hard_link(struct unpacking *u, const char *path, const char *to)
{
	const char *name, *old;
	int from = tree_parent(u->root, to, &old), fd = from < 0 ? from : tree_parent_make(u->root, path, &name), r = 0;
	struct stat st;

	if (fd >= 0 && fstatat(from, old, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	else if (fd >= 0 && !S_ISREG(st.st_mode))
		r = -EMEDIUMTYPE;
	if (fd >= 0 && r == 0) {
		unlinkat(fd, name, 0);
		r = linkat(from, old, fd, name, 0) < 0 ? -errno : 0;
	}
	if (fd >= 0)
		close(fd);
	if (from >= 0)
		close(from);
	return fd < 0 ? fd : r;
}

static int take_entry(struct unpacking *u, struct arena *a, struct archive_entry *e)
{
	const char *path = full_path(u, a, u->api->entry_pathname(e)), *hard = u->api->entry_hardlink(e);
	int r;

	if (hard)
		return strcmp(path, full_path(u, a, hard)) == 0 ? 0 : take_hard_link(u, path, full_path(u, a, hard));
	if (u->api->entry_filetype(e) == S_IFLNK)
		return take_link(u, path, u->api->entry_symlink(e));
	if (u->api->entry_filetype(e) == S_IFREG)
		return take_file(u, path, e);
	r = *path ? tree_mkdir(u->root, path, true) : 0;
	return r == -EEXIST ? 0 : r;
}

static int each_entry(struct unpacking *u, int (*fn)(struct unpacking *, struct arena *, struct archive_entry *))
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct archive_entry *e;
	int r = 0, got;

	if (lseek(u->file, 0, SEEK_SET) < 0)
		return -errno;
	u->in = u->api->read_new();
	u->api->read_support_filter_gzip(u->in);
	u->api->read_support_format_tar(u->in);
	if (u->api->read_open_fd(u->in, u->file, BLOCK) < ARCHIVE_WARN)
		r = refuse(u, "it is no tar and no tar.gz", "");
	while (r == 0 && (got = u->api->read_next_header(u->in, &e)) != ARCHIVE_EOF) {
		arena_reset(a);
		if (got < ARCHIVE_WARN)
			r = refuse(u, "it is no tar and no tar.gz, or broken",
				   u->api->error_string(u->in) ? u->api->error_string(u->in) : "");
		else
			r = fn(u, a, e);
	}
	u->api->read_free(u->in);
	return r;
}

int tarball_unpack(int root, const char *path, int file, bool is_running, const struct tree_size *max,
		   struct tree_size *ret, struct error *err)
{
	const struct archive_api *api = archive_api_load();
	struct unpacking *u = api ? malloc(sizeof(*u)) : NULL;
	int r;

	if (!u)
		return api ? -ENOMEM : -ENOPKG;
	*u = (struct unpacking){.api = api,
				.root = root,
				.file = file,
				.path = path,
				.is_running = is_running,
				.max = *max,
				.err = err};
	r = each_entry(u, check_entry);
	*ret = u->size;
	if (r == 0)
		r = each_entry(u, take_entry);
	if (r == 0 && syncfs(root) < 0)
		r = -errno;
	free(u);
	return r;
}
