#include "control.h"

#include <errno.h>
#include <sys/socket.h>

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

int control_send(int fd, enum control_request_type type)
{
	struct control_request r = {type};

	return send(fd, &r, sizeof(r), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}
