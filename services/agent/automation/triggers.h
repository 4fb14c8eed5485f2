/* Addresses at which others begin runs: POST /api/webhooks/incoming/{id}, signed by the secret of the trigger. */
#pragma once

#include "agent/agent.h"

struct trigger {
	const char *id, *user_id, *agent_id, *name, *message, *conversation, *conversation_id;
	const char *secret_sealed, *status, *reason;
	int64_t per_minute, version, created_at, updated_at;
};

/* 1 found, 0 none, or -errno. Strings are in the arena. */
int trigger_find(struct db_conn *c, struct arena *a, const char *id, bool to_change, struct trigger *ret);
