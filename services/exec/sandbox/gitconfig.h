/* Whether a git configuration is one that runs nothing. */
#pragma once

#include <stdbool.h>

/* Of an open file. Only settings that are known to be harmless, plainly written: everything else is not. */
bool gitconfig_is_harmless(int fd);
