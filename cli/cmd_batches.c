#include <stdlib.h>
#include <string.h>

#include "agent_find.h"
#include "base/encode.h"
#include "local_file.h"
#include "output.h"
#include "verbs.h"

struct asked {
	const struct command *self;
	struct session *session;
	struct arena *a;
	char **rest;
	const char *agent, *concurrency, *max_failures, *format;
	bool is_json;
};

static const char *path_of(struct asked *q, const char *tail)
{
	_cleanup_(buf_deinit) struct buf path = BUF_INIT;

	buf_add_str(&path, "/api/batches/");
	percent_encode(str_of(q->rest[1]), &path);
	buf_add_str(&path, tail);
	return arena_strdup(q->a, path.p);
}

static void print_batch(struct arena *a, yyjson_val *b)
{
	yyjson_val *n = json_get_obj(b, "rows");
	const char *reason = json_get_str(b, "reason", NULL);

	out_printf("%s  %-9s  %lld of %lld done, %lld failed  %s%s%s\n", json_get_str(b, "id", ""),
		   json_get_str(b, "status", ""), (long long)json_get_int(n, "succeeded", 0),
		   (long long)json_get_int(n, "total", 0), (long long)json_get_int(n, "failed", 0),
		   one_line(a, json_get_str(b, "name", ""), 60), reason ? ": " : "", reason ? reason : "");
}

static int show_answer(struct asked *q, int r, yyjson_val *answer)
{
	if (r == EXIT_OK && q->is_json)
		out_json(answer);
	else if (r == EXIT_OK)
		print_batch(q->a, answer);
	return r;
}

static int list(struct asked *q)
{
	yyjson_val *answer, *item;
	size_t i, n;
	int r = session_call(q->session, q->a, "GET", "/api/batches?limit=200", (struct str){0}, &answer);

	if (r == EXIT_OK && q->is_json)
		out_json(json_get_arr(answer, "items"));
	if (r != EXIT_OK || q->is_json)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		print_batch(q->a, item);
	}
	if (n == 0)
		note_printf(STYLE_PLAIN, "There is no batch.\n");
	return r;
}

static bool is_jsonl(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && (!strcmp(dot, ".jsonl") || !strcmp(dot, ".ndjson"));
}

static int add(struct asked *q)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(q->a, &doc);
	yyjson_val *answer = NULL;
	const char *agent, *path = q->rest[3];
	int r = local_file_read(path, &bytes);

	if (r == EXIT_OK)
		r = find_agent_named(q->session, q->a, q->agent, &agent);
	if (r != EXIT_OK)
		return r;
	json_add_str(doc, obj, "name", q->rest[1]);
	json_add_str(doc, obj, "message", q->rest[2]);
	json_add_str(doc, obj, "agent_id", agent);
	json_add_str(doc, obj, "format", q->format ? q->format : is_jsonl(path) ? "jsonl" : "csv");
	yyjson_mut_obj_add_strncpy(doc, obj, "data", bytes.p, bytes.n);
	if (q->concurrency)
		yyjson_mut_obj_add_int(doc, obj, "concurrency", strtoll(q->concurrency, NULL, 10));
	if (q->max_failures)
		yyjson_mut_obj_add_int(doc, obj, "max_failures", strtoll(q->max_failures, NULL, 10));
	r = session_call(q->session, q->a, "POST", "/api/batches", json_text(q->a, doc), &answer);
	return show_answer(q, r, answer);
}

static int show(struct asked *q)
{
	yyjson_val *answer = NULL;
	int r = session_call(q->session, q->a, "GET", path_of(q, ""), (struct str){0}, &answer);

	return show_answer(q, r, answer);
}

static void print_row(struct arena *a, yyjson_val *row)
{
	yyjson_val *error = json_get_obj(row, "error");

	out_printf("%6lld  %-9s  %s\n", (long long)json_get_int(row, "number", 0), json_get_str(row, "status", ""),
		   one_line(a, error ? json_get_str(error, "message", "") : json_get_str(row, "output", ""), 100));
}

/* All rows, page by page: as JSONL, or a line for people. */
static int results(struct asked *q)
{
	yyjson_val *page, *row;
	const char *after = "";
	size_t i, n;
	int r;

	do {
		r = session_call(q->session, q->a, "GET",
				 path_of(q, arena_printf(q->a, "/rows?limit=200%s%s", *after ? "&after=" : "", after)),
				 (struct str){0}, &page);
		if (r != EXIT_OK)
			return r;
		yyjson_arr_foreach(json_get_arr(page, "items"), i, n, row)
		{
			if (q->is_json)
				out_printf("%s\n", json_val_text(q->a, row).p);
			else
				print_row(q->a, row);
		}
		after = json_get_str(page, "next", "");
	} while (*after);
	return EXIT_OK;
}

static int set_status(struct asked *q)
{
	const char *verb = q->rest[0];
	const char *status = !strcmp(verb, "pause") ? "paused" : !strcmp(verb, "cancel") ? "cancelled" : "running";
	yyjson_val *answer = NULL;
	int r = session_call(q->session, q->a, "PATCH", path_of(q, ""),
			     str_of(arena_printf(q->a, "{\"status\":\"%s\"}", status)), &answer);

	return show_answer(q, r, answer);
}

static int retry(struct asked *q)
{
	yyjson_val *answer = NULL;
	int r = session_call(q->session, q->a, "POST", path_of(q, "/retry"), (struct str){0}, &answer);

	return show_answer(q, r, answer);
}

static int delete (struct asked *q)
{
	return session_call(q->session, q->a, "DELETE", path_of(q, ""), (struct str){0}, NULL);
}

static const struct verb verbs[] = {
	{"list", 1, list},         {"add", 4, add},          {"show", 2, show},
	{"results", 2, results},   {"pause", 2, set_status}, {"resume", 2, set_status},
	{"cancel", 2, set_status}, {"retry", 2, retry},      {"remove", 2, delete},
};

int cmd_batches(const struct command *self, int argc, char **argv)
{
	const char *url = NULL;
	struct asked q = {.self = self};
	const struct flag flags[] = {{"url", &url},         {"json", NULL, &q.is_json},
				     {"agent", &q.agent},   {"concurrency", &q.concurrency},
				     {"format", &q.format}, {"max-failures", &q.max_failures}};
	struct session session;
	struct args args;
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	q.a = arena_new();
	q.rest = args.rest;
	q.session = &session;
	r = verbs_run(self, &args, url, verbs, ARRAY_SIZE(verbs), &session, &q);
	arena_free(q.a);
	args_deinit(&args);
	return r;
}
