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
/* Writes name.tmp and renames it to name: it appears whole or not at all. file_sync makes it durable. */
int file_replace(int dir_fd, const char *name, struct str text);
/* Room for a later file_replace of at most size bytes, which then cannot fail for want of it. Returns 0 or -errno. */
int file_reserve(int dir_fd, const char *name, size_t size);
/* 0 or -errno. */
int file_sync_data(int dir_fd, const char *name);
/* Its folder too. */
int file_sync(int dir_fd, const char *name);
/* The whole file (at most max bytes) in the arena, NUL-terminated. Returns 0 or -errno (-EFBIG). */
int file_read(int dir_fd, const char *name, size_t max, struct arena *a, struct str *ret);
/* Opens a folder below dir_fd; never a link. */
int dir_open(int dir_fd, const char *name);
/* Makes it (0700) if missing, and opens it. */
int dir_make(int dir_fd, const char *name);
