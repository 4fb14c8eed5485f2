#include "agent/handlers.h"

#define AGENT_BODY (512 * 1024)
#define MESSAGE_BODY (1024 * 1024)

/* Reading a conversation is open to those who may read or use them: the handlers check. */
const struct route agent_routes[] = {
	{HTTP_GET_, "/api/agents", "agents.read", 0, 0, agents_list},
	{HTTP_POST_, "/api/agents", "agents.write", ROUTE_BODY_JSON, AGENT_BODY, agents_create},
	{HTTP_GET_, "/api/agents/{id}", "agents.read", 0, 0, agents_get},
	{HTTP_PATCH_, "/api/agents/{id}", "agents.write", ROUTE_BODY_JSON, AGENT_BODY, agents_patch},
	{HTTP_DELETE_, "/api/agents/{id}", "agents.write", 0, 0, agents_archive},
	{HTTP_GET_, "/api/agents/{id}/versions", "agents.read", 0, 0, agents_list_versions},
	{HTTP_POST_, "/api/agents/{id}/versions/{version}/restore", "agents.write", 0, 0, agents_restore},
	{HTTP_GET_, "/api/models", "models.read", 0, 0, models_list},
	{HTTP_GET_, "/api/models/providers", "models.read", 0, 0, model_providers_list},
	{HTTP_POST_, "/api/models/providers", "models.connect", ROUTE_BODY_JSON, 64 * 1024, model_providers_create},
	{HTTP_GET_, "/api/models/providers/{id}", "models.read", 0, 0, model_providers_get},
	{HTTP_PATCH_, "/api/models/providers/{id}", "models.connect", ROUTE_BODY_JSON, 64 * 1024,
	 model_providers_patch},
	{HTTP_DELETE_, "/api/models/providers/{id}", "models.connect", 0, 0, model_providers_delete},
	{HTTP_POST_, "/api/models/providers/{id}/test", "models.connect", ROUTE_BODY_JSON | ROUTE_BODY_OPTIONAL, 4096,
	 model_providers_test},
	{HTTP_GET_, "/api/conversations", NULL, 0, 0, conversations_list, "conversations.read"},
	{HTTP_POST_, "/api/conversations", "conversations.use", ROUTE_BODY_JSON | ROUTE_BODY_OPTIONAL, 16 * 1024,
	 conversations_create},
	{HTTP_GET_, "/api/conversations/{id}", NULL, 0, 0, conversations_get, "conversations.read"},
	{HTTP_PATCH_, "/api/conversations/{id}", "conversations.use", ROUTE_BODY_JSON, 16 * 1024, conversations_patch},
	{HTTP_DELETE_, "/api/conversations/{id}", "conversations.use", 0, 0, conversations_delete},
	{HTTP_GET_, "/api/conversations/{id}/messages", NULL, 0, 0, messages_list, "conversations.read"},
	{HTTP_POST_, "/api/conversations/{id}/messages", "conversations.use", ROUTE_BODY_JSON, MESSAGE_BODY,
	 messages_send},
	{HTTP_GET_, "/api/approvals", "executions.approve", 0, 0, agent_approvals_list},
	{HTTP_GET_, "/api/approvals/{id}", "executions.approve", 0, 0, agent_approvals_get},
	{HTTP_POST_, "/api/approvals/{id}", "executions.approve", ROUTE_BODY_JSON, MESSAGE_BODY,
	 agent_approvals_decide},
	{HTTP_GET_, "/api/executions", "executions.read", 0, 0, executions_list},
	{HTTP_GET_, "/api/executions/{id}", "executions.read", 0, 0, executions_get},
	{HTTP_POST_, "/api/executions/{id}/resume", "executions.cancel", 0, 0, executions_resume},
	{HTTP_GET_, "/api/usage", "executions.read", 0, 0, usage_get},
	{HTTP_GET_, "/api/usage/budgets/{id}", "executions.read", 0, 0, budgets_get},
	{HTTP_PUT_, "/api/usage/budgets/{id}", "settings.manage", ROUTE_BODY_JSON, 1024, budgets_put},
	{HTTP_POST_, "/api/executions/{id}/cancel", "executions.cancel", 0, 0, executions_cancel},
	{HTTP_GET_, "/api/executions/{id}/events", "executions.read", 0, 0, executions_events},
	{HTTP_POST_, "/users/{id}/gone", NULL, ROUTE_INTERNAL, 4096, user_gone},
};
const size_t agent_n_routes = ARRAY_SIZE(agent_routes);
