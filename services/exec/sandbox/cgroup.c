/* Where our groups go. Version 2: below our own group if its controllers can be handed down, otherwise beside it, at
 * last below the top (as root); the first place with the memory and pids controllers wins, else the first that can be
 * written, which still gives the kill in one write. Version 1: below our own group of each controller. */
#include "sandbox/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

/* Whether a process can be put there: one that was started elsewhere needs rights on the common ancestor too, so only
 * trying tells; the probe does. Here: whether a group can be made below it. */
static bool try_leaf(struct cgroup_host *h, const char *parent, const char *name)
{
	char path[CGROUP_PATH], controllers[256] = "", own[64];
	int parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	bool limits;

	if (parent_fd < 0)
		return false;
	write_at(parent_fd, "cgroup.subtree_control", "+memory");
	write_at(parent_fd, "cgroup.subtree_control", "+pids");
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
	read_at(fd, "cgroup.controllers", controllers, sizeof(controllers));
	limits = has_word(controllers, "memory") && has_word(controllers, "pids") &&
		 write_at(fd, "cgroup.subtree_control", "+memory +pids") == 0;
	close(fd);
	if (limits || !h->leaf[0]) {
		if (h->leaf[0])
			rmdir(h->leaf);
		memcpy(h->leaf, path, sizeof(path));
		h->leaf_memory = h->leaf_pids = limits;
	} else {
		rmdir(path);
	}
	return limits;
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
	char controllers[256], path[CGROUP_PATH], delegate = 0;
	int from = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to;

	if (from < 0)
		return;
	if (fgetxattr(from, "user.delegate", &delegate, 1) == 1 && delegate == '1' &&
	    read_at(from, "cgroup.controllers", controllers, sizeof(controllers)) == 0 &&
	    has_word(controllers, "memory") && (to = make_group(place, "main", path)) >= 0) {
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

bool cgroup_host_limits(const struct cgroup_host *h)
{
	return cgroup_host_version(h) > 0;
}

int cgroup_host_version(const struct cgroup_host *h)
{
	if (h->leaf[0] && h->leaf_memory && h->leaf_pids)
		return 2;
	return h->v1_memory[0] && h->v1_pids[0] ? 1 : 0;
}

void cgroup_host_init(struct cgroup_host *h, const char *name)
{
	*h = (struct cgroup_host){0};
	find_leaf(h, name);
	if (cgroup_host_version(h) == 0) {
		find_v1("memory", name, h->v1_memory);
		find_v1("pids", name, h->v1_pids);
	}
	if (cgroup_host_version(h) == 0)
		h->v1_memory[0] = h->v1_pids[0] = 0;
	if (cgroup_host_limits(h))
		snprintf(h->detail, sizeof(h->detail), "memory and process limits by cgroup version %d",
			 cgroup_host_version(h));
	else
		snprintf(h->detail, sizeof(h->detail),
			 "no writable cgroup with the memory and pids controllers; run as root, or as a service with "
			 "Delegate=yes");
}

void cgroup_host_deinit(struct cgroup_host *h)
{
	const char *paths[] = {h->leaf, h->v1_memory, h->v1_pids};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (paths[i][0])
			rmdir(paths[i]); /* refused while sandboxes live in it */
}

/* Makes our folders again: the spawner before us may have removed them at its end. */
static void restore_host(const struct cgroup_host *h)
{
	const char *paths[] = {h->leaf, h->v1_memory, h->v1_pids};
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (paths[i][0])
			mkdir(paths[i], 0755);
	fd = h->leaf_memory ? open(h->leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	write_at(fd, "cgroup.subtree_control", "+memory +pids");
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
	int r;

	if (c->memory_fd < 0)
		return 0;
	if (c->host->leaf_memory) {
		write_number(c->memory_fd, "memory.swap.max", 0);
		return write_number(c->memory_fd, "memory.max", max);
	}
	r = write_number(c->memory_fd, "memory.limit_in_bytes", max);
	if (write_number(c->memory_fd, "memory.memsw.limit_in_bytes", max) == 0 && r < 0)
		r = write_number(c->memory_fd, "memory.limit_in_bytes", max);
	return r;
}

/* The init is one of the processes. */
int cgroup_limit(const struct cgroup *c, uint64_t memory_max, unsigned pids_max)
{
	int r = limit_memory(c, memory_max);

	return r < 0 || c->pids_fd < 0 ? r : write_number(c->pids_fd, "pids.max", pids_max + 1);
}

static int open_leaf(const struct cgroup_host *h, struct cgroup *c)
{
	char path[CGROUP_PATH];
	int fd = make_group(h->leaf, c->name, path);

	if (fd < 0)
		return fd;
	c->leaf_fd = fd;
	if (h->leaf_memory) {
		c->memory_fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
		c->pids_fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	}
	return 0;
}

static int open_v1_limits(const struct cgroup_host *h, struct cgroup *c)
{
	int r = open_v1(h->v1_memory, c->name, &c->memory_fd, &c->join_fds[0]);

	return r < 0 ? r : open_v1(h->v1_pids, c->name, &c->pids_fd, &c->join_fds[1]);
}

static int open_groups(const struct cgroup_host *h, const char *name, uint64_t memory_max, unsigned pids_max,
		       struct cgroup *ret)
{
	struct cgroup c = CGROUP_INIT;
	int r = 0;

	c.host = h;
	snprintf(c.name, sizeof(c.name), "%s", name);
	if (h->leaf[0])
		r = open_leaf(h, &c);
	if (r == 0 && h->v1_memory[0])
		r = open_v1_limits(h, &c);
	if (r == 0)
		r = cgroup_limit(&c, memory_max, pids_max);
	if (r < 0)
		cgroup_deinit(&c);
	else
		*ret = c;
	return r;
}

int cgroup_open(const struct cgroup_host *h, const char *name, uint64_t memory_max, unsigned pids_max,
		struct cgroup *ret)
{
	int r, tries = 0;

	/* It removes them one after the other, so also one that was just restored. */
	while ((r = open_groups(h, name, memory_max, pids_max, ret)) == -ENOENT && tries++ < RESTORES_MAX)
		restore_host(h);
	return r;
}

bool cgroup_kill(const struct cgroup *c)
{
	return c->leaf_fd >= 0 && write_at(c->leaf_fd, "cgroup.kill", "1") == 0;
}

static uint64_t number_after(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, 10) : 0;
}

unsigned cgroup_forks_refused(const struct cgroup *c)
{
	char text[256];

	if (c->pids_fd < 0 || read_at(c->pids_fd, "pids.events", text, sizeof(text)) < 0)
		return 0;
	return (unsigned)number_after(text, "max ");
}

/* Linux 6.1. */
unsigned cgroup_pids_peak(const struct cgroup *c)
{
	char text[64];

	if (c->pids_fd < 0 || read_at(c->pids_fd, "pids.peak", text, sizeof(text)) < 0)
		return 0;
	return (unsigned)strtoul(text, NULL, 10);
}

unsigned cgroup_oom_kills(const struct cgroup *c)
{
	char text[1024];

	if (c->memory_fd < 0)
		return 0;
	if (read_at(c->memory_fd, c->leaf_fd >= 0 && c->host->leaf_memory ? "memory.events" : "memory.oom_control",
		    text, sizeof(text)) < 0)
		return 0;
	return (unsigned)number_after(text, "oom_kill ");
}

uint64_t cgroup_memory_peak(const struct cgroup *c)
{
	char text[64];

	if (c->memory_fd < 0 || (read_at(c->memory_fd, "memory.peak", text, sizeof(text)) < 0 &&
				 read_at(c->memory_fd, "memory.max_usage_in_bytes", text, sizeof(text)) < 0))
		return 0;
	return strtoull(text, NULL, 10);
}

/* "0" to tasks moves the writer alone; a pid, or cgroup.procs, would wait for a grace period of some 10 ms. */
int cgroup_join(const struct cgroup *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->join_fds); i++)
		if (c->join_fds[i] >= 0 && write(c->join_fds[i], "0", 1) < 0)
			return -errno;
	return 0;
}

static void remove_group(const char *parent, const char *name)
{
	char path[CGROUP_PATH + 64];

	snprintf(path, sizeof(path), "%s/%s", parent, name);
	rmdir(path);
}

void cgroup_deinit(struct cgroup *c)
{
	int fds[] = {c->leaf_fd, c->memory_fd, c->pids_fd, c->join_fds[0], c->join_fds[1]};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (c->host && c->host->leaf[0])
		remove_group(c->host->leaf, c->name);
	if (c->host && c->host->v1_memory[0])
		remove_group(c->host->v1_memory, c->name);
	if (c->host && c->host->v1_pids[0])
		remove_group(c->host->v1_pids, c->name);
	*c = CGROUP_INIT;
}
