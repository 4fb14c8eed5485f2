/* Workspaces' files as tar archives, with libarchive. Blocking, for worker threads. */
#pragma once

#include "base/error.h"
#include "tree.h"

#define TARBALL_FILES_MAX 200000

/* Writes what is below the folder `path` as tar, or tar.gz, into the file: files, folders, links. Returns 0 or -errno;
 * -ENOPKG: libarchive is not installed, -EFBIG: more than max. */
int tarball_make(int root, const char *path, bool gzip, int file, const struct tree_size *max);
/* Unpacks a tar or tar.gz file below the folder `path`. The archive is looked through first: one with a device, a FIFO,
 * a path or link that leads out, a second name (hard link) of a protected file (protect.h), or more than max, is
 * refused whole (-EBADMSG and err), and with is_running one that has a protected file, which would come loose from
 * under the commands that run. Folders that paths need count among the files. Otherwise as above; *ret counts. */
int tarball_unpack(int root, const char *path, int file, bool is_running, const struct tree_size *max,
		   struct tree_size *ret, struct error *err);
