/* What happened at a command's terminal beside its output: changes of size, and what was typed where that is asked for.
 * A file of the command's folder, each line an event as asciicast v2 has it ([seconds, "r" or "i", "text"]), in the
 * order of time; bounded. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "pty.h"

#define SESSION_FILE "session"
#define SESSION_MAX (1 << 20) /* bytes; what comes after that is not kept */

struct session {
	int dir_fd;
	int fd; /* -1 until the first event */
	size_t size;
};

/* The folder's fd stays the caller's. */
void session_init(struct session *s, int dir_fd);
void session_resize(struct session *s, uint32_t at_ms, const struct tty_size *size);
void session_input(struct session *s, uint32_t at_ms, const char *data, size_t n);
/* All events so far, in the arena; none: an empty text. Returns 0 or -errno. */
int session_read(int dir_fd, struct arena *a, struct str *ret);
/* Appends one event as a line; text need not be valid UTF-8. */
void session_line(struct buf *out, uint64_t at_ms, char kind, struct str text);
