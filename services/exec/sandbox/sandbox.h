/* A sandbox: one process tree that sees a small read-only system, its workspace and nothing else.
 *
 * The spawner finds out once what the machine allows (sandbox_host_probe) by really making sandboxes; what worked then
 * is required of every later sandbox: a layer that fails to come up ends the command, never weakens it.
 *
 * Making one has two halves, so that it can be made ahead. sandbox_open clones the inner init (process 1 of the
 * sandbox's pid namespace), which builds every layer that is the same for all commands around itself, reports
 * INIT_READY and waits, as does the leader, its child. sandbox_go puts in what only the command knows: its workspace,
 * user id, limits, arguments; both take on what is left, and the leader becomes the command. Nothing foreign runs
 * before that, and what a half-made sandbox still holds (two capabilities of its own user namespace, to take on the
 * user id) is given up before the command starts. The init reaps whatever falls to it and reports the leader's end.
 * Between clone and exec only system calls are made.
 *
 * A layer = one file: userns.c (ids), mounts.c (root), net.c, limits.c (rlimits, capabilities), landlock.c, seccomp.c,
 * cgroup.c. To add one: a value in enum sandbox_layer, its name in host.c, its call in init.c, a line in probe.c if it
 * counts for a level. */
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include "base/error.h"
#include "sandbox/cgroup.h"
#include "sandbox/protect.h"

/* What is open in spawner and supervisor and needed in the init has numbers from here up, out of the way of those that
 * it takes them to; the host's own come first. */
#define SANDBOX_FIRST_FD 10

enum sandbox_layer {
	LAYER_USERNS,
	LAYER_PIDNS,
	LAYER_MOUNTNS,
	LAYER_NETNS,
	LAYER_IPCNS,
	LAYER_UTSNS,
	LAYER_CGROUPNS,
	LAYER_ROOT, /* pivot_root into the minimal root */
	LAYER_PROC, /* a /proc of its own; without it /proc is empty */
	LAYER_CAPABILITIES,
	LAYER_NO_NEW_PRIVS,
	LAYER_RLIMITS,
	LAYER_LANDLOCK,
	LAYER_SECCOMP,
	LAYER_CGROUP, /* memory and process limits by cgroup */
	LAYER_COUNT
};
const char *sandbox_layer_name(enum sandbox_layer layer);

enum sandbox_level {
	SANDBOX_NONE,
	SANDBOX_LANDLOCK, /* no namespaces: Landlock, seccomp, rlimits, own uid where root */
	SANDBOX_STANDARD, /* namespaces, pivot_root, no capabilities, no_new_privs, seccomp */
	SANDBOX_STRICT,   /* standard, Landlock, memory and process limits by cgroup */
};
const char *sandbox_level_name(enum sandbox_level level);
/* SANDBOX_NONE for an unknown name. */
enum sandbox_level sandbox_level_of(const char *name);

struct sandbox_layer_state {
	bool ok;
	char detail[160]; /* what it is, or why it is missing and what to do */
};

/* What this machine gives; sent as it is from the spawner to exec. */
struct sandbox_report {
	enum sandbox_level level;
	int landlock_abi;   /* 0 = none */
	int cgroup_version; /* of the memory and process limits: 2, 1 if one of them is there, 0 if one has none */
	int controllers[CGROUP_CONTROLLERS]; /* 2, 1, or 0 = none */
	bool cgroup_kill;                    /* a v2 leaf: kills the tree in one write */
	bool is_shared; /* as root: the workspaces' parent folders must let every user through (0711) */
	struct sandbox_layer_state layers[LAYER_COUNT];
};

#define SANDBOX_PROXY_PORT 3128 /* on 127.0.0.1 inside, with sandbox_spec.has_proxy */

#define SANDBOX_MAX_PLACES 24

/* One thing of the host that is shown inside. */
struct sandbox_place {
	char path[64];    /* the same inside and outside, without the leading '/' */
	char target[192]; /* of a symbolic link; "" = the file or folder itself is mounted read-only */
	bool is_dir;
};

/* Found out once, in the spawner; the same for every sandbox. */
struct sandbox_host {
	bool is_root;
	bool namespaces;  /* all of them; otherwise level SANDBOX_LANDLOCK at most */
	bool owns_userns; /* the namespaces are made in one of our own: an ordinary user, or a root without rights */
	bool proc, cgroupns;
	int landlock_abi;
	uint64_t page_size;
	int template_fd; /* a mount namespace with the finished root, which each sandbox gets a copy of; -1: each builds
			    its own */
	int mounts_fd;   /* our own mount namespace; -1: without namespaces */
	struct sandbox_place places[SANDBOX_MAX_PLACES];
	size_t n_places;
	struct sock_fprog seccomp;
	struct sock_fprog seccomp_no_inet; /* instead of it where there is no network namespace */
	struct cgroup_host cgroup;
	struct sandbox_report report;
};

/* Finds out everything; data_dir names the cgroup. Never fails: what is missing is in host->report. */
void sandbox_host_probe(struct sandbox_host *host, const char *data_dir);
void sandbox_host_deinit(struct sandbox_host *host);
/* The parts of the probe that need no sandbox. */
void sandbox_host_init(struct sandbox_host *host, const char *data_dir);

/* What a probe found out, as a number that is never 0: a later process on the same machine takes it and need not probe.
 */
uint32_t sandbox_host_shape(const struct sandbox_host *host);
/* As sandbox_host_probe. What the shape has and the machine does not have any more: 0 becomes -ENOTSUP, and
 * *ret_missing says what. report has the level only. */
int sandbox_host_from_shape(struct sandbox_host *host, const char *data_dir, uint32_t shape,
			    enum sandbox_layer *ret_missing);

/* A network namespace that outlives its sandbox. */
struct sandbox_net {
	int fd;          /* -1 = none */
	uint64_t counts; /* a hash of all that it had counted when it was new; 0 = not known */
};
#define SANDBOX_NO_NET ((struct sandbox_net){.fd = -1})

/* What must be known before one is made. */
struct sandbox_frame {
	const char *name;             /* names the cgroup */
	const char *share, *leaf;     /* cgroup_limits */
	uint64_t memory_max, tmp_max; /* bytes; may be others in the end */
	unsigned pids_max;
	unsigned cpu_percent;          /* of one CPU, as a quota; 0 = none. Stays as it is */
	bool network;                  /* the host's; otherwise none */
	bool keeps_net;                /* sandbox_take_net may follow */
	const struct sandbox_net *net; /* one that nothing ever went through, instead of a new one; becomes the
					  sandbox's. NULL = a new one */
	struct cgroup *groups;         /* from sandbox_open_groups, with this frame; become the sandbox's. NULL = new
					  ones */
	bool is_shared;                /* sandbox_spec.is_shared will be set */
	bool is_ahead;                 /* no command waits for it */
};

/* The command in it. Strings and arrays belong to the caller and live until sandbox_go returns. */
struct sandbox_spec {
	uid_t uid;             /* as root: the command's own user id on the host */
	const char *workspace; /* the folder's path; NULL = an empty one that goes with the sandbox */
	const char *cwd;       /* inside, absolute */
	char *const *argv;
	char *const *envp;
	uint64_t memory_max;    /* bytes */
	uint64_t tmp_max;       /* bytes of /tmp */
	uint64_t file_size_max; /* bytes of one file; 0 = no limit */
	uint64_t cpu_max_ms;    /* CPU time of one process, in whole seconds; 0 = no limit */
	unsigned pids_max;
	bool protects;  /* some files of the workspace are read-only: protect.h */
	bool is_shared; /* with namespaces only: no command of its own, but seats for others (below) */
	bool has_proxy; /* with a network namespace only: INIT_PROXY brings the socket on which a way out is to listen
			 */
	int stdio[3];   /* the command's ends */
};

enum init_event {
	INIT_FAILED = 1,  /* a layer did not come up: layer, err, what */
	INIT_USERNS,      /* its user namespace is there; sandbox_receive keeps this to itself */
	INIT_READY,       /* all layers are up; waits for sandbox_go */
	INIT_PROXY,       /* sandbox.proxy_fd is there, listening; it is the owner's to close */
	INIT_EXEC_FAILED, /* the leader could not start: err; an exit follows */
	INIT_CWD_FAILED,  /* the working directory: err */
	INIT_EXITED,      /* the leader ended: wait_status, max_rss_kib, cpu_us, is_alone */
};

/* What the inner init and the leader say on sandbox.control, one per datagram. */
struct init_message {
	uint32_t event; /* enum init_event */
	uint32_t layer; /* enum sandbox_layer */
	int32_t err;    /* positive errno */
	int32_t wait_status;
	uint64_t max_rss_kib, cpu_us;                /* of all that ended inside */
	uint64_t system_us, read_bytes, write_bytes; /* of cpu_us; of disks; the same */
	uint32_t is_alone;                           /* no other process is left inside */
	char what[60];
};

struct sandbox_order;

struct sandbox {
	pid_t init;
	int pidfd;                   /* readable when everything inside is dead */
	int control;                 /* SOCK_SEQPACKET; struct init_message comes */
	int uid_map, gid_map;        /* files of the user namespace, until it has its ids; -1 = none */
	int mounts_fd;               /* its mount namespace; -1 = none */
	int proxy_fd;                /* see INIT_PROXY; -1 = none */
	struct sandbox_net net;      /* held so that the kernel takes it apart last: that is dear */
	struct sandbox_frame frame;  /* name, share, leaf: the cgroup's */
	struct sandbox_order *order; /* memory that init and leader see too */
	struct cgroup cgroup;
	struct protection protection;
	bool is_reaped;
	bool is_seat;    /* init is a seat's process in a sandbox that is shared */
	bool has_strays; /* of a seat: what it had started may run on, out of reach */
	int order_fd;    /* of a seat: the memory of its order; -1 = none */
};

#define SANDBOX_INIT                             \
	((struct sandbox){.pidfd = -1,           \
			  .control = -1,         \
			  .uid_map = -1,         \
			  .gid_map = -1,         \
			  .mounts_fd = -1,       \
			  .proxy_fd = -1,        \
			  .order_fd = -1,        \
			  .net = SANDBOX_NO_NET, \
			  .cgroup = CGROUP_INIT, \
			  .protection = PROTECTION_INIT})

/* Its groups, before there is a sandbox. Returns 0 or -errno. */
int sandbox_open_groups(const struct sandbox_host *host, const struct sandbox_frame *frame, struct cgroup *ret);
/* Begins to make one. Returns 0, or -errno with what failed in err. */
int sandbox_open(const struct sandbox_host *host, const struct sandbox_frame *frame, struct sandbox *ret,
		 struct error *err);
/* After control became readable. 1 = a message, 0 = the init is gone, -EAGAIN = nothing now, -errno: it failed. */
int sandbox_receive(const struct sandbox_host *host, struct sandbox *s, struct init_message *ret);
/* After INIT_READY: the leader becomes the command. Returns 0, or -errno with what failed in err: then nothing has run.
 * The stdio fds stay the caller's. */
int sandbox_go(const struct sandbox_host *host, struct sandbox *s, const struct sandbox_spec *spec, struct error *err);
/* After INIT_READY and sandbox_go, when the leader runs: gives back the memory of its order. */
void sandbox_forget_order(struct sandbox *s);
/* Kills everything inside; pidfd becomes readable when the last process is dead. */
void sandbox_kill(const struct sandbox_host *host, struct sandbox *s);
struct rusage;
/* After pidfd became readable: reaps, fills *ret_usage. */
void sandbox_reap(struct sandbox *s, struct rusage *ret_usage);
/* When only the init is left: the network namespace, for another sandbox. fd -1: something was sent in it, or tried, or
 * it cannot be told. A new one costs a third of a sandbox. */
struct sandbox_net sandbox_take_net(struct sandbox *s);
/* When nothing of the command runs any more: the workspace is as the command left it, without what was there for the
 * sandbox's sake. sandbox.protection.removed tells what the command was not to make. */
void sandbox_tidy(const struct sandbox_host *host, struct sandbox *s);
/* Kills and reaps if need be, removes the cgroup, closes. */
void sandbox_deinit(const struct sandbox_host *host, struct sandbox *s);

/* ---- Seats: commands that share a sandbox (seat.c) ----
 *
 * Who holds a sandbox with spec.is_shared begins seats in it. A seat is a process that waits there for one command,
 * with every layer on, in groups of its own; what the command starts, and leaves behind, stays below it and in its
 * groups. Another process takes the seat and has with it what it would have with a sandbox: sandbox_go,
 * sandbox_receive, sandbox_kill. */

struct seat {
	pid_t pid;
	int control; /* what the seat's sandbox.control will be; -1 = none */
	struct cgroup cgroup;
};
#define SEAT_NONE ((struct seat){.control = -1, .cgroup = CGROUP_INIT})

/* Begins one. After control became readable: seat_await. 0 or -errno. */
int seat_begin(const struct sandbox_host *host, const struct sandbox *shared, struct seat *ret);
/* 1 = it waits for its command, 0 = not yet, -errno: it failed. */
int seat_await(struct seat *s);
/* Closes ours; with `and_groups` its groups go too. */
void seat_deinit(struct seat *s, bool and_groups);
/* In the process that gets it: `control` (taken over), the rest as in struct seat. cpu_percent as of the seat's groups.
 * 0 or -errno with err. */
int seat_take(const struct sandbox_host *host, int control, pid_t pid, const char *group,
	      const struct sandbox_frame *frame, struct sandbox *ret, struct error *err);
/* Before sandbox_deinit: what the command left behind stays in the shared sandbox. */
void seat_leave(struct sandbox *s);
