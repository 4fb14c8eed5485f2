#include "errand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "files.h"
#include "sandbox/protect.h"
#include "tarball.h"
#include "watch.h"

void errand_init(struct errand *e, const struct snapshots *on, const char *workspace, int root)
{
	*e = (struct errand){.on = on, .workspace = workspace, .root = root, .file = -1};
	e->up = (struct tree_upload){.fd = -1, .parent = -1};
}

void errand_deinit(struct errand *e)
{
	tree_upload_deinit(&e->up);
	if (e->file >= 0)
		close(e->file);
	if (e->root >= 0)
		close(e->root);
	e->file = e->root = -1;
	free(e->block);
	e->block = NULL;
}

static struct tree_size limits(const struct errand *e)
{
	return (struct tree_size){e->on->bytes_max, TARBALL_FILES_MAX};
}

/* In place of the one before. */
static int new_file(struct errand *e)
{
	int fd = openat(e->on->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (e->file >= 0)
		close(e->file);
	e->file = fd;
	return fd < 0 ? -errno : 0;
}

/* ---- Looking ---- */

static int do_measure(struct errand *e, struct arena *a, struct errand_result *ret)
{
	const struct tree_size max = {UINT64_MAX, 1000000};

	ret->is_measured = tree_measure(e->root, &max, &ret->size) == 0;
	return snapshot_list(e->on, e->workspace, a, &ret->list);
}

static int do_open(struct errand *e, const struct errand_step *s, struct arena *a, struct errand_result *ret)
{
	int fd = tree_open(e->root, s->path, &ret->st), r;
	size_t max = MIN((size_t)s->n, ERRAND_ITEMS_MAX);

	if (fd < 0)
		return fd;
	if (e->file >= 0)
		close(e->file);
	e->file = -1;
	if (S_ISREG(ret->st.st_mode)) {
		e->file = fd;
		return 0;
	}
	close(fd);
	r = tree_list(e->root, s->path, *s->other ? s->other : NULL, max, a, &ret->items, &ret->n);
	ret->is_more = ret->n > max;
	ret->n = MIN(ret->n, max);
	return r;
}

static int do_read(struct errand *e, const struct errand_step *s, struct errand_result *ret)
{
	ssize_t n;

	if (!e->block)
		e->block = xmalloc(ERRAND_BLOCK);
	n = pread(e->file, e->block, (size_t)MIN(s->n, (uint64_t)ERRAND_BLOCK), (off_t)s->offset);
	if (n < 0)
		return -errno;
	ret->data = (struct str){e->block, (size_t)n};
	return 0;
}

/* ---- Changing ---- */

static int do_put(struct errand *e, const struct errand_step *s, struct errand_result *ret)
{
	struct stat st;

	ret->was_there = tree_stat(e->root, s->path, &st) == 0;
	if (ret->was_there && S_ISDIR(st.st_mode))
		return -EISDIR;
	if (ret->was_there && (s->flags & ERRAND_NEW_ONLY))
		return -EEXIST;
	tree_upload_deinit(&e->up);
	return tree_upload_start(e->root, s->path, s->flags & ERRAND_PARENTS, &e->up);
}

static int do_write(struct errand *e, const struct errand_step *s)
{
	int fd = e->up.fd >= 0 ? e->up.fd : e->file;

	for (size_t at = 0; at < s->data.n;) {
		ssize_t n = write(fd, s->data.p + at, s->data.n - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += (size_t)MAX(n, 0);
	}
	return 0;
}

static int do_place(struct errand *e, const struct errand_step *s, struct errand_result *ret)
{
	int r = tree_upload_finish(&e->up, e->root, s->path, s->mode, !(s->flags & ERRAND_NEW_ONLY));

	return r < 0 ? r : tree_stat(e->root, s->path, &ret->st);
}

static int do_mkdir(struct errand *e, const struct errand_step *s, struct errand_result *ret)
{
	int r = *s->path ? tree_mkdir(e->root, s->path, s->flags & ERRAND_PARENTS) : -EEXIST;

	return r < 0 ? r : tree_stat(e->root, s->path, &ret->st);
}

/* A file with a second name elsewhere would not be protected by its place: it could be written by the other name. */
static int move(struct errand *e, const struct errand_step *s)
{
	int r = protect_covers(s->other) ? tree_has_one_name_each(e->root, s->path) : 0;

	return r < 0 ? r : tree_move(e->root, s->path, s->other, s->flags & ERRAND_REPLACE);
}

static int do_move(struct errand *e, const struct errand_step *s, struct errand_result *ret)
{
	int r = *s->path && *s->other ? move(e, s) : -EINVAL;

	return r < 0 ? r : tree_stat(e->root, s->other, &ret->st);
}

/* ---- Archives ---- */

static int do_pack(struct errand *e, const struct errand_step *s, struct errand_result *ret)
{
	const struct tree_size max = limits(e);
	int r = new_file(e);

	if (r == 0)
		r = tarball_make(e->root, s->path, s->flags & ERRAND_GZIP, e->file, &max);
	return r == 0 && fstat(e->file, &ret->st) < 0 ? -errno : r;
}

static int do_take(struct errand *e, const struct errand_step *s)
{
	int dir = tree_dir(e->root, s->path);

	if (dir < 0)
		return dir;
	close(dir);
	return new_file(e);
}

static int do_unpack(struct errand *e, const struct errand_step *s, struct errand_result *ret)
{
	const struct tree_size max = limits(e);

	return tarball_unpack(e->root, s->path, e->file, s->flags & ERRAND_RUNNING, &max, &ret->size, &ret->err);
}

/* ---- Snapshots and whole workspaces ---- */

static int do_keep(struct errand *e, const struct errand_step *s, struct errand_result *ret)
{
	return s->flags & ERRAND_STEP ? snapshot_step(e->on, e->workspace, e->root, s->other, &ret->snapshot)
				      : snapshot_make(e->on, e->workspace, e->root, s->other, &ret->snapshot);
}

/* The new one belongs to the same user of this machine, so that the files need not change hands. */
static int make_like(struct errand *e, const char *name)
{
	struct stat st;
	int fd;

	if (fstat(e->root, &st) < 0 || mkdirat(e->on->workspaces_fd, name, 0700) < 0)
		return -errno;
	fd = dir_open(e->on->workspaces_fd, name);
	if (fd >= 0 && geteuid() == 0) {
		if (fchown(fd, st.st_uid, st.st_gid) < 0) {
			close(fd);
			return -errno;
		}
		watch_new_workspace(fd, st.st_uid);
	}
	return fd;
}

static int do_copy(struct errand *e, const struct errand_step *s)
{
	int to = make_like(e, s->path), r;

	if (to < 0)
		return to;
	r = snapshot_copy_out(e->on, e->workspace, e->root, *s->other ? s->other : NULL, to);
	close(to);
	if (r == 0 && fsync(e->on->workspaces_fd) < 0)
		r = -errno;
	if (r < 0)
		tree_erase(e->on->workspaces_fd, s->path);
	return r;
}

/* First it is not there any more, then it goes. */
static int do_erase(struct errand *e)
{
	int workspaces = e->on->workspaces_fd, r;
	char trash[64], id[ID_SIZE];

	id_new(id);
	snprintf(trash, sizeof(trash), ".trash.%s", id);
	if (renameat(workspaces, e->workspace, workspaces, trash) < 0 || fsync(workspaces) < 0)
		return -errno;
	r = tree_erase(workspaces, trash);
	return r < 0 ? r : snapshot_drop_all(e->on, e->workspace);
}

/* ---- All of them ---- */

/* Whether the step before it was there. */
static bool may_follow(const struct errand *e, enum errand_op op)
{
	switch (op) {
	case ERRAND_READ:
	case ERRAND_UNPACK: return e->file >= 0;
	case ERRAND_WRITE: return e->up.fd >= 0 || e->file >= 0;
	case ERRAND_PLACE: return e->up.fd >= 0;
	default: return true;
	}
}

static int perform(struct errand *e, const struct errand_step *s, struct arena *a, struct errand_result *ret)
{
	switch (s->op) {
	case ERRAND_MEASURE: return do_measure(e, a, ret);
	case ERRAND_OPEN: return do_open(e, s, a, ret);
	case ERRAND_READ: return do_read(e, s, ret);
	case ERRAND_PUT: return do_put(e, s, ret);
	case ERRAND_WRITE: return do_write(e, s);
	case ERRAND_PLACE: return do_place(e, s, ret);
	case ERRAND_REMOVE: return *s->path ? tree_remove(e->root, s->path, s->flags & ERRAND_RECURSIVE) : -EINVAL;
	case ERRAND_MKDIR: return do_mkdir(e, s, ret);
	case ERRAND_MOVE: return do_move(e, s, ret);
	case ERRAND_PACK: return do_pack(e, s, ret);
	case ERRAND_TAKE: return do_take(e, s);
	case ERRAND_UNPACK: return do_unpack(e, s, ret);
	case ERRAND_LIST: return snapshot_list(e->on, e->workspace, a, &ret->list);
	case ERRAND_KEEP: return do_keep(e, s, ret);
	case ERRAND_RESTORE: return snapshot_restore(e->on, e->workspace, s->other);
	case ERRAND_DROP: return snapshot_drop(e->on, e->workspace, s->other);
	case ERRAND_COPY: return do_copy(e, s);
	case ERRAND_ERASE: return do_erase(e);
	case ERRAND_NONE:
	case ERRAND_MAKE:
	case ERRAND_OPS: break;
	}
	return -EINVAL;
}

void errand_do(struct errand *e, const struct errand_step *s, struct arena *a, struct errand_result *ret)
{
	*ret = (struct errand_result){0};
	ret->result = may_follow(e, s->op) ? perform(e, s, a, ret) : -EINVAL;
}
