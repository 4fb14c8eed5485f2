#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/layers.h"

/* Lowers only: without CAP_SYS_RESOURCE a hard limit cannot be raised. */
static int lower(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit now, next;

	if (getrlimit(resource, &now) < 0)
		return -errno;
	next.rlim_max = MIN(hard, now.rlim_max);
	next.rlim_cur = MIN(soft, next.rlim_max);
	return setrlimit(resource, &next) < 0 ? -errno : 0;
}

/* The kernel counts processes per user and user namespace; the init is one of them. Where a cgroup limits them too,
 * that decides, because it counts what it refuses. */
int limits_set_pids(const struct sandbox_host *host, unsigned pids_max, const char **what)
{
	rlim_t pids = pids_max + (cgroup_host_version(&host->cgroup, CGROUP_PIDS) ? 64 : 1);

	*what = "rlimit nproc";
	return lower(RLIMIT_NPROC, pids, pids);
}

struct limit {
	const char *name;
	int resource;
	rlim_t soft, hard;
};

static int lower_all(const struct limit *limits, size_t n, const char **what)
{
	for (size_t i = 0; i < n; i++) {
		int r = lower(limits[i].resource, limits[i].soft, limits[i].hard);

		*what = limits[i].name;
		if (r < 0)
			return r;
	}
	return 0;
}

int limits_set_common(const char **what)
{
	static const struct limit limits[] = {
		{"rlimit core", RLIMIT_CORE, 0, 0},
		{"rlimit nofile", RLIMIT_NOFILE, 1024, 4096},
		{"rlimit memlock", RLIMIT_MEMLOCK, 8 << 20, 8 << 20},
		{"rlimit msgqueue", RLIMIT_MSGQUEUE, 819200, 819200},
		{"rlimit sigpending", RLIMIT_SIGPENDING, 4096, 4096},
		{"rlimit nice", RLIMIT_NICE, 0, 0},
		{"rlimit rtprio", RLIMIT_RTPRIO, 0, 0},
		{"rlimit stack", RLIMIT_STACK, 8 << 20, RLIM_INFINITY},
		/* As far as the host's hard limits go, until the order says less. */
		{"rlimit fsize", RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY},
		{"rlimit cpu", RLIMIT_CPU, RLIM_INFINITY, RLIM_INFINITY},
		{"rlimit data", RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY},
	};

	return lower_all(limits, ARRAY_SIZE(limits), what);
}

int limits_set(const struct sandbox_host *host, const struct sandbox_order *o, const char **what)
{
	/* SIGXCPU first, and a second later the end. */
	const rlim_t cpu = (o->cpu_max_ms + 999) / 1000;
	struct limit limits[3];
	size_t n = 0;

	if (o->file_size_max)
		limits[n++] = (struct limit){"rlimit fsize", RLIMIT_FSIZE, o->file_size_max, o->file_size_max};
	if (o->cpu_max_ms)
		limits[n++] = (struct limit){"rlimit cpu", RLIMIT_CPU, cpu, cpu + 1};
	/* Per process, and of private memory only: weaker than the cgroup, and all there is without one. */
	if (!cgroup_host_version(&host->cgroup, CGROUP_MEMORY))
		limits[n++] = (struct limit){"rlimit data", RLIMIT_DATA, o->memory_max, o->memory_max};
	return lower_all(limits, n, what);
}

static int set_caps(uint32_t keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{.effective = keep, .permitted = keep}};

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* All that the kernel knows, whatever number that is. */
static int drop_bounding(void)
{
	int cap = 0;

	while (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
		cap++;
	if (errno != EINVAL)
		return -errno;
	return prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0 ? 0 : -EPERM;
}

int caps_bound(const char **what)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct now[2] = {0};

	*what = "ambient capabilities";
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	*what = "capget";
	if (syscall(SYS_capget, &head, now) < 0)
		return -errno;
	/* An ordinary user without a namespace has no right to change these two, and nothing in them to lose. */
	if (now[0].effective & (1u << CAP_SETPCAP)) {
		int r = drop_bounding();

		*what = "bounding capabilities";
		if (r < 0)
			return r;
		*what = "securebits";
		if (prctl(PR_SET_SECUREBITS,
			  SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
				  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
				  SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
			  0, 0, 0) < 0)
			return -errno;
	}
	*what = "capset";
	return set_caps(now[0].permitted & (1u << CAP_SETUID | 1u << CAP_SETGID));
}

int caps_drop(const char **what)
{
	*what = "capset";
	return set_caps(0);
}
