#include "control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int spawn_send(int fd, const void *data, size_t n, int passed)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} extra = {0};
	struct iovec iov = {(void *)(uintptr_t)data, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (passed >= 0) {
		m.msg_control = &extra;
		m.msg_controllen = sizeof(extra);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed, sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

ssize_t spawn_receive(int fd, void *data, size_t n, int flags, int *ret_passed)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} extra;
	struct iovec iov = {data, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof(extra)};
	ssize_t r;

	do
		r = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | flags);
	while (r < 0 && errno == EINTR);
	*ret_passed = -1;
	for (struct cmsghdr *c = r > 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(ret_passed, CMSG_DATA(c), sizeof(int));
	return r;
}
#include <sys/uio.h>

/* A peer that closes with a message of ours unread leaves an error in the socket, in front of what it sent before: the
 * error comes once and is stepped over. */
int control_receive(int fd, struct control_event *ret)
{
	for (int errors = 0;;) {
		ssize_t n = recv(fd, ret, sizeof(*ret), MSG_DONTWAIT);

		if (n == sizeof(*ret))
			return 1;
		if (n >= 0)
			return 0;
		if (errno == EAGAIN)
			return -EAGAIN;
		if (errno != EINTR && errors++ > 0)
			return 0;
	}
}

int control_send_with(int fd, enum control_request_type type, uint32_t a, uint32_t b)
{
	struct control_request r = {type, a, b};

	return send(fd, &r, sizeof(r), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int control_send(int fd, enum control_request_type type)
{
	return control_send_with(fd, type, 0, 0);
}

int control_send_data(int fd, const void *data, size_t n)
{
	struct control_request r = {CONTROL_DATA, 0, 0};
	struct iovec parts[] = {{&r, sizeof(r)}, {(void *)(uintptr_t)data, n}};
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts)};

	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}
