#include "tree.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/utf8.h"
#include "sandbox/protect.h"

#define ITEMS_MAX 200000 /* in one folder */
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- Finding ---- */

bool workspace_is_valid(struct str name)
{
	if (name.n < 1 || name.n > 64)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!isascii(name.p[i]) || !(isalnum(name.p[i]) || name.p[i] == '_' || name.p[i] == '-'))
			return false;
	return true;
}

bool tree_path_is_valid(struct str path)
{
	struct str rest = path;

	if (path.n > TREE_PATH_MAX || memchr(path.p ? path.p : "", 0, path.n))
		return false;
	while (rest.n > 0) {
		struct str part = str_cut(&rest, '/');

		if (part.n < 1 || part.n > 255 || str_eq(part, STR(".")) || str_eq(part, STR("..")))
			return false;
		if (rest.p && rest.n == 0)
			return false; /* a slash at the end */
	}
	return true;
}

static int open_beneath(int root, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	int fd;

	do
		fd = (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN); /* somebody renamed meanwhile */
	return fd < 0 ? -errno : fd;
}

int tree_dir(int root, const char *path)
{
	return open_beneath(root, path, O_RDONLY | O_DIRECTORY);
}

/* First without opening what it is: a FIFO or a device would notice. */
int tree_open(int root, const char *path, struct stat *ret)
{
	int fd = open_beneath(root, path, O_PATH | O_NOFOLLOW), opened;
	char self[40];

	if (fd < 0)
		return fd;
	if (fstat(fd, ret) < 0) {
		opened = -errno;
	} else if (!S_ISREG(ret->st_mode) && !S_ISDIR(ret->st_mode)) {
		opened = S_ISLNK(ret->st_mode) ? -ELOOP : -EMEDIUMTYPE;
	} else {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		opened = open(self, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		opened = opened < 0 ? -errno : opened;
	}
	close(fd);
	return opened;
}

int tree_stat(int root, const char *path, struct stat *ret)
{
	const char *name;
	int fd = *path ? tree_parent(root, path, &name) : root, r = 0;

	if (fd < 0)
		return fd;
	if (*path ? fstatat(fd, name, ret, AT_SYMLINK_NOFOLLOW) < 0 : fstat(fd, ret) < 0)
		r = -errno;
	if (fd != root)
		close(fd);
	return r;
}

int tree_parent(int root, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char parent[TREE_PATH_MAX + 1];

	if (!*path || strlen(path) > TREE_PATH_MAX)
		return -EINVAL;
	*ret_name = slash ? slash + 1 : path;
	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 0, path);
	return tree_dir(root, parent);
}

/* ---- Making ---- */

/* A new folder belongs to who owns the one it is in. */
static int make_dir(int parent, const char *name)
{
	struct stat st;
	int fd, r = 0;

	if (mkdirat(parent, name, 0700) < 0)
		return -errno;
	fd = openat(parent, name, DIR_FLAGS);
	if (fd < 0 || fstat(parent, &st) < 0)
		r = -errno;
	else if ((geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) < 0) || fchmod(fd, 0755) < 0)
		r = -errno;
	close_fd(&fd);
	if (r < 0)
		unlinkat(parent, name, AT_REMOVEDIR);
	return r;
}

int tree_parent_make(int root, const char *path, const char **ret_name)
{
	char part[TREE_PATH_MAX + 1];
	const char *name, *slash = path;
	int fd, r;

	while ((slash = strchr(slash, '/'))) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		fd = tree_parent(root, part, &name);
		if (fd < 0)
			return fd;
		r = make_dir(fd, name);
		close(fd);
		if (r < 0 && r != -EEXIST)
			return r;
		slash++;
	}
	return tree_parent(root, path, ret_name);
}

int tree_mkdir(int root, const char *path, bool parents)
{
	const char *name;
	int fd = parents ? tree_parent_make(root, path, &name) : tree_parent(root, path, &name), r;

	if (fd < 0)
		return fd;
	r = make_dir(fd, name);
	close(fd);
	return r;
}

int tree_move(int root, const char *from, const char *to, bool replace)
{
	const char *old, *new;
	int a = tree_parent(root, from, &old), b = a < 0 ? a : tree_parent(root, to, &new), r = b < 0 ? b : 0;

	if (r == 0 && renameat2(a, old, b, new, replace ? 0 : RENAME_NOREPLACE) < 0)
		r = -errno;
	close_fd(&a);
	close_fd(&b);
	return r;
}

/* ---- Uploads ---- */

static int start_file(struct tree_upload *u)
{
	struct stat st;
	char id[ID_SIZE];

	if (fstat(u->parent, &st) < 0)
		return -errno;
	u->fd = openat(u->parent, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (u->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
		id_new(id);
		snprintf(u->temporary, sizeof(u->temporary), ".%s.part", id);
		u->fd = openat(u->parent, u->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	if (u->fd < 0)
		return -errno;
	return geteuid() == 0 && fchown(u->fd, st.st_uid, st.st_gid) < 0 ? -errno : 0;
}

int tree_upload_start(int root, const char *path, bool parents, struct tree_upload *ret)
{
	const char *name;
	int r;

	*ret = (struct tree_upload){.fd = -1};
	ret->parent = parents ? tree_parent_make(root, path, &name) : tree_parent(root, path, &name);
	r = ret->parent < 0 ? ret->parent : start_file(ret);
	if (r < 0)
		tree_upload_deinit(ret);
	return r;
}

/* A file without a name gets one that nobody uses, to be renamed. */
static int name_file(struct tree_upload *u)
{
	char self[40], id[ID_SIZE];

	if (u->temporary[0])
		return 0;
	id_new(id);
	snprintf(u->temporary, sizeof(u->temporary), ".%s.part", id);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", u->fd);
	if (linkat(AT_FDCWD, self, u->parent, u->temporary, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	u->temporary[0] = 0;
	return -errno;
}

/* The path is looked up anew: its folder may be another one by now. */
static int place(struct tree_upload *u, int root, const char *path, mode_t mode, bool replace, bool sync)
{
	struct stat st;
	const char *name;
	int fd = tree_parent(root, path, &name), r = fd < 0 ? fd : 0;

	if (r == 0 && (fchmod(u->fd, mode & 0777) < 0 || (sync && fsync(u->fd) < 0)))
		r = -errno;
	if (r == 0 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		r = -EISDIR;
	if (r == 0)
		r = name_file(u);
	if (r == 0 && renameat2(u->parent, u->temporary, fd, name, replace ? 0 : RENAME_NOREPLACE) < 0)
		r = -errno;
	if (r == 0)
		u->temporary[0] = 0;
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	close_fd(&fd);
	return r;
}

int tree_upload_place(struct tree_upload *u, int root, const char *path, mode_t mode, bool replace)
{
	return place(u, root, path, mode, replace, false);
}

int tree_upload_finish(struct tree_upload *u, int root, const char *path, mode_t mode, bool replace)
{
	return place(u, root, path, mode, replace, true);
}

void tree_upload_deinit(struct tree_upload *u)
{
	if (u->temporary[0] && u->parent >= 0)
		unlinkat(u->parent, u->temporary, 0);
	close_fd(&u->fd);
	close_fd(&u->parent);
	u->temporary[0] = 0;
}

/* ---- Listing ---- */

struct name {
	const char *raw, *shown;
};

static const char *clean(struct arena *a, const char *text)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct utf8_carry carry = {0};

	if (utf8_is_valid(str_of(text)))
		return text;
	utf8_clean(&carry, text, strlen(text), true, &out);
	return arena_strndup(a, out.p, out.n);
}

static int by_name(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int d = strcmp(x->shown, y->shown);

	return d ? d : strcmp(x->raw, y->raw);
}

/* Those behind `after` by the name that is shown, as it was: names that differ in it would be shown again. */
static int read_names(int fd, const char *after, struct arena *a, struct name **ret, size_t *ret_n)
{
	_cleanup_(buf_deinit) struct buf names = BUF_INIT;
	DIR *d = fdopendir(fd);
	struct dirent *e;
	size_t n = 0;

	if (!d) {
		close(fd);
		return -errno;
	}
	while (n < ITEMS_MAX && (e = readdir(d))) {
		struct name name = {.raw = e->d_name, .shown = clean(a, e->d_name)};

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    (after && strcmp(name.shown, after) <= 0))
			continue;
		name.raw = arena_strdup(a, e->d_name);
		name.shown = name.shown == e->d_name ? name.raw : name.shown;
		buf_add(&names, &name, sizeof(name));
		n++;
	}
	closedir(d);
	if (n == ITEMS_MAX)
		return -EFBIG;
	*ret = arena_alloc(a, (n + 1) * sizeof(struct name));
	if (n > 0)
		memcpy(*ret, names.p, n * sizeof(struct name));
	qsort(*ret, n, sizeof(struct name), by_name);
	*ret_n = n;
	return 0;
}

static const char *read_link(int dir, const char *name, struct arena *a)
{
	char text[TREE_PATH_MAX + 1];
	ssize_t n = readlinkat(dir, name, text, sizeof(text) - 1);

	return arena_strndup(a, text, (size_t)MAX(n, 0));
}

int tree_list(int root, const char *path, const char *after, size_t n, struct arena *a, struct tree_item **ret,
	      size_t *ret_n)
{
	int dir = tree_dir(root, path), copy = dir < 0 ? dir : fcntl(dir, F_DUPFD_CLOEXEC, 0), r;
	struct name *names = NULL;
	size_t count = 0, k = 0;

	if (dir < 0)
		return dir;
	r = copy < 0 ? -errno : read_names(copy, after, a, &names, &count);
	if (r == 0)
		*ret = arena_alloc(a, (n + 2) * sizeof(**ret));
	for (size_t i = 0; r == 0 && i < count && k <= n; i++) {
		struct tree_item *item = &(*ret)[k];

		if (fstatat(dir, names[i].raw, &item->st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* gone meanwhile */
		if (protect_is_placeholder(&item->st))
			continue;
		item->name = names[i].shown;
		item->link = S_ISLNK(item->st.st_mode) ? clean(a, read_link(dir, names[i].raw, a)) : NULL;
		k++;
	}
	close(dir);
	*ret_n = k;
	return r;
}

/* ---- Whole trees ---- */

typedef int tree_visit(int dir, const char *name, const struct stat *st, void *arg);

/* Each item of an open folder (which it closes). */
static int each(int fd, tree_visit *visit, void *arg)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	struct stat st;
	int r = 0;

	if (!d) {
		close(fd);
		return -errno;
	}
	while (r == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			r = visit(dirfd(d), e->d_name, &st, arg);
	closedir(d);
	return r;
}

struct erasing {
	int top; /* where folders that are too deep are taken to */
	unsigned depth;
	bool is_again; /* something was */
};

/* As an ordinary user a folder may be shut against its owner. By its own descriptor, never by its name. */
static int open_shut(int dir, const char *name)
{
	int fd = openat(dir, name, DIR_FLAGS), path;
	char self[40];

	if (fd >= 0 || errno != EACCES)
		return fd < 0 ? -errno : fd;
	path = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (path < 0)
		return -errno;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", path);
	fd = chmod(self, 0700) < 0 ? -1 : openat(dir, name, DIR_FLAGS);
	fd = fd < 0 ? -errno : fd;
	close(path);
	return fd;
}

/* Under a name that nothing there can have been given before. */
static int move_up(struct erasing *e, int dir, const char *name)
{
	char up[ID_SIZE];

	id_new(up);
	e->is_again = true;
	return renameat2(dir, name, e->top, up, RENAME_NOREPLACE) < 0 && errno != ENOENT ? -errno : 0;
}

static int erase_item(int dir, const char *name, const struct stat *st, void *arg)
{
	struct erasing *e = arg;
	int fd, r;

	if (!S_ISDIR(st->st_mode))
		return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (e->depth >= TREE_DEPTH_MAX)
		return move_up(e, dir, name);
	fd = open_shut(dir, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if ((st->st_mode & 0300) != 0300)
		fchmod(fd, 0700);
	e->depth++;
	r = each(fd, erase_item, e);
	e->depth--;
	return r < 0 ? r : unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int tree_erase(int dir, const char *name)
{
	struct erasing e = {.top = open_shut(dir, name)};
	int r = e.top < 0 ? e.top : 0;

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		fchmod(e.top, 0700);
	do {
		int fd = r < 0 ? -1 : openat(e.top, ".", DIR_FLAGS);

		e.is_again = false;
		if (r == 0)
			r = fd < 0 ? -errno : each(fd, erase_item, &e);
	} while (r == 0 && e.is_again);
	close_fd(&e.top);
	if (r == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

int tree_remove(int root, const char *path, bool recursive)
{
	const char *name;
	int fd = tree_parent(root, path, &name), r = 0;
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	else if (!S_ISDIR(st.st_mode))
		r = unlinkat(fd, name, 0) < 0 ? -errno : 0;
	else if (recursive)
		r = tree_erase(fd, name);
	else
		r = unlinkat(fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
	close(fd);
	return r;
}

struct copying {
	int to; /* the folder that is filled, -1: only measured */
	unsigned depth;
	struct tree_size max, size;
	bool is_step; /* tree_copy_like */
	int like;     /* the folder's earlier copy, -1 = it had none */
	int64_t since_us;
	uint64_t new_bytes;
};

/* The kernel's clock for files runs a few ms behind the one of the time. */
#define CLOCK_SLACK_US 50000

/* By the time that no program can set. */
static bool is_older(const struct stat *st, int64_t since_us)
{
	return st->st_ctim.tv_sec * 1000000ll + st->st_ctim.tv_nsec / 1000 < since_us - CLOCK_SLACK_US;
}

/* Another name for the earlier copy of the file, if it is still the same. */
static bool link_same(const struct copying *c, const char *name, const struct stat *st)
{
	struct stat old;

	return c->like >= 0 && is_older(st, c->since_us) && fstatat(c->like, name, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(old.st_mode) && old.st_size == st->st_size && old.st_mtim.tv_sec == st->st_mtim.tv_sec &&
	       old.st_mtim.tv_nsec == st->st_mtim.tv_nsec && linkat(c->like, name, c->to, name, 0) == 0;
}

/* Where the file system knows no holes the first piece is all of it. */
static int next_piece(int fd, uint64_t at, uint64_t size, uint64_t *ret_at, uint64_t *ret_end)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;

	if (data < 0)
		return errno == ENXIO ? 0 : -errno;
	hole = lseek(fd, data, SEEK_HOLE);
	if (hole < 0)
		return -errno;
	*ret_at = (uint64_t)data;
	*ret_end = MIN((uint64_t)hole, size);
	return *ret_at < *ret_end;
}

/* Holes stay holes: a file of a terabyte may be a few bytes. Less comes when it becomes shorter meanwhile. */
static int copy_bytes(int from, int to, uint64_t size)
{
	uint64_t at = 0, end = 0;
	int r;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	while ((r = next_piece(from, at, size, &at, &end)) > 0)
		while (at < end) {
			off_t in = (off_t)at, out = (off_t)at;
			ssize_t n = copy_file_range(from, &in, to, &out, (size_t)MIN(end - at, (uint64_t)1 << 30), 0);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return -errno;
			if (n == 0)
				return 0;
			at += (uint64_t)n;
		}
	return r < 0 ? r : ftruncate(to, (off_t)size) < 0 ? -errno : 0;
}

static int take_on(int fd, const struct stat *st)
{
	const struct timespec times[] = {st->st_atim, st->st_mtim};

	if (geteuid() == 0 && fchown(fd, st->st_uid, st->st_gid) < 0)
		return -errno;
	return fchmod(fd, st->st_mode & 0777) < 0 || futimens(fd, times) < 0 ? -errno : 0;
}

static int copy_file(int dir, const char *name, int to, struct copying *c)
{
	int from = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), fd = -1, r = 0;
	struct stat st;

	if (from < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(from, &st) < 0)
		r = -errno;
	else if (S_ISREG(st.st_mode)) {
		fd = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		r = fd < 0 ? -errno : copy_bytes(from, fd, (uint64_t)st.st_size);
		if (r == 0)
			r = take_on(fd, &st);
		if (r == 0 && c->is_step && fdatasync(fd) < 0)
			r = -errno;
		c->new_bytes += (uint64_t)st.st_size;
	}
	close(from);
	close_fd(&fd);
	return r;
}

static int copy_link(int dir, const char *name, const struct stat *st, int to)
{
	char text[TREE_PATH_MAX + 1];
	ssize_t n = readlinkat(dir, name, text, sizeof(text) - 1);

	if (n < 0)
		return errno == ENOENT || errno == EINVAL ? 0 : -errno; /* EINVAL: it is no link any more */
	text[n] = 0;
	if (symlinkat(text, to, name) < 0 ||
	    (geteuid() == 0 && fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0))
		return -errno;
	return 0;
}

static int copy_item(int dir, const char *name, const struct stat *st, void *arg);

static int copy_dir(int dir, const char *name, const struct stat *st, struct copying *c)
{
	int from = openat(dir, name, DIR_FLAGS), outer = c->to, outer_like = c->like, r = 0;

	if (from < 0)
		return errno == ENOENT ? 0 : -errno;
	if (c->depth >= TREE_DEPTH_MAX) {
		close(from);
		return -ENAMETOOLONG;
	}
	if (outer >= 0) {
		if (mkdirat(outer, name, 0700) < 0)
			r = -errno;
		c->to = r < 0 ? -1 : openat(outer, name, DIR_FLAGS);
		if (r == 0 && c->to < 0)
			r = -errno;
	}
	c->like = outer_like < 0 ? -1 : openat(outer_like, name, DIR_FLAGS);
	c->depth++;
	if (r == 0)
		r = each(from, copy_item, c);
	else
		close(from);
	c->depth--;
	close_fd(&c->like);
	c->like = outer_like;
	if (r == 0 && outer >= 0)
		r = take_on(c->to, st);
	if (outer >= 0)
		close_fd(&c->to);
	c->to = outer;
	return r;
}

static int copy_item(int dir, const char *name, const struct stat *st, void *arg)
{
	struct copying *c = arg;

	c->size.files++;
	c->size.bytes += S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	if (c->size.files > c->max.files || c->size.bytes > c->max.bytes)
		return -EFBIG;
	if (S_ISDIR(st->st_mode))
		return copy_dir(dir, name, st, c);
	if (c->to < 0)
		return 0;
	if (S_ISREG(st->st_mode))
		return link_same(c, name, st) ? 0 : copy_file(dir, name, c->to, c);
	return S_ISLNK(st->st_mode) ? copy_link(dir, name, st, c->to) : 0;
}

static int copy_all(int from, int to, const struct tree_size *max, struct tree_size *ret)
{
	struct copying c = {.to = to, .max = *max, .like = -1};
	int fd = openat(from, ".", DIR_FLAGS), r;

	if (fd < 0)
		return -errno;
	r = each(fd, copy_item, &c);
	*ret = c.size;
	return r;
}

int tree_copy(int from, int to, const struct tree_size *max, struct tree_size *ret)
{
	struct stat st;
	int r = copy_all(from, to, max, ret);

	if (r == 0 && fstat(from, &st) < 0)
		r = -errno;
	return r < 0 ? r : take_on(to, &st);
}

int tree_copy_like(int from, int to, int like, int64_t since_us, const struct tree_size *max, struct tree_size *ret,
		   uint64_t *ret_new)
{
	struct copying c = {.to = to, .max = *max, .is_step = true, .like = like, .since_us = since_us};
	int fd = openat(from, ".", DIR_FLAGS), r;
	struct stat st;

	if (fd < 0)
		return -errno;
	r = each(fd, copy_item, &c);
	if (r == 0 && fstat(from, &st) < 0)
		r = -errno;
	*ret = c.size;
	*ret_new = c.new_bytes;
	return r < 0 ? r : take_on(to, &st);
}

static int check_names(int dir, const char *name, const struct stat *st, void *arg)
{
	unsigned *depth = arg;
	int fd, r;

	if (!S_ISDIR(st->st_mode))
		return S_ISREG(st->st_mode) && st->st_nlink > 1 && !protect_is_placeholder(st) ? -EMLINK : 0;
	fd = *depth >= TREE_DEPTH_MAX ? -ENAMETOOLONG : open_shut(dir, name);
	if (fd < 0)
		return fd;
	++*depth;
	r = each(fd, check_names, depth);
	--*depth;
	return r;
}

int tree_has_one_name_each(int root, const char *path)
{
	const char *name;
	unsigned depth = 0;
	struct stat st;
	int fd = tree_parent(root, path, &name), r;

	if (fd < 0)
		return fd;
	r = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : check_names(fd, name, &st, &depth);
	close(fd);
	return r;
}

struct looking {
	int64_t since_us;
	unsigned depth;
};

/* 1 = something is newer. */
static int look_at_item(int dir, const char *name, const struct stat *st, void *arg)
{
	struct looking *l = arg;
	int fd, r;

	if (!is_older(st, l->since_us))
		return 1;
	if (!S_ISDIR(st->st_mode))
		return 0;
	if (l->depth >= TREE_DEPTH_MAX)
		return -ENAMETOOLONG;
	fd = open_shut(dir, name);
	if (fd < 0)
		return fd;
	l->depth++;
	r = each(fd, look_at_item, l);
	l->depth--;
	return r;
}

int tree_is_unchanged(int dir, int64_t since_us)
{
	struct looking l = {.since_us = since_us};
	int fd = openat(dir, ".", DIR_FLAGS), r;
	struct stat st;

	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : !is_older(&st, since_us);
	if (r != 0)
		close(fd);
	else
		r = each(fd, look_at_item, &l);
	return r < 0 ? r : !r;
}

int tree_measure(int dir, const struct tree_size *max, struct tree_size *ret)
{
	return copy_all(dir, -1, max, ret);
}
