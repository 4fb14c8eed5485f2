#include "agent/structured.h"

#include "io/json_schema.h"

void structured_tell(struct buf *out, const char *schema)
{
	buf_printf(
		out,
		"Your final answer is read by a program: it must be one JSON value and nothing else, without words or "
		"fences around it, and fit this JSON Schema:\n%s",
		schema);
}

/* ---- Reading ---- */

/* What stands in the first fence, or between the first and the last brace or bracket. */
static struct str inner(struct str text)
{
	const char *fence = text.n > 3 ? memmem(text.p, text.n, "```", 3) : NULL, *end;
	size_t from = 0, to = text.n;

	if (fence) {
		struct str rest = {fence + 3, text.n - (size_t)(fence + 3 - text.p)};
		end = memmem(rest.p, rest.n, "```", 3);
		const char *line = memchr(rest.p, '\n', rest.n);
		if (end && line && line < end)
			return str_trim((struct str){line, (size_t)(end - line)});
	}
	while (from < to && !strchr("{[", text.p[from]))
		from++;
	while (to > from && !strchr("}]", text.p[to - 1]))
		to--;
	return (struct str){text.p + from, to - from};
}

static yyjson_val *parse(struct arena *a, struct str text, struct error *err)
{
	return yyjson_doc_get_root(json_parse(a, text.p ? text.p : "", text.n, err));
}

static yyjson_val *unwrapped(yyjson_val *value)
{
	return yyjson_obj_size(value) == 1 ? yyjson_obj_get(value, "value") : NULL;
}

yyjson_val *structured_read(yyjson_val *schema, struct str text, struct arena *a, struct buf *problems)
{
	struct error err = {0};
	yyjson_val *value, *other;

	text = str_trim(text);
	value = parse(a, text, &err);
	if (!value)
		value = parse(a, inner(text), NULL);
	if (!value) {
		buf_printf(problems, "The answer is no JSON: %s\n", err.message);
		return NULL;
	}
	if (json_schema_fits(schema, value, NULL))
		return value;
	other = unwrapped(value);
	if (other && json_schema_fits(schema, other, NULL))
		return other;
	json_schema_fits(schema, value, problems);
	return NULL;
}

struct str structured_complaint(struct arena *a, struct str problems)
{
	return str_of(arena_printf(a,
				   "Your answer does not fit the JSON Schema:\n%.*s\nAnswer again, with the whole "
				   "corrected JSON value and nothing else.",
				   (int)MIN(problems.n, (size_t)2000), problems.p ? problems.p : ""));
}

/* ---- For the dialects ---- */

const char *structured_as_object(struct arena *a, const char *schema)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, schema, strlen(schema), NULL));

	if (yyjson_equals_str(yyjson_obj_get(root, "type"), "object"))
		return schema;
	return arena_printf(a, "{\"type\":\"object\",\"properties\":{\"value\":%s},\"required\":[\"value\"]}", schema);
}

static bool is_strict(yyjson_val *schema);

static bool members_are_strict(yyjson_val *map)
{
	yyjson_val *key, *val;
	size_t i, max;

	yyjson_obj_foreach(map, i, max, key, val)
	{
		if (!is_strict(val))
			return false;
	}
	return true;
}

static bool requires_all(yyjson_val *schema)
{
	yyjson_val *required = yyjson_obj_get(schema, "required"), *key, *val, *name;
	size_t i, k, max, n;

	yyjson_obj_foreach(yyjson_obj_get(schema, "properties"), i, max, key, val)
	{
		bool has = false;
		yyjson_arr_foreach(required, k, n, name) has = has || yyjson_equals(name, key);
		if (!has)
			return false;
	}
	return yyjson_is_false(yyjson_obj_get(schema, "additionalProperties"));
}

static bool is_strict(yyjson_val *schema)
{
	static const char *const known[] = {
		"type",
		"enum",
		"const",
		"properties",
		"required",
		"additionalProperties",
		"items",
		"anyOf",
		"$ref",
		"$defs",
		"description",
		"title",
		"pattern",
		"minimum",
		"maximum",
		"exclusiveMinimum",
		"exclusiveMaximum",
		"multipleOf",
		"minItems",
		"maxItems",
		"definitions",
	};
	yyjson_val *key, *val, *any = yyjson_obj_get(schema, "anyOf"), *items = yyjson_obj_get(schema, "items");
	size_t i, max;

	yyjson_obj_foreach(schema, i, max, key, val)
	{
		bool is_known = false;
		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			is_known = is_known || yyjson_equals_str(key, known[k]);
		if (!is_known)
			return false;
	}
	yyjson_arr_foreach(any, i, max, val)
	{
		if (!is_strict(val))
			return false;
	}
	if (!yyjson_is_obj(schema) || (items && !is_strict(items)))
		return false;
	if (yyjson_equals_str(yyjson_obj_get(schema, "type"), "object") && !requires_all(schema))
		return false;
	return members_are_strict(yyjson_obj_get(schema, "properties")) &&
	       members_are_strict(yyjson_obj_get(schema, "$defs")) &&
	       members_are_strict(yyjson_obj_get(schema, "definitions"));
}

bool structured_is_strict(const char *schema)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, schema, strlen(schema), NULL));

	return yyjson_equals_str(yyjson_obj_get(root, "type"), "object") && is_strict(root);
}
