/* Copies of a workspace as it was: DATA/exec/snapshots/W/ID/, with tree/ and, once the copy is whole and on the disk,
 * meta.json. Made while nothing else works in the workspace, so that each is of one moment. Blocking. */
#pragma once

#include "exec.h"
#include "tree.h"

struct snapshot {
	char id[ID_SIZE];
	const char *name; /* as asked, may be "" */
	struct tree_size size;
	bool is_step;       /* made by snapshot_step */
	uint64_t own_bytes; /* that it did not share with the one before when it was made */
};
struct snapshot_list {
	struct snapshot *items;
	size_t n;
};

/* Newest first. */
int snapshot_list(struct exec *e, const char *workspace, struct arena *a, struct snapshot_list *ret);
/* root: the workspace's folder. -EMFILE: there are as many as may be; -EFBIG: together they would be larger than a
 * workspace may be. */
int snapshot_make(struct exec *e, const char *workspace, int root, const char *name, struct snapshot *ret);
/* The same for a step of a run: files that did not change share their room with the step before, the oldest of more
 * than workspace_steps_max go. Nothing changed since the last: that one again. -ENOTSUP: none are kept. */
int snapshot_step(struct exec *e, const char *workspace, int root, const char *name, struct snapshot *ret);
/* Another workspace, which is there and empty, is filled as this one was then; id NULL: as it is now (root). */
int snapshot_copy_out(struct exec *e, const char *workspace, int root, const char *id, int to);
/* The workspace is as it was then, at once and whole. */
int snapshot_restore(struct exec *e, const char *workspace, const char *id);
int snapshot_drop(struct exec *e, const char *workspace, const char *id);
int snapshot_drop_all(struct exec *e, const char *workspace);
/* What a crash left of snapshots in the making, begun before that time. */
void snapshot_sweep(struct exec *e, int64_t before_us);
