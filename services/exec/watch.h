/* Limits that no kernel keeps for us: the CPU time of all of a command's processes, and what they write into a
 * workspace whose file system keeps no quota of its own. The command's owner looks from time to time and ends what is
 * over them.
 *
 * CPU time is read where the cgroup counts it, otherwise added up over the living. The next look is when all CPUs
 * together could have used up the rest.
 *
 * A workspace is measured by walking through it, a slice at a time, so that output is not held up. How much was written
 * since is at most what the file system lost of its free space (others' writes count too), so that nothing is walked
 * through before that could have filled the quota. Files that are deleted and still open are looked for in /proc when
 * more is gone than the walk found. Where project quotas are on (ext4 or XFS mounted with prjquota, as root) the kernel
 * counts, and refuses by itself what is too much. */
#pragma once

#include "sandbox/sandbox.h"

struct watch_limits {
	uint64_t cpu_ms;       /* of all processes together; 0 = none */
	uint64_t bytes, files; /* of the workspace; 0 = none */
};

enum watch_verdict {
	WATCH_FINE,
	WATCH_CPU,   /* the CPU time is used up */
	WATCH_BYTES, /* the workspace has too many bytes */
	WATCH_FILES, /* too many files and folders, or they are nested too deeply */
};

struct watch_walk;

struct watch {
	struct watch_limits limits;
	int root_fd; /* the workspace, -1 = none is watched */
	int64_t start_us;
	bool by_project;      /* the kernel counts */
	uint32_t project;     /* its id */
	uint64_t due_us;      /* monotonic: when to look again; UINT64_MAX = never */
	uint64_t cpu_us;      /* monotonic */
	uint64_t cpu_used_us; /* as seen last */
	int64_t cpu_base;     /* microseconds that the cgroup had counted at the start; -1 = it does not count */
	uint64_t space_us;    /* monotonic */
	uint64_t free_bytes, free_files; /* of the file system, at the last measuring or the start */
	uint64_t bytes, files;           /* as measured last; meanwhile it may have grown by what is free no more */
	bool is_measured;
	uint64_t first_bytes, first_files; /* as measured first: what was too much before may stay, and not grow */
	char full[PATH_MAX]; /* a file that is there while the workspace has far too much: "" = none is watched */
	uint64_t walked_us;  /* monotonic */
	unsigned walk_ms;
	struct watch_walk *walk; /* one that is under way */
};

#define WATCH_INIT ((struct watch){.root_fd = -1, .due_us = UINT64_MAX})

/* Of a new, empty workspace, as root: the kernel can count what will be in it, where the file system does that. */
void watch_new_workspace(int dir_fd, uint32_t project);
/* When the leader has started. workspace NULL: one of its own, which is memory and limited as /tmp is. `project`: the
 * number that the workspace has for itself on this machine, 0 = none. Not WATCH_FINE: it was far over its quota before,
 * and has to be emptied by other means than commands. */
enum watch_verdict watch_start(struct watch *w, const struct sandbox *s, const struct watch_limits *limits,
			       const char *workspace, uint32_t project);
/* When due_us has come. */
enum watch_verdict watch_look(struct watch *w, const struct sandbox *s);
/* When nothing of the command runs any more: whether it left too much. Measures if much was written. */
enum watch_verdict watch_finish(struct watch *w);
void watch_deinit(struct watch *w);
