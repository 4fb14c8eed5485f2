/* Common and breached passwords: a filter of 50 KB made at build time from data/common_passwords.txt. Every entry is
 * found; of other passwords one in 65,536 is taken for one by mistake, and another must be chosen. */
#pragma once

#include "base/str.h"

/* Whether a password (normal form, case folded) is on the list, or one that is there several times in a row. */
bool password_is_common(struct str folded);
