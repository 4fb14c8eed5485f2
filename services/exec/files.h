/* Small durable files, by folder descriptor. */
#pragma once

#include "base/arena.h"

/* Makes name with the text: O_EXCL, synced, not yet its folder. Returns 0 or -errno. */
int file_create(int dir_fd, const char *name, struct str text);
/* The same, not synced. */
int file_mark(int dir_fd, const char *name, struct str text);
/* The same file under another name, a twentieth of the cost of a new one; where that cannot be, a new one with the
 * text. 0 or -errno (-EEXIST). */
int file_link(int from_fd, const char *from, int dir_fd, const char *name, struct str otherwise);
/* Writes name.tmp, or into the room that was reserved, and renames it to name: it appears whole or not at all.
 * file_sync makes it durable. */
int file_replace(int dir_fd, const char *name, struct str text);
/* Room for another text in the same file, which a new file would be dear for: text is one line, what comes behind it
 * is blank until file_replace fills it. In the arena. */
#define FILE_ROOM 2560
struct str file_with_room(struct arena *a, struct str text);
/* A later file_replace of name by at most FILE_ROOM bytes fills the room of that file (whose text `otherwise` is, as
 * file_link has it), and name is a link to it: it cannot fail for want of space. 0 or -errno. */
int file_reserve(int from_fd, const char *from, int dir_fd, const char *name, struct str otherwise);
/* Of the whole text of a file: that in front of the room; that in the room, empty = nothing yet or no room. */
struct str file_first(struct str text);
struct str file_second(struct str text);
/* What is in the room of a file, empty = nothing yet; of one without room the whole. As file_read. */
int file_read_second(int dir_fd, const char *name, size_t max, struct arena *a, struct str *ret);
/* 0 or -errno. */
int file_sync_data(int dir_fd, const char *name);
/* Its folder too, unless it is the room of a file that has another name: whoever misses this name looks there. */
int file_sync(int dir_fd, const char *name);
/* The whole file (at most max bytes) in the arena, NUL-terminated. Returns 0 or -errno (-EFBIG). */
int file_read(int dir_fd, const char *name, size_t max, struct arena *a, struct str *ret);
/* Opens a folder below dir_fd; never a link. */
int dir_open(int dir_fd, const char *name);
/* Makes it (0700) if missing, and opens it. */
int dir_make(int dir_fd, const char *name);
