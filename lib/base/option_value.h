/* One option's line in the table of options.c, and the judgement of a value by it. For lib/base/options.c and
 * the gateway's file of routes. */
#pragma once

#include "base/options.h"

struct option_def {
	const char *name;
	enum option_type type;
	const char *def;
	const char *alias; /* another environment variable, weaker than OGENT_<NAME> */
	int64_t min, max;  /* of numbers, ms or bytes; max 0 = no limit */
	/* The only texts allowed, separated by '|'; of an address of the web or a database: the schemes allowed. */
	const char *one_of;
	const char *help;
};

/* Checks `text`; *ret_number is the value of a type that is a number, a bool as 0 or 1. `place` names the source in an
 * error. A secret's value is in no message. Returns 0 or -EINVAL with err set. */
int option_value_read(const struct option_def *def, const char *text, const char *place, int64_t *ret_number,
		      struct error *err);
bool option_type_is_secret(enum option_type type);
const char *option_type_name(enum option_type type);
