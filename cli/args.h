/* A command's line: its own flags, options of the configuration's table (--listen, --log-level …), and the rest. */
#pragma once

#include "base/options.h"
#include "command.h"

struct flag {
	const char *name;   /* without the dashes */
	const char **value; /* set for --name VALUE and --name=VALUE */
	bool *is_set;       /* set for --name; exactly one of the two */
};

#define ARGS_MAX_OPTIONS 64
/* Of the service that the Debian package installs. */
#define ARGS_MACHINE_CONF "/etc/ogent/ogent.conf"

struct args {
	struct options *options;
	struct option_arg given[ARGS_MAX_OPTIONS]; /* those of the table that stood on the line */
	size_t n_given;
	const char *conf_path; /* the file that was named, or NULL */
	char *found_conf;      /* when none was named: the data folder's or the machine's */
	char **rest;           /* what is no flag, in order; in argv */
	int n_rest;
};

/* Reads the line and loads the configuration: --config FILE, else OGENT_CONFIG, else <data>/ogent.conf if it is there,
 * else ARGS_MACHINE_CONF if it can be read and no data folder was named. Returns false when the command is at its end,
 * with *ret_exit: after --help, or after an error that it has printed. */
bool args_read(const struct command *self, int argc, char **argv, const struct flag *flags, size_t n_flags,
	       struct args *ret, int *ret_exit);
/* Reads the line only: `options` stays NULL, for those who load it themselves from args_conf. As above. */
bool args_read_line(const struct command *self, int argc, char **argv, const struct flag *flags, size_t n_flags,
		    struct args *ret, int *ret_exit);
/* The configuration file to read, or NULL. */
const char *args_conf(const struct args *a);
void args_deinit(struct args *a);
/* Prints "ogent NAME: …" and how to get help to stderr. Returns EXIT_USAGE. */
int usage_error(const struct command *self, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "create needs more", with the verb's own line of the command's help as the usage. */
int usage_error_of_verb(const struct command *self, const char *verb, const char *what);
