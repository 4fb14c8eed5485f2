/* Secrets that a command takes: from the environment or a line of stdin without echo, never from the command line,
 * which others can see. */
#pragma once

#include "base/arena.h"

/* In the arena; NULL = an empty one. prompt: for a terminal. */
char *secret_line_read(struct arena *a, const char *variable, const char *prompt);
