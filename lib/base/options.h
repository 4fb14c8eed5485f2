/* Configuration: one table of options for the whole program (options.c), filled from rising sources: default,
 * ogent.conf (INI), environment OGENT_<NAME> (and the aliases named in the table, such as OPENAI_API_KEY), command line
 * --name VALUE. A secret can come from a file: OGENT_<NAME>_FILE, or name_file in ogent.conf. An unknown or wrong
 * option is an error that names its place. To add an option, add a line to the table in options.c. */
#pragma once

#include <stdio.h>

#include "base/error.h"
#include "base/str.h"

enum option_type {
	OPTION_STRING,
	OPTION_INT,
	OPTION_BOOL,
	OPTION_MS,
	OPTION_BYTES,
	OPTION_SECRET,
	OPTION_ADDRESS,  /* HOST:PORT or unix:PATH */
	OPTION_PEER,     /* the same, or http://HOST:PORT */
	OPTION_URL,      /* http or https, without name and password */
	OPTION_DATABASE, /* sqlite:PATH or SCHEME://…; a secret */
	OPTION_NETWORKS, /* addresses and networks, separated by commas */
	OPTION_SSH,      /* ssh://USER@HOST, with :PORT if it is not 22 and NAME= in front; several with commas */
};

struct options;

struct option_arg {
	const char *name, *value; /* from the command line, in order */
};

/* conf_path may be NULL (no file). A file that is named but missing is an error. Returns NULL with err set. */
struct options *options_load(const char *conf_path, const struct option_arg *args, size_t n_args, struct error *err);
/* The same, but every fault is reported, not only the first, and what is wrong keeps the value of the weaker source.
 * Never NULL. */
struct options *options_load_all(const char *conf_path, const struct option_arg *args, size_t n_args,
				 void (*on_fault)(void *arg, const struct error *err), void *arg);
void options_free(struct options *o);
/* Overwrites the secrets in memory: for a child process that must not hold them. They are empty from then on. */
void options_wipe_secrets(struct options *o);

/* Reading a name that is not in the table is a programming error and fatal. Strings belong to `o`; never NULL, empty
 * when unset. Durations in ms, sizes in bytes. */
const char *option_str(const struct options *o, const char *name);
int64_t option_int(const struct options *o, const char *name);
bool option_bool(const struct options *o, const char *name);
bool option_is_known(const char *name);

/* One line of the table and what it is now. */
struct option_info {
	const char *name, *type, *help;
	const char *def, *alias, *one_of; /* alias and one_of may be NULL */
	char variable[80];                /* OGENT_<NAME> */
	bool is_secret, is_set;           /* is_set: not empty */
	const char *value;                /* NULL for a secret */
	/* "default", "file", "environment" or "command line", and where there: "/etc/ogent.conf line 3", "OGENT_LISTEN"
	 */
	const char *source, *place;
};
/* Returns false behind the last one. */
bool option_info(const struct options *o, size_t i, struct option_info *ret);
/* The option whose name is nearest to a mistyped one, or NULL when none is near. */
const char *option_nearest(const char *name);
/* The table for `ogent help config`; secrets' values are never printed. */
void options_print(const struct options *o, FILE *out);
