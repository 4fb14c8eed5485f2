/* Commands such as `ogent schedules VERB WORD…`: each file has its verbs and one struct asked, which they share. */
#pragma once

#include "args.h"
#include "session.h"

struct asked;

struct verb {
	const char *name;
	int n_rest; /* words, with the verb itself */
	int (*run)(struct asked *q);
};

/* Runs the verb that the first word names, "list" if there is none, in `session`, which is open meanwhile. Returns the
 * exit code. */
int verbs_run(const struct command *self, const struct args *args, const char *url, const struct verb *verbs, size_t n,
	      struct session *session, struct asked *q);
