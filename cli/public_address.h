/* The address that people and the CLI reach the gateway at. */
#pragma once

#include "base/error.h"

/* Whether `listen` can be listened on, with the port that was free when it says 0. A taken port is given wait_ms to get
 * free. Returns the address to give to the gateway (free it), or NULL with err saying what to do. */
char *public_address_settle(const char *listen, unsigned wait_ms, struct error *err);
/* Where a client on this machine connects: a wildcard host becomes the loopback one. Free it. */
char *public_address_reachable(const char *listen);
