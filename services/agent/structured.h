/* Answers that are JSON of a given schema: what a model is told of it, and reading what it answered. Pure. */
#pragma once

#include "base/json.h"

/* What stands behind the instructions, for every model: not each knows a mode of its own for it. */
void structured_tell(struct buf *out, const char *schema);
/* The value in an answer that fits: the whole text, or what stands in a fence or between words; a value that came as
 * {"value": …} by way of a tool counts as itself. In the arena. NULL: none, with what is wrong appended. */
yyjson_val *structured_read(yyjson_val *schema, struct str text, struct arena *a, struct buf *problems);
/* What the model is told when its answer does not fit. In the arena. */
struct str structured_complaint(struct arena *a, struct str problems);
/* A tool's parameters are an object: the schema itself, or one of an object with the member "value". In the arena. */
const char *structured_as_object(struct arena *a, const char *schema);
/* Whether OpenAI's strict mode takes it: an object, each object with all its members required and no others, and only
 * keywords that it knows. */
bool structured_is_strict(const char *schema);
