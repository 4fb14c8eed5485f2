/* An execution as the files of the resources share it. */
#pragma once

#include "agent/handlers.h"

struct execution_row {
	const char *id, *conversation_id, *agent_id, *agent_name, *user_id, *status, *state, *input, *output, *parsed;
	const char *error_code, *error_message, *model, *provider;
	int64_t steps, commands, input_tokens, output_tokens, created_at, started_at, ended_at, last_seq;
	bool tokens_estimated;
	int64_t cached_tokens, cost_nano;
};

void execution_add(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct execution_row *row);
/* Worker thread: the execution, in the arena, if the exchange's user may see it. 1 found, 0 none, or -errno. */
int execution_find(struct db_conn *c, const struct exchange *x, struct arena *a, const char *id,
		   struct execution_row *ret);
/* Inside a write job: wishes its end, unless it has ended, and tells whoever works on it; one that is parked becomes
 * free for any process. Returns 1, 0 when it had ended, or -errno. */
int execution_cancel(struct db_conn *c, const char *id, int64_t now);
bool execution_has_ended(const struct execution_row *row);
