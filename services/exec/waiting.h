/* Whether a command waits for input: one of its threads sleeps in a system call that reads from its stdin or waits for
 * it to become readable. Seen from outside by /proc, so it needs nothing of the command; what cannot be read counts as
 * no. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* init: the sandbox's first process. fd: our end of the pipe or the terminal's master. */
bool waiting_for_input(pid_t init, int fd, bool is_tty);
/* The first child that a process ever had, as long as it lives; 0 = none. */
pid_t waiting_first_child(pid_t pid);
