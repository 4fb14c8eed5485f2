/* Schemas of OpenAPI 3.0 and 3.1 as the part of JSON Schema that tools have (io/json_schema.h): references are put in
 * place, what only documents is left out, `nullable` becomes a type. What is too deep, too much or within itself
 * becomes a schema of anything, so that an operation with it can still be called. */
#pragma once

#include "base/json.h"

/* Of one operation. */
struct schema_reader {
	yyjson_val *root;    /* the whole document */
	yyjson_mut_doc *doc; /* what is made belongs to it */
	size_t n_nodes;      /* made so far */
	size_t n_total;      /* of all operations of the document */
	unsigned depth, max_depth;
	yyjson_val *path[32]; /* references that are being put in place, outermost first */
	size_t n_path;
};

/* What a value that may be {"$ref": "#/…"} means, through some references at most. NULL with err
 * ("reference_invalid") when it leads nowhere, elsewhere, or round in a circle. */
yyjson_val *api_resolve(yyjson_val *root, yyjson_val *val, struct error *err);
/* NULL with err for a reference that leads nowhere, or when the document was too much work. */
yyjson_mut_val *api_schema(struct schema_reader *r, yyjson_val *schema, struct error *err);
/* An object that is made of objects by allOf becomes one, where that is clear. */
void api_schema_flatten(yyjson_mut_doc *doc, yyjson_mut_val *schema);
/* A copy of at most `max` bytes, cut between characters. */
yyjson_mut_val *api_text(yyjson_mut_doc *doc, const char *text, size_t max);
