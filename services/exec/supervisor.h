/* One process per command, in its own session: makes the sandbox, keeps the output, watches the clock, listens to exec,
 * kills, and writes the result. It outlives exec; a new exec finds it by the socket in the command's folder. If it dies
 * itself, the sandbox dies with it and the command is lost. */
#pragma once

#include "lean.h"
#include "sandbox/sandbox.h"

/* What the spawner gives to all of them. */
struct supervisor_place {
	const struct sandbox_host *host;
	const char *exec_dir;              /* an absolute path */
	const struct sandbox_frame *frame; /* what most commands will want */
	/* Where it offers itself to exec (struct spawn_offer); -1: it ends with its command. */
	int offers;
	struct lean lean;
	bool *is_over; /* shared memory: set when the spawner removes its folders of groups */
};

/* What comes with a command, done once with none: what it needs of memory and linked-in code is there then. In the
 * spawner. */
void supervisor_rehearse(void);

/* These are for a process that was just forked, and never return.
 *
 * Runs the command `id` to its end. `control`: a connection to exec, whose messages are in control.h. A supervisor
 * whose command was short goes on as command_supervise_ahead. */
void command_supervise(const struct supervisor_place *place, const char *id, int control) NORETURN;
/* The same before there is a command: waits at `spawner` for a struct spawn_request, or the connection's end. */
void command_supervise_spare(const struct supervisor_place *place, int spawner) NORETURN;
/* The same with a sandbox made ahead: offers itself, with a connection, and waits there. */
void command_supervise_ahead(const struct supervisor_place *place) NORETURN;
