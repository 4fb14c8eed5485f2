#include "io/json_schema.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/pattern.h"

#define MAX_DEPTH 80
#define MAX_WORK 200000
#define MAX_PROBLEMS 8
#define MAX_PATH 300

struct judge {
	yyjson_val *root;
	struct buf *out; /* NULL: only whether it fits */
	unsigned n_problems, depth;
	long work;
	char path[MAX_PATH]; /* JSON Pointer of the value */
	size_t path_n;
};

static bool judge(struct judge *j, yyjson_val *schema, yyjson_val *value);

/* ---- What is wrong ---- */

static bool wrong(struct judge *j, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool wrong(struct judge *j, const char *fmt, ...)
{
	va_list ap;

	if (!j->out || j->n_problems == MAX_PROBLEMS)
		return false;
	j->n_problems++;
	buf_printf(j->out, "%.*s: ", j->path_n ? (int)j->path_n : 1, j->path_n ? j->path : "/");
	va_start(ap, fmt);
	buf_vprintf(j->out, fmt, ap);
	va_end(ap);
	buf_add_char(j->out, '\n');
	return false;
}

/* Moves to a member or an item; returns where to go back to. */
static size_t enter(struct judge *j, const char *name, size_t n)
{
	size_t before = j->path_n;

	if (before + 1 < MAX_PATH)
		j->path[j->path_n++] = '/';
	for (size_t i = 0; i < n && j->path_n + 2 < MAX_PATH; i++) {
		bool is_special = name[i] == '/' || name[i] == '~';
		if (is_special)
			j->path[j->path_n++] = '~';
		j->path[j->path_n++] = name[i] == '/' ? '1' : name[i] == '~' ? '0' : name[i];
	}
	return before;
}

static size_t enter_index(struct judge *j, size_t i)
{
	char text[24];

	return enter(j, text, (size_t)snprintf(text, sizeof(text), "%zu", i));
}

/* ---- Values ---- */

static bool equals(yyjson_val *a, yyjson_val *b)
{
	size_t i, max;
	yyjson_val *key, *val;

	if (yyjson_is_num(a) && yyjson_is_num(b)) {
		if (yyjson_is_int(a) && yyjson_is_int(b))
			return yyjson_equals(a, b);
		return yyjson_get_num(a) == yyjson_get_num(b);
	}
	if (yyjson_get_type(a) != yyjson_get_type(b))
		return false;
	if (yyjson_is_arr(a)) {
		if (yyjson_arr_size(a) != yyjson_arr_size(b))
			return false;
		yyjson_val *other = yyjson_arr_get_first(b);
		yyjson_arr_foreach(a, i, max, val)
		{
			if (!equals(val, other))
				return false;
			other = unsafe_yyjson_get_next(other);
		}
		return true;
	}
	if (yyjson_is_obj(a)) {
		if (yyjson_obj_size(a) != yyjson_obj_size(b))
			return false;
		yyjson_obj_foreach(a, i, max, key, val)
		{
			yyjson_val *other = yyjson_obj_getn(b, yyjson_get_str(key), yyjson_get_len(key));
			if (!other || !equals(val, other))
				return false;
		}
		return true;
	}
	return yyjson_equals(a, b);
}

static bool is_integer(yyjson_val *v)
{
	double d;

	if (!yyjson_is_real(v))
		return yyjson_is_int(v);
	d = yyjson_get_real(v);
	return isfinite(d) && d == trunc(d);
}

static bool is_type(yyjson_val *v, const char *type)
{
	switch (yyjson_get_type(v)) {
	case YYJSON_TYPE_NULL: return strcmp(type, "null") == 0;
	case YYJSON_TYPE_BOOL: return strcmp(type, "boolean") == 0;
	case YYJSON_TYPE_STR: return strcmp(type, "string") == 0;
	case YYJSON_TYPE_ARR: return strcmp(type, "array") == 0;
	case YYJSON_TYPE_OBJ: return strcmp(type, "object") == 0;
	case YYJSON_TYPE_NUM: return strcmp(type, "number") == 0 || (strcmp(type, "integer") == 0 && is_integer(v));
	default: return false;
	}
}

static size_t characters(yyjson_val *v)
{
	const char *s = yyjson_get_str(v);
	size_t n = 0;

	for (size_t i = 0; i < yyjson_get_len(v); i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

/* ---- References within the schema ---- */

/* "#", "#/$defs/a", "#name" → what it means, or NULL. */
static yyjson_val *resolve(yyjson_val *root, const char *ref)
{
	char pointer[512];
	size_t n = 0;

	if (*ref != '#')
		return NULL;
	for (ref++; *ref && n + 1 < sizeof(pointer); ref++) {
		unsigned byte = 0;
		if (*ref == '%' && sscanf(ref + 1, "%2x", &byte) == 1 && byte > 0) {
			pointer[n++] = (char)byte;
			ref += 2;
		} else {
			pointer[n++] = *ref;
		}
	}
	if (*ref || (n > 0 && pointer[0] != '/'))
		return NULL;
	return n ? yyjson_ptr_getn(root, pointer, n) : root;
}

/* ---- Keywords ---- */

static bool judge_type(struct judge *j, yyjson_val *type, yyjson_val *v)
{
	yyjson_val *one;
	size_t i, max;

	if (yyjson_is_str(type))
		return is_type(v, yyjson_get_str(type)) || wrong(j, "must be of the type %s", yyjson_get_str(type));
	yyjson_arr_foreach(type, i, max, one)
	{
		if (is_type(v, yyjson_get_str(one)))
			return true;
	}
	return wrong(j, "is of another type than those allowed");
}

static bool judge_enum(struct judge *j, yyjson_val *list, yyjson_val *v)
{
	_cleanup_(arena_free_p) struct arena *a = NULL;
	yyjson_val *one;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, one)
	{
		if (equals(one, v))
			return true;
	}
	if (!j->out)
		return false;
	a = arena_new();
	return wrong(j, "must be one of %.300s", json_val_text(a, list).p);
}

static bool judge_const(struct judge *j, yyjson_val *wanted, yyjson_val *v)
{
	_cleanup_(arena_free_p) struct arena *a = NULL;

	if (equals(wanted, v))
		return true;
	if (!j->out)
		return false;
	a = arena_new();
	return wrong(j, "must be %.300s", json_val_text(a, wanted).p);
}

static bool is_multiple(double value, double of)
{
	double times = value / of;

	if (!isfinite(times))
		return isfinite(value) && fmod(value, of) == 0;
	return fabs(times - round(times)) <= 1e-9 * fmax(1, fabs(times)) && (fabs(of) < 1 || fmod(value, of) == 0);
}

/* draft-04 says exclusiveMinimum: true beside minimum. */
static bool judge_number(struct judge *j, yyjson_val *schema, yyjson_val *v)
{
	double n = yyjson_get_num(v);
	yyjson_val *min = yyjson_obj_get(schema, "minimum"), *max = yyjson_obj_get(schema, "maximum");
	yyjson_val *above = yyjson_obj_get(schema, "exclusiveMinimum");
	yyjson_val *below = yyjson_obj_get(schema, "exclusiveMaximum"), *of = yyjson_obj_get(schema, "multipleOf");
	bool good = true;

	if (min && (n < yyjson_get_num(min) || (yyjson_is_true(above) && n == yyjson_get_num(min))))
		good = wrong(j, "must not be less than %.15g", yyjson_get_num(min));
	if (max && (n > yyjson_get_num(max) || (yyjson_is_true(below) && n == yyjson_get_num(max))))
		good = wrong(j, "must not be more than %.15g", yyjson_get_num(max));
	if (yyjson_is_num(above) && n <= yyjson_get_num(above))
		good = wrong(j, "must be more than %.15g", yyjson_get_num(above));
	if (yyjson_is_num(below) && n >= yyjson_get_num(below))
		good = wrong(j, "must be less than %.15g", yyjson_get_num(below));
	if (of && !is_multiple(n, yyjson_get_num(of)))
		good = wrong(j, "must be a multiple of %.15g", yyjson_get_num(of));
	return good;
}

static bool judge_size(struct judge *j, yyjson_val *schema, const char *min, const char *max, size_t n,
		       const char *what)
{
	yyjson_val *least = yyjson_obj_get(schema, min), *most = yyjson_obj_get(schema, max);

	if (least && (double)n < yyjson_get_num(least))
		return wrong(j, "must have at least %.15g %s", yyjson_get_num(least), what);
	if (most && (double)n > yyjson_get_num(most))
		return wrong(j, "must have at most %.15g %s", yyjson_get_num(most), what);
	return true;
}

static bool matches(struct judge *j, const char *pattern, struct str text)
{
	j->work += (long)text.n / 16;
	return pattern_matches(pattern, text);
}

static bool judge_string(struct judge *j, yyjson_val *schema, yyjson_val *v)
{
	yyjson_val *pattern = yyjson_obj_get(schema, "pattern");
	bool good = judge_size(j, schema, "minLength", "maxLength", characters(v), "characters");

	if (pattern && !matches(j, yyjson_get_str(pattern), (struct str){yyjson_get_str(v), yyjson_get_len(v)}))
		good = wrong(j, "must match the pattern %.200s", yyjson_get_str(pattern));
	return good;
}

/* The schemas that a member must fit besides its own. Returns whether any names it. */
static bool judge_by_pattern(struct judge *j, yyjson_val *patterns, yyjson_val *key, yyjson_val *v, bool *good)
{
	yyjson_val *pattern, *schema;
	size_t i, max;
	bool is_named = false;

	yyjson_obj_foreach(patterns, i, max, pattern, schema)
	{
		if (!matches(j, yyjson_get_str(pattern), (struct str){yyjson_get_str(key), yyjson_get_len(key)}))
			continue;
		is_named = true;
		*good = judge(j, schema, v) && *good;
	}
	return is_named;
}

static bool judge_member(struct judge *j, yyjson_val *schema, yyjson_val *key, yyjson_val *v)
{
	yyjson_val *own =
		yyjson_obj_getn(yyjson_obj_get(schema, "properties"), yyjson_get_str(key), yyjson_get_len(key));
	yyjson_val *others = yyjson_obj_get(schema, "additionalProperties");
	yyjson_val *names = yyjson_obj_get(schema, "propertyNames");
	size_t back = enter(j, yyjson_get_str(key), yyjson_get_len(key));
	bool good = true, is_named = own != NULL;

	if (own)
		good = judge(j, own, v);
	is_named = judge_by_pattern(j, yyjson_obj_get(schema, "patternProperties"), key, v, &good) || is_named;
	if (!is_named && yyjson_is_false(others))
		good = wrong(j, "is not allowed here");
	else if (!is_named && others)
		good = judge(j, others, v) && good;
	if (names)
		good = judge(j, names, key) && good;
	j->path_n = back;
	return good;
}

static bool judge_required(struct judge *j, yyjson_val *list, yyjson_val *v)
{
	yyjson_val *name;
	size_t i, max;
	bool good = true;

	yyjson_arr_foreach(list, i, max, name)
	{
		if (!yyjson_obj_getn(v, yyjson_get_str(name), yyjson_get_len(name)))
			good = wrong(j, "must have the member \"%.100s\"", yyjson_get_str(name));
	}
	return good;
}

static bool judge_object(struct judge *j, yyjson_val *schema, yyjson_val *v)
{
	yyjson_val *key, *val;
	size_t i, max;
	bool good = judge_size(j, schema, "minProperties", "maxProperties", yyjson_obj_size(v), "members");

	good = judge_required(j, yyjson_obj_get(schema, "required"), v) && good;
	yyjson_obj_foreach(yyjson_obj_get(schema, "dependentRequired"), i, max, key, val)
	{
		if (yyjson_obj_getn(v, yyjson_get_str(key), yyjson_get_len(key)))
			good = judge_required(j, val, v) && good;
	}
	yyjson_obj_foreach(v, i, max, key, val) good = judge_member(j, schema, key, val) && good;
	return good;
}

static bool judge_unique(struct judge *j, yyjson_val *v)
{
	yyjson_val *a, *b;
	size_t i, k, n, m;

	yyjson_arr_foreach(v, i, n, a)
	{
		yyjson_arr_foreach(v, k, m, b)
		{
			if (k >= i)
				break;
			if (++j->work > MAX_WORK)
				return wrong(j, "is too much to be checked");
			if (equals(a, b))
				return wrong(j, "must have no two items that are the same: %zu and %zu are", k, i);
		}
	}
	return true;
}

static bool judge_contains(struct judge *j, yyjson_val *schema, yyjson_val *v)
{
	yyjson_val *wanted = yyjson_obj_get(schema, "contains"), *most = yyjson_obj_get(schema, "maxContains"), *item;
	double least =
		yyjson_obj_get(schema, "minContains") ? yyjson_get_num(yyjson_obj_get(schema, "minContains")) : 1;
	struct buf *out = j->out;
	size_t i, max, n = 0;

	if (!wanted)
		return true;
	j->out = NULL;
	yyjson_arr_foreach(v, i, max, item) n += judge(j, wanted, item);
	j->out = out;
	if ((double)n < least || (most && (double)n > yyjson_get_num(most)))
		return wrong(j, "has %zu of the items that it must contain", n);
	return true;
}

static bool judge_array(struct judge *j, yyjson_val *schema, yyjson_val *v)
{
	yyjson_val *all = yyjson_obj_get(schema, "items"), *first = yyjson_obj_get(schema, "prefixItems"), *item;
	size_t i, max;
	bool good = judge_size(j, schema, "minItems", "maxItems", yyjson_arr_size(v), "items");

	if (yyjson_is_arr(all)) { /* as before 2020-12 */
		first = all;
		all = yyjson_obj_get(schema, "additionalItems");
	}
	yyjson_arr_foreach(v, i, max, item)
	{
		yyjson_val *own = i < yyjson_arr_size(first) ? yyjson_arr_get(first, i) : all;
		size_t back = enter_index(j, i);
		good = (!own || judge(j, own, item)) && good;
		j->path_n = back;
	}
	if (yyjson_is_true(yyjson_obj_get(schema, "uniqueItems")))
		good = judge_unique(j, v) && good;
	return judge_contains(j, schema, v) && good;
}

/* Without telling what is wrong. */
static bool quietly(struct judge *j, yyjson_val *schema, yyjson_val *v)
{
	struct buf *out = j->out;
	bool good;

	j->out = NULL;
	good = judge(j, schema, v);
	j->out = out;
	return good;
}

static bool judge_choices(struct judge *j, yyjson_val *schema, yyjson_val *v)
{
	yyjson_val *all = yyjson_obj_get(schema, "allOf"), *any = yyjson_obj_get(schema, "anyOf");
	yyjson_val *one = yyjson_obj_get(schema, "oneOf"), *not = yyjson_obj_get(schema, "not"), *s;
	size_t i, max, n = 0;
	bool good = true;

	yyjson_arr_foreach(all, i, max, s) good = judge(j, s, v) && good;
	yyjson_arr_foreach(any, i, max, s) n += n == 0 && quietly(j, s, v);
	if (any && n == 0)
		good = wrong(j, "fits none of the %zu forms that it may have (anyOf)", yyjson_arr_size(any));
	n = 0;
	yyjson_arr_foreach(one, i, max, s) n += quietly(j, s, v);
	if (one && n != 1)
		good = wrong(j, "fits %zu of the forms of which it must have exactly one (oneOf)", n);
	if (not &&quietly(j, not, v))
		good = wrong(j, "has the form that it must not have (not)");
	return good;
}

static bool judge_condition(struct judge *j, yyjson_val *schema, yyjson_val *v)
{
	yyjson_val *condition = yyjson_obj_get(schema, "if"), *then;

	if (!condition)
		return true;
	then = yyjson_obj_get(schema, quietly(j, condition, v) ? "then" : "else");
	return !then || judge(j, then, v);
}

static bool judge_keywords(struct judge *j, yyjson_val *schema, yyjson_val *v)
{
	yyjson_val *type = yyjson_obj_get(schema, "type"), *list = yyjson_obj_get(schema, "enum");
	yyjson_val *constant = yyjson_obj_get(schema, "const"), *ref = yyjson_obj_get(schema, "$ref");
	bool good = true;

	if (ref)
		good = judge(j, resolve(j->root, yyjson_get_str(ref)), v);
	if (type)
		good = judge_type(j, type, v) && good;
	if (list)
		good = judge_enum(j, list, v) && good;
	if (constant)
		good = judge_const(j, constant, v) && good;
	if (yyjson_is_num(v))
		good = judge_number(j, schema, v) && good;
	else if (yyjson_is_str(v))
		good = judge_string(j, schema, v) && good;
	else if (yyjson_is_arr(v))
		good = judge_array(j, schema, v) && good;
	else if (yyjson_is_obj(v))
		good = judge_object(j, schema, v) && good;
	good = judge_choices(j, schema, v) && good;
	return judge_condition(j, schema, v) && good;
}

static bool judge(struct judge *j, yyjson_val *schema, yyjson_val *value)
{
	bool good;

	if (yyjson_is_bool(schema))
		return yyjson_get_bool(schema) || wrong(j, "is not allowed here");
	if (!schema || ++j->work > MAX_WORK || j->depth == MAX_DEPTH)
		return wrong(j, "is too much to be checked");
	j->depth++;
	good = judge_keywords(j, schema, value);
	j->depth--;
	return good;
}

bool json_schema_fits(yyjson_val *schema, yyjson_val *value, struct buf *problems)
{
	struct judge j = {.root = schema, .out = problems};
	bool good = judge(&j, schema, value);

	/* A part that was too much to be checked may have counted for either side. */
	if (j.work > MAX_WORK) {
		if (good)
			wrong(&j, "is too much to be checked");
		return false;
	}
	return good;
}

/* ---- Whether a schema is one ---- */

enum what {
	ANYTHING,
	SCHEMA,
	SCHEMAS,     /* a list that is not empty */
	SCHEMA_MAP,  /* an object of schemas */
	PATTERN_MAP, /* … by patterns */
	SCHEMA_OR_LIST,
	NUMBER,
	NUMBER_OR_BOOL,
	POSITIVE,
	COUNT,
	BOOLEAN,
	PATTERN,
	NAMES,
	NAMES_MAP,
	TYPE,
	LIST,
	REFERENCE,
	REFUSED,
};

static const struct {
	const char *name;
	enum what what;
} keywords[] = {
	{"$ref", REFERENCE},
	{"$defs", SCHEMA_MAP},
	{"definitions", SCHEMA_MAP},
	{"type", TYPE},
	{"enum", LIST},
	{"const", ANYTHING},
	{"properties", SCHEMA_MAP},
	{"patternProperties", PATTERN_MAP},
	{"additionalProperties", SCHEMA},
	{"propertyNames", SCHEMA},
	{"required", NAMES},
	{"dependentRequired", NAMES_MAP},
	{"minProperties", COUNT},
	{"maxProperties", COUNT},
	{"items", SCHEMA_OR_LIST},
	{"prefixItems", SCHEMAS},
	{"additionalItems", SCHEMA},
	{"contains", SCHEMA},
	{"minContains", COUNT},
	{"maxContains", COUNT},
	{"minItems", COUNT},
	{"maxItems", COUNT},
	{"uniqueItems", BOOLEAN},
	{"minimum", NUMBER},
	{"maximum", NUMBER},
	{"exclusiveMinimum", NUMBER_OR_BOOL},
	{"exclusiveMaximum", NUMBER_OR_BOOL},
	{"multipleOf", POSITIVE},
	{"minLength", COUNT},
	{"maxLength", COUNT},
	{"pattern", PATTERN},
	{"allOf", SCHEMAS},
	{"anyOf", SCHEMAS},
	{"oneOf", SCHEMAS},
	{"not", SCHEMA},
	{"if", SCHEMA},
	{"then", SCHEMA},
	{"else", SCHEMA},
	{"$dynamicRef", REFUSED},
	{"$recursiveRef", REFUSED},
	{"unevaluatedProperties", REFUSED},
	{"unevaluatedItems", REFUSED},
	{"dependentSchemas", REFUSED},
	{"dependencies", REFUSED},
};

struct check {
	yyjson_val *root;
	struct error *err;
	unsigned depth;
};

static int check(struct check *c, yyjson_val *schema, const char *where);

static int bad(struct check *c, const char *where, const char *why)
{
	return error_set(c->err, "schema_invalid", "The schema is wrong at \"%.100s\": %s.", where, why);
}

static int check_map(struct check *c, yyjson_val *map, const char *where, bool by_pattern)
{
	yyjson_val *key, *val;
	size_t i, max;

	if (!yyjson_is_obj(map))
		return bad(c, where, "it is an object of schemas");
	yyjson_obj_foreach(map, i, max, key, val)
	{
		if (by_pattern && !pattern_is_good(yyjson_get_str(key)))
			return bad(c, where, "a pattern is wrong");
		if (check(c, val, yyjson_get_str(key)) < 0)
			return -EINVAL;
	}
	return 0;
}

static int check_list(struct check *c, yyjson_val *list, const char *where)
{
	yyjson_val *val;
	size_t i, max;

	if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
		return bad(c, where, "it is a list of schemas that is not empty");
	yyjson_arr_foreach(list, i, max, val)
	{
		if (check(c, val, where) < 0)
			return -EINVAL;
	}
	return 0;
}

static bool is_names(yyjson_val *list)
{
	yyjson_val *val;
	size_t i, max;

	if (!yyjson_is_arr(list))
		return false;
	yyjson_arr_foreach(list, i, max, val)
	{
		if (!yyjson_is_str(val))
			return false;
	}
	return true;
}

static bool is_names_map(yyjson_val *map)
{
	yyjson_val *key, *val;
	size_t i, max;

	yyjson_obj_foreach(map, i, max, key, val)
	{
		if (!is_names(val))
			return false;
	}
	return yyjson_is_obj(map);
}

static bool is_type_name(yyjson_val *v)
{
	static const char *const types[] = {"null", "boolean", "object", "array", "number", "string", "integer"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (yyjson_equals_str(v, types[i]))
			return true;
	return false;
}

static bool is_types(yyjson_val *v)
{
	yyjson_val *one;
	size_t i, max;

	if (!yyjson_is_arr(v) || yyjson_arr_size(v) == 0)
		return is_type_name(v);
	yyjson_arr_foreach(v, i, max, one)
	{
		if (!is_type_name(one))
			return false;
	}
	return true;
}

static bool is_count(yyjson_val *v)
{
	return is_integer(v) && yyjson_get_num(v) >= 0;
}

static int check_keyword(struct check *c, enum what what, yyjson_val *v, const char *name)
{
	switch (what) {
	case ANYTHING: return 0;
	case SCHEMA: return check(c, v, name);
	case SCHEMAS: return check_list(c, v, name);
	case SCHEMA_MAP: return check_map(c, v, name, false);
	case PATTERN_MAP: return check_map(c, v, name, true);
	case SCHEMA_OR_LIST:
		return yyjson_is_arr(v) && yyjson_arr_size(v) == 0 ? 0
		       : yyjson_is_arr(v)                          ? check_list(c, v, name)
								   : check(c, v, name);
	case NUMBER: return yyjson_is_num(v) ? 0 : bad(c, name, "it is a number");
	case NUMBER_OR_BOOL: return yyjson_is_num(v) || yyjson_is_bool(v) ? 0 : bad(c, name, "it is a number");
	case POSITIVE: return yyjson_is_num(v) && yyjson_get_num(v) > 0 ? 0 : bad(c, name, "it is more than 0");
	case COUNT: return is_count(v) ? 0 : bad(c, name, "it is a whole number from 0");
	case BOOLEAN: return yyjson_is_bool(v) ? 0 : bad(c, name, "it is true or false");
	case PATTERN:
		return yyjson_is_str(v) && pattern_is_good(yyjson_get_str(v))
			       ? 0
			       : bad(c, name, "the pattern cannot be read");
	case NAMES: return is_names(v) ? 0 : bad(c, name, "it is a list of names");
	case NAMES_MAP: return is_names_map(v) ? 0 : bad(c, name, "it is an object of lists of names");
	case TYPE:
		return is_types(v) ? 0
				   : bad(c, name,
					 "it is null, boolean, object, array, number, string or integer, or "
					 "a list of them");
	case LIST: return yyjson_is_arr(v) ? 0 : bad(c, name, "it is a list");
	case REFERENCE: {
		yyjson_val *to = yyjson_is_str(v) ? resolve(c->root, yyjson_get_str(v)) : NULL;
		return yyjson_is_obj(to) || yyjson_is_bool(to)
			       ? 0
			       : bad(c, name, "it must lead to a schema within this one, as #/$defs/name");
	}
	case REFUSED: return bad(c, name, "this keyword is not supported");
	}
	return 0;
}

static int check(struct check *c, yyjson_val *schema, const char *where)
{
	int r = 0;

	if (yyjson_is_bool(schema))
		return 0;
	if (!yyjson_is_obj(schema))
		return bad(c, where, "a schema is an object, true or false");
	if (c->depth == MAX_DEPTH / 2)
		return bad(c, where, "it is nested too deeply");
	c->depth++;
	for (size_t i = 0; i < ARRAY_SIZE(keywords) && r == 0; i++) {
		yyjson_val *v = yyjson_obj_get(schema, keywords[i].name);
		if (v)
			r = check_keyword(c, keywords[i].what, v, keywords[i].name);
	}
	c->depth--;
	return r;
}

int json_schema_check(yyjson_val *schema, struct error *err)
{
	struct check c = {schema, err, 0};

	return check(&c, schema, "/");
}
