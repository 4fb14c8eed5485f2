#include "agent/apis/document.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/apis/schema.h"
#include "base/utf8.h"
#include "io/http.h"
#include "io/yaml_json.h"

#define JSON_OF_YAML_MAX (16 * 1024 * 1024)
#define MAX_DEPTH 200
#define MAX_SERVERS 20
#define MAX_SCHEMES 20
#define SPECS_MAX (16 * 1024 * 1024) /* of all operations */

struct reading {
	struct arena *arena;
	struct api_document *doc;
	yyjson_val *root, *schemes;
	struct schema_reader schemas;
	size_t bytes;
	struct error *err;
};

static const char *text_member(struct arena *a, yyjson_val *obj, const char *name, size_t max)
{
	const char *text = json_get_str(obj, name, "");
	size_t n = MIN(strlen(text), max);

	while (n < strlen(text) && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return arena_strndup(a, text, n);
}

/* ---- Names ---- */

/* "repos/list commits" becomes "repos_list_commits". */
static const char *clean_name(struct arena *a, const char *wish)
{
	char *name = arena_alloc(a, API_NAME_MAX + 1);
	size_t n = 0;

	for (const char *p = wish; *p && n < API_NAME_MAX; p++) {
		if (isalnum((unsigned char)*p) || *p == '-')
			name[n++] = *p;
		else if (n > 0 && name[n - 1] != '_')
			name[n++] = '_';
	}
	while (n > 0 && name[n - 1] == '_')
		n--;
	name[n] = '\0';
	return name;
}

static bool has_name(const struct api_document *doc, const char *name)
{
	for (size_t i = 0; i < doc->n_operations; i++)
		if (strcasecmp(doc->operations[i].name, name) == 0)
			return true;
	return false;
}

static const char *lower(struct arena *a, const char *s)
{
	char *copy = arena_strdup(a, s);

	for (char *p = copy; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return copy;
}

static const char *make_name(struct reading *r, yyjson_val *operation, const struct api_operation *o)
{
	const char *base = clean_name(r->arena, json_get_str(operation, "operationId", "")), *name;

	if (!*base)
		base = clean_name(r->arena, arena_printf(r->arena, "%s_%s", lower(r->arena, o->method), o->path));
	name = base;
	for (size_t i = 2; has_name(r->doc, name); i = i < 20 ? i + 1 : r->doc->n_operations + i)
		name = arena_printf(r->arena, "%.*s_%zu", API_NAME_MAX - 6, base, i);
	return name;
}

/* ---- Operations ---- */

static int add_operation(struct reading *r, const char *path, const char *method, yyjson_val *item,
			 yyjson_val *operation)
{
	struct api_operation *o = &r->doc->operations[r->doc->n_operations];

	if (r->doc->n_operations == API_OPERATIONS_MAX)
		return error_set(r->err, "document_too_large", "The document has more than %d operations.",
				 API_OPERATIONS_MAX);
	*o = (struct api_operation){.method = method, .path = arena_strndup(r->arena, path, MIN(strlen(path), 1000))};
	o->name = make_name(r, operation, o);
	o->summary = text_member(r->arena, operation, "summary", 300);
	if (!*o->summary)
		o->summary = text_member(r->arena, operation, "description", 300);
	api_operation_read(r->arena, &r->schemas, item, operation, r->schemes, o);
	r->doc->n_operations++;
	r->bytes += o->spec.n;
	if (r->bytes > SPECS_MAX)
		return error_set(r->err, "document_too_large",
				 "The operations of the document are too much together: send a part of it.");
	return 0;
}

static int read_path(struct reading *r, const char *path, yyjson_val *item)
{
	static const struct {
		const char *key, *method;
	} methods[] = {{"get", "GET"}, {"head", "HEAD"},   {"options", "OPTIONS"}, {"post", "POST"},
		       {"put", "PUT"}, {"patch", "PATCH"}, {"delete", "DELETE"}};

	item = api_resolve(r->root, item, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		yyjson_val *operation = json_get_obj(item, methods[i].key);
		if (operation && add_operation(r, path, methods[i].method, item, operation) < 0)
			return -EINVAL;
	}
	return 0;
}

static int read_paths(struct reading *r)
{
	yyjson_val *path, *item;
	size_t i, max;

	r->doc->operations = arena_alloc(r->arena, API_OPERATIONS_MAX * sizeof(*r->doc->operations));
	yyjson_obj_foreach(json_get_obj(r->root, "paths"), i, max, path, item)
	{
		if (yyjson_get_str(path)[0] == '/' && read_path(r, yyjson_get_str(path), item) < 0)
			return -EINVAL;
	}
	if (r->doc->n_operations == 0)
		return error_set(r->err, "document_invalid", "The document has no operations in \"paths\".");
	return 0;
}

/* ---- Security schemes ---- */

/* NULL: one that is not supported. */
static const char *scheme_type(yyjson_val *scheme)
{
	const char *type = json_get_str(scheme, "type", ""), *http = json_get_str(scheme, "scheme", "");
	const char *in = json_get_str(scheme, "in", ""), *name = json_get_str(scheme, "name", "");

	if (strcmp(type, "apiKey") == 0) {
		bool is_field = strcmp(in, "header") == 0 || strcmp(in, "cookie") == 0;
		if (!*name || strlen(name) > 200 || (is_field && !http_is_token(str_of(name))))
			return NULL;
		return is_field || strcmp(in, "query") == 0 ? "api_key" : NULL;
	}
	if (strcmp(type, "http") == 0 && strcasecmp(http, "basic") == 0)
		return "basic";
	if ((strcmp(type, "http") == 0 && strcasecmp(http, "bearer") == 0) || strcmp(type, "oauth2") == 0 ||
	    strcmp(type, "openIdConnect") == 0)
		return "bearer";
	return NULL;
}

static void read_schemes(struct reading *r)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *out = json_new_obj(r->arena, &doc), *made;
	yyjson_val *name, *scheme;
	size_t i, max;

	yyjson_obj_foreach(json_get_obj(json_get_obj(r->root, "components"), "securitySchemes"), i, max, name, scheme)
	{
		scheme = api_resolve(r->root, scheme, NULL);
		const char *type = scheme_type(scheme);
		if (!type || yyjson_get_len(name) > 100 || yyjson_mut_obj_size(out) == MAX_SCHEMES)
			continue;
		made = yyjson_mut_obj(doc);
		yyjson_mut_obj_add(out, yyjson_val_mut_copy(doc, name), made);
		json_add_str(doc, made, "type", type);
		json_add_str(doc, made, "in", strcmp(type, "api_key") == 0 ? json_get_str(scheme, "in", "") : NULL);
		json_add_str(doc, made, "parameter",
			     strcmp(type, "api_key") == 0 ? json_get_str(scheme, "name", "") : NULL);
		yyjson_mut_obj_add_val(doc, made, "description",
				       api_text(doc, json_get_str(scheme, "description", ""), 300));
	}
	struct str text = json_text(r->arena, doc);
	r->doc->schemes = text.p;
	r->schemes = yyjson_doc_get_root(json_parse(r->arena, text.p, text.n, NULL));
}

/* ---- Servers ---- */

static void add_variables(yyjson_mut_doc *doc, yyjson_mut_val *server, yyjson_val *variables)
{
	yyjson_mut_val *out = yyjson_mut_obj_add_obj(doc, server, "variables"), *made, *list;
	yyjson_val *name, *variable, *value;
	size_t i, k, max, n;

	yyjson_obj_foreach(variables, i, max, name, variable)
	{
		if (i == MAX_SERVERS || yyjson_get_len(name) > 100)
			continue;
		made = yyjson_mut_obj(doc);
		yyjson_mut_obj_add(out, yyjson_val_mut_copy(doc, name), made);
		yyjson_mut_obj_add_val(doc, made, "default", api_text(doc, json_get_str(variable, "default", ""), 200));
		yyjson_mut_obj_add_val(doc, made, "description",
				       api_text(doc, json_get_str(variable, "description", ""), 300));
		list = yyjson_mut_obj_add_arr(doc, made, "enum");
		yyjson_arr_foreach(json_get_arr(variable, "enum"), k, n, value)
		{
			if (yyjson_is_str(value) && k < 100)
				yyjson_mut_arr_add_val(list, api_text(doc, yyjson_get_str(value), 200));
		}
	}
}

/* A document without servers is on the one that it came from. */
static void read_servers(struct reading *r)
{
	yyjson_mut_doc *doc = json_new(r->arena);
	yyjson_mut_val *out = yyjson_mut_arr(doc), *made;
	yyjson_val *server;
	size_t i, max;

	yyjson_mut_doc_set_root(doc, out);
	yyjson_arr_foreach(json_get_arr(r->root, "servers"), i, max, server)
	{
		if (i == MAX_SERVERS || !json_get_str(server, "url", NULL))
			continue;
		made = yyjson_mut_arr_add_obj(doc, out);
		yyjson_mut_obj_add_val(doc, made, "url", api_text(doc, json_get_str(server, "url", ""), 500));
		yyjson_mut_obj_add_val(doc, made, "description",
				       api_text(doc, json_get_str(server, "description", ""), 300));
		add_variables(doc, made, json_get_obj(server, "variables"));
	}
	if (yyjson_mut_arr_size(out) == 0) {
		made = yyjson_mut_arr_add_obj(doc, out);
		yyjson_mut_obj_add_str(doc, made, "url", "/");
		yyjson_mut_obj_add_str(doc, made, "description", "");
		yyjson_mut_obj_add_obj(doc, made, "variables");
	}
	r->doc->servers = json_text(r->arena, doc).p;
}

struct str api_origin(const char *url)
{
	const char *host = strstr(url, "://");

	if (!host)
		return (struct str){0};
	host += 3;
	return (struct str){url, (size_t)(host - url) + strcspn(host, "/?#\\")};
}

static int check_value(yyjson_val *variable, const char *name, const char *value, struct error *err)
{
	yyjson_val *list = json_get_arr(variable, "enum"), *one;
	size_t i, max;

	if (yyjson_arr_size(list) == 0)
		return 0;
	yyjson_arr_foreach(list, i, max, one)
	{
		if (yyjson_equals_str(one, value))
			return 0;
	}
	return error_set(err, "server_variable", "The server's variable \"%.60s\" may not be \"%.60s\".", name, value);
}

/* Puts the variables' values in. */
static int expand(struct arena *a, yyjson_val *server, yyjson_val *values, struct buf *out, struct error *err)
{
	yyjson_val *variables = json_get_obj(server, "variables");

	for (const char *p = json_get_str(server, "url", ""); *p; p++) {
		const char *end = *p == '{' ? strchr(p, '}') : NULL, *name, *value;
		yyjson_val *variable;
		if (!end) {
			buf_add_char(out, *p);
			continue;
		}
		name = arena_strndup(a, p + 1, (size_t)(end - p - 1));
		variable = json_get_obj(variables, name);
		value = json_get_str(values, name, json_get_str(variable, "default", ""));
		if (!*value)
			return error_set(err, "server_variable", "The server's variable \"%.60s\" needs a value.",
					 name);
		if (check_value(variable, name, value, err) < 0)
			return -EINVAL;
		buf_add_str(out, value);
		p = end;
	}
	return 0;
}

const char *api_server_url(struct arena *a, yyjson_val *server, yyjson_val *values, const char *from, struct error *err)
{
	_cleanup_(buf_deinit) struct buf url = BUF_INIT;
	size_t n;

	if (expand(a, server, values, &url, err) < 0)
		return NULL;
	n = url.n;
	while (n > 0 && url.p[n - 1] == '/')
		n--;
	if (url.n > 0 && strstr(url.p, "://"))
		return arena_strndup(a, url.p, n);
	if (!from) {
		error_set(err, "base_url_needed",
			  "The document does not say where its API is: send \"base_url\" with it.");
		return NULL;
	}
	return arena_printf(a, "%.*s%s%.*s", STR_ARG(api_origin(from)), n > 0 && url.p[0] != '/' ? "/" : "", (int)n,
			    url.n ? url.p : "");
}

/* ---- The document ---- */

static bool is_json(struct str text)
{
	while (text.n > 0 && isspace((unsigned char)*text.p)) {
		text.p++;
		text.n--;
	}
	return text.n > 0 && (*text.p == '{' || *text.p == '[');
}

static yyjson_val *parse(struct arena *a, struct str text, struct error *err)
{
	_cleanup_(buf_deinit) struct buf json = BUF_INIT;
	yyjson_doc *doc;

	if (str_has_prefix(text, STR("\xef\xbb\xbf"))) {
		text.p += 3;
		text.n -= 3;
	}
	if (!is_json(text)) {
		if (yaml_to_json(text, JSON_OF_YAML_MAX, &json, err) < 0)
			return NULL;
		text = buf_str(&json);
	}
	doc = json_parse_depth(a, text.p, text.n, MAX_DEPTH, err);
	return yyjson_doc_get_root(doc);
}

static int check_version(yyjson_val *root, struct error *err)
{
	const char *version = json_get_str(root, "openapi", NULL);

	if (yyjson_obj_get(root, "swagger"))
		return error_set(
			err, "document_version",
			"This is a document of Swagger 2: convert it to OpenAPI 3 (for example at editor.swagger.io).");
	if (!version)
		return error_set(
			err, "document_invalid",
			"This is no OpenAPI document: it has no \"openapi\" with a version such as \"3.1.0\".");
	if (strncmp(version, "3.0", 3) != 0 && strncmp(version, "3.1", 3) != 0)
		return error_set(err, "document_version", "OpenAPI %.20s is not known here: 3.0 and 3.1 are.", version);
	return 0;
}

int api_document_read(struct arena *a, struct str text, struct api_document *ret, struct error *err)
{
	_cleanup_(arena_free_p) struct arena *tree = arena_new();
	struct reading r = {.arena = a, .doc = ret, .err = err};
	yyjson_val *info;

	*ret = (struct api_document){0};
	if (text.n > API_DOCUMENT_MAX)
		return error_set(err, "document_too_large", "A document has at most %d MiB.", API_DOCUMENT_MAX >> 20);
	r.root = r.schemas.root = parse(tree, text, err);
	if (!r.root || check_version(r.root, err) < 0)
		return -EINVAL;
	info = json_get_obj(r.root, "info");
	ret->title = text_member(a, info, "title", 100);
	ret->description = text_member(a, info, "description", 1000);
	ret->version = text_member(a, info, "version", 100);
	read_servers(&r);
	read_schemes(&r);
	return read_paths(&r);
}
