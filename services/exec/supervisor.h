/* One process per command, in its own session: makes the sandbox, keeps the output, watches the clock, listens to exec,
 * kills, and writes the result. It outlives exec; a new exec finds it by the socket in the command's folder. If it dies
 * itself, the sandbox dies with it and the command is lost. */
#pragma once

#include "sandbox/sandbox.h"

/* Runs the command `id` below the exec folder (an absolute path) to its end. `control`: a connection to exec, whose
 * messages are in control.h. For a process that was just forked; never returns. */
void command_supervise(const struct sandbox_host *host, const char *exec_dir, const char *id, int control) NORETURN;
/* The same before there is a command: waits at `spawner` for a struct spawn_request, or the connection's end. */
void command_supervise_spare(const struct sandbox_host *host, const char *exec_dir, const struct sandbox_frame *frame,
			     int spawner) NORETURN;
/* The same with a sandbox made ahead: offers itself on `exec` (struct spawn_offer with a connection), and waits there.
 */
void command_supervise_ahead(const struct sandbox_host *host, const char *exec_dir, const struct sandbox_frame *frame,
			     int exec) NORETURN;
