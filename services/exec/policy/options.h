/* Options of programs that only read: which of them are known to be harmless, so that what is not known can be asked
 * about. Taken from the GNU programs, ripgrep, jq, file and tree. */
#pragma once

#include "policy/programs.h"

/* Short and long options, as getopt_long(3) reads them. */
struct option_set {
	const char *name;
	const char *letters; /* "ab:c;": a alone, b with a value, c with one only in the same argument */
	const char *longs;   /* " all block-size= color? ": alone, with a value, with one only behind '=' */
};

/* NULL: this program is not known. */
const struct option_set *options_of(const char *program);

/* Walks the arguments from args[1] on. `permutes`: options may stand behind other arguments; otherwise it ends at the
 * first that is none. *ret_end: the first argument behind the options (n when there is none; only without permutes).
 * Returns the index of the first option that is not in the set, 0 = all are. */
unsigned options_find_unknown(const struct option_set *set, const struct arg *args, unsigned n, bool permutes,
			      unsigned *ret_end);
