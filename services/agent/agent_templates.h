/* What an agent can be made from: templates.json in the program. */
#pragma once

#include "base/json.h"

/* The body of a request that makes an agent, with what its "template" says where it does not say something itself. In
 * the arena; NULL with err when there is no such template. A body without "template" comes back as it is. */
yyjson_val *agent_template_apply(struct arena *a, yyjson_val *body, struct error *err);
