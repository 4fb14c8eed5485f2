/* The agent that a flag names. */
#pragma once

#include "session.h"

/* By name, slug or id; NULL: the first there was. Its id in the arena. Returns EXIT_OK or another exit code after
 * printing why. */
int find_agent_named(struct session *s, struct arena *a, const char *wanted, const char **ret);
