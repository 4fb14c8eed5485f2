/* Whole database files of SQLite, for backup and restore. */
#pragma once

#include "base/error.h"

/* Copies the database at `from`, which others may be using, into the new file `to` (0600), as it is at one moment, and
 * checks the copy. Writers are not held up. Returns 0 or -errno with err set; then `to` is not there. */
int sqlite_file_copy(const char *from, const char *to, struct error *err);
/* Whether the file is a sound database. Returns 0 or -errno with err set. */
int sqlite_file_check(const char *path, struct error *err);
