/* The file with all that is a person's: tar.gz, written into an unlinked file of the data folder. Worker thread, one at
 * a time. Everything returns 0 or -errno: -EFBIG when it would be larger than it may be. */
#pragma once

#include "base/error.h"
#include "base/str.h"

struct export_file;

/* NULL with err set. On any thread. */
struct export_file *export_file_new(const char *folder, int64_t max, struct error *err);
void export_file_free(struct export_file *f);
/* An entry with these bytes. */
int export_file_add(struct export_file *f, const char *path, struct str bytes);
/* Lines are kept until they become an entry. */
int export_file_line(struct export_file *f, struct str line);
int export_file_end_lines(struct export_file *f, const char *path);
/* No more entries: from now on it can be read. */
int export_file_close(struct export_file *f);
int64_t export_file_size(const struct export_file *f);
/* Up to max bytes from there; returns how many, or -errno. */
ssize_t export_file_read(struct export_file *f, int64_t from, char *ret, size_t max);
