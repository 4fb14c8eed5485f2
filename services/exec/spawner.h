/* A small process that is forked from exec before anything else exists in it, and forks the supervisors: so that
 * starting a command never copies a big process, and no thread's lock is in the copy. It ends when exec does. */
#pragma once

#include "sandbox/sandbox.h"

struct spawner {
	pid_t pid;
	int fd; /* SOCK_SEQPACKET; end of file: the spawner died */
	struct sandbox_report report;
};

/* Before any thread exists. exec_dir: absolute path of the exec folder. forget (may be NULL) runs in the child, to
 * wipe what it must not hold. Returns after the spawner has probed the sandbox: 0 or -errno. */
int spawner_start(const char *exec_dir, void (*forget)(void *arg), void *arg, struct spawner *ret);
/* Starts the supervisor of a command. *ret_control: connection to it, non-blocking, the caller's. 0 or -errno. */
int spawner_ask(struct spawner *s, const char *id, int *ret_control);
/* Ends it and waits. Supervisors live on. */
void spawner_deinit(struct spawner *s);
