#include "agent/apis/schema.h"

#include <errno.h>
#include <stdio.h>

#include "io/pattern.h"

#define MAX_NODES 4000    /* of one operation */
#define MAX_TOTAL 2000000 /* of a document */
#define MAX_HOPS 16
#define MAX_POINTER 1000
#define MAX_DESCRIPTION 600
#define MAX_ENUM 300

enum kind {
	COPY,
	TYPE,
	TEXT,
	NUMBER,
	NUMBER_OR_BOOL,
	COUNT,
	BOOLEAN,
	LIST,
	NAMES,
	PATTERN,
	SCHEMA,
	SCHEMAS,
	PROPERTIES,
};

/* Other keywords are left out. One of several is any of them: schemas that fit together would refuse what the server
 * takes. */
static const struct keyword {
	const char *name;
	enum kind kind;
	const char *as; /* NULL = the same name */
} keywords[] = {
	{"type", TYPE},
	{"description", TEXT},
	{"enum", LIST},
	{"const", COPY},
	{"default", COPY},
	{"format", TEXT},
	{"properties", PROPERTIES},
	{"required", NAMES},
	{"additionalProperties", SCHEMA},
	{"minProperties", COUNT},
	{"maxProperties", COUNT},
	{"items", SCHEMA},
	{"prefixItems", SCHEMAS},
	{"minItems", COUNT},
	{"maxItems", COUNT},
	{"uniqueItems", BOOLEAN},
	{"minimum", NUMBER},
	{"maximum", NUMBER},
	{"exclusiveMinimum", NUMBER_OR_BOOL},
	{"exclusiveMaximum", NUMBER_OR_BOOL},
	{"multipleOf", NUMBER},
	{"minLength", COUNT},
	{"maxLength", COUNT},
	{"pattern", PATTERN},
	{"allOf", SCHEMAS},
	{"anyOf", SCHEMAS},
	{"oneOf", SCHEMAS, "anyOf"},
	{"not", SCHEMA},
};

/* ---- References ---- */

/* "/components/schemas/a~1b", percent-decoded. Returns false when it is too long or no pointer. */
static bool read_pointer(const char *ref, char ret[static MAX_POINTER])
{
	size_t n = 0;

	for (; *ref; ref++) {
		unsigned byte = 0;
		if (n + 1 >= MAX_POINTER)
			return false;
		if (*ref == '%' && sscanf(ref + 1, "%2x", &byte) == 1 && byte > 0) {
			ret[n++] = (char)byte;
			ref += ref[1] && ref[2] ? 2 : 1;
		} else {
			ret[n++] = *ref;
		}
	}
	ret[n] = '\0';
	return n == 0 || ret[0] == '/';
}

yyjson_val *api_resolve(yyjson_val *root, yyjson_val *val, struct error *err)
{
	char pointer[MAX_POINTER];
	const char *ref = NULL;

	for (int i = 0; i < MAX_HOPS; i++) {
		const char *next = yyjson_is_obj(val) ? json_get_str(val, "$ref", NULL) : NULL;
		if (!next && val)
			return val;
		if (!ref)
			ref = next;
		if (!next || *next != '#' || !read_pointer(next + 1, pointer)) {
			error_set(err, "reference_invalid",
				  next && *next != '#' ? "It refers to \"%.100s\", which is in another document"
						       : "It refers to \"%.100s\", which is not there",
				  ref ? ref : "");
			return NULL;
		}
		val = yyjson_ptr_get(root, pointer);
	}
	error_set(err, "reference_invalid", "It refers to \"%.100s\", which leads round in a circle", ref ? ref : "");
	return NULL;
}

/* ---- Values ---- */

yyjson_mut_val *api_text(yyjson_mut_doc *doc, const char *text, size_t max)
{
	size_t n = strlen(text);

	if (n > max) {
		n = max;
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	return yyjson_mut_strncpy(doc, text, n);
}

static bool is_type_name(yyjson_val *v)
{
	static const char *const types[] = {"null", "boolean", "object", "array", "number", "string", "integer"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (yyjson_equals_str(v, types[i]))
			return true;
	return false;
}

static yyjson_mut_val *make_type(struct schema_reader *r, yyjson_val *v, bool is_nullable)
{
	yyjson_mut_val *list = yyjson_mut_arr(r->doc);
	yyjson_val *one;
	size_t i, max;

	if (is_type_name(v))
		yyjson_mut_arr_add_val(list, yyjson_val_mut_copy(r->doc, v));
	yyjson_arr_foreach(v, i, max, one)
	{
		if (is_type_name(one) && yyjson_mut_arr_size(list) < 7)
			yyjson_mut_arr_add_val(list, yyjson_val_mut_copy(r->doc, one));
	}
	if (yyjson_mut_arr_size(list) == 0)
		return NULL;
	if (is_nullable)
		yyjson_mut_arr_add_str(r->doc, list, "null");
	return yyjson_mut_arr_size(list) > 1 ? list : yyjson_mut_arr_remove_first(list);
}

/* Only what is no collection: the rest is nobody's to choose. */
static yyjson_mut_val *make_list(struct schema_reader *r, yyjson_val *v, bool is_nullable)
{
	yyjson_mut_val *list = yyjson_mut_arr(r->doc);
	yyjson_val *one;
	size_t i, max;

	if (yyjson_arr_size(v) == 0 || yyjson_arr_size(v) > MAX_ENUM)
		return NULL;
	yyjson_arr_foreach(v, i, max, one)
	{
		if (yyjson_is_ctn(one))
			return NULL;
		is_nullable = is_nullable && !yyjson_is_null(one);
		yyjson_mut_arr_add_val(list, yyjson_val_mut_copy(r->doc, one));
	}
	if (is_nullable)
		yyjson_mut_arr_add_null(r->doc, list);
	return list;
}

static yyjson_mut_val *make_names(struct schema_reader *r, yyjson_val *v)
{
	yyjson_mut_val *list = yyjson_mut_arr(r->doc);
	yyjson_val *one;
	size_t i, max;

	yyjson_arr_foreach(v, i, max, one)
	{
		if (yyjson_is_str(one))
			yyjson_mut_arr_add_val(list, yyjson_val_mut_copy(r->doc, one));
	}
	return yyjson_mut_arr_size(list) ? list : NULL;
}

static bool is_count(yyjson_val *v)
{
	return yyjson_is_uint(v) || (yyjson_is_sint(v) && yyjson_get_sint(v) >= 0);
}

/* A plain value of the right kind, else NULL: it is left out. */
static yyjson_mut_val *make_plain(struct schema_reader *r, enum kind kind, yyjson_val *v, bool is_nullable)
{
	switch (kind) {
	case COPY: return yyjson_is_ctn(v) ? NULL : yyjson_val_mut_copy(r->doc, v);
	case TYPE: return make_type(r, v, is_nullable);
	case TEXT: return yyjson_is_str(v) ? api_text(r->doc, yyjson_get_str(v), MAX_DESCRIPTION) : NULL;
	case NUMBER: return yyjson_is_num(v) ? yyjson_val_mut_copy(r->doc, v) : NULL;
	case NUMBER_OR_BOOL: return yyjson_is_num(v) || yyjson_is_bool(v) ? yyjson_val_mut_copy(r->doc, v) : NULL;
	case COUNT: return is_count(v) ? yyjson_val_mut_copy(r->doc, v) : NULL;
	case BOOLEAN: return yyjson_is_bool(v) ? yyjson_val_mut_copy(r->doc, v) : NULL;
	case LIST: return make_list(r, v, is_nullable);
	case NAMES: return make_names(r, v);
	case PATTERN:
		return yyjson_is_str(v) && pattern_is_good(yyjson_get_str(v)) ? yyjson_val_mut_copy(r->doc, v) : NULL;
	default: return NULL;
	}
}

/* ---- Schemas within schemas ---- */

static yyjson_mut_val *make_schemas(struct schema_reader *r, yyjson_val *v, struct error *err)
{
	yyjson_mut_val *list = yyjson_mut_arr(r->doc);
	yyjson_val *one;
	size_t i, max;

	yyjson_arr_foreach(v, i, max, one)
	{
		yyjson_mut_val *made = api_schema(r, one, err);
		if (!made)
			return NULL;
		yyjson_mut_arr_add_val(list, made);
	}
	return list;
}

/* What a server only tells is nothing to send. */
static bool is_read_only(struct schema_reader *r, yyjson_val *schema)
{
	return json_get_bool(api_resolve(r->root, schema, NULL), "readOnly", false);
}

static yyjson_mut_val *make_properties(struct schema_reader *r, yyjson_val *v, struct error *err)
{
	yyjson_mut_val *map = yyjson_mut_obj(r->doc);
	yyjson_val *key, *schema;
	size_t i, max;

	yyjson_obj_foreach(v, i, max, key, schema)
	{
		yyjson_mut_val *made;
		if (is_read_only(r, schema))
			continue;
		made = api_schema(r, schema, err);
		if (!made)
			return NULL;
		yyjson_mut_obj_add(map, yyjson_val_mut_copy(r->doc, key), made);
	}
	return map;
}

/* A required member that was left out is not required. */
static void mend_required(struct schema_reader *r, yyjson_mut_val *obj, yyjson_val *from)
{
	yyjson_mut_val *required = yyjson_mut_obj_get(obj, "required"), *kept = yyjson_mut_arr(r->doc), *name;
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(required);
	yyjson_val *properties = yyjson_obj_get(from, "properties");

	if (!required)
		return;
	while ((name = yyjson_mut_arr_iter_next(&it))) {
		yyjson_val *own = yyjson_obj_get(properties, yyjson_mut_get_str(name));
		if (!own || !is_read_only(r, own))
			yyjson_mut_arr_add_val(kept, yyjson_mut_val_mut_copy(r->doc, name));
	}
	yyjson_mut_obj_remove_key(obj, "required");
	if (yyjson_mut_arr_size(kept) > 0)
		yyjson_mut_obj_add_val(r->doc, obj, "required", kept);
}

/* Returns 0 or -EINVAL. */
static int add_keyword(struct schema_reader *r, yyjson_mut_val *obj, const struct keyword *k, yyjson_val *v,
		       bool is_nullable, struct error *err)
{
	yyjson_mut_val *made = NULL;

	if (k->kind == SCHEMA) {
		if (!yyjson_is_obj(v) && !yyjson_is_bool(v))
			return 0;
		made = api_schema(r, v, err);
	} else if (k->kind == SCHEMAS) {
		if (yyjson_arr_size(v) == 0)
			return 0;
		made = make_schemas(r, v, err);
	} else if (k->kind == PROPERTIES) {
		if (!yyjson_is_obj(v))
			return 0;
		made = make_properties(r, v, err);
	} else {
		made = make_plain(r, k->kind, v, is_nullable);
		if (!made)
			return 0;
	}
	if (!made)
		return -EINVAL;
	yyjson_mut_obj_put(obj, yyjson_mut_strcpy(r->doc, k->as ? k->as : k->name), made);
	return 0;
}

static yyjson_mut_val *anything(struct schema_reader *r, yyjson_val *schema)
{
	yyjson_mut_val *obj = yyjson_mut_obj(r->doc);
	yyjson_mut_val *type = make_type(r, yyjson_obj_get(schema, "type"), true);

	if (type)
		yyjson_mut_obj_add_val(r->doc, obj, "type", type);
	return obj;
}

static bool is_being_made(const struct schema_reader *r, const yyjson_val *schema)
{
	for (size_t i = 0; i < r->n_path; i++)
		if (r->path[i] == schema)
			return true;
	return r->n_path == ARRAY_SIZE(r->path);
}

static yyjson_mut_val *make_object(struct schema_reader *r, yyjson_val *schema, struct error *err)
{
	bool is_nullable = json_get_bool(schema, "nullable", false);
	yyjson_mut_val *obj = yyjson_mut_obj(r->doc);

	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++) {
		yyjson_val *v = yyjson_obj_get(schema, keywords[i].name);
		if (v && add_keyword(r, obj, &keywords[i], v, is_nullable, err) < 0)
			return NULL;
	}
	mend_required(r, obj, schema);
	return obj;
}

yyjson_mut_val *api_schema(struct schema_reader *r, yyjson_val *schema, struct error *err)
{
	const char *said = json_get_str(schema, "description", NULL);
	bool is_reference = yyjson_is_obj(schema) && yyjson_obj_get(schema, "$ref");
	yyjson_mut_val *made;

	if (yyjson_is_false(schema))
		return yyjson_mut_bool(r->doc, false);
	if (++r->n_total > MAX_TOTAL) {
		error_set(err, "document_too_large", "The document has too many schemas");
		return NULL;
	}
	if (!yyjson_is_obj(schema))
		return yyjson_mut_obj(r->doc);
	schema = api_resolve(r->root, schema, err);
	if (!schema)
		return NULL;
	if (!yyjson_is_obj(schema) || ++r->n_nodes > MAX_NODES || r->depth == r->max_depth || is_being_made(r, schema))
		return anything(r, schema);
	r->depth++;
	r->path[r->n_path++] = schema;
	made = make_object(r, schema, err);
	r->n_path--;
	r->depth--;
	if (made && is_reference && said)
		yyjson_mut_obj_put(made, yyjson_mut_str(r->doc, "description"),
				   api_text(r->doc, said, MAX_DESCRIPTION));
	return made;
}

/* ---- allOf ---- */

static bool is_plain_object(yyjson_mut_val *schema)
{
	static const char *const known[] = {"type", "description", "properties", "required", "default"};
	yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(schema);
	yyjson_mut_val *key;

	while ((key = yyjson_mut_obj_iter_next(&it))) {
		bool is_known = false;
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			is_known = is_known || strcmp(yyjson_mut_get_str(key), known[i]) == 0;
		if (!is_known)
			return false;
	}
	return yyjson_mut_is_obj(schema) && yyjson_mut_is_obj(yyjson_mut_obj_get(schema, "properties"));
}

static yyjson_mut_val *member(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, bool is_list)
{
	yyjson_mut_val *val = yyjson_mut_obj_get(obj, name);

	if (!val) {
		val = is_list ? yyjson_mut_arr(doc) : yyjson_mut_obj(doc);
		yyjson_mut_obj_add(obj, yyjson_mut_str(doc, name), val);
	}
	return val;
}

static void join(yyjson_mut_doc *doc, yyjson_mut_val *to, yyjson_mut_val *part)
{
	yyjson_mut_val *properties = member(doc, to, "properties", false),
		       *required = member(doc, to, "required", true);
	yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(yyjson_mut_obj_get(part, "properties"));
	yyjson_mut_arr_iter names = yyjson_mut_arr_iter_with(yyjson_mut_obj_get(part, "required"));
	yyjson_mut_val *key, *name;

	while ((key = yyjson_mut_obj_iter_next(&it)))
		yyjson_mut_obj_put(properties, yyjson_mut_val_mut_copy(doc, key),
				   yyjson_mut_val_mut_copy(doc, yyjson_mut_obj_iter_get_val(key)));
	while ((name = yyjson_mut_arr_iter_next(&names)))
		yyjson_mut_arr_add_val(required, yyjson_mut_val_mut_copy(doc, name));
}

void api_schema_flatten(yyjson_mut_doc *doc, yyjson_mut_val *schema)
{
	yyjson_mut_val *parts = yyjson_mut_obj_get(schema, "allOf"), *part;
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(parts);

	if (!parts)
		return;
	while ((part = yyjson_mut_arr_iter_next(&it))) {
		api_schema_flatten(doc, part);
		if (!is_plain_object(part))
			return;
	}
	yyjson_mut_obj_remove_key(schema, "allOf");
	it = yyjson_mut_arr_iter_with(parts);
	while ((part = yyjson_mut_arr_iter_next(&it)))
		join(doc, schema, part);
	if (!yyjson_mut_obj_get(schema, "type"))
		yyjson_mut_obj_add_str(doc, schema, "type", "object");
}
