#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "agent/apis/document.h"
#include "agent/apis/schema.h"
#include "io/http.h"
#include "io/json_schema.h"

#define MAX_PARAMETERS 200
#define MAX_DESCRIPTION 1200
#define MAX_SPEC (40 * 1024)
#define ARG_MAX_BYTES 64

struct maker {
	struct arena *arena; /* of this operation */
	struct schema_reader *schemas;
	yyjson_val *root, *operation;
	yyjson_mut_doc *doc;
	yyjson_mut_val *spec, *properties, *required, *params;
	struct error err; /* code empty: it can be called */
};

static int problem(struct maker *m, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int problem(struct maker *m, const char *fmt, ...)
{
	va_list ap;

	if (m->err.code[0])
		return -EINVAL;
	snprintf(m->err.code, sizeof(m->err.code), "operation");
	va_start(ap, fmt);
	vsnprintf(m->err.message, sizeof(m->err.message), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* ---- Arguments ---- */

/* What every provider takes as a member's name. */
static const char *clean_name(struct arena *a, const char *name)
{
	char *clean = arena_strndup(a, name, MIN(strlen(name), ARG_MAX_BYTES - 8));

	for (char *p = clean; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", *p))
			*p = '_';
	return *clean ? clean : "value";
}

static bool is_taken(const struct maker *m, const char *arg)
{
	return yyjson_mut_obj_get(m->properties, arg) != NULL;
}

/* "id"; when that is taken "query_id", then with a number. */
static const char *free_name(struct maker *m, const char *name, const char *where)
{
	const char *arg = clean_name(m->arena, name), *base;

	if (!is_taken(m, arg))
		return arg;
	base = arg = clean_name(m->arena, arena_printf(m->arena, "%s_%s", where, name));
	for (int i = 2; is_taken(m, arg); i++)
		arg = arena_printf(m->arena, "%s_%d", base, i);
	return arg;
}

static void add_argument(struct maker *m, const char *arg, yyjson_mut_val *schema, const char *description,
			 bool is_required)
{
	if (description && yyjson_mut_is_obj(schema) && !yyjson_mut_obj_get(schema, "description"))
		yyjson_mut_obj_add_val(m->doc, schema, "description", api_text(m->doc, description, 600));
	yyjson_mut_obj_add(m->properties, yyjson_mut_strcpy(m->doc, arg), schema);
	if (is_required)
		yyjson_mut_arr_add_strcpy(m->doc, m->required, arg);
}

/* ---- Parameters ---- */

static bool is_one_of(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (strcasecmp(name, *list) == 0)
			return true;
	return false;
}

static bool style_is_known(const char *in, const char *style)
{
	static const char *const query[] = {"form", "spaceDelimited", "pipeDelimited", "deepObject", NULL};

	if (strcmp(in, "query") == 0)
		return is_one_of(style, query);
	return strcmp(style, strcmp(in, "cookie") == 0 ? "form" : "simple") == 0;
}

/* The only media type of a parameter's content, as the specification says. */
static yyjson_val *content_schema(yyjson_val *param, bool *ret_json)
{
	yyjson_val *key, *media;
	size_t i, max;

	*ret_json = true;
	yyjson_obj_foreach(json_get_obj(param, "content"), i, max, key, media)
	{
		*ret_json = strcmp(yyjson_get_str(key), "text/plain") != 0;
		return yyjson_obj_get(media, "schema");
	}
	return NULL;
}

static void add_style(struct maker *m, yyjson_mut_val *obj, const char *style, bool explode)
{
	json_add_str(m->doc, obj, "style", style);
	yyjson_mut_obj_add_bool(m->doc, obj, "explode", explode);
}

static int add_known_param(struct maker *m, yyjson_val *param, const char *name, const char *in)
{
	bool is_form = strcmp(in, "query") == 0 || strcmp(in, "cookie") == 0, is_json = false;
	const char *style = json_get_str(param, "style", is_form ? "form" : "simple");
	yyjson_val *schema = yyjson_obj_get(param, "schema");
	yyjson_mut_val *made, *item;
	const char *arg;

	if (!schema && yyjson_obj_get(param, "content"))
		schema = content_schema(param, &is_json);
	if (!style_is_known(in, style))
		return problem(m, "Its parameter \"%.60s\" has the style \"%.20s\" in the %s, which is not supported",
			       name, style, in);
	made = schema ? api_schema(m->schemas, schema, &m->err) : yyjson_mut_obj(m->doc);
	if (!made)
		return -EINVAL;
	arg = free_name(m, name, in);
	add_argument(m, arg, made, json_get_str(param, "description", NULL),
		     json_get_bool(param, "required", false) || strcmp(in, "path") == 0);
	item = yyjson_mut_arr_add_obj(m->doc, m->params);
	json_add_str(m->doc, item, "arg", arg);
	json_add_str(m->doc, item, "name", name);
	json_add_str(m->doc, item, "in", in);
	add_style(m, item, style, json_get_bool(param, "explode", strcmp(style, "form") == 0));
	if (json_get_bool(param, "allowReserved", false) && strcmp(in, "query") == 0)
		yyjson_mut_obj_add_bool(m->doc, item, "reserved", true);
	if (is_json)
		yyjson_mut_obj_add_bool(m->doc, item, "json", true);
	return 0;
}

/* Of fields of the head some are not a parameter's to say (as the specification has it), and some are nobody's. */
static int add_header(struct maker *m, yyjson_val *param, const char *name)
{
	static const char *const passed_over[] = {"Accept", "Content-Type", "Authorization", NULL};
	static const char *const ours[] = {"Host",
					   "Content-Length",
					   "Transfer-Encoding",
					   "Connection",
					   "Keep-Alive",
					   "Upgrade",
					   "TE",
					   "Trailer",
					   "Expect",
					   "Accept-Encoding",
					   "Cookie",
					   "Proxy-Authorization",
					   "Proxy-Connection",
					   "traceparent",
					   NULL};

	if (is_one_of(name, passed_over))
		return 0;
	if (strcasecmp(name, "Idempotency-Key") == 0) {
		json_add_str(m->doc, m->spec, "key_header", "Idempotency-Key");
		return 0;
	}
	if (!http_is_token(str_of(name)))
		return problem(m, "The name of its field \"%.60s\" is none", name);
	if (!is_one_of(name, ours))
		return add_known_param(m, param, name, "header");
	if (!json_get_bool(param, "required", false))
		return 0;
	return problem(m, "It needs the field %.60s, which cannot be set", name);
}

static int add_param(struct maker *m, yyjson_val *param)
{
	const char *name = json_get_str(param, "name", ""), *in = json_get_str(param, "in", "");

	if (!*name || strlen(name) > 200)
		return problem(m, "A parameter has no name, or a long one");
	if (strcmp(in, "header") == 0)
		return add_header(m, param, name);
	if (strcmp(in, "cookie") == 0 && !http_is_token(str_of(name)))
		return problem(m, "The name of its cookie \"%.60s\" is none", name);
	if (strcmp(in, "path") == 0 || strcmp(in, "query") == 0 || strcmp(in, "cookie") == 0)
		return add_known_param(m, param, name, in);
	return problem(m, "Its parameter \"%.60s\" is in \"%.20s\", which is not known", name, in);
}

static bool is_same_param(yyjson_val *a, yyjson_val *b)
{
	return strcmp(json_get_str(a, "name", ""), json_get_str(b, "name", "")) == 0 &&
	       strcmp(json_get_str(a, "in", ""), json_get_str(b, "in", "")) == 0;
}

/* Whether the operation has one of its own in the place of its path's. */
static bool is_replaced(struct maker *m, yyjson_val *param)
{
	yyjson_val *own;
	size_t i, max;

	yyjson_arr_foreach(json_get_arr(m->operation, "parameters"), i, max, own)
	{
		if (is_same_param(api_resolve(m->root, own, NULL), param))
			return true;
	}
	return false;
}

static int add_params(struct maker *m, yyjson_val *list, bool is_own)
{
	yyjson_val *item, *param;
	size_t i, max;

	if (yyjson_arr_size(list) > MAX_PARAMETERS)
		return problem(m, "It has more than %d parameters", MAX_PARAMETERS);
	yyjson_arr_foreach(list, i, max, item)
	{
		param = api_resolve(m->root, item, &m->err);
		if (!param)
			return -EINVAL;
		if (!is_own && is_replaced(m, param))
			continue;
		if (add_param(m, param) < 0)
			return -EINVAL;
	}
	return 0;
}

static bool has_path_param(struct maker *m, struct str name)
{
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(m->params);
	yyjson_mut_val *param;

	while ((param = yyjson_mut_arr_iter_next(&it)))
		if (yyjson_mut_equals_str(yyjson_mut_obj_get(param, "in"), "path") &&
		    str_is(name, yyjson_mut_get_str(yyjson_mut_obj_get(param, "name"))))
			return true;
	return false;
}

static int check_path(struct maker *m, const char *path)
{
	if (*path != '/' || strlen(path) > 1000 || strpbrk(path, "?#\\ \t\r\n"))
		return problem(m, "Its path must begin with / and have no blanks, ? or #");
	for (const char *p = path; (p = strchr(p, '{'));) {
		const char *end = strchr(p, '}');
		if (!end || !has_path_param(m, (struct str){p + 1, (size_t)(end - p - 1)}))
			return problem(m, "Its path names {%.*s}, which is none of its parameters",
				       (int)MIN(end ? end - p - 1 : 0, 60), p + 1);
		p = end;
	}
	return 0;
}

/* ---- The body ---- */

static const char *const body_kinds[] = {"json", "form", "text"};

/* The place in body_kinds, or -1. */
static int kind_of(const char *type)
{
	struct str rest = str_of(type), media = str_trim(str_cut(&rest, ';'));

	if (str_ieq(media, STR("application/json")) || str_has_suffix(media, STR("+json")) || str_is(media, "*/*") ||
	    str_is(media, "application/*"))
		return 0;
	if (str_ieq(media, STR("application/x-www-form-urlencoded")))
		return 1;
	return str_has_prefix(media, STR("text/")) ? 2 : -1;
}

/* The media type that is best known here; *ret_kind is -1 when none is. */
static yyjson_val *choose_media(yyjson_val *content, const char **ret_type, int *ret_kind)
{
	yyjson_val *key, *media, *best = NULL;
	size_t i, max;

	*ret_kind = -1;
	*ret_type = "";
	yyjson_obj_foreach(content, i, max, key, media)
	{
		int kind = kind_of(yyjson_get_str(key));
		if (!**ret_type)
			*ret_type = yyjson_get_str(key);
		if (kind < 0 || (*ret_kind >= 0 && kind >= *ret_kind) ||
		    !http_value_is_clean((struct str){yyjson_get_str(key), yyjson_get_len(key)}))
			continue;
		best = media;
		*ret_kind = kind;
		*ret_type = yyjson_get_str(key);
	}
	if (*ret_kind == 0 && strchr(*ret_type, '*'))
		*ret_type = "application/json";
	return best;
}

/* Whether the body's members can stand among the other arguments. */
static bool can_be_merged(struct maker *m, yyjson_mut_val *schema)
{
	static const char *const others[] = {"allOf", "anyOf", "oneOf", "not", "minProperties", "maxProperties"};
	yyjson_mut_val *properties = yyjson_mut_obj_get(schema, "properties"), *key;
	yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(properties);
	yyjson_mut_val *more = yyjson_mut_obj_get(schema, "additionalProperties"), *type;

	type = yyjson_mut_obj_get(schema, "type");
	if (yyjson_mut_obj_size(properties) == 0 || yyjson_mut_is_obj(more) || yyjson_mut_is_true(more) ||
	    (type && !yyjson_mut_equals_str(type, "object")))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (yyjson_mut_obj_get(schema, others[i]))
			return false;
	while ((key = yyjson_mut_obj_iter_next(&it)))
		if (is_taken(m, clean_name(m->arena, yyjson_mut_get_str(key))))
			return false;
	return true;
}

static bool is_in(yyjson_mut_val *list, const char *name)
{
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(list);
	yyjson_mut_val *item;

	while ((item = yyjson_mut_arr_iter_next(&it)))
		if (yyjson_mut_equals_str(item, name))
			return true;
	return false;
}

/* How a form says a member that is no plain value: as its encoding says, else a list as repeated fields. */
static void add_encoding(struct maker *m, yyjson_mut_val *item, yyjson_val *media, const char *name)
{
	yyjson_val *encoding = json_get_obj(json_get_obj(media, "encoding"), name);
	const char *style = json_get_str(encoding, "style", NULL);

	if (style && !style_is_known("query", style))
		style = NULL;
	add_style(m, item, style ?: "form", json_get_bool(encoding, "explode", !style || strcmp(style, "form") == 0));
	if (!style)
		yyjson_mut_obj_add_bool(m->doc, item, "plain", true);
}

static void merge_body(struct maker *m, yyjson_mut_val *body, yyjson_mut_val *schema, yyjson_val *media,
		       bool is_required)
{
	yyjson_mut_val *members = yyjson_mut_obj_add_arr(m->doc, body, "members"), *key;
	yyjson_mut_val *required = yyjson_mut_obj_get(schema, "required");
	yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(yyjson_mut_obj_get(schema, "properties"));

	while ((key = yyjson_mut_obj_iter_next(&it))) {
		const char *name = yyjson_mut_get_str(key), *arg = free_name(m, name, "body");
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(m->doc, members);
		add_argument(m, arg, yyjson_mut_val_mut_copy(m->doc, yyjson_mut_obj_iter_get_val(key)), NULL,
			     is_required && is_in(required, name));
		json_add_str(m->doc, item, "arg", arg);
		json_add_str(m->doc, item, "name", name);
		add_encoding(m, item, media, name);
	}
}

static int add_body(struct maker *m, const char *method)
{
	yyjson_val *from = yyjson_obj_get(m->operation, "requestBody"), *media, *schema;
	bool is_required, takes_none = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
	yyjson_mut_val *body, *made;
	const char *type, *arg;
	int kind;

	if (!from || takes_none)
		return 0;
	from = api_resolve(m->root, from, &m->err);
	if (!from)
		return -EINVAL;
	is_required = json_get_bool(from, "required", false);
	media = choose_media(json_get_obj(from, "content"), &type, &kind);
	if (kind < 0)
		return is_required ? problem(m, "Its body is of the type \"%.60s\", which is not supported", type) : 0;
	schema = yyjson_obj_get(media, "schema");
	made = schema ? api_schema(m->schemas, schema, &m->err) : yyjson_mut_obj(m->doc);
	if (!made)
		return -EINVAL;
	api_schema_flatten(m->doc, made);
	body = yyjson_mut_obj_add_obj(m->doc, m->spec, "body");
	json_add_str(m->doc, body, "type", type);
	json_add_str(m->doc, body, "kind", body_kinds[kind]);
	yyjson_mut_obj_add_bool(m->doc, body, "required", is_required);
	if (kind != 2 && can_be_merged(m, made)) {
		merge_body(m, body, made, media, is_required);
		return 0;
	}
	if (kind == 1 && !yyjson_mut_obj_get(made, "properties") && !yyjson_mut_obj_get(made, "type"))
		yyjson_mut_obj_add_str(m->doc, made, "type", "object");
	arg = free_name(m, "body", "request");
	add_argument(m, arg, made, json_get_str(from, "description", "The body of the request"), is_required);
	json_add_str(m->doc, body, "arg", arg);
	return 0;
}

/* ---- Security ---- */

/* Alternatives of which nothing is unknown here. */
static int add_security(struct maker *m, yyjson_val *schemes)
{
	yyjson_val *list = yyjson_obj_get(m->operation, "security") ?: yyjson_obj_get(m->root, "security");
	yyjson_mut_val *out = yyjson_mut_obj_add_arr(m->doc, m->spec, "security");
	yyjson_val *alternative, *key, *scopes;
	size_t i, k, max, n;
	const char *unknown = NULL;

	yyjson_arr_foreach(list, i, max, alternative)
	{
		yyjson_mut_val *names = yyjson_mut_arr(m->doc);
		bool is_known = yyjson_is_obj(alternative);
		yyjson_obj_foreach(alternative, k, n, key, scopes)
		{
			if (!yyjson_obj_get(schemes, yyjson_get_str(key))) {
				unknown = yyjson_get_str(key);
				is_known = false;
			}
			yyjson_mut_arr_add_val(names, yyjson_val_mut_copy(m->doc, key));
		}
		if (is_known && yyjson_mut_arr_size(out) < 20)
			yyjson_mut_arr_add_val(out, names);
	}
	if (unknown && yyjson_mut_arr_size(out) == 0)
		return problem(m, "It needs \"%.60s\", a kind of security that is not supported", unknown);
	return 0;
}

/* ---- The whole ---- */

static void add_description(struct maker *m, const struct api_operation *o)
{
	const char *summary = json_get_str(m->operation, "summary", ""),
		   *text = json_get_str(m->operation, "description", "");
	const char *both = arena_printf(m->arena, "%.400s%s%s", summary, *summary && *text ? "\n" : "",
					strcmp(summary, text) != 0 ? text : "");

	both = arena_printf(m->arena, "%s%s%s%s %s%s",
			    json_get_bool(m->operation, "deprecated", false) ? "Deprecated. " : "", both,
			    *both ? "\n" : "", o->method, o->path, "");
	yyjson_mut_obj_add_val(m->doc, m->spec, "description", api_text(m->doc, both, MAX_DESCRIPTION));
}

static int check_servers(struct maker *m, yyjson_val *path_item)
{
	if (yyjson_arr_size(json_get_arr(m->operation, "servers")) == 0 &&
	    yyjson_arr_size(json_get_arr(path_item, "servers")) == 0)
		return 0;
	return problem(m, "It is on a server of its own, which is not supported");
}

static int make(struct maker *m, yyjson_val *path_item, yyjson_val *schemes, const struct api_operation *o)
{
	if (check_servers(m, path_item) < 0 || add_params(m, json_get_arr(path_item, "parameters"), false) < 0 ||
	    add_params(m, json_get_arr(m->operation, "parameters"), true) < 0 || check_path(m, o->path) < 0 ||
	    add_body(m, o->method) < 0)
		return -EINVAL;
	return add_security(m, schemes);
}

static void add_schema(struct maker *m)
{
	yyjson_mut_val *schema = yyjson_mut_obj_add_obj(m->doc, m->spec, "parameters");

	yyjson_mut_obj_add_str(m->doc, schema, "type", "object");
	yyjson_mut_obj_add_val(m->doc, schema, "properties", m->properties);
	if (yyjson_mut_arr_size(m->required) > 0)
		yyjson_mut_obj_add_val(m->doc, schema, "required", m->required);
	yyjson_mut_obj_add_bool(m->doc, schema, "additionalProperties", false);
}

/* What was made is what json_schema_fits judges. */
static int check_made(struct maker *m, struct str spec)
{
	struct error err = {0};
	yyjson_val *root = yyjson_doc_get_root(json_parse_depth(m->arena, spec.p, spec.n, 200, &err));

	if (!root || json_schema_check(json_get_obj(root, "parameters"), &err) < 0)
		return problem(m, "Its schemas cannot be used: %.200s", err.message);
	return 0;
}

/* One try, with schemas to this depth. Returns false when it came out too large. */
static bool try_depth(struct arena *a, struct schema_reader *schemas, struct maker *m, unsigned depth,
		      yyjson_val *path_item, yyjson_val *schemes, struct api_operation *ret)
{
	struct str spec = {0};

	m->spec = json_new_obj(m->arena, &m->doc);
	m->properties = yyjson_mut_obj(m->doc);
	m->required = yyjson_mut_arr(m->doc);
	m->err = (struct error){0};
	schemas->doc = m->doc;
	schemas->n_nodes = schemas->depth = 0;
	schemas->max_depth = depth;
	schemas->n_path = 0;
	json_add_str(m->doc, m->spec, "method", ret->method);
	json_add_str(m->doc, m->spec, "path", ret->path);
	add_description(m, ret);
	m->params = yyjson_mut_obj_add_arr(m->doc, m->spec, "params");
	if (make(m, path_item, schemes, ret) == 0) {
		add_schema(m);
		spec = json_text(m->arena, m->doc);
		if (spec.n > MAX_SPEC)
			return false;
		check_made(m, spec);
	}
	ret->problem = m->err.code[0] ? arena_printf(a, "%s.", m->err.message) : NULL;
	ret->spec = m->err.code[0] ? (struct str){0} : arena_str(a, spec);
	return true;
}

/* What is deep inside is told less exactly rather than not at all. */
void api_operation_read(struct arena *a, struct schema_reader *schemas, yyjson_val *path_item, yyjson_val *operation,
			yyjson_val *schemes, struct api_operation *ret)
{
	static const unsigned depths[] = {24, 8, 5, 3};

	for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
		_cleanup_(arena_free_p) struct arena *own = arena_new();
		struct maker m = {.arena = own, .schemas = schemas, .root = schemas->root, .operation = operation};
		if (try_depth(a, schemas, &m, depths[i], path_item, schemes, ret))
			return;
	}
	ret->problem = arena_printf(a, "Its parameters are too large: at most %d KiB.", MAX_SPEC / 1024);
}
