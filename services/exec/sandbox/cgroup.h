/* Control groups, where they can be written: a version 2 leaf for a sandbox (kill in one write, and the limits where
 * its controllers are there), version 1 groups for the memory and process limits otherwise. */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "base/util.h"

#define CGROUP_PATH 512

enum cgroup_controller { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_CONTROLLERS };
const char *cgroup_controller_name(enum cgroup_controller c);

/* The folders under which each sandbox gets its own; "" where there is none. A hybrid machine has some controllers in
 * version 2 and others in version 1: each is taken where it is. The leaf needs none to be of use: it kills, and counts
 * CPU time. */
struct cgroup_host {
	char name[64];
	char leaf[CGROUP_PATH];                   /* version 2 */
	bool in_leaf[CGROUP_CONTROLLERS];         /* the controller works there */
	char v1[CGROUP_CONTROLLERS][CGROUP_PATH]; /* of those that do not; some may be the same hierarchy */
};

/* What a sandbox as a whole may have. */
struct cgroup_limits {
	uint64_t memory;      /* bytes */
	unsigned pids;        /* without the init */
	unsigned cpu_percent; /* of one CPU; 0 = no quota */
	/* Groups that sandboxes have which come one after the other, and that nobody removes (cgroup_remove); NULL =
	 * its own. `share`: version 1's of CPU, of one without a quota. `leaf`: where it limits nothing; of those
	 * before only those that are gone had it, since all that is in it is killed. */
	const char *share, *leaf;
};

/* Files that are read when the command has ended. */
enum cgroup_count { CGROUP_OOM_KILLS, CGROUP_MEMORY_PEAK, CGROUP_PIDS_PEAK, CGROUP_FORKS_REFUSED, CGROUP_COUNTS };

struct cgroup {
	int leaf_fd;                      /* folder of the version 2 leaf, for CLONE_INTO_CGROUP; -1 = none */
	int fds[CGROUP_CONTROLLERS];      /* the folder that has this limit; -1 = none */
	int join_fds[CGROUP_CONTROLLERS]; /* version 1 "tasks" files, which the init writes "0" to; -1 = none */
	int counts[CGROUP_COUNTS];        /* see cgroup_open_counts; -1 = opened when it is asked for */
	char name[64];
	bool has_share, has_leaf; /* the group of CPU, the leaf, is others' too */
	int64_t cpu_before;       /* what those before had used by then, in microseconds */
	const struct cgroup_host *host;
};

#define CGROUP_INIT \
	((struct cgroup){.leaf_fd = -1, .fds = {-1, -1, -1}, .join_fds = {-1, -1, -1}, .counts = {-1, -1, -1, -1}})

/* Looks for writable places, makes our folder there and removes empty left-overs in it. `name` tells installations
 * apart. */
void cgroup_host_init(struct cgroup_host *h, const char *name);
/* Removes our folder if no sandbox is in it. */
void cgroup_host_deinit(const struct cgroup_host *h);
/* The version that limits this: 2, 1, or 0 = none, and rlimits do what they can. */
int cgroup_host_version(const struct cgroup_host *h, enum cgroup_controller c);
/* Both memory and the number of processes are limited by cgroups. */
bool cgroup_host_limits(const struct cgroup_host *h);
bool cgroup_host_is_empty(const struct cgroup_host *h);
/* Goes without what did not work: the version 2 leaf first (version 1 takes its place where it can), then all. */
void cgroup_host_leave(struct cgroup_host *h);
/* In words, which version does what. */
void cgroup_host_describe(const struct cgroup_host *h, char *text, size_t size);

/* Makes a sandbox's groups with its limits. Returns 0 or -errno. */
int cgroup_open(const struct cgroup_host *h, const char *name, const struct cgroup_limits *limits, struct cgroup *ret);
/* Whether nobody has removed them. */
bool cgroup_is_there(const struct cgroup *c);
/* Other limits than it was made with; a quota of CPU cannot go. */
int cgroup_limit(const struct cgroup *c, const struct cgroup_limits *limits);
/* Moves a process that is somewhere else in; its later children are in it too. 0 or -errno. Waits for a grace period of
 * some 10 ms. */
int cgroup_move(const struct cgroup *c, pid_t pid);
/* As cgroup_deinit of a group that somebody else opened. False: there are processes in it. */
bool cgroup_remove(const struct cgroup_host *h, const char *name);
/* Kills all members of the version 2 leaf. Returns whether that could be done. */
bool cgroup_kill(const struct cgroup *c);
/* Opens what is read at the end, so that nobody waits for it then; from here on what is asked for below is read from
 * there, as it is at that moment. It takes descriptors: who waits for long closes them. */
void cgroup_open_counts(struct cgroup *c);
void cgroup_close_counts(struct cgroup *c);
/* How often the memory limit killed a process. */
unsigned cgroup_oom_kills(const struct cgroup *c);
/* How often a process was refused for their number, and the most there were at once; 0 = none, or not known. */
unsigned cgroup_forks_refused(const struct cgroup *c);
unsigned cgroup_pids_peak(const struct cgroup *c);
/* CPU time of all that ever ran in it, in microseconds; -1 = not known. */
int64_t cgroup_cpu_us(const struct cgroup *c);
/* How often it was stopped for its quota of CPU. */
unsigned cgroup_throttled(const struct cgroup *c);
/* Peak memory in bytes, 0 = not known. */
uint64_t cgroup_memory_peak(const struct cgroup *c);
/* In the child: enters the version 1 groups. Only system calls. Returns 0 or -errno. */
int cgroup_join(const struct cgroup *c);
/* Removes the groups, closes. */
void cgroup_deinit(struct cgroup *c);
