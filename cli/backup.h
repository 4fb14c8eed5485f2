/* A backup of an embedded platform's data folder: a folder with
 *
 *	manifest.json   what is in it, with sizes and SHA-256; the program's version and the time
 *	db/             the SQLite databases, each as it was at one moment
 *	secrets/ keys/  the keys of the services
 *	ogent.conf      if the data folder has one
 *	exec.tar        workspaces and the journal of commands
 *
 * The databases are copied in an order that keeps them fitting: agent first, then auth, then exec. So every user that a
 * conversation names is there, and every command that a run waits for, which the run attaches to again by its key. */
#pragma once

#include "base/json.h"
#include "base/options.h"

/* Makes the folder `dir`, which must not be there yet; the platform may be running. Returns 0 or -errno with err set;
 * then nothing is left of it. on_note (never NULL) gets a sentence for what is not in the backup because it is
 * elsewhere. */
int backup_make(const struct options *options, const char *dir, void (*on_note)(const char *text), struct error *err);
/* Checks the whole backup, then fills the data folder of `options`, which must be empty or missing. Returns 0 or -errno
 * with err set. */
int backup_restore(const struct options *options, const char *dir, struct error *err);
