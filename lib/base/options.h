/* Configuration: one table of options for the whole program (options.c), filled from rising sources: default,
 * ogent.conf (INI), environment OGENT_<NAME> (and the aliases named in the table, such as OPENAI_API_KEY), command line
 * --name VALUE. A secret can come from a file: OGENT_<NAME>_FILE, or name_file in ogent.conf. An unknown or wrong
 * option is an error that names its place. To add an option, add a line to the table in options.c. */
#pragma once

#include <stdio.h>

#include "base/error.h"
#include "base/str.h"

enum option_type { OPTION_STRING, OPTION_INT, OPTION_BOOL, OPTION_MS, OPTION_BYTES, OPTION_SECRET };

struct options;

struct option_arg {
	const char *name, *value; /* from the command line, in order */
};

/* conf_path may be NULL (no file). A file that is named but missing is an error. Returns NULL with err set. */
struct options *options_load(const char *conf_path, const struct option_arg *args, size_t n_args, struct error *err);
void options_free(struct options *o);
/* Overwrites the secrets in memory: for a child process that must not hold them. They are empty from then on. */
void options_wipe_secrets(struct options *o);

/* Reading a name that is not in the table is a programming error and fatal. Strings belong to `o`; never NULL, empty
 * when unset. Durations in ms, sizes in bytes. */
const char *option_str(const struct options *o, const char *name);
int64_t option_int(const struct options *o, const char *name);
bool option_bool(const struct options *o, const char *name);
bool option_is_known(const char *name);

/* The table for `ogent help config`; secrets' values are never printed. */
void options_print(const struct options *o, FILE *out);
