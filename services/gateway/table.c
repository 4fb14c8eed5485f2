#include "table.h"

const char *const role_names[ROLE_COUNT] = {"auth", "agent", "exec", "socket"};

#define PREFIX(text)                   \
	{                              \
		text, sizeof(text) - 1 \
	}

static const struct public_path paths[] = {
	{PREFIX("/api/auth"), ROLE_AUTH, PATH_PUBLIC | PATH_COOKIES | PATH_BELOW, 0},
	{PREFIX("/api/users"), ROLE_AUTH, 0, 0},
	{PREFIX("/api/roles"), ROLE_AUTH, 0, 0},
	{PREFIX("/api/permissions"), ROLE_AUTH, 0, 0},
	{PREFIX("/api/tokens"), ROLE_AUTH, 0, 0},
	{PREFIX("/api/audit"), ROLE_AUTH, 0, 0},
	{PREFIX("/.well-known"), ROLE_AUTH, PATH_PUBLIC | PATH_BELOW, 0},
	{PREFIX("/oauth"), ROLE_AUTH, PATH_PUBLIC | PATH_COOKIES | PATH_BELOW, 0},
	{PREFIX("/api/agents"), ROLE_AGENT, 0, 0},
	{PREFIX("/api/conversations"), ROLE_AGENT, 0, 0},
	{PREFIX("/api/executions"), ROLE_AGENT, 0, 0},
	{PREFIX("/api/approvals"), ROLE_AGENT, 0, 0},
	{PREFIX("/api/knowledge"), ROLE_AGENT, 0, 0},
	{PREFIX("/api/schedules"), ROLE_AGENT, 0, 0},
	{PREFIX("/api/webhooks"), ROLE_AGENT, 0, 0},
	{PREFIX("/api/models"), ROLE_AGENT, 0, 0},
	{PREFIX("/api/usage"), ROLE_AGENT, 0, 0},
	/* Answers that are not streamed come when the run has ended. */
	{PREFIX("/v1"), ROLE_AGENT, PATH_BELOW, 900},
	{PREFIX("/langgraph"), ROLE_AGENT, PATH_BELOW, 900},
	{PREFIX("/mcp"), ROLE_AGENT, 0, 900},
	{PREFIX("/ag-ui"), ROLE_AGENT, PATH_BELOW, 900},
	{PREFIX("/a2a"), ROLE_AGENT, PATH_BELOW, 900},
	/* Answers that wait for a command, up to ten minutes. */
	{PREFIX("/api/commands"), ROLE_EXEC, PATH_UPGRADE, 660},
	/* Snapshots and archives are made before they are answered. */
	{PREFIX("/api/workspaces"), ROLE_EXEC, 0, 660},
	{PREFIX("/api/policies"), ROLE_EXEC, 0, 0},
	{PREFIX("/api/targets"), ROLE_EXEC, 0, 0},
	{PREFIX("/api/publish"), ROLE_SOCKET, 0, 0},
	/* The token comes in the first message. */
	{PREFIX("/socket.io"), ROLE_SOCKET, PATH_PUBLIC | PATH_UPGRADE | PATH_BELOW, 0},
	{PREFIX("/ws"), ROLE_SOCKET, PATH_PUBLIC | PATH_UPGRADE, 0},
};

static bool is_under(struct str path, const struct public_path *p)
{
	size_t n = p->prefix.n;

	if (path.n < n || memcmp(path.p, p->prefix.p, n))
		return false;
	return path.n == n ? !(p->flags & PATH_BELOW) : path.p[n] == '/';
}

const struct public_path *table_find(struct str path)
{
	const struct public_path *best = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if ((!best || paths[i].prefix.n > best->prefix.n) && is_under(path, &paths[i]))
			best = &paths[i];
	return best;
}
