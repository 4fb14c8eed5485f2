/* Landlock: a second lock behind the mounts, and the main one where there are no namespaces. The numbers are here and
 * not from linux/landlock.h, because the kernel that runs may know more than the headers that built. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/layers.h"

#define FS_EXECUTE (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_MAKE_CHAR (1ull << 6)
#define FS_MAKE_BLOCK (1ull << 11)
#define FS_REFER (1ull << 13)     /* ABI 2 */
#define FS_TRUNCATE (1ull << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (1ull << 15) /* ABI 5 */
#define FS_ALL_ABI1 ((1ull << 13) - 1)
#define NET_BIND_TCP (1ull << 0) /* ABI 4 */
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ABSTRACT_UNIX (1ull << 0) /* ABI 6 */
#define SCOPE_SIGNAL (1ull << 1)

#define FS_READ (FS_EXECUTE | FS_READ_FILE | FS_READ_DIR)
#define FS_DEVICE (FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_rule {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);

	return abi < 0 ? 0 : (int)abi;
}

static uint64_t fs_handled(int abi)
{
	return FS_ALL_ABI1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) | (abi >= 5 ? FS_IOCTL_DEV : 0);
}

/* A path that is not there needs no rule. */
static int allow(int ruleset, const char *path, uint64_t access)
{
	struct path_rule rule = {.access = access, .fd = open(path, O_PATH | O_CLOEXEC)};
	int r = 0;

	if (rule.fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (syscall(SYS_landlock_add_rule, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rule, 0) < 0)
		r = -errno;
	close(rule.fd);
	return r;
}

static int allow_devices(int ruleset, uint64_t handled)
{
	static const char *const devices[] = {"/dev/null", "/dev/zero",   "/dev/full",
					      "/dev/tty",  "/dev/random", "/dev/urandom"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(devices); i++)
		r = allow(ruleset, devices[i], FS_DEVICE & handled);
	return r;
}

static uint64_t fs_writing(int abi)
{
	return fs_handled(abi) & ~(FS_MAKE_CHAR | FS_MAKE_BLOCK);
}

static int allow_inside(int ruleset, int abi)
{
	int r = allow(ruleset, "/", FS_READ);

	if (r == 0)
		r = allow(ruleset, "/tmp", fs_writing(abi));
	return r < 0 ? r : allow(ruleset, "/dev/shm", fs_writing(abi));
}

/* Without a root of its own the command sees the host's paths: only these, and no other process's /proc. */
static int allow_on_host(int ruleset, const struct sandbox_host *host, bool network)
{
	char path[80] = "/";
	int r = 0;

	for (size_t i = 0; r == 0 && i < host->n_places; i++) {
		const struct sandbox_place *p = &host->places[i];

		strcpy(path + 1, p->path);
		if (!p->target[0])
			r = allow(ruleset, path, p->is_dir ? FS_READ : FS_EXECUTE | FS_READ_FILE);
	}
	if (r == 0 && network)
		r = allow(ruleset, "/etc/resolv.conf", FS_READ_FILE);
	return r;
}

int landlock_prepare(const struct sandbox_host *host, bool network, int *ret_fd, const char **what)
{
	int abi = host->landlock_abi;
	struct ruleset_attr attr = {
		.fs = fs_handled(abi),
		.net = !host->namespaces && !network && abi >= 4 ? NET_BIND_TCP | NET_CONNECT_TCP : 0,
		.scoped = abi >= 6 ? SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL : 0,
	};
	size_t size = abi >= 6 ? sizeof(attr) : abi >= 4 ? offsetof(struct ruleset_attr, scoped) : sizeof(attr.fs);
	int fd, r;

	*ret_fd = -1;
	if (abi == 0)
		return 0;
	*what = "landlock ruleset";
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (fd < 0)
		return -errno;
	*what = "landlock rules";
	r = host->namespaces ? allow_inside(fd, abi) : allow_on_host(fd, host, network);
	if (r == 0)
		r = allow_devices(fd, attr.fs);
	if (r < 0)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

int landlock_allow_workspace(const struct sandbox_host *host, int ruleset, const char *workspace, const char **what)
{
	*what = "landlock rule of the workspace";
	return allow(ruleset, workspace, fs_writing(host->landlock_abi));
}

int landlock_enter(int ruleset, const char **what)
{
	*what = "landlock_restrict_self";
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
