#include "policy/store.h"
#include "target.h"

#define CREATE_BODY (8 << 20) /* 1 MiB of stdin, every byte of it escaped, and the rest */
#define CHECK_BODY (4 << 20)
#define POLICY_BODY (256 << 10)

const struct route exec_routes[] = {
	{HTTP_POST_, "/users/{id}/gone", NULL, ROUTE_INTERNAL, 4096, exec_user_gone},
	{HTTP_GET_, "/api/commands", "commands.read", 0, 0, commands_list},
	{HTTP_POST_, "/api/commands", "commands.run", ROUTE_BODY_JSON, CREATE_BODY, commands_create},
	{HTTP_DELETE_, "/api/commands", "commands.run", 0, 0, commands_clear},
	{HTTP_GET_, "/api/commands/{id}", "commands.read", 0, 0, commands_get},
	{HTTP_GET_, "/api/commands/{id}/stream", "commands.read", 0, 0, commands_stream},
	{HTTP_GET_, "/api/commands/{id}/output", "commands.read", 0, 0, commands_output},
	{HTTP_POST_, "/api/commands/{id}/cancel", "commands.run", 0, 1024, commands_cancel},
	{HTTP_POST_, "/api/commands/{id}/stdin", "commands.run", ROUTE_STREAM, 0, commands_stdin},
	{HTTP_POST_, "/api/commands/{id}/signal", "commands.run", ROUTE_BODY_JSON, 1024, commands_signal},
	{HTTP_POST_, "/api/commands/{id}/resize", "commands.run", ROUTE_BODY_JSON, 1024, commands_resize},
	{HTTP_GET_, "/api/commands/{id}/network", "commands.read", 0, 0, commands_network},
	{HTTP_GET_, "/api/commands/{id}/recording", "commands.read", 0, 0, commands_recording},
	/* The token may come in the first message: a browser cannot send it otherwise. */
	{HTTP_GET_, "/api/commands/{id}/terminal", NULL, ROUTE_PUBLIC, 0, commands_terminal},
	{HTTP_GET_, "/api/policies", "commands.read", 0, 0, policies_list},
	{HTTP_POST_, "/api/policies/check", "commands.run", ROUTE_BODY_JSON, CHECK_BODY, policies_check},
	{HTTP_POST_, "/api/policy/check", "commands.run", ROUTE_BODY_JSON, CHECK_BODY, policies_check},
	{HTTP_GET_, "/api/policies/approvals", "commands.approve", 0, 0, approvals_list},
	{HTTP_POST_, "/api/policies/approvals", "commands.approve", ROUTE_BODY_JSON, 4096, approvals_post},
	{HTTP_GET_, "/api/policies/{name}", "commands.read", 0, 0, policies_get},
	{HTTP_PUT_, "/api/policies/{name}", "policies.manage", ROUTE_BODY_JSON, POLICY_BODY, policies_replace},
	{HTTP_POST_, "/api/policies/{name}/backtest", "policies.manage", ROUTE_BODY_JSON, POLICY_BODY,
	 policies_backtest},
	{HTTP_GET_, "/api/workspaces", "commands.read", 0, 0, workspaces_list},
	{HTTP_POST_, "/api/workspaces", "commands.run", ROUTE_BODY_JSON, 1024, workspaces_create},
	{HTTP_GET_, "/api/workspaces/{id}", "commands.read", 0, 0, workspaces_get},
	{HTTP_DELETE_, "/api/workspaces/{id}", "commands.run", 0, 0, workspaces_delete},
	{HTTP_GET_, "/api/workspaces/{id}/session", "commands.read", 0, 0, workspace_session_get},
	{HTTP_DELETE_, "/api/workspaces/{id}/session", "commands.run", 0, 0, workspace_session_delete},
	{HTTP_GET_, "/api/workspaces/{id}/files", "commands.read", 0, 0, workspace_files_root},
	{HTTP_GET_, "/api/workspaces/{id}/files/{rest*}", "commands.read", 0, 0, workspace_files_get},
	{HTTP_PUT_, "/api/workspaces/{id}/files/{rest*}", "commands.run", ROUTE_STREAM, 0, workspace_files_put},
	{HTTP_DELETE_, "/api/workspaces/{id}/files/{rest*}", "commands.run", 0, 0, workspace_files_delete},
	{HTTP_POST_, "/api/workspaces/{id}/folders", "commands.run", ROUTE_BODY_JSON, 64 << 10, workspace_mkdir},
	{HTTP_POST_, "/api/workspaces/{id}/move", "commands.run", ROUTE_BODY_JSON, 64 << 10, workspace_move},
	{HTTP_GET_, "/api/workspaces/{id}/archive", "commands.read", 0, 0, workspace_archive_get},
	{HTTP_POST_, "/api/workspaces/{id}/archive", "commands.run", ROUTE_STREAM, 0, workspace_archive_post},
	{HTTP_POST_, "/api/workspaces/{id}/copy", "commands.run", ROUTE_BODY_JSON, 4096, workspaces_copy},
	{HTTP_GET_, "/api/workspaces/{id}/snapshots", "commands.read", 0, 0, snapshots_list},
	{HTTP_POST_, "/api/workspaces/{id}/snapshots", "commands.run", ROUTE_BODY_JSON | ROUTE_BODY_OPTIONAL, 4096,
	 snapshots_make},
	{HTTP_POST_, "/api/workspaces/{id}/snapshots/{snapshot}/restore", "commands.run", 0, 0, snapshots_restore},
	{HTTP_DELETE_, "/api/workspaces/{id}/snapshots/{snapshot}", "commands.run", 0, 0, snapshots_delete},
	{HTTP_GET_, "/api/targets", "commands.read", 0, 0, targets_list},
};
const size_t exec_routes_n = ARRAY_SIZE(exec_routes);
