#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

#define FIRST_MS 150    /* from the start to the first measuring */
#define AGAIN_MS 250    /* between looks at the free space */
#define CPU_LEAST_MS 10 /* between looks at the CPU time */
#define SLICE_US 2000   /* of a walk */
#define REST 4          /* times as long as a slice: the pause after it */
#define EVERY_MS 3000   /* a walk even if the free space says that nothing was written: others may delete meanwhile */
#define EVERY_WALKS 20  /* times as long as a walk takes, at least */
#define DEPTH_MAX 200
#define HIDDEN (16u << 20)      /* bytes that are gone without being found: deleted files may have them */
#define SLACK(max) ((max) / 50) /* by which what was too much before may grow */
#define WRITTEN (1u << 20)      /* bytes or, in thousands, files: with less gone nothing is measured at the end */
#define PROCESSES_MAX 4096
#define CLOCK_SLACK_US 20000 /* by which the clock of files runs behind at most */

#ifndef PRJQUOTA
#define PRJQUOTA 2
#endif

/* ---- The processes inside ---- */

typedef void each_process(pid_t pid, void *arg);

static size_t read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	n = MAX(n, 0);
	text[n] = 0;
	return (size_t)n;
}

static void each_below(pid_t pid, unsigned *budget, each_process *fn, void *arg)
{
	char path[64], text[4096];

	if (*budget == 0)
		return;
	--*budget;
	fn(pid, arg);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	if (read_text(path, text, sizeof(text)) == 0)
		return;
	for (char *p = text, *end; *p; p = end) {
		pid_t child = (pid_t)strtol(p, &end, 10);

		if (end == p || child <= 0)
			break;
		each_below(child, budget, fn, arg);
	}
}

static void each_inside(const struct sandbox *s, each_process *fn, void *arg)
{
	unsigned budget = PROCESSES_MAX;

	if (s->init > 0 && !s->is_reaped)
		each_below(s->init, &budget, fn, arg);
}

/* ---- CPU time ---- */

/* utime, stime, cutime and cstime are the fields 14 to 17 (proc(5)); the name before them may have anything in it. */
static void add_cpu(pid_t pid, void *arg)
{
	char path[64], text[1024], *p;
	uint64_t *ticks = arg;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	read_text(path, text, sizeof(text));
	p = strrchr(text, ')');
	for (int field = 2; p && field < 17; field++) {
		p = strchr(p + 1, ' ');
		if (p && field >= 13)
			*ticks += strtoull(p + 1, NULL, 10);
	}
}

static uint64_t cpu_used_us(const struct watch *w, const struct sandbox *s)
{
	int64_t counted = w->cpu_base < 0 ? -1 : cgroup_cpu_us(&s->cgroup);
	uint64_t ticks = 0;

	if (counted >= 0)
		return (uint64_t)MAX(counted - w->cpu_base, 0);
	each_inside(s, add_cpu, &ticks);
	return ticks * (1000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

static enum watch_verdict look_at_cpu(struct watch *w, const struct sandbox *s, uint64_t now)
{
	uint64_t used = cpu_used_us(w, s), max = w->limits.cpu_ms * 1000;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	w->cpu_used_us = used;
	if (used >= max)
		return WATCH_CPU;
	w->cpu_us = now + MAX((max - used) / (uint64_t)MAX(cpus, 1), CPU_LEAST_MS * 1000ull);
	return WATCH_FINE;
}

/* ---- Measuring ---- */

struct watch_walk {
	DIR *at[DEPTH_MAX];
	unsigned depth;
	uint64_t bytes;
	uint64_t parts; /* of items, each 1/PARTS: one with several names counts once if all of them are here */
	uint64_t new_bytes, new_parts; /* of them, what was made or changed since the start */
	int64_t since_us;              /* by the clock of files, which no program can set */
	bool is_unreadable, is_too_deep;
	bool is_due; /* whatever the free space says */
	uint64_t cost_us;
	uint64_t free_bytes, free_files; /* when it began */
};
#define PARTS 5040u

static void free_space(const struct watch *w, uint64_t *bytes, uint64_t *files)
{
	struct statfs fs;

	*bytes = *files = 0;
	if (fstatfs(w->root_fd, &fs) < 0)
		return;
	*bytes = (uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize;
	*files = fs.f_ffree;
}

static void walk_into(struct watch_walk *k, int dir, const char *name)
{
	int fd;

	if (k->depth == DEPTH_MAX) {
		k->is_too_deep = true;
		return;
	}
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	k->at[k->depth] = fd < 0 ? NULL : fdopendir(fd);
	if (k->at[k->depth])
		k->depth++;
	else if (fd >= 0)
		close(fd);
	k->is_unreadable |= fd < 0 && errno == EACCES;
}

static void count(struct watch_walk *k, const struct stat *st, uint64_t names)
{
	uint64_t bytes = (uint64_t)st->st_blocks * 512 / names, parts = PARTS / names;
	bool is_new = st->st_ctim.tv_sec * 1000000ll + st->st_ctim.tv_nsec / 1000 >= k->since_us;

	k->bytes += bytes;
	k->parts += parts;
	k->new_bytes += is_new ? bytes : 0;
	k->new_parts += is_new ? parts : 0;
}

static void walk_over(struct watch_walk *k, DIR *d, const char *name)
{
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	count(k, &st, S_ISDIR(st.st_mode) ? 1 : MAX(st.st_nlink, 1u));
	if (S_ISDIR(st.st_mode))
		walk_into(k, dirfd(d), name);
}

/* Returns whether it is through. */
static bool walk_some(struct watch_walk *k, uint64_t until_us)
{
	unsigned n = 0;

	while (k->depth > 0) {
		DIR *d = k->at[k->depth - 1];
		struct dirent *e = readdir(d);

		if (!e) {
			closedir(d);
			k->depth--;
		} else {
			walk_over(k, d, e->d_name);
		}
		if (++n % 64 == 0 && clock_mono_us() >= until_us)
			return false;
	}
	return true;
}

static void walk_free(struct watch *w)
{
	if (!w->walk)
		return;
	while (w->walk->depth > 0)
		closedir(w->walk->at[--w->walk->depth]);
	free(w->walk);
	w->walk = NULL;
}

static void walk_begin(struct watch *w)
{
	w->walk = xcalloc(1, sizeof(*w->walk));
	w->walk->since_us = w->start_us;
	free_space(w, &w->walk->free_bytes, &w->walk->free_files);
	walk_into(w->walk, w->root_fd, ".");
}

struct deleted {
	dev_t dev;
	uint64_t bytes;
	ino_t last;
};

static void add_deleted(pid_t pid, void *arg)
{
	struct deleted *sum = arg;
	struct dirent *e;
	struct stat st;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0 &&
		    st.st_dev == sum->dev && st.st_ino != sum->last) {
			sum->bytes += (uint64_t)st.st_blocks * 512;
			sum->last = st.st_ino;
		}
	if (d)
		closedir(d);
}

/* What is gone from the file system and not found in the workspace. */
static uint64_t hidden_bytes(const struct watch *w, const struct sandbox *s, uint64_t found)
{
	uint64_t gone = w->free_bytes > w->walk->free_bytes ? w->free_bytes - w->walk->free_bytes : 0;
	uint64_t grown = found > w->bytes ? found - w->bytes : 0;
	struct deleted sum = {0};
	struct stat st;

	if (!w->is_measured)
		grown = w->walk->new_bytes;
	if (w->walk->is_unreadable) /* then all of it may be there */
		return gone > grown ? gone - grown : 0;
	if (!s || (w->is_measured && !w->walk->is_due && gone < grown + HIDDEN) || fstat(w->root_fd, &st) < 0)
		return 0;
	sum.dev = st.st_dev;
	each_inside(s, add_deleted, &sum);
	return sum.bytes;
}

/* What there was before the command: without what is gone since then, as far as the command made or changed it. */
static void set_first(struct watch *w, const struct watch_walk *k, uint64_t hidden)
{
	uint64_t bytes = w->free_bytes > k->free_bytes ? w->free_bytes - k->free_bytes : 0;
	uint64_t files = w->free_files > k->free_files ? w->free_files - k->free_files : 0;

	bytes = MIN(bytes, k->new_bytes + hidden);
	files = MIN(files, k->new_parts / PARTS);
	w->first_bytes = w->bytes - MIN(w->bytes, bytes);
	w->first_files = k->is_too_deep ? 0 : w->files - MIN(w->files, files);
}

static void walk_ended(struct watch *w, const struct sandbox *s)
{
	struct watch_walk *k = w->walk;
	uint64_t hidden = hidden_bytes(w, s, k->bytes);

	w->bytes = k->bytes + hidden;
	w->files = k->is_too_deep ? UINT64_MAX : k->parts / PARTS;
	if (!w->is_measured)
		set_first(w, k, hidden);
	w->free_bytes = k->free_bytes;
	w->free_files = k->free_files;
	w->is_measured = true;
	w->walked_us = clock_mono_us();
	w->walk_ms = (unsigned)(k->cost_us / 1000);
	walk_free(w);
}

/* ---- The kernel's own count ---- */

static int quota_call(const struct watch *w, int command, struct dqblk *q)
{
#ifdef SYS_quotactl_fd
	return (int)syscall(SYS_quotactl_fd, w->root_fd, QCMD(command, PRJQUOTA), w->project, q);
#else
	errno = ENOSYS;
	return -1;
#endif
}

/* The folder and all that will be made in it belong to a project of their own. */
void watch_new_workspace(int dir_fd, uint32_t project)
{
	struct fsxattr attr;

	if (ioctl(dir_fd, FS_IOC_FSGETXATTR, &attr) < 0)
		return;
	attr.fsx_projid = project;
	attr.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	ioctl(dir_fd, FS_IOC_FSSETXATTR, &attr);
}

static bool own_project(const struct watch *w)
{
	struct fsxattr attr;

	return ioctl(w->root_fd, FS_IOC_FSGETXATTR, &attr) == 0 && attr.fsx_projid == w->project &&
	       attr.fsx_xflags & FS_XFLAG_PROJINHERIT;
}

static bool start_project(struct watch *w)
{
	struct dqblk q = {
		.dqb_valid = QIF_LIMITS, .dqb_bhardlimit = w->limits.bytes / 1024, .dqb_ihardlimit = w->limits.files};

	/* Limits may be set where nobody enforces them; then none come back. */
	if (!w->project || geteuid() != 0 || !own_project(w) || quota_call(w, Q_SETQUOTA, &q) < 0 ||
	    quota_call(w, Q_GETQUOTA, &q) < 0 || q.dqb_bhardlimit != w->limits.bytes / 1024)
		return false;
	w->first_bytes = q.dqb_curspace;
	w->first_files = q.dqb_curinodes;
	return true;
}

/* At the limit the kernel refuses one block more: whoever came within one block of it has been refused, or will be. Who
 * found it full and adds nothing may look at it, and remove. */
static enum watch_verdict look_at_project(struct watch *w)
{
	struct dqblk q;

	if (quota_call(w, Q_GETQUOTA, &q) < 0)
		return WATCH_FINE;
	if (w->limits.bytes && q.dqb_curspace + 4096 >= w->limits.bytes && q.dqb_curspace > w->first_bytes)
		return WATCH_BYTES;
	return w->limits.files && q.dqb_curinodes >= w->limits.files && q.dqb_curinodes > w->first_files ? WATCH_FILES
													 : WATCH_FINE;
}

/* ---- Space ---- */

static bool is_over(uint64_t n, uint64_t max, uint64_t first)
{
	return max && n > max && n > first + SLACK(max);
}

static enum watch_verdict judge_space(const struct watch *w, uint64_t bytes, uint64_t files)
{
	if (is_over(bytes, w->limits.bytes, w->first_bytes))
		return WATCH_BYTES;
	return is_over(files, w->limits.files, w->first_files) ? WATCH_FILES : WATCH_FINE;
}

/* A quarter more than it may have: who writes little at a time, in many commands, comes to this. */
static enum watch_verdict judge_full(const struct watch *w)
{
	if (w->limits.bytes && w->bytes > w->limits.bytes + w->limits.bytes / 4)
		return WATCH_BYTES;
	return w->limits.files && w->files > w->limits.files + w->limits.files / 4 ? WATCH_FILES : WATCH_FINE;
}

/* Whether it could be over its quota by now. */
static bool may_be_full(const struct watch *w)
{
	uint64_t bytes, files;

	free_space(w, &bytes, &files);
	bytes = w->bytes + (w->free_bytes > bytes ? w->free_bytes - bytes : 0);
	files = w->files + (w->free_files > files ? w->free_files - files : 0);
	return judge_space(w, bytes, files) != WATCH_FINE;
}

static enum watch_verdict look_at_space(struct watch *w, const struct sandbox *s, uint64_t now)
{
	w->space_us = now + AGAIN_MS * 1000ull;
	if (w->by_project)
		return look_at_project(w);
	if (!w->walk) {
		bool is_due = now >= w->walked_us + MAX(EVERY_MS, w->walk_ms * EVERY_WALKS) * 1000ull;

		if (w->is_measured && !is_due && !may_be_full(w))
			return WATCH_FINE;
		walk_begin(w);
		w->walk->is_due = is_due;
	}
	if (!walk_some(w->walk, now + SLICE_US)) {
		uint64_t cost = clock_mono_us() - now;

		w->walk->cost_us += cost;
		w->space_us = now + cost * (1 + REST);
		return WATCH_FINE;
	}
	w->walk->cost_us += clock_mono_us() - now;
	walk_ended(w, s);
	w->space_us = now + MAX(AGAIN_MS, w->walk_ms * 10ull) * 1000;
	return judge_space(w, w->bytes, w->files);
}

/* All at once. */
static void measure(struct watch *w)
{
	if (!w->walk)
		walk_begin(w);
	walk_some(w->walk, UINT64_MAX);
	walk_ended(w, NULL);
}

static void mark_full(const struct watch *w)
{
	int fd;

	if (judge_full(w) == WATCH_FINE) {
		unlink(w->full);
		return;
	}
	fd = open(w->full, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		close(fd);
}

static void open_space(struct watch *w, const char *workspace)
{
	const char *slash = strrchr(workspace, '/');
	int n;

	w->root_fd = open(workspace, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->root_fd < 0 || !slash)
		return;
	n = snprintf(w->full, sizeof(w->full), "%.*s/../%s.full", (int)(slash - workspace), workspace, slash + 1);
	if (n >= (int)sizeof(w->full))
		w->full[0] = 0;
	free_space(w, &w->free_bytes, &w->free_files);
	w->by_project = start_project(w);
}

/* ---- From outside ---- */

static void set_due(struct watch *w)
{
	w->due_us = MIN(w->cpu_us, w->space_us);
}

enum watch_verdict watch_start(struct watch *w, const struct sandbox *s, const struct watch_limits *limits,
			       const char *workspace, uint32_t project)
{
	uint64_t now = clock_mono_us();

	*w = WATCH_INIT;
	w->limits = *limits;
	w->start_us = clock_now_us() - CLOCK_SLACK_US;
	w->project = project;
	w->cpu_us = w->space_us = UINT64_MAX;
	if (limits->cpu_ms) {
		w->cpu_base = cgroup_cpu_us(&s->cgroup);
		look_at_cpu(w, s, now);
	}
	if (workspace && (limits->bytes || limits->files))
		open_space(w, workspace);
	if (w->root_fd >= 0)
		w->space_us = now + FIRST_MS * 1000ull;
	set_due(w);
	if (w->root_fd < 0 || w->by_project || access(w->full, F_OK) < 0)
		return WATCH_FINE;
	measure(w);
	mark_full(w);
	return judge_full(w);
}

enum watch_verdict watch_look(struct watch *w, const struct sandbox *s)
{
	uint64_t now = clock_mono_us();
	enum watch_verdict v = now >= w->cpu_us ? look_at_cpu(w, s, now) : WATCH_FINE;

	if (v == WATCH_FINE && now >= w->space_us)
		v = look_at_space(w, s, now);
	set_due(w);
	return v;
}

enum watch_verdict watch_finish(struct watch *w)
{
	uint64_t bytes, files;

	if (w->root_fd < 0)
		return WATCH_FINE;
	if (w->by_project)
		return look_at_project(w);
	free_space(w, &bytes, &files);
	if (bytes + WRITTEN > w->free_bytes && files + WRITTEN / 1000 > w->free_files && !w->walk)
		return WATCH_FINE;
	measure(w);
	mark_full(w);
	return judge_space(w, w->bytes, w->files);
}

void watch_deinit(struct watch *w)
{
	walk_free(w);
	if (w->root_fd >= 0)
		close(w->root_fd);
	*w = WATCH_INIT;
}
