/* What is known of a snapshot beside its files, in a file of its folder, which is written when the copy is whole. exec
 * keeps it as JSON (snapshot_meta.c), ogent-target, which has no library for that, as lines (target/meta.c). */
#pragma once

#include "snapshot.h"

#define SNAPSHOT_META "meta.json"

/* Of the snapshot's folder; ret->name, in the arena, size, own_bytes and is_step. 0 or -errno. */
int snapshot_meta_read(int dir_fd, struct arena *a, struct snapshot *ret);
int snapshot_meta_write(int dir_fd, struct arena *a, const struct snapshot *s);
