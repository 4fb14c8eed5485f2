/* The layers, as the inner init and the leader put them on. All of these run between clone and exec, unless said
 * otherwise: system calls only, no allocation, no stdio. They return 0 or -errno; *what names the step that failed. */
#pragma once

#include "sandbox/sandbox.h"

#define INNER_UID 1000 /* the only user and group that exist inside */

/* layers_test.c shows of each layer what would get out without it. It builds these files a second time, for itself,
 * with this defined; in the program itself there is no way to leave one out. */
#ifdef SANDBOX_LAYERS_OPTIONAL
extern uint32_t sandbox_without; /* bits */
#define HAS(layer) (!(sandbox_without >> (layer)&1))
#else
#define HAS(layer) true
#endif
/* No layers of the report, but to be left out as well. */
enum { WITHOUT_CLOSED_DESCRIPTORS = LAYER_COUNT, WITHOUT_UNDUMPABLE };

/* ---- userns.c ---- */

/* In the spawner: a user namespace (and a mount namespace) of its own, where it may not make others without. 0 or
 * -errno. */
int userns_own(const struct sandbox_host *host);
/* In the init: an own one, without ids yet. */
int userns_enter(const char **what);
/* In the supervisor, once the init has it: its files of ids. */
int userns_open(pid_t init, int *ret_uid_map, int *ret_gid_map);
/* In the supervisor: the sandbox's user is INNER_UID inside and `uid` outside. */
int userns_map(int uid_map, int gid_map, uid_t uid, gid_t gid);
/* In the init: takes on the inner user; without a user namespace `uid` itself. */
int userns_become(const struct sandbox_host *host, uid_t uid, const char **what);

/* ---- mounts.c ---- */

/* Fills host->places. */
void mounts_host_init(struct sandbox_host *host);
/* Our own mount namespace, to come back to: fills host->mounts_fd. 0 or -errno. */
int mounts_host_open(struct sandbox_host *host);
/* Fills host->template_fd, again after host->proc has changed. Not between clone and exec. 0 or -errno; *layer as
 * below. */
int mounts_host_template(struct sandbox_host *host, enum sandbox_layer *layer, const char **what);
/* In the init: the root with its own /proc, /tmp, /dev/shm; a copy of the template's, or (-1) built from the beginning.
 * *layer says which one failed: LAYER_MOUNTNS, LAYER_ROOT or LAYER_PROC. */
int mounts_enter(const struct sandbox_host *host, const struct sandbox_frame *frame, int template_fd,
		 enum sandbox_layer *layer, const char **what);
/* In the supervisor: the workspace, and another size of /tmp, into a sandbox that is there. */
int mounts_workspace(const struct sandbox_host *host, const struct sandbox *s, const struct sandbox_spec *spec,
		     const char **what);
/* In the supervisor, when nothing of the command runs any more: the workspace goes. What fails is left to the
 * namespace's end. */
void mounts_leave_workspace(const struct sandbox_host *host, const struct sandbox *s);

/* ---- net.c ---- */

/* In the init: another sandbox's namespace that is still as it was made, where the frame has one. Before the
 * descriptors are settled. */
int net_join(const struct sandbox_frame *frame);
/* The loopback interface up; there is no other. */
int net_enter(const char **what);
/* In the supervisor, while the init lives: a hash of all that its namespace has counted, packets and refusals of every
 * protocol; never 0, which says that it cannot be told. */
uint64_t net_counts(pid_t init);
/* In the leader: the socket on which the way out listens. fd or -errno. */
int net_proxy_listen(const char **what);

/* ---- limits.c ---- */

struct sandbox_order;
/* What is the same for all commands. */
int limits_set_common(const char **what);
/* The rest. */
int limits_set(const struct sandbox_host *host, const struct sandbox_order *order, const char **what);
/* In the leader: they count from its first one on. */
int limits_set_pids(const struct sandbox_host *host, unsigned pids_max, const char **what);
/* Drops every capability for good but the two that take on a user id, and those from every set but their own. */
int caps_bound(const char **what);
/* The rest. */
int caps_drop(const char **what);

/* ---- landlock.c ---- */

/* The highest ABI of the kernel, 0 = none. */
int landlock_abi(void);
/* Everything readable, writes below /tmp and /dev/shm; without namespaces: the host's system folders readable, no TCP
 * unless `network`. *ret_fd: the rules, -1 without Landlock. */
int landlock_prepare(const struct sandbox_host *host, bool network, int *ret_fd, const char **what);
/* The workspace writable. */
int landlock_allow_workspace(const struct sandbox_host *host, int ruleset, const char *workspace, const char **what);
/* In force. In init and leader each, so that the leader's domain does not reach the init. */
int landlock_enter(int ruleset, const char **what);

/* ---- seccomp.c ---- */

/* Builds the programs. Returns 0 or -errno. */
int seccomp_host_init(struct sandbox_host *host);
void seccomp_host_deinit(struct sandbox_host *host);
int seccomp_enter(const struct sandbox_host *host, bool network, const char **what);

/* ---- init.c ---- */

enum order_step { ORDER_AWAITED, ORDER_GIVEN, ORDER_REFUSED };

/* What the init and the leader are told, in memory that they share with the supervisor at the same address. */
struct sandbox_order {
	uint32_t step; /* enum order_step, for the init; the leader has a message */
	uid_t uid;
	uint64_t memory_max, file_size_max, cpu_max_ms;
	unsigned pids_max;
	bool has_proxy;
	bool is_shared;                    /* no command: the init hands out seats */
	bool is_seat;                      /* for one that has a seat; then the rest of the layers is on already */
	const struct sandbox_order *place; /* of this in the memory where it was written: pointers are from there */
	char *workspace, *cwd;             /* workspace: where it is inside */
	char **argv, **envp;
	size_t used;
	char data[];
};
#define ORDER_SIZE (4u << 20) /* arguments and environment of a command, of which both kernel and API allow less */

struct init_args {
	const struct sandbox_host *host;
	const struct sandbox_frame *frame;
	const struct cgroup *cgroup;
	struct sandbox_order *order;
	int null;    /* what its standard descriptors are until then */
	int control; /* our end of the socket pair */
};
/* The inner init: never returns. */
void init_main(const struct init_args *args) NORETURN;

/* ---- reap.c ---- */

/* The init when its leader runs: reaps until there is nobody left, says the leader's end. `keeps_net`: who wants the
 * network namespace looks at it through us; we wait for their word, or their end. */
void reap_all(int control, pid_t leader, bool keeps_net) NORETURN;
