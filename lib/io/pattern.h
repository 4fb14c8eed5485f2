/* Regular expressions by PCRE2, in UTF-8, loaded at first use. Work is bounded: an expression that takes too long does
 * not match. Any thread. */
#pragma once

#include "base/str.h"

#define PATTERN_MAX 2000

/* Whether it can be compiled here. Without PCRE2 none can. */
bool pattern_is_good(const char *pattern);
/* Whether it matches anywhere in the text; what is no good pattern matches nothing. */
bool pattern_matches(const char *pattern, struct str text);
