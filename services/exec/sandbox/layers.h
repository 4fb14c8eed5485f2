/* The layers, as the inner init puts them on, in this order. All of these run between clone and exec: system calls
 * only, no allocation, no stdio. They return 0 or -errno; *what names the step that failed. */
#pragma once

#include "sandbox/sandbox.h"

#define INNER_UID 1000 /* the only user and group that exist inside */

/* In the parent, after the clone: the sandbox's user is INNER_UID inside and `uid` outside. Returns 0 or -errno. */
int userns_map(pid_t init, bool is_root, uid_t uid);
/* Takes on the inner user. Without a user namespace, as root: takes on `uid` itself. */
int userns_enter(const struct sandbox_host *host, uid_t uid, const char **what);

/* A mount of the folder, not attached anywhere: made outside where that is allowed, otherwise inside. fd or -errno. */
int mounts_workspace(const char *path);
/* Builds the root, pivots into it. workspace_fd: from mounts_workspace, or -1 for an empty one. *layer says which one
 * failed: LAYER_ROOT or LAYER_PROC. */
int mounts_enter(const struct sandbox_host *host, const struct sandbox_spec *spec, int workspace_fd,
		 enum sandbox_layer *layer, const char **what);
/* Fills host->places and host->may_mount. */
void mounts_host_init(struct sandbox_host *host);

/* The loopback interface up; there is no other. */
int net_enter(const char **what);

int limits_set(const struct sandbox_host *host, const struct sandbox_spec *spec, const char **what);
/* Drops every capability from every set, for good. */
int caps_drop(const char **what);

/* The highest ABI of the kernel, 0 = none. */
int landlock_abi(void);
/* Inside the root: everything readable, writes below /workspace, /tmp, /dev/shm. Without namespaces: the host's
 * system folders readable, the workspace writable, no TCP unless the spec has the network. */
int landlock_enter(const struct sandbox_host *host, const struct sandbox_spec *spec, const char **what);

/* Builds the filters. Returns 0 or -errno. */
int seccomp_host_init(struct sandbox_host *host);
void seccomp_host_deinit(struct sandbox_host *host);
int seccomp_enter(const struct sandbox_host *host, bool network, const char **what);

struct init_args {
	const struct sandbox_host *host;
	const struct sandbox_spec *spec;
	const struct cgroup *cgroup;
	int control;      /* our end of the socket pair */
	int workspace_fd; /* or -1 */
};
/* The inner init: never returns. */
void init_main(const struct init_args *args) NORETURN;
