#include "control.h"

#include <errno.h>
#include <sys/socket.h>
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
