/* Reads lines of JSON {"schema", "data"} and writes a line for each: "valid", "invalid", or "refused" for a schema that
 * is outside of what is supported. For the tests with the public suite. */
#include <stdio.h>
#include <stdlib.h>

#include "io/json_schema.h"

static const char *judge(const char *line, size_t n)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, line, n, NULL));
	yyjson_val *schema = yyjson_obj_get(root, "schema"), *data = yyjson_obj_get(root, "data");

	if (!schema || json_schema_check(schema, NULL) < 0)
		return "refused";
	return json_schema_fits(schema, data, NULL) ? "valid" : "invalid";
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0)
		puts(judge(line, (size_t)n));
	free(line);
	return 0;
}
