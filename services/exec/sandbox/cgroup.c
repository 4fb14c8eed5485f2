/* Where our groups go. Version 2: below our own group if its controllers can be handed down, otherwise beside it, at
 * last below the top (as root); the first place with the memory and pids controllers wins, else the one with the
 * most of them, or the first that can be written, which still gives the kill in one write. Version 1: below our own
 * group of each controller that version 2 does not have. */
#include "sandbox/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"

#define LEFT_OVER_US (10 * 60 * 1000000ll)
#define RESTORES_MAX 8
#define PERIOD_US 100000 /* of a quota of CPU */

static const char *const controllers[CGROUP_CONTROLLERS] = {"memory", "pids", "cpu"};

const char *cgroup_controller_name(enum cgroup_controller c)
{
	return controllers[c];
}

/* ---- Small files ---- */

static int write_at(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int write_number(int dir, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	return write_at(dir, name, text);
}

static int read_at(int dir, const char *name, char *text, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return -errno;
	text[n] = 0;
	return 0;
}

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p += n)
		if ((p == text || p[-1] == ' ' || p[-1] == ',') && (p[n] == 0 || strchr(" ,\n", p[n])))
			return true;
	return false;
}

/* ---- The host ---- */

/* Our own group in the hierarchy of `controller` ("" = version 2), from /proc/self/cgroup. */
static bool own_group(const char *controller, char *ret, size_t size)
{
	char line[1024];
	bool found = false;
	FILE *f = fopen("/proc/self/cgroup", "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = 0;
		path[strcspn(path, "\n")] = 0;
		found = *controller ? has_word(names + 1, controller) : names[1] == 0;
		if (found)
			snprintf(ret, size, "%s", strcmp(path, "/") == 0 ? "" : path);
	}
	if (f)
		fclose(f);
	return found;
}

/* Where a hierarchy is mounted, from /proc/self/mountinfo (proc(5)). Only a mount of the hierarchy's top is of use. */
static bool mount_point(const char *controller, char *ret, size_t size)
{
	char line[2048], root[512], at[512], type[32], super[512];
	bool found = false;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		char *tail = strstr(line, " - ");

		if (sscanf(line, "%*d %*d %*s %511s %511s", root, at) != 2 || !tail ||
		    sscanf(tail + 3, "%31s %*s %511s", type, super) != 2 || strcmp(root, "/") != 0)
			continue;
		found = *controller ? strcmp(type, "cgroup") == 0 && has_word(super, controller)
				    : strcmp(type, "cgroup2") == 0;
		if (found)
			snprintf(ret, size, "%s", at);
	}
	if (f)
		fclose(f);
	return found;
}

/* Whether a group's sandbox may be coming up just now, under a supervisor that we do not know. */
static bool may_be_young(const char *name)
{
	int64_t made_us = id_time_us(str_of(name));
	int pid;

	/* Another process that finds out what this machine allows; a supervisor with what it made ahead. */
	if ((sscanf(name, "probe-%d", &pid) == 1 || sscanf(name, "pool-%d", &pid) == 1) && pid > 0)
		return kill(pid, 0) == 0 || errno == EPERM;
	return made_us && clock_now_us() - made_us < LEFT_OVER_US;
}

/* Groups of sandboxes that are gone; those that live on refuse to be removed. */
static void remove_left_overs(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_type == DT_DIR && e->d_name[0] != '.' && !may_be_young(e->d_name))
			unlinkat(dir, e->d_name, AT_REMOVEDIR);
	if (d)
		closedir(d);
	else if (copy >= 0)
		close(copy);
}

/* Makes parent/name. Returns its fd or -errno. */
static int make_group(const char *parent, const char *name, char *ret_path)
{
	int fd;

	if (snprintf(ret_path, CGROUP_PATH, "%s/%s", parent, name) >= CGROUP_PATH)
		return -ENAMETOOLONG;
	if (mkdir(ret_path, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(ret_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Has the group's members limit what the group itself can; tells which. */
static void hand_down(int dir, bool ret[static CGROUP_CONTROLLERS])
{
	char there[256] = "", text[16];

	read_at(dir, "cgroup.controllers", there, sizeof(there));
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		snprintf(text, sizeof(text), "+%s", controllers[c]);
		ret[c] = has_word(there, controllers[c]) && write_at(dir, "cgroup.subtree_control", text) == 0;
	}
}

static unsigned count(const bool has[static CGROUP_CONTROLLERS])
{
	unsigned n = 0;

	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		n += has[c];
	return n;
}

/* Whether a process can be put there: one that was started elsewhere needs rights on the common ancestor too, so only
 * trying tells; the probe does. Here: whether a group can be made below it. */
static bool try_leaf(struct cgroup_host *h, const char *parent, const char *name)
{
	char path[CGROUP_PATH], own[64];
	bool has[CGROUP_CONTROLLERS];
	int parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	if (parent_fd < 0)
		return false;
	hand_down(parent_fd, has);
	close(parent_fd);
	fd = make_group(parent, name, path);
	if (fd < 0)
		return false;
	remove_left_overs(fd);
	snprintf(own, sizeof(own), "probe-%d", (int)getpid());
	if (mkdirat(fd, own, 0755) < 0) {
		close(fd);
		return false;
	}
	unlinkat(fd, own, AT_REMOVEDIR);
	hand_down(fd, has);
	close(fd);
	if (!h->leaf[0] || count(has) > count(h->in_leaf)) {
		if (h->leaf[0])
			rmdir(h->leaf);
		memcpy(h->leaf, path, sizeof(path));
		memcpy(h->in_leaf, has, sizeof(has));
	} else {
		rmdir(path);
	}
	return has[CGROUP_MEMORY] && has[CGROUP_PIDS];
}

/* Moves every process of one group to another. A process forked meanwhile is met in the next round. */
static void move_processes(int from, int to)
{
	char pids[4096];

	for (unsigned round = 0; round < 16 && read_at(from, "cgroup.procs", pids, sizeof(pids)) == 0 && pids[0];
	     round++)
		for (char *rest = pids, *pid; (pid = strtok_r(NULL, "\n", &rest));)
			write_at(to, "cgroup.procs", pid);
}

/* Controllers can only be handed down by a group without processes of its own. In a group that systemd has delegated
 * to a service (systemd.resource-control(5), Delegate=) all processes are the service's, so that they may move one
 * level down. DelegateSubgroup= would do it for us, from systemd 254 on. */
static void step_aside(const char *place)
{
	char there[256], path[CGROUP_PATH], delegate = 0;
	int from = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to;

	if (from < 0)
		return;
	if (fgetxattr(from, "user.delegate", &delegate, 1) == 1 && delegate == '1' &&
	    read_at(from, "cgroup.controllers", there, sizeof(there)) == 0 && has_word(there, "memory") &&
	    (to = make_group(place, "main", path)) >= 0) {
		move_processes(from, to);
		close(to);
	}
	close(from);
}

/* The folder of our own group, `at` being where the hierarchy is mounted. */
static bool own_place(const char *at, char *ret, size_t size)
{
	char own[512];
	int n = own_group("", own, sizeof(own)) ? snprintf(ret, size, "%s%s", at, own) : -1;

	return n >= 0 && (size_t)n < size;
}

static void find_leaf(struct cgroup_host *h, const char *name)
{
	char at[512], place[CGROUP_PATH];
	char *slash;

	if (!mount_point("", at, sizeof(at)) || !own_place(at, place, sizeof(place)))
		return;
	step_aside(place);
	if (!own_place(at, place, sizeof(place)) || try_leaf(h, place, name) || strcmp(place, at) == 0)
		return;
	slash = strrchr(place, '/');
	if (slash && slash >= place + strlen(at)) {
		*slash = 0;
		if (try_leaf(h, place, name))
			return;
	}
	if (strcmp(place, at) != 0)
		try_leaf(h, at, name);
}

static void find_v1(const char *controller, const char *name, char *ret)
{
	char at[512], own[512], place[CGROUP_PATH], path[CGROUP_PATH];
	int fd;

	if (!mount_point(controller, at, sizeof(at)) || !own_group(controller, own, sizeof(own)) ||
	    snprintf(place, sizeof(place), "%s%s", at, own) >= (int)sizeof(place))
		return;
	fd = make_group(place, name, path);
	if (fd < 0)
		return;
	remove_left_overs(fd);
	if (faccessat(fd, "tasks", W_OK, AT_EACCESS) == 0)
		memcpy(ret, path, sizeof(path));
	close(fd);
}

/* A group of CPU takes no process with a real-time schedule that it has no time for (cpu.rt_runtime_us). */
static bool is_real_time(void)
{
	int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;

	return policy == SCHED_FIFO || policy == SCHED_RR;
}

/* Those that the leaf does not have. A hierarchy with several controllers is one folder. */
static void find_rest(struct cgroup_host *h)
{
	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		if (!h->in_leaf[c] && (c != CGROUP_CPU || !is_real_time()))
			find_v1(controllers[c], h->name, h->v1[c]);
}

int cgroup_host_version(const struct cgroup_host *h, enum cgroup_controller c)
{
	return h->leaf[0] && h->in_leaf[c] ? 2 : h->v1[c][0] ? 1 : 0;
}

bool cgroup_host_limits(const struct cgroup_host *h)
{
	return cgroup_host_version(h, CGROUP_MEMORY) && cgroup_host_version(h, CGROUP_PIDS);
}

bool cgroup_host_is_empty(const struct cgroup_host *h)
{
	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		if (h->v1[c][0])
			return false;
	return !h->leaf[0];
}

void cgroup_host_leave(struct cgroup_host *h)
{
	if (h->leaf[0]) {
		rmdir(h->leaf);
		h->leaf[0] = 0;
		memset(h->in_leaf, 0, sizeof(h->in_leaf));
		find_rest(h);
		return;
	}
	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		if (h->v1[c][0]) {
			rmdir(h->v1[c]);
			h->v1[c][0] = 0;
		}
}

void cgroup_host_describe(const struct cgroup_host *h, char *text, size_t size)
{
	static const char *const rlimits[CGROUP_CONTROLLERS] = {"rlimit of each process", "rlimit", "no quota"};
	size_t n = 0;

	for (int c = 0; c < CGROUP_CONTROLLERS && n < size; c++) {
		int version = cgroup_host_version(h, (enum cgroup_controller)c);

		n += (size_t)snprintf(text + n, size - n, "%s%s: ", c ? ", " : "", controllers[c]);
		if (n < size)
			n += (size_t)(version ? snprintf(text + n, size - n, "cgroup version %d", version)
					      : snprintf(text + n, size - n, "%s", rlimits[c]));
	}
}

void cgroup_host_init(struct cgroup_host *h, const char *name)
{
	*h = (struct cgroup_host){0};
	snprintf(h->name, sizeof(h->name), "%s", name);
	find_leaf(h, name);
	find_rest(h);
}

void cgroup_host_deinit(const struct cgroup_host *h)
{
	if (h->leaf[0])
		rmdir(h->leaf); /* refused while sandboxes live in it */
	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		if (h->v1[c][0])
			rmdir(h->v1[c]);
}

/* Makes our folders again: the spawner before us may have removed them at its end. */
static void restore_host(const struct cgroup_host *h)
{
	bool has[CGROUP_CONTROLLERS];
	int fd;

	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		if (h->v1[c][0])
			mkdir(h->v1[c], 0755);
	if (!h->leaf[0])
		return;
	mkdir(h->leaf, 0755);
	fd = open(h->leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	hand_down(fd, has);
	close(fd);
}

/* ---- One sandbox ---- */

static int open_v1(const char *parent, const char *name, int *ret_dir, int *ret_join)
{
	char path[CGROUP_PATH];
	int dir = make_group(parent, name, path);

	if (dir < 0)
		return dir;
	*ret_dir = dir;
	*ret_join = openat(dir, "tasks", O_WRONLY | O_CLOEXEC);
	return *ret_join < 0 ? -errno : 0;
}

/* Swap is counted only where the kernel accounts it; there version 1's memory.memsw must never be below the limit. */
static int limit_memory(const struct cgroup *c, uint64_t max)
{
	int fd = c->fds[CGROUP_MEMORY], r;

	if (fd < 0)
		return 0;
	if (cgroup_host_version(c->host, CGROUP_MEMORY) == 2) {
		write_number(fd, "memory.swap.max", 0);
		return write_number(fd, "memory.max", max);
	}
	r = write_number(fd, "memory.limit_in_bytes", max);
	if (write_number(fd, "memory.memsw.limit_in_bytes", max) == 0 && r < 0)
		r = write_number(fd, "memory.limit_in_bytes", max);
	return r;
}

static int limit_cpu(const struct cgroup *c, unsigned percent)
{
	uint64_t quota = (uint64_t)percent * (PERIOD_US / 100);
	int fd = c->fds[CGROUP_CPU];
	char text[48];

	if (fd < 0 || percent == 0)
		return 0;
	if (cgroup_host_version(c->host, CGROUP_CPU) == 2) {
		snprintf(text, sizeof(text), "%llu %d", (unsigned long long)quota, PERIOD_US);
		return write_at(fd, "cpu.max", text);
	}
	write_number(fd, "cpu.cfs_period_us", PERIOD_US);
	return write_number(fd, "cpu.cfs_quota_us", quota);
}

/* The init is one of the processes. */
int cgroup_limit(const struct cgroup *c, const struct cgroup_limits *limits)
{
	int r = limit_memory(c, limits->memory);

	if (r == 0 && c->fds[CGROUP_PIDS] >= 0)
		r = write_number(c->fds[CGROUP_PIDS], "pids.max", limits->pids + 1);
	return r < 0 ? r : limit_cpu(c, limits->cpu_percent);
}

static uint64_t number_after(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, 10) : 0;
}

/* Without any controller the leaf has these two of cpu.stat; it counts from its beginning. */
static int64_t counted_cpu_us(int leaf_fd)
{
	char text[1024];

	if (leaf_fd < 0 || read_at(leaf_fd, "cpu.stat", text, sizeof(text)) < 0 || !strstr(text, "usage_usec "))
		return -1;
	return (int64_t)number_after(text, "usage_usec ");
}

static bool leaf_limits(const struct cgroup_host *h)
{
	return count(h->in_leaf) > 0;
}

static int open_leaf(const struct cgroup_host *h, const char *name, struct cgroup *c)
{
	char path[CGROUP_PATH];
	int fd = make_group(h->leaf, name, path);

	if (fd < 0)
		return fd;
	c->leaf_fd = fd;
	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		if (h->in_leaf[i])
			c->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	return 0;
}

static bool is_share(const struct cgroup *c, int controller)
{
	return c->has_share && controller == CGROUP_CPU;
}

static int open_groups(const struct cgroup_host *h, const char *name, const struct cgroup_limits *limits,
		       struct cgroup *ret)
{
	struct cgroup c = CGROUP_INIT;
	int r = 0;

	c.host = h;
	snprintf(c.name, sizeof(c.name), "%s", name);
	c.has_leaf = limits->leaf && !leaf_limits(h);
	if (h->leaf[0])
		r = open_leaf(h, c.has_leaf ? limits->leaf : c.name, &c);
	/* Without a quota too: of the CPU each sandbox has one share. The kernel's own shares (autogroup) are each
	 * session's, and a command can make hundreds of those. Nothing is counted there, so that it can be the next
	 * one's as well, which is cheaper than another. */
	c.has_share = limits->share && !limits->cpu_percent;
	for (int i = 0; r == 0 && i < CGROUP_CONTROLLERS; i++)
		if (h->v1[i][0])
			r = open_v1(h->v1[i], is_share(&c, i) ? limits->share : c.name, &c.fds[i], &c.join_fds[i]);
	if (r == 0)
		r = cgroup_limit(&c, limits);
	if (r == 0 && c.has_leaf) {
		int64_t us = counted_cpu_us(c.leaf_fd);

		c.cpu_before = MAX(us, 0);
	}
	if (r < 0)
		cgroup_deinit(&c);
	else
		*ret = c;
	return r;
}

int cgroup_open(const struct cgroup_host *h, const char *name, const struct cgroup_limits *limits, struct cgroup *ret)
{
	int r, tries = 0;

	/* It removes them one after the other, so also one that was just restored. */
	while ((r = open_groups(h, name, limits, ret)) == -ENOENT && tries++ < RESTORES_MAX)
		restore_host(h);
	return r;
}

/* A folder that is gone has no files. */
bool cgroup_is_there(const struct cgroup *c)
{
	bool is_there = c->leaf_fd < 0 || faccessat(c->leaf_fd, "cgroup.procs", F_OK, 0) == 0;

	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		is_there = is_there && (c->fds[i] < 0 || faccessat(c->fds[i], "cgroup.procs", F_OK, 0) == 0);
	return is_there;
}

int cgroup_move(const struct cgroup *c, pid_t pid)
{
	char text[16];
	int r = 0;

	snprintf(text, sizeof(text), "%d", (int)pid);
	if (c->leaf_fd >= 0)
		r = write_at(c->leaf_fd, "cgroup.procs", text);
	for (int i = 0; r == 0 && i < CGROUP_CONTROLLERS; i++)
		if (c->join_fds[i] >= 0)
			r = write_at(c->fds[i], "cgroup.procs", text);
	return r;
}

/* Where a group was killed once, Linux 6.14 and later kill whoever is cloned into it from another. */
bool cgroup_kill(const struct cgroup *c)
{
	return c->leaf_fd >= 0 && !c->has_leaf && write_at(c->leaf_fd, "cgroup.kill", "1") == 0;
}

static int dir_of(const struct cgroup *c, enum cgroup_count count)
{
	return c->fds[count <= CGROUP_MEMORY_PEAK ? CGROUP_MEMORY : CGROUP_PIDS];
}

/* Peaks of processes are there since Linux 6.1. */
static const char *file_of(const struct cgroup *c, enum cgroup_count count)
{
	static const char *const names[CGROUP_COUNTS][2] = {
		[CGROUP_OOM_KILLS] = {"memory.oom_control", "memory.events"},
		[CGROUP_MEMORY_PEAK] = {"memory.max_usage_in_bytes", "memory.peak"},
		[CGROUP_PIDS_PEAK] = {"pids.peak", "pids.peak"},
		[CGROUP_FORKS_REFUSED] = {"pids.events", "pids.events"},
	};

	return names[count][cgroup_host_version(c->host, CGROUP_MEMORY) == 2];
}

void cgroup_open_counts(struct cgroup *c)
{
	for (int i = 0; i < CGROUP_COUNTS; i++) {
		int dir = dir_of(c, (enum cgroup_count)i);

		if (dir >= 0 && c->counts[i] < 0)
			c->counts[i] = openat(dir, file_of(c, (enum cgroup_count)i), O_RDONLY | O_CLOEXEC);
	}
}

void cgroup_close_counts(struct cgroup *c)
{
	for (int i = 0; i < CGROUP_COUNTS; i++) {
		if (c->counts[i] >= 0)
			close(c->counts[i]);
		c->counts[i] = -1;
	}
}

static bool read_count(const struct cgroup *c, enum cgroup_count count, char *text, size_t size)
{
	ssize_t n;

	if (c->counts[count] < 0)
		return dir_of(c, count) >= 0 && read_at(dir_of(c, count), file_of(c, count), text, size) == 0;
	n = pread(c->counts[count], text, size - 1, 0);
	text[MAX(n, 0)] = 0;
	return n >= 0;
}

unsigned cgroup_forks_refused(const struct cgroup *c)
{
	char text[256];

	return read_count(c, CGROUP_FORKS_REFUSED, text, sizeof(text)) ? (unsigned)number_after(text, "max ") : 0;
}

unsigned cgroup_pids_peak(const struct cgroup *c)
{
	char text[64];

	return read_count(c, CGROUP_PIDS_PEAK, text, sizeof(text)) ? (unsigned)strtoul(text, NULL, 10) : 0;
}

unsigned cgroup_oom_kills(const struct cgroup *c)
{
	char text[1024];

	return read_count(c, CGROUP_OOM_KILLS, text, sizeof(text)) ? (unsigned)number_after(text, "oom_kill ") : 0;
}

int64_t cgroup_cpu_us(const struct cgroup *c)
{
	int64_t us = counted_cpu_us(c->leaf_fd);

	return us < 0 ? us : MAX(us - c->cpu_before, 0);
}

unsigned cgroup_throttled(const struct cgroup *c)
{
	char text[1024];

	if (c->fds[CGROUP_CPU] < 0 || c->has_share || read_at(c->fds[CGROUP_CPU], "cpu.stat", text, sizeof(text)) < 0)
		return 0;
	return (unsigned)number_after(text, "nr_throttled ");
}

uint64_t cgroup_memory_peak(const struct cgroup *c)
{
	char text[64];

	return read_count(c, CGROUP_MEMORY_PEAK, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* "0" to tasks moves the writer alone; a pid, or cgroup.procs, would wait for a grace period of some 10 ms. */
int cgroup_join(const struct cgroup *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->join_fds); i++)
		if (c->join_fds[i] >= 0 && write(c->join_fds[i], "0", 1) < 0)
			return -errno;
	return 0;
}

static bool remove_group(const char *parent, const char *name)
{
	char path[CGROUP_PATH + 64];

	snprintf(path, sizeof(path), "%s/%s", parent, name);
	return rmdir(path) == 0 || errno != EBUSY;
}

bool cgroup_remove(const struct cgroup_host *h, const char *name)
{
	bool is_gone = !h->leaf[0] || remove_group(h->leaf, name);

	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		if (h->v1[i][0])
			is_gone &= remove_group(h->v1[i], name);
	return is_gone;
}

void cgroup_deinit(struct cgroup *c)
{
	cgroup_close_counts(c);
	if (c->leaf_fd >= 0)
		close(c->leaf_fd);
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (c->fds[i] >= 0)
			close(c->fds[i]);
		if (c->join_fds[i] >= 0)
			close(c->join_fds[i]);
	}
	if (c->host && c->host->leaf[0] && !c->has_leaf)
		remove_group(c->host->leaf, c->name);
	for (int i = 0; c->host && i < CGROUP_CONTROLLERS; i++)
		if (c->host->v1[i][0] && !is_share(c, i))
			remove_group(c->host->v1[i], c->name);
	*c = CGROUP_INIT;
}
