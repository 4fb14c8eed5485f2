/* JSON Schema (2020-12, and what differs in draft-04 to draft-07 where it is clear), the part that models and APIs use:
 *
 *   type enum const · properties required additionalProperties patternProperties propertyNames minProperties
 *   maxProperties dependentRequired · items (a schema, or a list of them) prefixItems additionalItems contains
 *   minContains maxContains minItems maxItems uniqueItems · minimum maximum exclusiveMinimum exclusiveMaximum
 *   multipleOf · minLength maxLength pattern · allOf anyOf oneOf not if then else · $ref and $defs within the schema
 *
 * Patterns are PCRE2's, loaded at first use, with limits on their work. `format` and other annotations are not judged.
 * What changes the meaning otherwise ($dynamicRef, unevaluatedProperties, references to elsewhere …) is refused by
 * json_schema_check rather than passed over. */
#pragma once

#include "base/json.h"

/* Bytes of a schema that somebody sends. */
#define JSON_SCHEMA_MAX (64 * 1024)

/* Whether it is a schema of this part. Returns 0, or -EINVAL with the place and what is wrong ("schema_invalid"). Any
 * thread. */
int json_schema_check(yyjson_val *schema, struct error *err);
/* Whether the value fits. Appends to `problems` (may be NULL) a line for each thing that is wrong, some at the most:
 * "/items/0/name: must be a string". Bounded work: what is too much of it does not fit, and says so. Any thread. */
bool json_schema_fits(yyjson_val *schema, yyjson_val *value, struct buf *problems);
