#include "snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "files.h"
#include "snapshot_meta.h"
#include "tarball.h"

#define TREE "tree"

static int open_all(const struct snapshots *p, const char *workspace, bool make)
{
	return make ? dir_make(p->fd, workspace) : dir_open(p->fd, workspace);
}

static int read_one(int all, const char *id, struct arena *a, struct snapshot *ret)
{
	int fd = dir_open(all, id), r;

	if (fd < 0)
		return fd;
	*ret = (struct snapshot){.name = ""};
	snprintf(ret->id, sizeof(ret->id), "%s", id);
	r = snapshot_meta_read(fd, a, ret);
	close(fd);
	return r;
}

static int newest_first(const void *a, const void *b)
{
	return strcmp(((const struct snapshot *)b)->id, ((const struct snapshot *)a)->id);
}

int snapshot_list(const struct snapshots *p, const char *workspace, struct arena *a, struct snapshot_list *ret)
{
	_cleanup_(buf_deinit) struct buf found = BUF_INIT;
	int all = open_all(p, workspace, false), fd = all < 0 ? -1 : dir_open(all, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct snapshot s;
	struct dirent *entry;

	*ret = (struct snapshot_list){0};
	while (d && (entry = readdir(d)))
		if (id_is_valid(str_of(entry->d_name)) && read_one(all, entry->d_name, a, &s) == 0)
			buf_add(&found, &s, sizeof(s));
	if (d)
		closedir(d);
	if (all >= 0)
		close(all);
	ret->n = found.n / sizeof(s);
	ret->items = arena_alloc(a, found.n + 1);
	if (found.n > 0)
		memcpy(ret->items, found.p, found.n);
	qsort(ret->items, ret->n, sizeof(s), newest_first);
	return 0;
}

/* What there is room for. */
static int room_for(const struct snapshots *p, const char *workspace, struct arena *a, struct tree_size *ret)
{
	struct snapshot_list list;
	int r = snapshot_list(p, workspace, a, &list);
	size_t n = 0;

	*ret = (struct tree_size){p->bytes_max, TARBALL_FILES_MAX};
	for (size_t i = 0; i < list.n; i++) {
		n += !list.items[i].is_step;
		ret->bytes -= MIN(ret->bytes, list.items[i].own_bytes);
	}
	return r == 0 && n >= p->max ? -EMFILE : r;
}

static int copy_to(int from, int dir, const char *name, const struct tree_size *max, struct tree_size *ret)
{
	int to = dir_make(dir, name), r = to < 0 ? to : tree_copy(from, to, max, ret);

	if (r == 0 && syncfs(to) < 0)
		r = -errno;
	if (to >= 0)
		close(to);
	return r;
}

int snapshot_make(const struct snapshots *p, const char *workspace, int root, const char *name, struct snapshot *ret)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct snapshot s = {.name = name};
	int all = open_all(p, workspace, true), fd = -1, r;
	struct tree_size max;

	id_new(s.id);
	r = all < 0 ? all : room_for(p, workspace, a, &max);
	if (r == 0) {
		fd = dir_make(all, s.id);
		r = fd < 0 ? fd : copy_to(root, fd, TREE, &max, &s.size);
		s.own_bytes = s.size.bytes;
		if (r == 0)
			r = snapshot_meta_write(fd, a, &s);
		if (r == 0 && (fsync(fd) < 0 || fsync(all) < 0 || fsync(p->fd) < 0))
			r = -errno;
		if (fd >= 0)
			close(fd);
		if (r < 0)
			tree_erase(all, s.id);
	}
	if (all >= 0)
		close(all);
	if (r == 0)
		*ret = s;
	return r;
}

static int open_tree_of(int all, const char *id)
{
	int fd = dir_open(all, id), tree;

	if (fd < 0)
		return fd;
	tree = faccessat(fd, SNAPSHOT_META, F_OK, 0) < 0 ? -ENOENT : dir_open(fd, TREE);
	close(fd);
	return tree;
}

/* ---- Steps of runs ---- */

/* The newest step's, in the list; NULL = there is none. */
static const struct snapshot *last_step(const struct snapshot_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].is_step)
			return &list->items[i];
	return NULL;
}

/* So that there is room for one more, in number and in bytes. */
static int drop_oldest(const struct snapshots *p, const char *workspace, const struct snapshot_list *list)
{
	size_t n = 0;
	uint64_t bytes = 0;
	int r = 0;

	for (size_t i = 0; i < list->n && r == 0; i++) {
		const struct snapshot *s = &list->items[i];

		bytes += s->own_bytes;
		n += s->is_step;
		if (s->is_step && (n >= p->steps_max || bytes > p->bytes_max))
			r = snapshot_drop(p, workspace, s->id);
	}
	return r;
}

static int fill_step(int root, int fd, int all, const struct snapshot *last, const struct tree_size *max,
		     struct snapshot *s)
{
	int like = last ? open_tree_of(all, last->id) : -1, to = dir_make(fd, TREE), r = to;

	if (to >= 0)
		r = tree_copy_like(root, to, like, last ? id_time_us(str_of(last->id)) : 0, max, &s->size,
				   &s->own_bytes);
	if (to >= 0)
		close(to);
	if (like >= 0)
		close(like);
	return r;
}

static int make_step(const struct snapshots *p, struct arena *a, int all, int root, const struct snapshot *last,
		     struct snapshot *s)
{
	const struct tree_size max = {p->bytes_max, TARBALL_FILES_MAX};
	int fd = dir_make(all, s->id), r = fd;

	if (fd >= 0)
		r = fill_step(root, fd, all, last, &max, s);
	if (r == 0)
		r = snapshot_meta_write(fd, a, s);
	if (r == 0 && (fsync(fd) < 0 || fsync(all) < 0))
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r < 0)
		tree_erase(all, s->id);
	return r;
}

int snapshot_step(const struct snapshots *p, const char *workspace, int root, const char *name, struct snapshot *ret)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct snapshot s = {.name = name, .is_step = true};
	struct snapshot_list list;
	int all = open_all(p, workspace, true), r;

	id_new(s.id);
	r = all < 0 ? all : p->steps_max == 0 ? -ENOTSUP : snapshot_list(p, workspace, a, &list);
	if (r == 0) {
		const struct snapshot *last = last_step(&list);

		r = last ? tree_is_unchanged(root, id_time_us(str_of(last->id))) : 0;
		if (r == 1)
			memcpy(s.id, last->id, sizeof(s.id));
		if (r == 1)
			s.size = last->size;
		if (r == 0)
			r = make_step(p, a, all, root, last, &s);
		if (r == 0)
			r = drop_oldest(p, workspace, &list);
	}
	if (all >= 0)
		close(all);
	if (r >= 0)
		*ret = s;
	return MIN(r, 0);
}

int snapshot_copy_out(const struct snapshots *p, const char *workspace, int root, const char *id, int to)
{
	const struct tree_size max = {p->bytes_max, TARBALL_FILES_MAX};
	int all = id ? open_all(p, workspace, false) : -1;
	int tree = !id ? root : all < 0 ? all : open_tree_of(all, id), r = tree;
	struct tree_size size;

	if (tree >= 0)
		r = tree_copy(tree, to, &max, &size);
	if (r == 0 && syncfs(to) < 0)
		r = -errno;
	if (id && tree >= 0)
		close(tree);
	if (all >= 0)
		close(all);
	return r;
}

/* ---- Back ---- */

/* The copy takes the workspace's place in one step; what was there goes afterwards. */
int snapshot_restore(const struct snapshots *p, const char *workspace, const char *id)
{
	int all = open_all(p, workspace, false), tree = all < 0 ? all : open_tree_of(all, id), r = tree < 0 ? tree : 0;
	const struct tree_size max = {UINT64_MAX, UINT64_MAX};
	int workspaces = p->workspaces_fd;
	struct tree_size size;
	char aside[64], now[ID_SIZE];

	id_new(now);
	snprintf(aside, sizeof(aside), ".trash.%s", now);
	if (r == 0)
		r = copy_to(tree, workspaces, aside, &max, &size);
	if (r == 0 && renameat2(workspaces, aside, workspaces, workspace, RENAME_EXCHANGE) < 0)
		r = -errno;
	if (r == 0 && fsync(workspaces) < 0)
		r = -errno;
	tree_erase(workspaces, aside);
	if (tree >= 0)
		close(tree);
	if (all >= 0)
		close(all);
	return r;
}

int snapshot_drop(const struct snapshots *p, const char *workspace, const char *id)
{
	int all = open_all(p, workspace, false), tree = all < 0 ? all : open_tree_of(all, id), fd,
	    r = tree < 0 ? tree : 0;

	if (r == 0) {
		fd = dir_open(all, id);
		if (fd >= 0) {
			unlinkat(fd, SNAPSHOT_META, 0); /* from here on it is not there */
			close(fd);
		}
		r = tree_erase(all, id);
	}
	if (tree >= 0)
		close(tree);
	if (all >= 0)
		close(all);
	return r;
}

int snapshot_drop_all(const struct snapshots *p, const char *workspace)
{
	return tree_erase(p->fd, workspace);
}

static void sweep_workspace(int all, int64_t before_us)
{
	int fd = dir_open(all, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char meta[64];

	while (d && (entry = readdir(d))) {
		snprintf(meta, sizeof(meta), "%.40s/" SNAPSHOT_META, entry->d_name);
		if (id_is_valid(str_of(entry->d_name)) && id_time_us(str_of(entry->d_name)) < before_us &&
		    faccessat(all, meta, F_OK, 0) < 0)
			tree_erase(all, entry->d_name);
	}
	if (d)
		closedir(d);
}

void snapshot_sweep_of(const struct snapshots *p, const char *workspace, int64_t before_us)
{
	int all = dir_open(p->fd, workspace);

	if (all < 0)
		return;
	sweep_workspace(all, before_us);
	close(all);
}

static DIR *read_folder(int dir)
{
	int fd = dir_open(dir, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

void snapshot_sweep(const struct snapshots *p, int64_t before_us)
{
	DIR *d = read_folder(p->fd);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (workspace_is_valid(str_of(entry->d_name)))
			snapshot_sweep_of(p, entry->d_name, before_us);
	if (d)
		closedir(d);
}

void snapshot_sweep_trash(const struct snapshots *p, int64_t before_us)
{
	DIR *d = read_folder(p->workspaces_fd);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (strncmp(entry->d_name, ".trash.", 7) == 0 && id_time_us(str_of(entry->d_name + 7)) < before_us)
			tree_erase(p->workspaces_fd, entry->d_name);
	if (d)
		closedir(d);
}
