#pragma once

#include "base/buf.h"
#include "policy/judge.h"

/* Appends, for a hash, the files of the workspace (a folder's descriptor) that the judged command may run or read:
 * their names and contents. cwd as in the request. Returns false when there are too many folders to look into. */
bool bind_workspace(struct buf *out, struct arena *a, int root, const char *cwd, const struct verdict *v);
