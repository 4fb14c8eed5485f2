/* The data folder of an embedded platform, as `ogent up` makes it: db/ run/ secrets/ keys/ log/, closed to others. */
#pragma once

#include "base/error.h"

/* Makes what is missing. Returns 0 or -errno with err set. */
int data_dir_prepare(const char *data, struct error *err);
/* Takes the folder for this process until it ends. Returns a descriptor to keep open, or -EBUSY with err naming the
 * process that has it, or another -errno. */
int data_dir_lock(const char *data, struct error *err);
/* Replaces <data>/<name> by `text` in one step, 0600. */
int data_dir_write(const char *data, const char *name, const char *text);
