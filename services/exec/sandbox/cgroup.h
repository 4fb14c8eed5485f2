/* Control groups, where they can be written: a version 2 leaf for a sandbox (kill in one write, and the limits where
 * its controllers are there), version 1 groups for the memory and process limits otherwise. */
#pragma once

#include <limits.h>

#include "base/util.h"

#define CGROUP_PATH 512

/* The folders under which each sandbox gets its own; "" where there is none. */
struct cgroup_host {
	char leaf[CGROUP_PATH];      /* version 2 */
	bool leaf_memory, leaf_pids; /* its controllers work */
	char v1_memory[CGROUP_PATH], v1_pids[CGROUP_PATH];
	char detail[160];
};

struct cgroup {
	int leaf_fd;     /* folder of the version 2 leaf, for CLONE_INTO_CGROUP; -1 = none */
	int memory_fd;   /* folder that counts memory: the leaf's or version 1's; -1 = none */
	int pids_fd;     /* folder that counts processes: the same; -1 = none */
	int join_fds[2]; /* version 1 "tasks" files, which the init writes "0" to; -1 = none */
	char name[64];
	const struct cgroup_host *host;
};

#define CGROUP_INIT ((struct cgroup){.leaf_fd = -1, .memory_fd = -1, .pids_fd = -1, .join_fds = {-1, -1}})

/* Looks for writable places, makes our folder there and removes empty left-overs in it. `name` tells installations
 * apart. */
void cgroup_host_init(struct cgroup_host *h, const char *name);
/* Removes our folder if no sandbox is in it. */
void cgroup_host_deinit(struct cgroup_host *h);
bool cgroup_host_limits(const struct cgroup_host *h);
int cgroup_host_version(const struct cgroup_host *h);

/* Makes a sandbox's groups with its limits. Returns 0 or -errno. */
int cgroup_open(const struct cgroup_host *h, const char *name, uint64_t memory_max, unsigned pids_max,
		struct cgroup *ret);
/* Other limits than it was made with. */
int cgroup_limit(const struct cgroup *c, uint64_t memory_max, unsigned pids_max);
/* Kills all members of the version 2 leaf. Returns whether that could be done. */
bool cgroup_kill(const struct cgroup *c);
/* How often the memory limit killed a process. */
unsigned cgroup_oom_kills(const struct cgroup *c);
/* How often a process was refused for their number, and the most there were at once; 0 = none, or not known. */
unsigned cgroup_forks_refused(const struct cgroup *c);
unsigned cgroup_pids_peak(const struct cgroup *c);
/* Peak memory in bytes, 0 = not known. */
uint64_t cgroup_memory_peak(const struct cgroup *c);
/* In the child: enters the version 1 groups. Only system calls. Returns 0 or -errno. */
int cgroup_join(const struct cgroup *c);
/* Removes the groups, closes. */
void cgroup_deinit(struct cgroup *c);
