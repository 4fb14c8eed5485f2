/* What the machine allows, found out by making sandboxes: the full one first, then without what failed, until one
 * comes up. What is left out lowers the level; nothing is left out later. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/encode.h"
#include "sandbox/layers.h"

#define ATTEMPT_MS 30000

static const char *const layer_names[LAYER_COUNT] = {
	[LAYER_USERNS] = "userns",
	[LAYER_PIDNS] = "pidns",
	[LAYER_MOUNTNS] = "mountns",
	[LAYER_NETNS] = "netns",
	[LAYER_IPCNS] = "ipcns",
	[LAYER_UTSNS] = "utsns",
	[LAYER_CGROUPNS] = "cgroupns",
	[LAYER_ROOT] = "root",
	[LAYER_PROC] = "proc",
	[LAYER_CAPABILITIES] = "capabilities",
	[LAYER_NO_NEW_PRIVS] = "no_new_privs",
	[LAYER_RLIMITS] = "rlimits",
	[LAYER_LANDLOCK] = "landlock",
	[LAYER_SECCOMP] = "seccomp",
	[LAYER_CGROUP] = "cgroup",
};

static const char *const level_names[] = {"none", "landlock", "standard", "strict"};

const char *sandbox_layer_name(enum sandbox_layer layer)
{
	return layer_names[layer];
}

const char *sandbox_level_name(enum sandbox_level level)
{
	return level_names[level];
}

enum sandbox_level sandbox_level_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (strcmp(level_names[i], name) == 0)
			return (enum sandbox_level)i;
	return SANDBOX_NONE;
}

static const enum sandbox_layer namespace_layers[] = {LAYER_USERNS, LAYER_PIDNS, LAYER_MOUNTNS, LAYER_NETNS,
						      LAYER_IPCNS,  LAYER_UTSNS, LAYER_ROOT};

static PRINTF_LIKE(4, 5) void set(struct sandbox_host *host, enum sandbox_layer layer, bool ok, const char *fmt, ...)
{
	struct sandbox_layer_state *s = &host->report.layers[layer];
	va_list ap;

	s->ok = ok;
	va_start(ap, fmt);
	vsnprintf(s->detail, sizeof(s->detail), fmt, ap);
	va_end(ap);
}

static const char *userns_advice(int err)
{
	switch (err) {
	case EPERM:
	case EACCES:
		return "user namespaces are refused here: on Ubuntu set sysctl "
		       "kernel.apparmor_restrict_unprivileged_userns=0; in a container allow them (as root they need "
		       "CAP_SETFCAP)";
	case ENOSPC: return "no user namespaces left: raise sysctl user.max_user_namespaces";
	case EINVAL:
	case ENOSYS: return "the kernel lacks a namespace or clone3 (Linux 5.12 or later is needed)";
	default: return "";
	}
}

/* ---- One attempt ---- */

struct attempt {
	bool ok;
	bool cloned;
	struct init_message message;
	struct error error;
};

/* The first half of a sandbox: whatever may fail on this machine is in it. */
static void attempt(const struct sandbox_host *host, struct attempt *ret)
{
	struct sandbox s = SANDBOX_INIT;
	char name[32];
	const struct sandbox_frame frame = {.name = name, .memory_max = 64 << 20, .tmp_max = 1 << 20, .pids_max = 16};
	int r;

	*ret = (struct attempt){0};
	snprintf(name, sizeof(name), "probe-%d", (int)getpid());
	if (sandbox_open(host, &frame, &s, &ret->error) == 0) {
		struct pollfd p = {.fd = s.control, .events = POLLIN};

		ret->cloned = true;
		do
			poll(&p, 1, ATTEMPT_MS);
		while ((r = sandbox_receive(host, &s, &ret->message)) == -EAGAIN && p.revents);
		if (r > 0) {
			ret->ok = ret->message.event == INIT_READY;
		} else {
			ret->message =
				(struct init_message){.event = r ? INIT_FAILED : 0, .layer = LAYER_USERNS, .err = -r};
			strcpy(ret->message.what, "opening the user namespace");
			error_set(&ret->error, "sandbox_failed", "The sandbox's init died at once.");
		}
	}
	sandbox_deinit(host, &s);
}

/* ---- What to leave out ---- */

static void leave_namespaces(struct sandbox_host *host, enum sandbox_layer layer, const char *what, int err)
{
	host->namespaces = host->proc = host->cgroupns = false;
	for (size_t i = 0; i < ARRAY_SIZE(namespace_layers); i++)
		set(host, namespace_layers[i], false, "not used, because %s failed", sandbox_layer_name(layer));
	set(host, layer, false, "%s: %s; %s", what, strerror(err), userns_advice(err));
	set(host, LAYER_PROC, false, "needs the namespaces");
	set(host, LAYER_CGROUPNS, false, "needs the namespaces");
}

static bool may_make_namespaces(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct now[2] = {0};

	return syscall(SYS_capget, &head, now) == 0 && now[0].effective & (1u << CAP_SYS_ADMIN);
}

/* Who may not make namespaces gets a user namespace of his own, in which he may. There is no way back from one that was
 * made and cannot be used, so a child tries first. */
static int own_userns(struct sandbox_host *host)
{
	int status = 0;
	pid_t pid;

	if (may_make_namespaces())
		return 0;
	pid = fork();
	if (pid == 0)
		_exit(-userns_own(host));
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return -EAGAIN;
	if (WEXITSTATUS(status))
		return -WEXITSTATUS(status);
	host->owns_userns = true;
	return userns_own(host);
}

static void leave_proc(struct sandbox_host *host, int err)
{
	host->proc = false;
	set(host, LAYER_PROC, false, "%s; /proc is empty (a container that masks parts of its own /proc?)",
	    strerror(err));
}

/* The root that all sandboxes have in common; without a /proc where none can be had. */
static void make_template(struct sandbox_host *host)
{
	const char *what;
	enum sandbox_layer layer;
	int r = mounts_host_template(host, &layer, &what);

	if (r < 0 && layer == LAYER_PROC && host->proc) {
		leave_proc(host, -r);
		r = mounts_host_template(host, &layer, &what);
	}
	if (r < 0)
		leave_namespaces(host, layer, what, -r);
}

static int open_namespaces(struct sandbox_host *host)
{
	int r = own_userns(host);

	return r < 0 ? r : mounts_host_open(host);
}

static void prepare(struct sandbox_host *host)
{
	int r = open_namespaces(host);

	if (r < 0)
		leave_namespaces(host, LAYER_USERNS, "a user namespace for the spawner", -r);
	else
		make_template(host);
}

static bool has_cgroup(const struct sandbox_host *host)
{
	return !cgroup_host_is_empty(&host->cgroup);
}

/* Takes out what stood in the way. Returns false when nothing is left to take out. */
static bool leave_out(struct sandbox_host *host, const struct attempt *a)
{
	const struct init_message *m = &a->message;

	if (!a->cloned || m->event != INIT_FAILED) {
		if (has_cgroup(host))
			cgroup_host_leave(&host->cgroup);
		else if (host->namespaces)
			leave_namespaces(host, LAYER_USERNS, a->error.message, EPERM);
		else
			return false;
		return true;
	}
	switch (m->layer) {
	case LAYER_CGROUP:
		if (!has_cgroup(host))
			return false;
		cgroup_host_leave(&host->cgroup);
		return true;
	case LAYER_PROC:
		leave_proc(host, m->err);
		make_template(host);
		return true;
	case LAYER_CGROUPNS:
		host->cgroupns = false;
		set(host, LAYER_CGROUPNS, false, "%s", strerror(m->err));
		return true;
	case LAYER_LANDLOCK:
		host->landlock_abi = 0;
		set(host, LAYER_LANDLOCK, false, "%s: %s", m->what, strerror(m->err));
		return host->namespaces;
	case LAYER_USERNS:
	case LAYER_PIDNS:
	case LAYER_MOUNTNS:
	case LAYER_NETNS:
	case LAYER_IPCNS:
	case LAYER_UTSNS:
	case LAYER_ROOT:
		if (!host->namespaces)
			return false;
		leave_namespaces(host, (enum sandbox_layer)m->layer, m->what, m->err);
		return true;
	default: set(host, (enum sandbox_layer)m->layer, false, "%s: %s", m->what, strerror(m->err)); return false;
	}
}

/* ---- The report ---- */

/* A command finds its workspace by the host's path where there are no mounts. */
static bool is_shared(const struct sandbox_host *host)
{
	return host->is_root && !host->namespaces;
}

static enum sandbox_level level_of(const struct sandbox_host *host)
{
	if (!host->namespaces)
		return host->landlock_abi > 0 ? SANDBOX_LANDLOCK : SANDBOX_NONE;
	return host->landlock_abi > 0 && cgroup_host_limits(&host->cgroup) ? SANDBOX_STRICT : SANDBOX_STANDARD;
}

static void describe(struct sandbox_host *host)
{
	struct sandbox_report *r = &host->report;
	char detail[140];

	for (size_t i = 0; host->namespaces && i < ARRAY_SIZE(namespace_layers); i++)
		set(host, namespace_layers[i], true, "own");
	if (host->namespaces) {
		set(host, LAYER_USERNS, true,
		    host->is_root ? "an own user id for each workspace" : "own; one user only");
		set(host, LAYER_NETNS, true, "own; loopback only");
		set(host, LAYER_ROOT, true, "minimal read-only root");
	}
	if (host->cgroupns)
		set(host, LAYER_CGROUPNS, true, "own");
	if (host->proc)
		set(host, LAYER_PROC, true, "own");
	set(host, LAYER_CAPABILITIES, true, "none");
	set(host, LAYER_NO_NEW_PRIVS, true, "set");
	set(host, LAYER_SECCOMP, true, "%u instructions", host->seccomp.len);
	set(host, LAYER_RLIMITS, true, "set");
	if (host->landlock_abi > 0)
		set(host, LAYER_LANDLOCK, true, "ABI %d", host->landlock_abi);
	else if (!r->layers[LAYER_LANDLOCK].detail[0])
		set(host, LAYER_LANDLOCK, false, "the kernel does not have it, or it is not in its lsm= list");
	cgroup_host_describe(&host->cgroup, detail, sizeof(detail));
	set(host, LAYER_CGROUP, cgroup_host_limits(&host->cgroup), "%s", detail);
	r->landlock_abi = host->landlock_abi;
	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		r->controllers[c] = cgroup_host_version(&host->cgroup, (enum cgroup_controller)c);
	r->cgroup_version = !cgroup_host_limits(&host->cgroup)
				    ? 0
				    : MIN(r->controllers[CGROUP_MEMORY], r->controllers[CGROUP_PIDS]);
	r->cgroup_kill = host->cgroup.leaf[0] != 0;
	r->level = level_of(host);
	r->is_shared = is_shared(host);
}

void sandbox_host_init(struct sandbox_host *host, const char *data_dir)
{
	char hex[SHA256_HEX_SIZE], name[32];

	*host = (struct sandbox_host){
		.namespaces = true, .proc = true, .cgroupns = true, .template_fd = -1, .mounts_fd = -1};
	host->is_root = geteuid() == 0;
	host->landlock_abi = landlock_abi();
	sha256_hex(data_dir, strlen(data_dir), hex);
	snprintf(name, sizeof(name), "ogent-exec.%.12s", hex);
	cgroup_host_init(&host->cgroup, name);
	mounts_host_init(host);
}

void sandbox_host_probe(struct sandbox_host *host, const char *data_dir)
{
	struct attempt a;
	int r;

	sandbox_host_init(host, data_dir);
	r = seccomp_host_init(host);
	if (r < 0) {
		set(host, LAYER_SECCOMP, false, "building the filter: %s", strerror(-r));
		return;
	}
	prepare(host);
	for (;;) {
		attempt(host, &a);
		if (a.ok)
			break;
		if (!leave_out(host, &a))
			return;
	}
	describe(host);
}

/* ---- The same machine again ---- */

enum {
	SHAPE_PROBED = 1,
	SHAPE_NAMESPACES = 2,
	SHAPE_PROC = 4,
	SHAPE_CGROUPNS = 8,
	SHAPE_LANDLOCK = 16,
	SHAPE_LEAF = 32,
	SHAPE_V1 = 64,
};

static bool has_v1(const struct sandbox_host *host)
{
	return host->cgroup.v1[CGROUP_MEMORY][0] || host->cgroup.v1[CGROUP_PIDS][0];
}

uint32_t sandbox_host_shape(const struct sandbox_host *host)
{
	return SHAPE_PROBED | (host->namespaces ? SHAPE_NAMESPACES : 0u) | (host->proc ? SHAPE_PROC : 0u) |
	       (host->cgroupns ? SHAPE_CGROUPNS : 0u) | (host->landlock_abi > 0 ? SHAPE_LANDLOCK : 0u) |
	       (host->cgroup.leaf[0] ? SHAPE_LEAF : 0u) | (has_v1(host) ? SHAPE_V1 : 0u);
}

int sandbox_host_from_shape(struct sandbox_host *host, const char *data_dir, uint32_t shape,
			    enum sandbox_layer *ret_missing)
{
	sandbox_host_init(host, data_dir);
	*ret_missing = LAYER_SECCOMP;
	if (seccomp_host_init(host) < 0)
		return -ENOTSUP;
	*ret_missing = LAYER_LANDLOCK;
	if (shape & SHAPE_LANDLOCK && host->landlock_abi == 0)
		return -ENOTSUP;
	*ret_missing = LAYER_CGROUP;
	if ((shape & SHAPE_LEAF && !host->cgroup.leaf[0]) || (shape & SHAPE_V1 && !has_v1(host) && shape & SHAPE_LEAF))
		return -ENOTSUP;
	host->namespaces = shape & SHAPE_NAMESPACES;
	*ret_missing = LAYER_USERNS;
	if (host->namespaces && open_namespaces(host) < 0)
		return -ENOTSUP;
	host->proc = host->namespaces && shape & SHAPE_PROC;
	host->cgroupns = host->namespaces && shape & SHAPE_CGROUPNS;
	if (!(shape & SHAPE_LANDLOCK))
		host->landlock_abi = 0;
	if (!(shape & SHAPE_LEAF) && host->cgroup.leaf[0])
		cgroup_host_leave(&host->cgroup);
	if (!(shape & SHAPE_V1) && !host->cgroup.leaf[0])
		cgroup_host_leave(&host->cgroup);
	*ret_missing = LAYER_CGROUP;
	if (shape & SHAPE_V1 && !has_v1(host))
		return -ENOTSUP;
	host->report.level = level_of(host);
	host->report.is_shared = is_shared(host);
	return 0;
}

void sandbox_host_deinit(struct sandbox_host *host)
{
	if (host->template_fd >= 0)
		close(host->template_fd);
	if (host->mounts_fd >= 0)
		close(host->mounts_fd);
	cgroup_host_deinit(&host->cgroup);
	seccomp_host_deinit(host);
}
