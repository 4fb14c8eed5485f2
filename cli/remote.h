/* A command on the platform as if it ran here: what `ogent exec` and `ogent terminal` share. */
#pragma once

#include <sys/ioctl.h>

#include "command.h"
#include "output.h"
#include "session.h"

#define REMOTE_CODE_PLATFORM 125 /* the platform could not run it, or does not answer any more */

struct remote_spec {
	char **argv;
	const char *workspace, *target, *cwd, *timeout; /* as on the line, NULL = not told */
	bool has_tty;
	bool is_shared; /* in the workspace's shared sandbox */
};
/* Begins it, with open stdin. Returns EXIT_OK, or another code after saying why. */
int remote_create(struct session *s, const struct remote_spec *spec, char ret_id[static 64]);
bool remote_is_id(const char *text);
/* As a shell tells it: the exit code, or 128 and the signal's number; what is no plain end is said on stderr. */
int remote_exit_code(yyjson_val *command);
/* All of it, also where the descriptor does not block. False with errno. */
bool remote_write(int fd, const char *p, size_t n);

/* ---- Our terminal ---- */

/* Every key goes through; set right again by raw_leave and at exit. Nothing where stdin is no terminal. */
void raw_enter(void);
void raw_leave(void);
struct winsize remote_window(void);
