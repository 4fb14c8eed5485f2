/* Files that a command sends. */
#pragma once

#include "base/buf.h"

/* All of a file. Returns EXIT_OK, or EXIT_FAILED after printing why. */
int local_file_read(const char *path, struct buf *ret);
