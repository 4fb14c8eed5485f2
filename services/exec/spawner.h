/* A small process that is forked from exec before anything else exists in it, and forks the supervisors: so that
 * starting a command never copies a big process, and no thread's lock is in the copy. It ends when exec does.
 *
 * The pool: supervisors with a sandbox made ahead, which wait for a command. They are made when a command is asked for,
 * so that there are none while nobody uses them, and offer themselves to exec, which asks them directly. One whose
 * command was short makes another sandbox and offers itself again; one whose command lasts says so, and another takes
 * its place. For commands that find none there, the spawner has a spare supervisor without a sandbox, made at the same
 * time, so that they do not wait for its fork. */
#pragma once

#include "sandbox/sandbox.h"

#define SPAWNER_POOL_MAX 64
#define SPAWNER_KEEP 16 /* that many come back and may wait while as many commands at once are asked for */

struct spawner_pool {
	unsigned size;              /* at most SPAWNER_POOL_MAX; 0 = none */
	struct sandbox_frame frame; /* without a name: what most commands will want */
};

struct spawner {
	pid_t pid;
	int fd;     /* SOCK_SEQPACKET; end of file: the spawner died */
	int offers; /* the same; what supervisors say of themselves */
	struct sandbox_report report;
	unsigned size, waiting, coming; /* of the pool; there, and on their way: being made, or with a short command */
	unsigned asked, least;          /* since the last look: commands, and the fewest that waited */
	bool is_short;                  /* one that was on its way does not come */
	uint64_t asked_us;
	int idle[SPAWNER_POOL_MAX]; /* control connections to those that wait */
};

/* Before any thread exists. exec_dir: absolute path of the exec folder. forget (may be NULL) runs in the child, to
 * wipe what it must not hold. Returns after the spawner has probed the sandbox: 0 or -errno. */
int spawner_start(const char *exec_dir, const struct spawner_pool *pool, void (*forget)(void *arg), void *arg,
		  struct spawner *ret);
/* After fd or offers became readable: takes offers. 0, or -EPIPE: the spawner is gone. */
int spawner_receive(struct spawner *s);
/* Starts the supervisor of a command, one that waits if there is one, and lets the pool be filled again. *ret_control:
 * connection to it, non-blocking, the caller's. 0 or -errno. */
int spawner_ask(struct spawner *s, const char *id, int *ret_control);
/* Lets go of all that wait, the spare one too. */
void spawner_empty(struct spawner *s);
/* Ends it and waits. Supervisors with a command live on. */
void spawner_deinit(struct spawner *s);
