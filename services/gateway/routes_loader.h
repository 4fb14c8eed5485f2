/* While a set of routes is made from its file: for routes_file.c, which is the whole of it and has the routes,
 * routes_upstream.c and routes_cors.c, which have the other two kinds of sections. To add a setting, add a line to the
 * table of its section. */
#pragma once

#include "routes.h"
#include "sections.h"

struct loader {
	const struct routes_source *source;
	struct sections file;
	struct arena *arena; /* of the routes being made */

	struct cors *cors;
	size_t n_cors;
	struct upstream_settings *upstreams;
	size_t n_upstreams;
	struct gateway_route *routes;
	size_t n_routes, cap_routes;
};

#define DAY_MS 86400000ll

/* Each makes what a section says and adds it to the loader, which has room. Returns 0 or -EINVAL with the error set. */
int loader_make_cors(void *loader, const char *name);
int loader_make_upstream(void *loader, const char *name);
