/* Finding the command that a path names, wherever it is: among those that run, or in the journal. */
#pragma once

#include "command.h"

struct lookup;
typedef void lookup_then(struct lookup *l);

struct lookup {
	struct job job;
	struct exchange *x;
	lookup_then *then;
	struct command *command; /* it runs; otherwise entry has its result */
	struct journal_entry entry;
	int result;
	bool is_paused; /* the request's body, meanwhile */
};

/* The command of the first parameter, if the caller may see it: calls `then`, now or later, otherwise answers 404 or
 * 503. */
void lookup_command(struct exchange *x, lookup_then *then);
/* 404 */
void reply_missing(struct exchange *x);
/* 503 with Retry-After: the worker threads' queue is full. */
void reply_busy(struct exchange *x);
