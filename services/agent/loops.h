/* Whether a model goes in circles: the same call again and again, two calls in turn, or one error after the other.
 * Pure: what it is told decides. */
#pragma once

#include <stdint.h>

#include "base/str.h"

#define LOOPS_KEPT 6

struct loops {
	uint64_t calls[LOOPS_KEPT]; /* of the last calls, the newest first; 0 = none */
	uint64_t error;             /* of the last result, 0 = it was none */
	int n_errors;               /* how often it came in a row */
};

enum loop_kind {
	LOOP_NONE,
	LOOP_WARN, /* the next of that kind is one too many */
	LOOP_STOP,
};

/* Before a call. *ret_why: "the same call for the 3rd time in a row", for the model and for people. */
enum loop_kind loops_call(struct loops *l, const char *name, struct str arguments, const char **ret_why);
/* After it: `error` is what the model is told of a call that failed, p NULL for one that did not. */
enum loop_kind loops_result(struct loops *l, struct str error, const char **ret_why);
