/* Where a role's internal address is, for a client on the same machine. */
#pragma once

#include "base/options.h"

/* As `ogent ROLE` names roles. Free it. NULL: there is no such role. */
char *role_address(const struct options *o, const char *role);
