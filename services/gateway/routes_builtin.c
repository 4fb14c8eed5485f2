/* The roles' paths. To open one, add a line. */
#include "routes.h"

const char *const role_names[ROLE_COUNT] = {"auth", "agent", "exec", "socket"};

const struct builtin_route builtin_routes[] = {
	{"auth", "/api/auth", "auth", PATH_PUBLIC | PATH_COOKIES | PATH_BELOW, 0},
	{"users", "/api/users", "auth", 0, 0},
	{"roles", "/api/roles", "auth", 0, 0},
	{"permissions", "/api/permissions", "auth", 0, 0},
	{"tokens", "/api/tokens", "auth", 0, 0},
	{"audit", "/api/audit", "auth", 0, 0},
	{"well-known", "/.well-known", "auth", PATH_PUBLIC | PATH_BELOW, 0},
	{"oauth", "/oauth", "auth", PATH_PUBLIC | PATH_COOKIES | PATH_BELOW, 0},
	{"account", "/api/account", "agent", 0, 0},
	{"agents", "/api/agents", "agent", 0, 0},
	{"conversations", "/api/conversations", "agent", 0, 0},
	{"executions", "/api/executions", "agent", 0, 0},
	{"approvals", "/api/approvals", "agent", 0, 0},
	{"knowledge", "/api/knowledge", "agent", 0, 0},
	{"schedules", "/api/schedules", "agent", 0, 0},
	{"apis", "/api/apis", "agent", 0, 0},
	{"batches", "/api/batches", "agent", 0, 0},
	{"evaluations", "/api/evaluations", "agent", 0, 0},
	{"webhooks", "/api/webhooks", "agent", 0, 0},
	{"models", "/api/models", "agent", 0, 0},
	{"memory", "/api/memory", "agent", 0, 0},
	{"usage", "/api/usage", "agent", 0, 0},
	{"retention", "/api/retention", "agent", 0, 0},
	/* Answers that are not streamed come when the run has ended. */
	{"v1", "/v1", "agent", PATH_BELOW, 900},
	{"langgraph", "/langgraph", "agent", PATH_BELOW, 900},
	{"mcp", "/mcp", "agent", 0, 900},
	{"ag-ui", "/ag-ui", "agent", PATH_BELOW, 900},
	{"a2a", "/a2a", "agent", PATH_BELOW, 900},
	/* Answers that wait for a command, up to ten minutes. */
	{"commands", "/api/commands", "exec", PATH_UPGRADE, 660},
	/* Snapshots and archives are made before they are answered. */
	{"workspaces", "/api/workspaces", "exec", 0, 660},
	{"policies", "/api/policies", "exec", 0, 0},
	{"policy", "/api/policy", "exec", 0, 0},
	{"targets", "/api/targets", "exec", 0, 0},
	{"publish", "/api/publish", "socket", 0, 0},
	{"channels", "/api/channels", "socket", PATH_BELOW, 0},
	/* The token comes in the first message. */
	{"socket.io", "/socket.io", "socket", PATH_PUBLIC | PATH_UPGRADE | PATH_BELOW, 0},
	{"ws", "/ws", "socket", PATH_PUBLIC | PATH_UPGRADE, 0},
	/* Its own internal listener, where the gate checks the permission. */
	{"gateway", "/api/gateway", "gateway", PATH_BELOW, 0},
};
const size_t builtin_routes_n = ARRAY_SIZE(builtin_routes);
