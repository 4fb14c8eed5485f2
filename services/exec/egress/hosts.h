/* Lists of hosts in JSON: of a request, a policy, a command's spec. */
#pragma once

#include "base/json.h"
#include "egress/rules.h"

/* An array of strings such as "*.example.org:443"; NULL for an absent or empty one. In the arena. Returns 0 or -EINVAL;
 * the sentence names `what`. */
int hosts_read(struct arena *a, yyjson_val *arr, const char *what, struct egress_rules **ret, struct error *err);
/* The same back. hosts may be NULL: nothing is added. */
void hosts_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const struct egress_rules *hosts);
