/* Copies of a workspace as it was: DATA/exec/snapshots/W/ID/, with tree/ and, once the copy is whole and on the disk,
 * its meta file (snapshot_meta.h). Made while nothing else works in the workspace, so that each is of one moment.
 * Blocking. */
#pragma once

#include "base/id.h"
#include "tree.h"

/* Where a machine has them, and how many. */
struct snapshots {
	int workspaces_fd, fd;   /* folders */
	uint64_t bytes_max;      /* of a workspace; of all snapshots of one */
	unsigned max, steps_max; /* of each workspace; of those, of steps of runs */
};

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
int snapshot_list(const struct snapshots *p, const char *workspace, struct arena *a, struct snapshot_list *ret);
/* root: the workspace's folder. -EMFILE: there are as many as may be; -EFBIG: together they would be larger than a
 * workspace may be. */
int snapshot_make(const struct snapshots *p, const char *workspace, int root, const char *name, struct snapshot *ret);
/* The same for a step of a run: files that did not change share their room with the step before, the oldest of more
 * than workspace_steps_max go. Nothing changed since the last: that one again. -ENOTSUP: none are kept. */
int snapshot_step(const struct snapshots *p, const char *workspace, int root, const char *name, struct snapshot *ret);
/* Another workspace, which is there and empty, is filled as this one was then; id NULL: as it is now (root). */
int snapshot_copy_out(const struct snapshots *p, const char *workspace, int root, const char *id, int to);
/* The workspace is as it was then, at once and whole. */
int snapshot_restore(const struct snapshots *p, const char *workspace, const char *id);
int snapshot_drop(const struct snapshots *p, const char *workspace, const char *id);
int snapshot_drop_all(const struct snapshots *p, const char *workspace);
/* What a crash left of snapshots in the making, begun before that time; of one workspace or of all. */
void snapshot_sweep_of(const struct snapshots *p, const char *workspace, int64_t before_us);
void snapshot_sweep(const struct snapshots *p, int64_t before_us);
/* The same of workspaces that were being removed or restored. */
void snapshot_sweep_trash(const struct snapshots *p, int64_t before_us);
