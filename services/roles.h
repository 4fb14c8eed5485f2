/* The roles' entry points: each runs until SIGTERM and returns the process's exit status. */
#pragma once

#include "base/options.h"

int gateway_main(const struct options *options);
int auth_main(const struct options *options);
int agent_main(const struct options *options);
int exec_main(const struct options *options);
int socket_main(const struct options *options);
int demo_main(const struct options *options);

/* Prints what this machine gives exec's sandbox, each layer with how to get it if it is missing. level: NULL = the
 * option sandbox_level. Returns whether commands would run. */
bool exec_doctor(const struct options *options, const char *level, bool is_json);
