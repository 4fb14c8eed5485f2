/* Which role serves which path. What is not in the table is the web app's or not there: the roles' own /healthz,
 * /readyz, /metrics and /routes cannot be reached from outside. To open a path, add a line. */
#pragma once

#include "base/str.h"

enum role { ROLE_AUTH, ROLE_AGENT, ROLE_EXEC, ROLE_SOCKET, ROLE_COUNT };
extern const char *const role_names[ROLE_COUNT];

enum path_flags {
	PATH_PUBLIC = 1,  /* needs no token here; the role decides */
	PATH_UPGRADE = 2, /* may become a WebSocket */
	PATH_COOKIES = 4, /* gets the browser's cookies: nobody but auth has use for them */
	PATH_BELOW = 8,   /* only what is below it, with its slash */
};

struct public_path {
	struct str prefix; /* whole segments: /api/agents is for /api/agents and /api/agents/…, not /api/agentsx */
	enum role role;
	unsigned flags;
	unsigned head_s; /* how long the head of the answer may take, in seconds; 0 = 60 */
};

/* The entry with the longest prefix, or NULL. */
const struct public_path *table_find(struct str path);
