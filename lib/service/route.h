/* Finds the route of a request: a tree with one level for each segment of the path. A fixed segment goes before a
 * {param}, and that before a {rest*}; if the longer way ends without a route for the method, the next is tried. */
#pragma once

#include "service/service.h"

/* Of a status: 0 = the client left before the answer, otherwise its first digit. */
#define ANSWER_CLASSES 6

struct router;

/* A route as it was registered. */
struct route_entry {
	const struct route *route;
	void *self;
	struct metric *seconds;
	struct metric *answers[ANSWER_CLASSES];
	struct route_entry *next; /* in order of registration */
};

struct route_match {
	const struct route_entry *entry; /* NULL: no such path, or not by this method */
	struct str params[ROUTE_MAX_PARAMS];
	unsigned allowed; /* one bit per http_method that the path has; 0 = no such path */
};

struct router *router_new(void);
void router_free(struct router *r);
/* A pattern that is wrong or taken is a programming error and fatal. */
struct route_entry *router_add(struct router *r, const struct route *route, void *self);
/* HEAD finds the routes of GET. The params point into `path`. */
void router_match(const struct router *r, enum http_method method, struct str path, struct route_match *ret);
const struct route_entry *router_first(const struct router *r);
/* The Allow header for a set of methods: "GET, HEAD, OPTIONS". In the arena. */
const char *route_allow(struct arena *a, unsigned methods);
