/* The functions of c-ares that are used, loaded from the shared library at first use: only a gateway with names to
 * resolve needs it. */
#pragma once

#define CARES_NO_DEPRECATED /* of 1.28 and newer: what 1.18 has instead is not there yet */
#include <ares.h>

/* X(name): ares_<name> */
#define CARES_FUNCTIONS(X)       \
	X(library_init)          \
	X(init_options)          \
	X(destroy)               \
	X(set_servers_ports_csv) \
	X(getaddrinfo)           \
	X(freeaddrinfo)          \
	X(search)                \
	X(process_fd)            \
	X(timeout)               \
	X(strerror)

struct cares_api {
#define X(name) typeof(ares_##name) *name;
	CARES_FUNCTIONS(X)
#undef X
};

/* NULL when the library is not installed or too old. On the loop's thread. */
const struct cares_api *cares_api_load(void);
