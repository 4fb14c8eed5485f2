/* Programs that run the one in their arguments: what may stand before it. */
#pragma once

#include "policy/options.h"

/* What may stand in front of the program that they run: options, and plain arguments. */
struct wrapper {
	struct option_set set;
	unsigned positional; /* arguments before the program */
	const char *shape;   /* … of which they are made; NULL = anything */
	bool has_env;        /* NAME=VALUE before the program */
	bool is_vague;       /* where the program stands is not known: any argument may be it */
	const char *bad[7];  /* options that do something else */
};

/* By the last part of its path. Those that do nothing else; NULL = it is none. */
const struct wrapper *wrapper_of(const char *name);
/* Those that do more besides: their class is code. */
const struct wrapper *runner_of(const char *name);
