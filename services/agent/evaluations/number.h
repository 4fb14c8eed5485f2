/* Numbers in texts. Pure. */
#pragma once

#include "base/str.h"

/* The last number in a text, as answers end with theirs: "12", "-3.5e2", "1,234.5" (commas between groups of three).
 * A sign counts where no letter, digit or bracket stands right before it. false: there is none. */
bool number_last_in(struct str text, double *ret);
