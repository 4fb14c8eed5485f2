/* Collections of documents: making, filling, searching, removing. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "base/encode.h"
#include "local_file.h"
#include "output.h"
#include "session.h"

#define WAIT_MS 300

struct wish {
	const char *collection, *limit, *mode, *language, *model;
	bool is_json, is_shared, is_waiting;
};

static int list(struct session *s, struct arena *a, const struct wish *w)
{
	yyjson_val *answer, *item;
	size_t i, n;
	int r = session_call(s, a, "GET", "/api/knowledge/collections?limit=200", (struct str){0}, &answer);

	if (r == EXIT_OK && w->is_json)
		out_json(json_get_arr(answer, "items"));
	if (r != EXIT_OK || w->is_json)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		yyjson_val *counts = json_get_obj(item, "documents");
		out_printf("%s  %-30s  %5lld documents", json_get_str(item, "id", ""),
			   one_line(a, json_get_str(item, "name", ""), 30),
			   (long long)json_get_int(counts, "total", 0));
		if (json_get_int(counts, "working", 0))
			out_printf(", %lld being read", (long long)json_get_int(counts, "working", 0));
		if (json_get_int(counts, "failed", 0))
			out_printf(", %lld failed", (long long)json_get_int(counts, "failed", 0));
		out_printf("  %s\n", json_get_bool(item, "shared", false) ? "for everybody" : "own");
	}
	if (n == 0)
		note_printf(STYLE_DIM, "There is no collection: ogent knowledge create NAME\n");
	return r;
}

/* By id or name; NULL after saying so. */
static const char *find(struct session *s, struct arena *a, const char *name, int *ret)
{
	yyjson_val *answer, *item;
	size_t i, n;

	*ret = session_call(s, a, "GET", "/api/knowledge/collections?limit=200", (struct str){0}, &answer);
	if (*ret != EXIT_OK)
		return NULL;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		if (strcmp(json_get_str(item, "id", ""), name) == 0 ||
		    strcmp(json_get_str(item, "name", ""), name) == 0)
			return json_get_str(item, "id", "");
	}
	fprintf(stderr, "ogent: there is no collection %s: see ogent knowledge list\n", name);
	*ret = EXIT_FAILED;
	return NULL;
}

static int create(struct session *s, struct arena *a, const char *name, const struct wish *w)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	yyjson_val *answer;
	int r;

	json_add_str(doc, obj, "name", name);
	if (w->language)
		json_add_str(doc, obj, "language", w->language);
	if (w->model)
		json_add_str(doc, obj, "embedding_model", w->model);
	if (w->is_shared)
		yyjson_mut_obj_add_bool(doc, obj, "shared", true);
	r = session_call(s, a, "POST", "/api/knowledge/collections", json_text(a, doc), &answer);
	if (r == EXIT_OK && w->is_json)
		out_json(answer);
	else if (r == EXIT_OK)
		out_printf("%s\n", json_get_str(answer, "id", ""));
	return r;
}

static bool is_working(const char *status)
{
	return strcmp(status, "ready") != 0 && strcmp(status, "failed") != 0;
}

static void print_document(const struct wish *w, yyjson_val *d)
{
	const char *why = json_get_str(json_get_obj(d, "error"), "message", "");

	if (w->is_json)
		out_json(d);
	else
		out_printf("%s  %-9s  %5lld pieces  %s%s%s\n", json_get_str(d, "id", ""), json_get_str(d, "status", ""),
			   (long long)json_get_int(d, "pieces", 0), json_get_str(d, "name", ""), *why ? ": " : "", why);
}

/* Until it is indexed, or has failed. */
static int wait_for(struct session *s, struct arena *a, yyjson_val **document)
{
	const struct timespec pause = {.tv_nsec = WAIT_MS * 1000000};
	int r = EXIT_OK;

	while (r == EXIT_OK && is_working(json_get_str(*document, "status", ""))) {
		nanosleep(&pause, NULL);
		r = session_refresh(s);
		if (r == EXIT_OK)
			r = session_call(
				s, a, "GET",
				arena_printf(a, "/api/knowledge/documents/%s", json_get_str(*document, "id", "")),
				(struct str){0}, document);
	}
	return r == EXIT_OK && strcmp(json_get_str(*document, "status", ""), "failed") == 0 ? EXIT_FAILED : r;
}

static int add_file(struct session *s, struct arena *a, const char *id, const char *path, const struct wish *w)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT, name = BUF_INIT;
	yyjson_val *document;
	int r = local_file_read(path, &bytes);

	if (r != EXIT_OK)
		return r;
	percent_encode(str_of(basename(arena_strdup(a, path))), &name);
	r = session_call(s, a, "POST", arena_printf(a, "/api/knowledge/collections/%s/documents?name=%s", id, name.p),
			 buf_str(&bytes), &document);
	if (r == EXIT_OK && w->is_waiting)
		r = wait_for(s, a, &document);
	if (r == EXIT_OK || (r == EXIT_FAILED && w->is_waiting && document))
		print_document(w, document);
	return r;
}

static int add(struct session *s, struct arena *a, const char *name, char **paths, int n, const struct wish *w)
{
	int r, worst = EXIT_OK;
	const char *id = find(s, a, name, &r);

	for (int i = 0; id && i < n; i++) {
		r = add_file(s, a, id, paths[i], w);
		worst = r != EXIT_OK ? r : worst;
	}
	return id ? worst : r;
}

static int documents(struct session *s, struct arena *a, const char *name, const struct wish *w)
{
	yyjson_val *answer, *item;
	size_t i, n;
	int r;
	const char *id = find(s, a, name, &r);

	if (id)
		r = session_call(s, a, "GET", arena_printf(a, "/api/knowledge/collections/%s/documents?limit=200", id),
				 (struct str){0}, &answer);
	if (r != EXIT_OK)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item) print_document(w, item);
	return r;
}

static void print_passage(struct arena *a, yyjson_val *p)
{
	int64_t page = json_get_int(p, "page", 0);
	const char *title = json_get_str(p, "title", "");

	out_printf("[%s] %s", json_get_str(p, "id", ""), *title ? title : json_get_str(p, "document", ""));
	if (page)
		out_printf(", page %lld", (long long)page);
	out_printf("%s%s\n    %s\n", *json_get_str(p, "heading", "") ? ": " : "", json_get_str(p, "heading", ""),
		   one_line(a, json_get_str(p, "text", ""), 300));
}

static int search(struct session *s, struct arena *a, const char *query, const struct wish *w)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *list;
	yyjson_val *answer, *item;
	const char *id, *warning;
	size_t i, n;
	int r;

	json_add_str(doc, obj, "query", query);
	if (w->collection) {
		id = find(s, a, w->collection, &r);
		if (!id)
			return r;
		list = yyjson_mut_obj_add_arr(doc, obj, "collections");
		yyjson_mut_arr_add_str(doc, list, id);
	}
	if (w->limit)
		yyjson_mut_obj_add_int(doc, obj, "limit", atoi(w->limit));
	if (w->mode)
		json_add_str(doc, obj, "mode", w->mode);
	r = session_call(s, a, "POST", "/api/knowledge/search", json_text(a, doc), &answer);
	if (r == EXIT_OK && w->is_json)
		out_json(json_get_arr(answer, "items"));
	if (r != EXIT_OK || w->is_json)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item) print_passage(a, item);
	if (n == 0)
		note_printf(STYLE_DIM, "Nothing was found.\n");
	warning = json_get_str(answer, "warning", NULL);
	if (warning)
		note_printf(STYLE_RED, "%s\n", warning);
	return r;
}

/* A document by its id, or a collection. */
static int with_id(struct session *s, struct arena *a, const char *verb, const char *name, const struct wish *w)
{
	bool is_index = strcmp(verb, "index") == 0;
	const char *method = is_index ? "POST" : "DELETE", *rest = is_index ? "/index" : "", *id;
	yyjson_val *answer;
	struct error err = {0};
	int r = client_call(s->client, a, "GET", arena_printf(a, "/api/knowledge/documents/%s", name), (struct str){0},
			    &answer, &err);

	if (r == 200)
		return session_call(s, a, method, arena_printf(a, "/api/knowledge/documents/%s%s", name, rest),
				    (struct str){0}, &answer);
	id = find(s, a, name, &r);
	return id ? session_call(s, a, method, arena_printf(a, "/api/knowledge/collections/%s%s", id, rest),
				 (struct str){0}, &answer)
		  : r;
}

static int act(const struct command *self, struct session *s, struct arena *a, const struct args *args,
	       const struct wish *w)
{
	const char *verb = args->n_rest ? args->rest[0] : "list", *what = args->n_rest > 1 ? args->rest[1] : NULL;

	if (strcmp(verb, "list") == 0)
		return what ? documents(s, a, what, w) : list(s, a, w);
	if (strcmp(verb, "create") != 0 && strcmp(verb, "add") != 0 && strcmp(verb, "search") != 0 &&
	    strcmp(verb, "remove") != 0 && strcmp(verb, "index") != 0)
		return usage_error(self, "\"%s\" is not known", verb);
	if (!what)
		return usage_error_of_verb(self, verb, "needs more");
	if (strcmp(verb, "add") == 0)
		return args->n_rest > 2 ? add(s, a, what, args->rest + 2, args->n_rest - 2, w)
					: usage_error(self, "\"add\" needs a collection and files");
	if (args->n_rest > 2)
		return usage_error(self, "\"%s\" is too much", args->rest[2]);
	if (strcmp(verb, "create") == 0)
		return create(s, a, what, w);
	if (strcmp(verb, "search") == 0)
		return search(s, a, what, w);
	return with_id(s, a, verb, what, w);
}

int cmd_knowledge(const struct command *self, int argc, char **argv)
{
	const char *url = NULL;
	struct wish w = {0};
	const struct flag flags[] = {
		{"url", &url},
		{"collection", &w.collection},
		{"limit", &w.limit},
		{"mode", &w.mode},
		{"language", &w.language},
		{"model", &w.model},
		{"json", NULL, &w.is_json},
		{"shared", NULL, &w.is_shared},
		{"wait", NULL, &w.is_waiting},
	};
	struct args args;
	struct session session;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	struct arena *a = arena_new();
	if ((r = session_open(&session, args.options, url)) == EXIT_OK) {
		r = act(self, &session, a, &args, &w);
		session_close(&session);
	}
	arena_free(a);
	args_deinit(&args);
	return r;
}
