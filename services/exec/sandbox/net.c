#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/layers.h"

int net_proxy_listen(const char **what)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(SANDBOX_PROXY_PORT),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;

	*what = "socket of the way out";
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 64) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int net_join(const struct sandbox_frame *frame)
{
	return frame->net && setns(frame->net->fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

/* FNV-1a. Returns the size, or -errno. */
static ssize_t add_counts(pid_t init, const char *name, uint64_t *hash)
{
	char path[64], text[4096];
	ssize_t n, all = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)init, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (; (n = read(fd, text, sizeof(text))) > 0; all += n)
		for (ssize_t i = 0; i < n; i++)
			*hash = (*hash ^ (unsigned char)text[i]) * 1099511628211ull;
	close(fd);
	return n < 0 ? -EIO : all;
}

/* Whoever sends anything, or is told that there is no way, is counted in one of these; and without that sockets leave
 * nothing behind when they are closed. */
uint64_t net_counts(pid_t init)
{
	uint64_t hash = 14695981039346656037ull;
	ssize_t n;

	if (add_counts(init, "dev", &hash) <= 0 || add_counts(init, "snmp", &hash) <= 0)
		return 0;
	n = add_counts(init, "snmp6", &hash); /* not there in a kernel without IPv6 */
	return n > 0 || n == -ENOENT ? MAX(hash, 1u) : 0;
}

int net_enter(const char **what)
{
	struct ifreq req = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;

	*what = "loopback interface";
	if (fd < 0)
		return errno == EAFNOSUPPORT ? 0 : -errno; /* a kernel without IP has no network to close */
	req.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &req) < 0)
		r = -errno;
	close(fd);
	return r;
}
