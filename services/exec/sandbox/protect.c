#include "sandbox/protect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sandbox/gitconfig.h"

#define GUARD "../guard"
#define OURS_MODE (S_ISVTX | 0755) /* of a folder that was moved in, until it is kept */
#define EMPTY "empty"              /* the file that placeholders are links to */
#define EMPTY_NEW "empty-new"      /* in the place of .git/hooks: the configuration beside it is a new one */

#define GIT_HOOKS ".git/hooks"
#define GIT_CONFIG ".git/config"
#define GIT_COMMON ".git/commondir" /* makes git look for its configuration elsewhere; only work trees have one */

static const char *const names[] = {
	GIT_HOOKS,     GIT_CONFIG,     ".config/git", ".config/fish", ".bashrc",    ".bash_profile",
	".bash_login", ".bash_logout", ".profile",    ".zshrc",       ".zshenv",    ".zprofile",
	".zlogin",     ".zlogout",     ".kshrc",      ".cshrc",       ".gitconfig", ".mcp.json",
	".vscode",     ".idea",        ".zed",        ".cursor",      ".claude",    ".ogent",
};
static const char *const parents[] = {".git", ".config"};

static bool is_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == 0);
}

bool protect_covers(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (is_below(path, names[i]) || is_below(names[i], path))
			return true;
	return false;
}

bool protect_is_placeholder(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_size == 0 && st->st_nlink > 1 && (st->st_mode & 07777) == 0444 &&
	       st->st_uid == geteuid();
}

void protect_ignores(char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strncmp(names[i], ".git/", 5) != 0 && n + strlen(names[i]) + 3 < size)
			n += (size_t)snprintf(text + n, size - n, "/%s\n", names[i]);
}

/* ---- Small things ---- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int open_beneath(int root, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static void leave_folder(struct protect_folder *f)
{
	close_fd(&f->fd);
	f->path[0] = 0;
}

/* The folder that the path's last part is in, and that part. `f` keeps it open. */
static int open_parent(int root, struct protect_folder *f, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	int fd;

	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return root;
	if (n >= sizeof(f->path))
		return -ENAMETOOLONG;
	if (f->fd >= 0 && strncmp(f->path, path, n) == 0 && f->path[n] == 0)
		return f->fd;
	leave_folder(f);
	snprintf(f->path, sizeof(f->path), "%.*s", (int)n, path);
	fd = open_beneath(root, f->path, O_PATH | O_DIRECTORY);
	if (fd >= 0)
		f->fd = fd;
	return fd;
}

static int stat_beneath(struct protection *p, const char *path, struct stat *ret)
{
	const char *name;
	int dir = open_parent(p->root_fd, &p->folder, path, &name);

	if (dir < 0)
		return dir;
	return fstatat(dir, name, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int link_beneath(struct protection *p, const char *from, const char *path)
{
	const char *name;
	int dir = open_parent(p->root_fd, &p->folder, path, &name);

	if (dir < 0)
		return dir;
	return linkat(p->guard_fd, from, dir, name, 0) < 0 ? -errno : 0;
}

static void remove_beneath(struct protection *p, const char *path)
{
	const char *name;
	int dir = open_parent(p->root_fd, &p->folder, path, &name);

	if (dir >= 0)
		unlinkat(dir, name, 0);
}

static bool is_same(const struct protection *p, ino_t ours, const struct stat *st)
{
	return st->st_dev == p->device && st->st_ino == ours;
}

static bool is_placeholder(const struct protection *p, const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_size == 0 &&
	       (is_same(p, p->empty_ino, st) || is_same(p, p->empty_new_ino, st));
}

/* ---- The guard ---- */

/* Of a file system that counts by project (watch.h). */
static uint32_t project_of(int fd)
{
	struct fsxattr attr;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0 || !(attr.fsx_xflags & FS_XFLAG_PROJINHERIT))
		return 0;
	return attr.fsx_projid;
}

static int join_project(const struct protection *p, int fd, uint32_t flags)
{
	struct fsxattr attr;

	if (p->project == 0)
		return 0;
	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
		return -errno;
	attr.fsx_projid = p->project;
	attr.fsx_xflags |= flags;
	return ioctl(fd, FS_IOC_FSSETXATTR, &attr) < 0 ? -errno : 0;
}

static int make_empty(struct protection *p, const char *name, ino_t *ret)
{
	struct stat st;
	int fd = openat(p->guard_fd, name, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444), r;

	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && (st.st_mode & 07777) != 0444 && fchmod(fd, 0444) < 0) /* whatever the umask */
		r = -errno;
	if (r == 0 && p->project && project_of(fd) != p->project)
		r = join_project(p, fd, 0);
	close(fd);
	if (r < 0)
		return r;
	p->device = st.st_dev;
	*ret = st.st_ino;
	return 0;
}

/* Each project has files of its own. */
static void name_empties(struct protection *p)
{
	char which[16] = "";

	p->project = project_of(p->root_fd);
	if (p->project)
		snprintf(which, sizeof(which), ".%u", p->project);
	snprintf(p->empty, sizeof(p->empty), EMPTY "%s", which);
	snprintf(p->empty_new, sizeof(p->empty_new), EMPTY_NEW "%s", which);
}

static int open_guard(struct protection *p, const char *workspace)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(workspace, '/');
	int dir, r = 0;

	if (!slash || (size_t)(slash - workspace) >= sizeof(parent) || strlen(slash + 1) > NAME_MAX)
		return -EINVAL;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - workspace), workspace);
	strcpy(p->name, slash + 1);
	dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	p->root_fd = openat(dir, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	p->guard_fd = openat(dir, GUARD, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->guard_fd < 0 && errno == ENOENT && (mkdirat(dir, GUARD, 0700) == 0 || errno == EEXIST))
		p->guard_fd = openat(dir, GUARD, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->root_fd < 0 || p->guard_fd < 0)
		r = -errno;
	close(dir);
	if (r == 0)
		name_empties(p);
	return r;
}

/* The workspace's byte: any number that differs from most others' will do. */
static off_t byte_of(const char *name)
{
	uint64_t h = 14695981039346656037ull; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211ull;
	return (off_t)(h >> 2);
}

static int set_lock(const struct protection *p, short type, bool wait)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte_of(p->name), .l_len = 1};

	while (fcntl(p->lock_fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* ---- Tidying up: nobody else is in the workspace ---- */

static void take_away(struct protection *p, const char *path)
{
	remove_beneath(p, path);
	snprintf(p->removed, sizeof(p->removed), "%s", path);
}

/* A repository's configuration that a command wrote. */
static void check_newborn(struct protection *p)
{
	struct stat st;
	bool ok;
	int fd;

	if (stat_beneath(p, GIT_CONFIG, &st) < 0 || S_ISDIR(st.st_mode))
		return;
	fd = S_ISREG(st.st_mode) ? open_beneath(p->root_fd, GIT_CONFIG, O_RDONLY) : -ELOOP;
	ok = fd >= 0 && gitconfig_is_harmless(fd);
	if (fd >= 0)
		close(fd);
	if (!ok)
		take_away(p, GIT_CONFIG);
}

static void check_common(struct protection *p)
{
	struct stat st;

	if (stat_beneath(p, GIT_COMMON, &st) == 0)
		take_away(p, GIT_COMMON);
}

static void remove_placeholder(struct protection *p, const char *path)
{
	struct stat st;

	if (stat_beneath(p, path, &st) == 0 && is_placeholder(p, &st))
		remove_beneath(p, path);
}

static void spare_name(const struct protection *p, const char *parent, char ret[static NAME_MAX + 16])
{
	snprintf(ret, NAME_MAX + 16, "%s%.8s", p->name, parent);
}

/* Nothing was read from it yet. */
static bool is_empty(int dir)
{
	_Alignas(struct dirent64) char entries[512];
	ssize_t n;

	while ((n = getdents64(dir, entries, sizeof(entries))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *e = (const struct dirent64 *)(entries + at);

			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
				return false;
			at += e->d_reclen;
		}
	return n == 0;
}

/* A folder that was moved in and has nothing in it goes; one that has is the workspace's own from now on. */
static void move_out(struct protection *p, const char *parent)
{
	char spare[NAME_MAX + 16];
	struct stat st;
	int fd = open_beneath(p->root_fd, parent, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return;
	leave_folder(&p->folder);
	spare_name(p, parent, spare);
	if (fstat(fd, &st) == 0 && st.st_mode & S_ISVTX) {
		if (!is_empty(fd))
			fchmod(fd, 0755);
		else if (renameat(p->root_fd, parent, p->guard_fd, spare) < 0)
			unlinkat(p->root_fd, parent, AT_REMOVEDIR);
	}
	close(fd);
}

/* What is in the folders that may be moved out. */
static void tidy_folders(struct protection *p)
{
	struct stat st;
	bool newborn = stat_beneath(p, GIT_HOOKS, &st) == 0 && is_same(p, p->empty_new_ino, &st);

	if (newborn)
		check_newborn(p);
	check_common(p);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strchr(names[i], '/'))
			remove_placeholder(p, names[i]);
	for (size_t i = 0; i < ARRAY_SIZE(parents); i++)
		move_out(p, parents[i]);
}

static void tidy(struct protection *p)
{
	for (unsigned i = 0; i < p->n_extras; i++)
		remove_placeholder(p, p->extras[i]);
	tidy_folders(p);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strchr(names[i], '/'))
			remove_placeholder(p, names[i]);
}

/* ---- Making it so ---- */

/* As it was made once, and moved out again. */
static bool is_spare(const struct protection *p, const char *spare, const struct stat *root)
{
	struct stat st;

	return p->project == 0 && fstatat(p->guard_fd, spare, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_mode == (S_IFDIR | OURS_MODE) && st.st_uid == root->st_uid && st.st_gid == root->st_gid;
}

static int make_spare(const struct protection *p, const char *spare, const struct stat *root)
{
	if (mkdirat(p->guard_fd, spare, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (p->project) {
		int fd = openat(p->guard_fd, spare, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd >= 0) {
			join_project(p, fd, FS_XFLAG_PROJINHERIT);
			close(fd);
		}
	}
	if (geteuid() == 0 && fchownat(p->guard_fd, spare, root->st_uid, root->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return fchmodat(p->guard_fd, spare, OURS_MODE, 0) < 0 ? -errno : 0;
}

/* The folder above names is missing: one of ours takes its place. */
static int move_in(struct protection *p, const char *parent)
{
	char spare[NAME_MAX + 16];
	struct stat root;
	int r;

	spare_name(p, parent, spare);
	if (fstat(p->root_fd, &root) < 0)
		return -errno;
	r = is_spare(p, spare, &root) ? 0 : make_spare(p, spare, &root);
	if (r == 0 && renameat2(p->guard_fd, spare, p->root_fd, parent, RENAME_NOREPLACE) < 0)
		r = -errno;
	/* Another command of the workspace may be faster, at any of these: then the spare one is gone, or not needed.
	 */
	return r == -EEXIST || r == -ENOENT ? 0 : r;
}

/* 1: the folder above is one, 0: it is none, so that the name cannot be there either. */
static int ensure_parent(struct protection *p, const char *path)
{
	const char *slash = strchr(path, '/');
	char parent[PROTECT_PATH];
	struct stat st;
	int r;

	if (!slash)
		return 1;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	r = stat_beneath(p, parent, &st);
	if (r == -ENOENT) {
		r = move_in(p, parent);
		return r < 0 ? r : 1;
	}
	return r < 0 ? r : S_ISLNK(st.st_mode) ? -ELOOP : S_ISDIR(st.st_mode);
}

/* Something that can be a mount of itself is at the path; most often nothing is. */
static int ensure(struct protection *p, const char *path, const char *placeholder)
{
	struct stat st;
	int r = link_beneath(p, placeholder, path);

	if (r != -EEXIST)
		return r;
	r = stat_beneath(p, path, &st);
	if (r < 0)
		return r;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	return S_ISREG(st.st_mode) && st.st_nlink > 1 && !is_placeholder(p, &st) ? -EMLINK : 0;
}

/* Whether a command that runs now, or ran last, may have made the configuration. */
static bool is_newborn(struct protection *p)
{
	struct stat hooks, config;
	int r = stat_beneath(p, GIT_HOOKS, &hooks);

	if (r == 0)
		return is_same(p, p->empty_new_ino, &hooks);
	return r == -ENOENT && stat_beneath(p, GIT_CONFIG, &config) == -ENOENT;
}

static bool is_taken(const struct protection *p, const char *name)
{
	return !(p->is_newborn && strcmp(name, GIT_CONFIG) == 0);
}

static int ensure_names(struct protection *p, const char **what)
{
	int r = 0;

	p->is_newborn = is_newborn(p);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(names); i++) {
		*what = names[i];
		r = ensure_parent(p, names[i]);
		if (r == 1 && is_taken(p, names[i]))
			r = ensure(p, names[i],
				   p->is_newborn && strcmp(names[i], GIT_HOOKS) == 0 ? p->empty_new : p->empty);
	}
	return MIN(r, 0);
}

/* ---- Other folders of git ---- */

static void add_extra(struct protection *p, const char *folder, const char *name)
{
	if (!p->extras)
		p->extras = xcalloc(PROTECT_EXTRAS, sizeof(*p->extras));
	if (p->n_extras < PROTECT_EXTRAS &&
	    snprintf(p->extras[p->n_extras], PROTECT_PATH, "%s/%s", folder, name) < PROTECT_PATH)
		p->n_extras++;
}

/* Takes "." and ".." out of a path beneath the workspace, as text. False: it leads out. */
static bool plain_path(const char *base, const char *path, char ret[static PROTECT_PATH])
{
	char text[2 * PROTECT_PATH], *rest = text;
	size_t n = 0;

	if (strncmp(path, "/workspace/", 11) == 0) {
		path += 11;
		base = "";
	}
	if (*path == '/' || snprintf(text, sizeof(text), "%s/%s", base, path) >= (int)sizeof(text))
		return false;
	ret[0] = 0;
	for (char *part; (part = strsep(&rest, "/"));) {
		if (strcmp(part, "..") == 0) {
			char *slash = strrchr(ret, '/');

			if (n == 0)
				return false;
			n = slash ? (size_t)(slash - ret) : 0;
			ret[n] = 0;
		} else if (*part && strcmp(part, ".") != 0) {
			if (n + strlen(part) + 2 > PROTECT_PATH)
				return false;
			n += (size_t)snprintf(ret + n, PROTECT_PATH - n, "%s%s", n ? "/" : "", part);
		}
	}
	return n > 0;
}

/* The first line of a small file, behind `prefix`. */
static bool read_line(const struct protection *p, const char *path, const char *prefix, char ret[static PROTECT_PATH])
{
	int fd = open_beneath(p->root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	char text[PROTECT_PATH];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[MAX(n, 0)] = 0;
	text[strcspn(text, "\n")] = 0;
	if (n <= 0 || strncmp(text, prefix, strlen(prefix)) != 0)
		return false;
	strcpy(ret, text + strlen(prefix));
	return true;
}

/* A work tree's .git is a file: its folder, and the one that it has in common with others. */
static void find_work_tree(struct protection *p)
{
	char text[PROTECT_PATH], folder[PROTECT_PATH], common[PROTECT_PATH], path[PROTECT_PATH];

	if (!read_line(p, ".git", "gitdir: ", text) || !plain_path("", text, folder))
		return;
	add_extra(p, folder, "config");
	add_extra(p, folder, "config.worktree");
	add_extra(p, folder, "hooks");
	if (snprintf(path, sizeof(path), "%s/commondir", folder) >= (int)sizeof(path) ||
	    !read_line(p, path, "", text) || !plain_path(folder, text, common))
		return;
	add_extra(p, folder, "commondir");
	add_extra(p, common, "config");
	add_extra(p, common, "hooks");
}

static void find_modules(struct protection *p)
{
	int fd = open_beneath(p->root_fd, ".git/modules", O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	char folder[PROTECT_PATH];
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' &&
		    snprintf(folder, sizeof(folder), ".git/modules/%s", e->d_name) < (int)sizeof(folder)) {
			add_extra(p, folder, "config");
			add_extra(p, folder, "hooks");
		}
	if (d)
		closedir(d);
}

/* What is not there, or is reached by a link, cannot be held: a command has made it so, or nobody uses it. */
static int ensure_extras(struct protection *p, const char **what)
{
	int r = 0;

	find_work_tree(p);
	find_modules(p);
	for (unsigned i = 0; r == 0 && i < p->n_extras; i++) {
		*what = p->extras[i];
		r = ensure(p, p->extras[i], p->empty);
		if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EMLINK) {
			memmove(p->extras[i], p->extras[i + 1], (p->n_extras - i - 1) * sizeof(p->extras[0]));
			p->n_extras--;
			i--;
			r = 0;
		}
	}
	return r;
}

/* ---- From outside ---- */

int protect_begin(const char *workspace, struct protection *p, const char **what)
{
	int r;

	*p = PROTECTION_INIT;
	*what = "its folder";
	r = open_guard(p, workspace);
	if (r == 0)
		r = make_empty(p, p->empty, &p->empty_ino);
	if (r == 0)
		r = make_empty(p, p->empty_new, &p->empty_new_ino);
	if (r == 0) {
		p->lock_fd = openat(p->guard_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		r = p->lock_fd < 0 ? -errno : 0;
	}
	/* What a killed command left; placeholders beside those folders serve again. */
	if (r == 0 && set_lock(p, F_WRLCK, false) == 0)
		tidy_folders(p);
	if (r == 0)
		r = set_lock(p, F_RDLCK, true);
	if (r == 0)
		r = ensure_names(p, what);
	if (r == 0)
		r = ensure_extras(p, what);
	leave_folder(&p->folder);
	if (r < 0)
		protect_end(p);
	return r;
}

void protect_end(struct protection *p)
{
	if (p->lock_fd >= 0 && set_lock(p, F_UNLCK, false) == 0 && set_lock(p, F_WRLCK, false) == 0)
		tidy(p);
	leave_folder(&p->folder);
	free(p->extras);
	p->extras = NULL;
	p->n_extras = 0;
	close_fd(&p->lock_fd);
	close_fd(&p->root_fd);
	close_fd(&p->guard_fd);
}

/* ---- Inside ---- */

/* The thing as a mount on itself. The clone is looked at, not the path, so that nobody can swap it in between. */
static int mount_on_itself(int dir, const char *name, uint64_t set, mode_t want)
{
	struct mount_attr attr = {.attr_set = set};
	int fd = open_tree(dir, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW), r = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (S_ISLNK(st.st_mode) || (want && (st.st_mode & S_IFMT) != want))
		r = -ELOOP;
	else if ((set && mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) ||
		 move_mount(fd, "", dir, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* A second mount on top would hide what is mounted in the first. */
static int pin_once(int dir, const char *name)
{
	struct statx above, folder;

	if (statx(dir, "", AT_EMPTY_PATH, STATX_MNT_ID, &above) < 0 ||
	    statx(dir, name, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &folder) < 0)
		return -errno;
	if (!(above.stx_mask & folder.stx_mask & STATX_MNT_ID))
		return -EOPNOTSUPP;
	return above.stx_mnt_id != folder.stx_mnt_id ? 0 : mount_on_itself(dir, name, 0, S_IFDIR);
}

/* Folders above it become mounts too: mount points cannot be renamed. `pinned` is the last one, since neighbours have
 * it in common. */
static int pin(int root, const char *path, char pinned[static PROTECT_PATH])
{
	struct protect_folder above = {.fd = -1};
	const char *name;
	int r = 0;

	for (const char *slash = strchr(path, '/'); r == 0 && slash; slash = strchr(slash + 1, '/')) {
		char folder[PROTECT_PATH];
		int dir;

		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
		if (is_below(pinned, folder))
			continue;
		dir = open_parent(root, &above, folder, &name);
		r = dir < 0 ? dir : pin_once(dir, name);
		if (r == 0)
			strcpy(pinned, folder);
	}
	leave_folder(&above);
	return r;
}

/* Where names are mounted. */
struct place {
	int root;
	struct protect_folder folder; /* on the mount that it is by now */
	char pinned[PROTECT_PATH];
};

static int seal(struct place *at, const char *path)
{
	const char *name;
	int r = pin(at->root, path, at->pinned), dir;

	if (r < 0)
		return r;
	dir = open_parent(at->root, &at->folder, path, &name);
	return dir < 0 ? dir : mount_on_itself(dir, name, MOUNT_ATTR_RDONLY, 0);
}

/* .git may be a file, and then nothing is below it. */
static bool is_there(int root, const char *name)
{
	const char *slash = strchr(name, '/');
	char parent[PROTECT_PATH];
	struct stat st;

	if (!slash)
		return true;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - name), name);
	return fstatat(root, parent, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode);
}

int protect_mount(const struct protection *p, const char *path, const char **what)
{
	struct place at = {.root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), .folder = {.fd = -1}};
	int r = at.root < 0 ? -errno : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++) {
		*what = names[i];
		if (!is_there(at.root, names[i]))
			r = strcmp(names[i], GIT_HOOKS) == 0 ? seal(&at, ".git") : 0;
		else if (is_taken(p, names[i]))
			r = seal(&at, names[i]);
	}
	for (unsigned i = 0; r == 0 && i < p->n_extras; i++) {
		*what = p->extras[i];
		r = seal(&at, p->extras[i]);
	}
	leave_folder(&at.folder);
	close_fd(&at.root);
	return r;
}
