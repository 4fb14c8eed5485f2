#include "pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

int pty_resize(int master, const struct tty_size *size)
{
	struct winsize w = {.ws_row = (unsigned short)size->rows, .ws_col = (unsigned short)size->cols};

	return ioctl(master, TIOCSWINSZ, &w) < 0 ? -errno : 0;
}

/* The slave by its master (TIOCGPTPEER), never by a path. */
static int open_slave(int master, uid_t owner)
{
	int fd = -1, r = 0;
	struct termios t;

	if (unlockpt(master) < 0)
		return -errno;
	fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (owner != (uid_t)-1 && (fchown(fd, owner, owner) < 0 || fchmod(fd, 0600) < 0))
		r = -errno;
	if (r == 0 && tcgetattr(fd, &t) == 0) {
		t.c_iflag |= IUTF8;
		tcsetattr(fd, TCSANOW, &t);
	}
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

int pty_open(uid_t owner, const struct tty_size *size, int *ret_master, int *ret_slave)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave, r;

	if (master < 0)
		return -errno;
	slave = open_slave(master, owner);
	r = slave < 0 ? slave : pty_resize(master, size);
	if (r == 0 && fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		r = -errno;
	if (r < 0) {
		if (slave >= 0)
			close(slave);
		close(master);
		return r;
	}
	*ret_master = master;
	*ret_slave = slave;
	return 0;
}

pid_t pty_foreground(int master)
{
	pid_t group = 0;

	return ioctl(master, TIOCGPGRP, &group) < 0 || group <= 0 ? 0 : group;
}
