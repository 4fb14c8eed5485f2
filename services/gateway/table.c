#include "table.h"

const char *const role_names[ROLE_COUNT] = {"auth", "agent", "exec", "socket"};

static const struct public_path paths[] = {
	{"/api/auth", ROLE_AUTH, PATH_PUBLIC | PATH_COOKIES | PATH_BELOW, 0},
	{"/api/users", ROLE_AUTH, 0, 0},
	{"/api/roles", ROLE_AUTH, 0, 0},
	{"/api/permissions", ROLE_AUTH, 0, 0},
	{"/api/tokens", ROLE_AUTH, 0, 0},
	{"/api/audit", ROLE_AUTH, 0, 0},
	{"/.well-known", ROLE_AUTH, PATH_PUBLIC | PATH_BELOW, 0},
	{"/oauth", ROLE_AUTH, PATH_PUBLIC | PATH_COOKIES | PATH_BELOW, 0},
	{"/api/agents", ROLE_AGENT, 0, 0},
	{"/api/conversations", ROLE_AGENT, 0, 0},
	{"/api/executions", ROLE_AGENT, 0, 0},
	{"/api/approvals", ROLE_AGENT, 0, 0},
	{"/api/knowledge", ROLE_AGENT, 0, 0},
	{"/api/schedules", ROLE_AGENT, 0, 0},
	{"/api/webhooks", ROLE_AGENT, 0, 0},
	{"/api/models", ROLE_AGENT, 0, 0},
	{"/api/usage", ROLE_AGENT, 0, 0},
	/* Answers that are not streamed come when the run has ended. */
	{"/v1", ROLE_AGENT, PATH_BELOW, 900},
	{"/langgraph", ROLE_AGENT, PATH_BELOW, 900},
	{"/mcp", ROLE_AGENT, 0, 900},
	{"/ag-ui", ROLE_AGENT, PATH_BELOW, 900},
	{"/a2a", ROLE_AGENT, PATH_BELOW, 900},
	{"/api/commands", ROLE_EXEC, 0, 0},
	{"/api/workspaces", ROLE_EXEC, 0, 0},
	{"/api/policies", ROLE_EXEC, 0, 0},
	{"/api/targets", ROLE_EXEC, 0, 0},
	{"/api/publish", ROLE_SOCKET, 0, 0},
	/* The token comes in the first message. */
	{"/socket.io", ROLE_SOCKET, PATH_PUBLIC | PATH_UPGRADE | PATH_BELOW, 0},
	{"/ws", ROLE_SOCKET, PATH_PUBLIC | PATH_UPGRADE, 0},
};

static bool is_under(struct str path, const struct public_path *p, size_t n)
{
	if (path.n < n || memcmp(path.p, p->prefix, n))
		return false;
	return path.n == n ? !(p->flags & PATH_BELOW) : path.p[n] == '/';
}

const struct public_path *table_find(struct str path)
{
	const struct public_path *best = NULL;
	size_t best_n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		size_t n = strlen(paths[i].prefix);

		if (n > best_n && is_under(path, &paths[i], n)) {
			best = &paths[i];
			best_n = n;
		}
	}
	return best;
}
