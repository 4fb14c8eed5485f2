/* The roles' entry points: each runs until SIGTERM and returns the process's exit status. */
#pragma once

#include "base/options.h"

int gateway_main(const struct options *options);
int auth_main(const struct options *options);
int agent_main(const struct options *options);
int exec_main(const struct options *options);
int socket_main(const struct options *options);
int demo_main(const struct options *options);
