/* Variables in an agent's instructions: {{user.name}}, {{date}} and others that are built in, and those that the agent
 * declares (its member "variables": [{name, description, default}]), whose values a conversation sets. A name that is
 * neither is refused when the agent is saved; one without a default needs a value in each conversation. \{{ stands for
 * {{ itself, and braces around anything but a name stay as they are. */
#pragma once

#include "base/error.h"
#include "base/json.h"

/* What the names stand for in a run; strings may be NULL. */
struct variables {
	const char *user_name, *user_id, *agent_name, *conversation_id, *conversation_title;
	int64_t now;          /* us */
	yyjson_val *declared; /* the agent's, or NULL */
	yyjson_val *values;   /* the conversation's: an object, or NULL */
};

/* The declarations of a request: names, sizes, none twice. Returns 0 or -EINVAL. */
int variables_check_declared(yyjson_val *declared, struct error *err);
/* That instructions use no other names. As above. */
int variables_check_used(const char *instructions, yyjson_val *declared, struct error *err);
/* The values for a conversation with an agent of this configuration (JSON): known names, texts, none missing. As above.
 */
int variables_check_values(struct arena *a, const char *config, yyjson_val *values, struct error *err);
/* The text with the values in place, in the arena; NULL with err when one is missing. */
const char *variables_expand(struct arena *a, const char *text, const struct variables *v, struct error *err);
