#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/layers.h"

static int write_file(pid_t pid, const char *name, const char *text)
{
	char path[64];
	int fd, r = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* An ordinary user may map only himself, and only with setgroups switched off. */
int userns_map(pid_t init, bool is_root, uid_t uid)
{
	char uid_map[64], gid_map[64];
	int r;

	snprintf(uid_map, sizeof(uid_map), "%d %u 1\n", INNER_UID, is_root ? uid : geteuid());
	snprintf(gid_map, sizeof(gid_map), "%d %u 1\n", INNER_UID, is_root ? uid : getegid());
	r = write_file(init, "uid_map", uid_map);
	if (r == 0 && !is_root)
		r = write_file(init, "setgroups", "deny");
	if (r == 0)
		r = write_file(init, "gid_map", gid_map);
	return r;
}

/* The raw calls, because glibc's would signal other threads; there are none. */
int userns_enter(const struct sandbox_host *host, uid_t uid, const char **what)
{
	uid_t id = host->namespaces ? INNER_UID : uid;

	*what = "dumpable";
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	if (!host->is_root)
		return 0;
	/* Keeps the rights that caps_drop needs to drop the rest. */
	*what = "securebits";
	if (!host->namespaces && prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
		return -errno;
	*what = "setgroups";
	if (syscall(SYS_setgroups, 0, NULL) < 0)
		return -errno;
	*what = "setresgid";
	if (syscall(SYS_setresgid, id, id, id) < 0)
		return -errno;
	*what = "setresuid";
	if (syscall(SYS_setresuid, id, id, id) < 0)
		return -errno;
	return 0;
}
