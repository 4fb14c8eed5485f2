/* What the gateway serves: which upstream answers which path, and on what terms. Built in are the roles' paths
 * (routes_builtin.c); a file (option gateway_routes) adds routes and upstreams and changes those built in
 * (routes_file.c; docs/gateway.md). What is in no route is the web app's or not there: the roles' own /healthz,
 * /readyz, /metrics and /routes cannot be reached from outside.
 *
 * A set of routes never changes: a reload makes another one, and requests keep theirs to the end. */
#pragma once

#include <stdatomic.h>

#include "base/error.h"
#include "base/options.h"
#include "cors.h"
#include "limit_rule.h"
#include "upstream.h"

/* The services behind the gateway, which it finds by their options. */
enum role { ROLE_AUTH, ROLE_AGENT, ROLE_EXEC, ROLE_SOCKET, ROLE_COUNT };
extern const char *const role_names[ROLE_COUNT];

enum path_flags {
	PATH_PUBLIC = 1,  /* needs no token here; the upstream decides */
	PATH_UPGRADE = 2, /* may become a WebSocket */
	PATH_COOKIES = 4, /* gets the browser's cookies: nobody but auth has use for them */
	PATH_BELOW = 8,   /* only what is below it, with its slash */
	PATH_STRIP = 16,  /* the upstream sees the path without the prefix */
};

struct gateway_route {
	const char *name;
	const char *host;  /* NULL: any; "*.example.org": any below it; lower case */
	struct str prefix; /* whole segments: /api/agents is for /api/agents and /api/agents/…; empty: everything;
			      NUL-terminated */
	unsigned methods;  /* one bit per http_method; 0 = all */
	int priority;      /* the higher goes first, whatever the prefix */
	unsigned flags;
	const char *permission; /* needed, or NULL */
	const char *rate_limit; /* name of the limit that counts its requests besides the usual one, or NULL */
	const struct cors *cors;
	struct upstream *upstream;
	const char *upstream_name;
	uint64_t connect_ms, first_byte_ms, idle_ms, total_ms; /* 0 = none for the last, the usual for the others */
	uint64_t max_body;
	unsigned retries; /* on other endpoints, at most */
};

#define ROUTE_LENGTHS 64

struct routes {
	atomic_uint refs;
	struct arena *arena;         /* has all of it */
	struct gateway_route *items; /* in the order in which they are tried */
	size_t n;
	uint64_t *ending; /* for each length of a prefix below ROUTE_LENGTHS (the last: all longer ones) a bit for each
			     route that has it */
	struct upstream **upstreams; /* referenced */
	size_t n_upstreams;
	bool has_hosts;   /* some of them ask for a host */
	const char *file; /* "" = built in only */
	int64_t loaded_us;
};

struct routes_source {
	const char *file;                          /* "" = none */
	const struct upstream_settings *upstreams; /* built in */
	size_t n_upstreams;
	struct upstreams *registry;
	const struct limit_rules *limits; /* the rate limits that a route can name */
};

/* The routes built in, and those of the file if there is one. Upstreams that the registry has already and that stay the
 * same are the same objects afterwards. Returns 0, or -EINVAL with err set: file, line and reason; then nothing has
 * changed. On the service's loop. */
int routes_load(const struct routes_source *source, struct routes **ret, struct error *err);
struct routes *routes_ref(struct routes *r);
/* NULL is fine. From any thread. */
void routes_unref(struct routes *r);

struct route_wanted {
	struct str host; /* the Host field: with or without port */
	struct str path; /* decoded */
	enum http_method method;
};

/* After the items have their order: makes what routes_find looks at first. */
void routes_index(struct routes *r);
/* The first that fits, or NULL: then *ret_allowed has the methods that host and path have, 0 = none. */
const struct gateway_route *routes_find(const struct routes *r, const struct route_wanted *w, unsigned *ret_allowed);
/* Whether the path, as the upstream gets it, is one of those that a role has for its own house only. */
bool route_leads_inside(const struct gateway_route *route, struct str path);

/* routes_builtin.c */
extern const struct builtin_route {
	const char *name, *path, *upstream;
	unsigned flags;
	unsigned first_byte_s; /* 0 = the usual */
} builtin_routes[];
extern const size_t builtin_routes_n;
