/* Models and the providers that are connected. */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "output.h"
#include "secret_line.h"
#include "session.h"

static int call(struct session *s, struct arena *a, const char *method, const char *path, struct str body, bool is_json,
		yyjson_val **ret)
{
	int r = session_call(s, a, method, path, body, ret);

	if (r == EXIT_OK && is_json)
		out_json(*ret);
	return r;
}

static int list(struct session *s, struct arena *a, bool is_json)
{
	yyjson_val *answer, *item;
	size_t i, n;
	int r = call(s, a, "GET", "/api/models", (struct str){0}, is_json, &answer);

	if (r != EXIT_OK || is_json)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		yyjson_val *prices = json_get_obj(item, "prices");
		out_printf("%c %-40s  %-10s  %9lld", json_get_bool(item, "default", false) ? '*' : ' ',
			   json_get_str(item, "id", ""), json_get_str(item, "provider", ""),
			   (long long)json_get_int(item, "context", 0));
		if (prices)
			out_printf("  $%g in, $%g out", json_get_num(prices, "input", 0),
				   json_get_num(prices, "output", 0));
		out_printf("%s\n", json_get_bool(item, "available", true) ? "" : "  fails now");
	}
	return r;
}

static int providers(struct session *s, struct arena *a, bool is_json)
{
	yyjson_val *answer, *item;
	size_t i, n;
	int r = call(s, a, "GET", "/api/models/providers", (struct str){0}, is_json, &answer);

	if (r != EXIT_OK || is_json)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		const char *end = json_get_str(item, "key_end", NULL);
		out_printf("%c %-20s  %-10s  %-40s  %s%s  %s\n", json_get_bool(item, "is_default", false) ? '*' : ' ',
			   json_get_str(item, "slug", ""), json_get_str(item, "provider", ""),
			   json_get_str(item, "base_url", ""), end ? "key …" : "no key", end ? end : "",
			   json_get_bool(item, "shared", false) ? "for everybody" : "yours");
	}
	return r;
}

struct added {
	const char *slug, *url, *model;
	bool is_default, is_own;
};

static int add(struct session *s, struct arena *a, const char *kind, const struct added *w, bool is_json)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	const char *key = secret_line_read(a, "OGENT_MODEL_KEY", "Key");
	yyjson_val *answer;
	int r;

	json_add_str(doc, obj, "provider", kind);
	json_add_str(doc, obj, "name", w->slug ? w->slug : kind);
	if (w->slug)
		json_add_str(doc, obj, "slug", w->slug);
	if (w->url)
		json_add_str(doc, obj, "base_url", w->url);
	if (key)
		json_add_str(doc, obj, "key", key);
	if (w->model)
		json_add_str(doc, obj, "default_model", w->model);
	if (w->is_default)
		yyjson_mut_obj_add_bool(doc, obj, "is_default", true);
	if (w->is_own)
		yyjson_mut_obj_add_bool(doc, obj, "shared", false);
	r = call(s, a, "POST", "/api/models/providers", json_text(a, doc), is_json, &answer);
	if (r == EXIT_OK && !is_json)
		out_printf("%s is connected: ogent models test %s\n", json_get_str(answer, "slug", ""),
			   json_get_str(answer, "slug", ""));
	return r;
}

/* The id of a slug, or NULL after saying so. */
static const char *find(struct session *s, struct arena *a, const char *slug, int *ret)
{
	yyjson_val *answer, *item;
	size_t i, n;

	*ret = session_call(s, a, "GET", "/api/models/providers", (struct str){0}, &answer);
	if (*ret != EXIT_OK)
		return NULL;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		if (strcmp(json_get_str(item, "slug", ""), slug) == 0)
			return json_get_str(item, "id", "");
	}
	fprintf(stderr, "ogent: there is no provider %s: see ogent models providers\n", slug);
	*ret = EXIT_FAILED;
	return NULL;
}

static int try(struct session *s, struct arena *a, const char *slug, const char *model, bool is_json)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	yyjson_val *answer;
	int r;
	const char *id = find(s, a, slug, &r);

	if (!id)
		return r;
	if (model)
		json_add_str(doc, obj, "model", model);
	r = call(s, a, "POST", arena_printf(a, "/api/models/providers/%s/test", id), json_text(a, doc), is_json,
		 &answer);
	if (r != EXIT_OK)
		return r;
	bool ok = json_get_bool(answer, "ok", false);
	if (!is_json && ok)
		out_printf("%s works: %zu models, %lld ms\n", slug, yyjson_arr_size(json_get_arr(answer, "models")),
			   (long long)json_get_int(answer, "latency_ms", 0));
	else if (!is_json)
		out_printf("%s does not work: %s\n", slug, json_get_str(json_get_obj(answer, "error"), "message", ""));
	return ok ? EXIT_OK : EXIT_FAILED;
}

static int delete (struct session *s, struct arena *a, const char *slug)
{
	yyjson_val *answer;
	int r;
	const char *id = find(s, a, slug, &r);

	return id ? session_call(s, a, "DELETE", arena_printf(a, "/api/models/providers/%s", id), (struct str){0},
				 &answer)
		  : r;
}

static int act(const struct command *self, struct session *s, struct arena *a, const struct args *args,
	       const struct added *w, bool is_json)
{
	const char *verb = args->n_rest ? args->rest[0] : "list", *what = args->n_rest > 1 ? args->rest[1] : NULL;

	if (strcmp(verb, "list") == 0)
		return list(s, a, is_json);
	if (strcmp(verb, "providers") == 0)
		return providers(s, a, is_json);
	if (!what)
		return usage_error(self, "\"%s\" needs a name", verb);
	if (strcmp(verb, "add") == 0)
		return add(s, a, what, w, is_json);
	if (strcmp(verb, "test") == 0)
		return try(s, a, what, w->model, is_json);
	if (strcmp(verb, "remove") == 0)
		return delete (s, a, what);
	return usage_error(self, "\"%s\" is not known", verb);
}

int cmd_models(const struct command *self, int argc, char **argv)
{
	const char *url = NULL;
	struct added w = {0};
	bool is_json = false;
	const struct flag flags[] = {
		{"url", &url},           {"slug", &w.slug},        {"address", &w.url},
		{"model", &w.model},     {"json", NULL, &is_json}, {"default", NULL, &w.is_default},
		{"own", NULL, &w.is_own}};
	struct args args;
	struct session session;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	struct arena *a = arena_new();
	if (args.n_rest > 2)
		r = usage_error(self, "\"%s\" is too much", args.rest[2]);
	else if ((r = session_open(&session, args.options, url)) == EXIT_OK) {
		r = act(self, &session, a, &args, &w, is_json);
		session_close(&session);
	}
	arena_free(a);
	args_deinit(&args);
	return r;
}
