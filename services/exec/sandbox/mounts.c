/* The root that a sandbox sees: a small tmpfs with the host's /usr, a few files of /etc and devices, all read-only,
 * and three writable places: /workspace, /tmp, /dev/shm. Everything is mounted by file descriptor (open_tree,
 * mount_setattr, move_mount: Linux 5.12), so that no path of the host is needed twice.
 *
 * What is the same for all sandboxes is built once, in a mount namespace that holds nothing else
 * (mounts_host_template); each sandbox takes a copy of that and adds what is its own: /proc, /tmp, /dev/shm, and last
 * the workspace, which the supervisor puts in from outside, because under Landlock and seccomp nobody inside may mount.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/layers.h"

#define BASE "/tmp" /* any folder that is always there: our root is built on top of it */
#define SHM_MAX (64u << 20)
#define OUTER_PROC "/run" /* where a finished root keeps the host's /proc, until the sandbox has its own */

/* ---- What of the host is shown ---- */

static void add_place(struct sandbox_host *host, const char *path)
{
	struct sandbox_place *p = &host->places[host->n_places];
	char full[80];
	struct stat st;
	ssize_t n;

	snprintf(full, sizeof(full), "/%s", path);
	if (host->n_places == SANDBOX_MAX_PLACES || lstat(full, &st) < 0)
		return;
	*p = (struct sandbox_place){0};
	if (S_ISLNK(st.st_mode)) {
		n = readlink(full, p->target, sizeof(p->target) - 1);
		if (n <= 0 || (size_t)n == sizeof(p->target) - 1)
			return;
	} else {
		p->is_dir = S_ISDIR(st.st_mode);
	}
	snprintf(p->path, sizeof(p->path), "%s", path);
	host->n_places++;
}

/* Nothing here may hold secrets. /etc as a whole is not shown: other programs' configuration does. */
void mounts_host_init(struct sandbox_host *host)
{
	static const char *const paths[] = {
		"usr",
		"bin",
		"sbin",
		"lib",
		"lib32",
		"lib64",
		"libx32",
		"etc/alternatives",
		"etc/ld.so.cache",
		"etc/ld.so.conf",
		"etc/ld.so.conf.d",
		"etc/ssl/certs",
		"etc/ssl/openssl.cnf",
		"etc/localtime",
		"etc/protocols",
		"etc/services",
		"etc/mime.types",
	};

	host->n_places = 0;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		add_place(host, paths[i]);
}

/* ---- Mounting: system calls only ---- */

static int attach(int fd, uint64_t set, const char *to)
{
	struct mount_attr attr = {.attr_set = set};
	int r = 0;

	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 ||
	    move_mount(fd, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int bind_path(const char *from, uint64_t set, const char *to)
{
	int fd = open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	return fd < 0 ? -errno : attach(fd, set, to);
}

static int make_file(const char *path, const char *text)
{
	size_t n = strlen(text);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), r = 0;

	if (fd < 0)
		return -errno;
	if (n > 0 && write(fd, text, n) != (ssize_t)n)
		r = -EIO;
	close(fd);
	return r;
}

static int make_dirs(void)
{
	static const struct {
		const char *path;
		mode_t mode;
	} dirs[] = {{"etc", 0755},  {"etc/ssl", 0755}, {"proc", 0555}, {"dev", 0755},       {"dev/shm", 01777},
		    {"tmp", 01777}, {"var", 0755},     {"run", 0755},  {"workspace", 0755}, {"dev/pts", 0755}};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdir(dirs[i].path, dirs[i].mode) < 0)
			return -errno;
	return symlink("/tmp", "var/tmp") < 0 ? -errno : 0;
}

/* How names are looked up: with the network by the host's servers. */
static int make_lookup(bool network)
{
	int r = make_file("etc/nsswitch.conf",
			  network ? "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"
				  : "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n");

	if (r < 0 || !network || access("/etc/resolv.conf", R_OK) < 0)
		return r;
	r = make_file("etc/resolv.conf", "");
	return r < 0 ? r
		     : bind_path("/etc/resolv.conf", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
				 "etc/resolv.conf");
}

/* What git is told by the machine: the placeholders of protected files are no new files, and a new repository has no
 * sample hooks, whose folder is protected. Who commits has a name. */
static int make_git(void)
{
	char ignores[512] = "";
	int r = make_file("etc/gitconfig", "[core]\n\texcludesFile = /etc/gitignore\n[init]\n\ttemplateDir = /run\n"
					   "[user]\n\tname = ogent\n\temail = ogent@localhost\n");

	protect_ignores(ignores, sizeof(ignores));
	return r < 0 ? r : make_file("etc/gitignore", ignores);
}

static int make_etc(bool network)
{
	static const struct {
		const char *path, *text;
	} files[] = {
		{"etc/passwd", "ogent:x:1000:1000:Ogent:/workspace:/bin/sh\n"
			       "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
		{"etc/group", "ogent:x:1000:\nnogroup:x:65534:\n"},
		{"etc/hosts", "127.0.0.1 localhost ogent\n::1 localhost\n"},
		{"etc/hostname", "ogent\n"},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
		r = make_file(files[i].path, files[i].text);
	if (r == 0)
		r = make_git();
	return r < 0 ? r : make_lookup(network);
}

static int make_places(const struct sandbox_host *host)
{
	char full[80] = "/";
	int r = 0;

	for (size_t i = 0; r == 0 && i < host->n_places; i++) {
		const struct sandbox_place *p = &host->places[i];

		if (p->target[0]) {
			r = symlink(p->target, p->path) < 0 ? -errno : 0;
			continue;
		}
		r = p->is_dir ? (mkdir(p->path, 0755) < 0 ? -errno : 0) : make_file(p->path, "");
		strcpy(full + 1, p->path);
		if (r == 0)
			r = bind_path(full, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, p->path);
	}
	return r;
}

static int make_dev(void)
{
	static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
	static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},
					       {"/proc/self/fd/0", "dev/stdin"},
					       {"/proc/self/fd/1", "dev/stdout"},
					       {"/proc/self/fd/2", "dev/stderr"}};
	char from[16] = "/dev/";
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(nodes); i++) {
		strcpy(from + 5, nodes[i]);
		r = make_file(from + 1, "");
		if (r == 0)
			r = bind_path(from, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, from + 1);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(links); i++)
		r = symlink(links[i][0], links[i][1]) < 0 ? -errno : 0;
	return r;
}

/* "name=123", without stdio. */
static void add_number(char *text, const char *name, uint64_t n)
{
	char digits[21];
	size_t i = sizeof(digits) - 1;

	digits[i] = 0;
	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	strcat(text, name);
	strcat(text, digits + i);
}

static int mount_tmpfs(const char *to, uint64_t size, unsigned long flags, const char *mode)
{
	char options[160] = "mode=";

	strcat(options, mode);
	add_number(options, ",size=", size);
	add_number(options, ",nr_inodes=", MAX(size >> 12, 1024));
	return mount("tmpfs", to, "tmpfs", flags, options) < 0 ? -errno : 0;
}

/* In a user namespace a /proc can only be mounted where one can be seen already (mount_too_revealing in
 * fs/namespace.c). */
static int keep_outer_proc(const struct sandbox_host *host)
{
	return host->proc && host->owns_userns ? bind_path("/proc", 0, &OUTER_PROC[1]) : 0;
}

static int mount_proc(const struct sandbox_host *host)
{
	if (!host->proc)
		return 0;
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return -errno;
	return host->owns_userns && umount2(OUTER_PROC, MNT_DETACH) < 0 ? -errno : 0;
}

/* The old root ends up below the new one at the same place and is let go. */
static int pivot(void)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};

	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
	    mount_setattr(AT_FDCWD, "/", 0, &attr, sizeof(attr)) < 0)
		return -errno;
	return 0;
}

/* The part that is the same for all. */
static int build_root(const struct sandbox_host *host, bool network, enum sandbox_layer *layer, const char **what)
{
	int r;

	*layer = LAYER_ROOT;
	*what = "private mounts";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	*what = "root tmpfs on " BASE;
	r = mount_tmpfs(BASE, 2 << 20, 0, "0755");
	if (r == 0 && chdir(BASE) < 0)
		r = -errno;
	if (r == 0) {
		*what = "folders";
		r = make_dirs();
	}
	if (r == 0) {
		*what = "files in /etc";
		r = make_etc(network);
	}
	if (r == 0) {
		*what = "system folders";
		r = make_places(host);
	}
	if (r == 0) {
		*what = "devices";
		r = make_dev();
	}
	if (r == 0) {
		*what = "the host's /proc";
		*layer = LAYER_PROC;
		r = keep_outer_proc(host);
	}
	if (r == 0) {
		*layer = LAYER_ROOT;
		*what = "pivot_root";
		r = pivot();
	}
	return r;
}

/* A copy of the finished root, or, where that is another one than is wanted, one built from the beginning. */
static int take_root(const struct sandbox_host *host, int template_fd, bool network, enum sandbox_layer *layer,
		     const char **what)
{
	*layer = LAYER_MOUNTNS;
	*what = "the finished root";
	if (template_fd >= 0 && setns(template_fd, CLONE_NEWNS) < 0)
		return -errno;
	*what = "mount namespace";
	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	return template_fd >= 0 ? 0 : build_root(host, network, layer, what);
}

int mounts_enter(const struct sandbox_host *host, const struct sandbox_frame *frame, int template_fd,
		 enum sandbox_layer *layer, const char **what)
{
	int r = take_root(host, template_fd, frame->network, layer, what);

	if (r == 0) {
		*layer = LAYER_ROOT;
		*what = "/dev/shm";
		r = mount_tmpfs("/dev/shm", MIN(frame->tmp_max, SHM_MAX), MS_NOSUID | MS_NODEV | MS_NOEXEC, "1777");
	}
	if (r == 0) {
		*what = "/tmp";
		r = mount_tmpfs("/tmp", frame->tmp_max, MS_NOSUID | MS_NODEV, "1777");
	}
	if (r == 0) {
		*what = "/proc";
		*layer = LAYER_PROC;
		r = mount_proc(host);
	}
	return r;
}

/* ---- In the spawner ---- */

struct built {
	int err;
	uint32_t layer;
	char what[40];
};

/* Builds the root and waits: its mount namespace is taken from it by descriptor. */
static NORETURN void template_main(const struct sandbox_host *host, int out)
{
	struct built b = {.layer = LAYER_MOUNTNS, .what = "mount namespace"};
	enum sandbox_layer layer;
	const char *what = "";

	umask(0);
	if (unshare(CLONE_NEWNS) < 0) {
		b.err = errno;
	} else {
		b.err = -build_root(host, false, &layer, &what);
		b.layer = layer;
		strncpy(b.what, what, sizeof(b.what) - 1);
	}
	if (write(out, &b, sizeof(b)) != sizeof(b))
		_exit(1);
	for (;;)
		pause();
}

static int open_mounts(pid_t pid)
{
	char path[64];
	int fd, high;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	high = fcntl(fd, F_DUPFD_CLOEXEC, SANDBOX_FIRST_FD);
	close(fd);
	return high < 0 ? -errno : high;
}

static int make_template(struct sandbox_host *host, struct built *ret)
{
	int out[2], r = 0;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		template_main(host, out[1]);
	close(out[1]);
	if (pid < 0 || read(out[0], ret, sizeof(*ret)) != sizeof(*ret))
		r = -EPIPE;
	else
		r = ret->err ? -ret->err : open_mounts(pid);
	if (r >= 0)
		host->template_fd = r;
	close(out[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return MIN(r, 0);
}

int mounts_host_open(struct sandbox_host *host)
{
	int r = open_mounts(getpid());

	host->mounts_fd = MAX(r, -1);
	return MIN(r, 0);
}

int mounts_host_template(struct sandbox_host *host, enum sandbox_layer *layer, const char **what)
{
	static struct built b;
	int r;

	if (host->template_fd >= 0)
		close(host->template_fd);
	host->template_fd = -1;
	b = (struct built){.layer = LAYER_ROOT, .what = "root"};
	r = make_template(host, &b);
	*layer = (enum sandbox_layer)b.layer;
	*what = b.what;
	return r;
}

/* ---- In the supervisor ---- */

/* The folder as a mount that is attached nowhere. fd or -errno. Private: where the host's mounts are shared (systemd
 * makes them so), its copy is too, and what is mounted in the workspace inside would appear on the host. */
static int detached(const char *path)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, .propagation = MS_PRIVATE};
	int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW), r;

	if (fd < 0)
		return -errno;
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* The sizes that the frame guessed. */
static int resize_tmp(uint64_t tmp_max)
{
	int r = mount_tmpfs("/tmp", tmp_max, MS_REMOUNT | MS_NOSUID | MS_NODEV, "1777");

	return r < 0 ? r
		     : mount_tmpfs("/dev/shm", MIN(tmp_max, SHM_MAX), MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC,
				   "1777");
}

static int mount_inside(const struct sandbox_host *host, const struct sandbox *s, const struct sandbox_spec *spec,
			int workspace, const char **what)
{
	char options[64] = "0755";
	int r = spec->tmp_max != s->frame.tmp_max ? resize_tmp(spec->tmp_max) : 0;

	if (r < 0)
		return r;
	if (workspace < 0) {
		add_number(options, ",uid=", host->is_root ? spec->uid : geteuid());
		add_number(options, ",gid=", host->is_root ? spec->uid : getegid());
		return mount_tmpfs("/workspace", spec->tmp_max, MS_NOSUID | MS_NODEV, options);
	}
	if (move_mount(workspace, "", AT_FDCWD, "/workspace", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return spec->protects ? protect_mount(&s->protection, "/workspace", what) : 0;
}

/* Only mounts may be made in between: the paths are the sandbox's. */
int mounts_workspace(const struct sandbox_host *host, const struct sandbox *s, const struct sandbox_spec *spec,
		     const char **what)
{
	int fd = spec->workspace ? detached(spec->workspace) : -1, r = 0;

	if (spec->workspace && fd < 0)
		return fd;
	if (setns(s->mounts_fd, CLONE_NEWNS) < 0)
		r = -errno;
	else
		r = mount_inside(host, s, spec, fd, what);
	/* Without the way back nothing can go on. */
	if (setns(host->mounts_fd, CLONE_NEWNS) < 0)
		_exit(1);
	if (fd >= 0)
		close(fd);
	return r;
}

/* With all that is mounted in it, at once: a file that is removed while it is a mount point somewhere is unmounted one
 * by one, each of which waits for all CPUs and holds up whoever has a link to the same file. */
void mounts_leave_workspace(const struct sandbox_host *host, const struct sandbox *s)
{
	if (setns(s->mounts_fd, CLONE_NEWNS) < 0)
		return;
	umount2("/workspace", MNT_DETACH | UMOUNT_NOFOLLOW);
	if (setns(host->mounts_fd, CLONE_NEWNS) < 0)
		_exit(1);
}
