/* A pseudo-terminal of the host for one command: its supervisor keeps the master, so it outlives exec. */
#pragma once

#include <sys/types.h>

struct tty_size {
	unsigned rows, cols; /* 1 to 1000; 0 = no terminal */
};
#define TTY_SIZE_MAX 1000

/* *ret_master: non-blocking; *ret_slave: the command's end, owned by `owner` (-1: left as it is), so that it can be
 * opened again inside. Both the caller's. Returns 0 or -errno. */
int pty_open(uid_t owner, const struct tty_size *size, int *ret_master, int *ret_slave);
/* The foreground group gets SIGWINCH. Returns 0 or -errno. */
int pty_resize(int master, const struct tty_size *size);
/* The group in the terminal's foreground, by our numbers; 0 = none. */
pid_t pty_foreground(int master);
