/* What an agent is set to: as a client sends it, and as it is stored, an object of the same members in agents.config.
 * To add a setting: a line in both tables of fields, its check, its place in agent_config_make, and in agent_config_add
 * what agents of before have instead. */
#pragma once

#include "agent/agent.h"

/* Whether a request may be sent so: a new agent's, or a change. Returns 0 or -EINVAL with a sentence in err. */
int agent_config_check(yyjson_val *body, bool is_new, struct error *err);
/* What is stored, of what the client sends, of what was stored before (may be NULL) and of the defaults. In the arena.
 */
const char *agent_config_make(const struct agent *agent, struct arena *a, yyjson_val *body, const char *old_config);
/* What one member asks of another, in what is to be stored. Returns 0 or -EINVAL with a sentence in err. */
int agent_config_check_whole(struct arena *a, const char *config, struct error *err);
/* Adds its members to an answer. */
void agent_config_add(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *config);
