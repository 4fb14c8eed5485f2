/* The operations of APIs as tools of a run. An agent's configuration names them in "apis": [{id, operations: [name],
 * approval: {name: mode}}]. Whether the run's user may use an API is asked at each call. */
#pragma once

#include "agent/agent.h"
#include "agent/tools/tools.h"

#define API_AGENT_MAX 16       /* APIs of an agent */
#define API_AGENT_TOOLS_MAX 48 /* operations of them all */

struct api_tool {
	struct tool tool; /* first */
	const char *mode; /* of approval, or NULL: the agent's */
};

struct api_tools {
	struct api_tool **items;
	size_t n;
};

/* What a client sends as "apis". Returns 0 or -EINVAL. */
int api_tools_check(yyjson_val *apis, struct error *err);
/* Worker thread: those that there are and that may be shared with the user, in the arena. Returns 0 or -errno. */
int api_tools_load(struct db_conn *c, struct arena *a, yyjson_val *apis, const char *user_id, struct api_tools *ret);
