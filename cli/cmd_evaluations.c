#include <stdlib.h>
#include <string.h>
#include <time.h>

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
	const char *agent, *version, *repeats, *concurrency, *tag, *format;
	bool is_json, is_waiting, is_failed, is_replacing;
};

static const char *path_of(struct asked *q, const char *before, const char *id, const char *tail)
{
	_cleanup_(buf_deinit) struct buf path = BUF_INIT;

	buf_add_str(&path, before);
	percent_encode(str_of(id), &path);
	buf_add_str(&path, tail);
	return arena_strdup(q->a, path.p);
}

static const char *set_path(struct asked *q, const char *id, const char *tail)
{
	return path_of(q, "/api/evaluations/", id, tail);
}

static const char *run_path(struct asked *q, const char *tail)
{
	return path_of(q, "/api/evaluations/runs/", q->rest[1], tail);
}

static int call(struct asked *q, const char *method, const char *path, struct str body, yyjson_val **ret)
{
	return session_call(q->session, q->a, method, path, body, ret);
}

/* ---- Sets ---- */

static void print_set(struct asked *q, yyjson_val *s)
{
	out_printf("%s  %4lld cases  %2zu graders  %s\n", json_get_str(s, "id", ""),
		   (long long)json_get_int(s, "cases", 0), yyjson_arr_size(json_get_arr(s, "graders")),
		   one_line(q->a, json_get_str(s, "name", ""), 80));
}

static int list(struct asked *q)
{
	yyjson_val *answer, *item;
	size_t i, n;
	int r = call(q, "GET", "/api/evaluations?limit=200", (struct str){0}, &answer);

	if (r == EXIT_OK && q->is_json)
		out_json(json_get_arr(answer, "items"));
	if (r != EXIT_OK || q->is_json)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item) print_set(q, item);
	if (n == 0)
		note_printf(STYLE_PLAIN, "There is no evaluation set.\n");
	return r;
}

/* By id or name: the newest of that name. */
static int find_set(struct asked *q, const char **ret)
{
	const char *wanted = q->rest[1];
	yyjson_val *answer, *item;
	size_t i, n;
	int r = call(q, "GET", "/api/evaluations?limit=200", (struct str){0}, &answer);

	*ret = NULL;
	if (r != EXIT_OK)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		if (!*ret &&
		    (!strcmp(wanted, json_get_str(item, "id", "")) || !strcmp(wanted, json_get_str(item, "name", ""))))
			*ret = json_get_str(item, "id", "");
	}
	/* An older one may be further down. */
	*ret = *ret ? *ret : wanted;
	return EXIT_OK;
}

/* A file, or the list itself. */
static int read_graders(struct asked *q, yyjson_val **ret)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	const char *given = q->rest[2];
	struct error err = {0};
	int r = EXIT_OK;

	if (*given == '[')
		buf_add_str(&bytes, given);
	else
		r = local_file_read(given, &bytes);
	if (r != EXIT_OK)
		return r;
	*ret = yyjson_doc_get_root(json_parse(q->a, bytes.p ? bytes.p : "", bytes.n, &err));
	if (*ret)
		return EXIT_OK;
	note_printf(STYLE_PLAIN, "ogent: the graders are no JSON: %s\n", err.message);
	return EXIT_USAGE;
}

static bool is_csv(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".csv");
}

static int import_file(struct asked *q, const char *id, const char *path)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(q->a, &doc);
	yyjson_val *answer = NULL;
	int r = local_file_read(path, &bytes);

	if (r != EXIT_OK)
		return r;
	json_add_str(doc, obj, "format", q->format ? q->format : is_csv(path) ? "csv" : "jsonl");
	yyjson_mut_obj_add_strncpy(doc, obj, "data", bytes.p ? bytes.p : "", bytes.n);
	yyjson_mut_obj_add_bool(doc, obj, "replace", q->is_replacing);
	r = call(q, "POST", set_path(q, id, "/cases/import"), json_text(q->a, doc), &answer);
	if (r == EXIT_OK)
		note_printf(STYLE_PLAIN, "%lld cases are new, %lld changed.\n",
			    (long long)json_get_int(answer, "added", 0), (long long)json_get_int(answer, "changed", 0));
	return r;
}

static int add(struct asked *q)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(q->a, &doc);
	yyjson_val *graders, *made;
	int r = read_graders(q, &graders);

	if (r != EXIT_OK)
		return r;
	json_add_str(doc, obj, "name", q->rest[1]);
	yyjson_mut_obj_add_val(doc, obj, "graders", yyjson_val_mut_copy(doc, graders));
	r = call(q, "POST", "/api/evaluations", json_text(q->a, doc), &made);
	if (r == EXIT_OK)
		r = import_file(q, json_get_str(made, "id", ""), q->rest[3]);
	if (r == EXIT_OK)
		r = call(q, "GET", set_path(q, json_get_str(made, "id", ""), ""), (struct str){0}, &made);
	if (r == EXIT_OK && q->is_json)
		out_json(made);
	else if (r == EXIT_OK)
		print_set(q, made);
	return r;
}

static int import(struct asked *q)
{
	const char *id;
	int r = find_set(q, &id);

	return r == EXIT_OK ? import_file(q, id, q->rest[2]) : r;
}

/* As JSONL, which an import takes. */
static int cases(struct asked *q)
{
	const char *id, *after = "";
	yyjson_val *page, *item;
	size_t i, n;
	int r = find_set(q, &id);

	while (r == EXIT_OK && after) {
		r = call(q, "GET",
			 set_path(q, id, arena_printf(q->a, "/cases?limit=200%s%s", *after ? "&after=" : "", after)),
			 (struct str){0}, &page);
		if (r != EXIT_OK)
			return r;
		yyjson_arr_foreach(json_get_arr(page, "items"), i, n, item)
			out_printf("%s\n", json_val_text(q->a, item).p);
		after = json_get_str(page, "next", NULL);
	}
	return r;
}

static int remove_set(struct asked *q)
{
	const char *id;
	int r = find_set(q, &id);

	return r == EXIT_OK ? call(q, "DELETE", set_path(q, id, ""), (struct str){0}, NULL) : r;
}

/* ---- Runs ---- */

static void print_run(struct asked *q, yyjson_val *b)
{
	yyjson_val *n = json_get_obj(b, "results"), *medians = json_get_obj(b, "medians");
	const char *reason = json_get_str(b, "reason", NULL);

	out_printf("%s  %-9s  %lld passed, %lld failed, %lld open", json_get_str(b, "id", ""),
		   json_get_str(b, "status", ""), (long long)json_get_int(n, "passed", 0),
		   (long long)json_get_int(n, "failed", 0), (long long)json_get_int(n, "open", 0));
	if (yyjson_is_num(yyjson_obj_get(n, "pass_rate")))
		out_printf("  %.1f %%", 100 * json_get_num(n, "pass_rate", 0));
	if (medians)
		out_printf("  %.0f ms, $%.6g each", json_get_num(medians, "latency_ms", 0),
			   json_get_num(medians, "cost_usd", 0));
	out_printf("  %s v%lld%s%s\n", one_line(q->a, json_get_str(b, "agent_name", ""), 40),
		   (long long)json_get_int(b, "agent_version", 0), reason ? ": " : "", reason ? reason : "");
}

static int show_run(struct asked *q, int r, yyjson_val *answer)
{
	if (r == EXIT_OK && q->is_json)
		out_json(answer);
	else if (r == EXIT_OK)
		print_run(q, answer);
	return r;
}

static bool is_over(yyjson_val *run)
{
	const char *status = json_get_str(run, "status", "");

	return strcmp(status, "running") != 0 && json_get_int(json_get_obj(run, "rows"), "running", 0) == 0;
}

/* Until it is over; 1 when not everything passed. */
static int wait_for(struct asked *q, yyjson_val *run)
{
	const char *path = path_of(q, "/api/evaluations/runs/", json_get_str(run, "id", ""), "");
	struct timespec pause = {.tv_nsec = 300 * 1000 * 1000};
	yyjson_val *results;
	int r = EXIT_OK;

	while (r == EXIT_OK && !is_over(run)) {
		nanosleep(&pause, NULL);
		r = call(q, "GET", path, (struct str){0}, &run);
	}
	if (r == EXIT_OK)
		r = call(q, "GET", path, (struct str){0}, &run);
	r = show_run(q, r, run);
	results = r == EXIT_OK ? json_get_obj(run, "results") : NULL;
	return results && json_get_int(results, "failed", 0) + json_get_int(results, "open", 0) > 0 ? EXIT_FAILED : r;
}

static int begin(struct asked *q)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(q->a, &doc);
	yyjson_val *answer = NULL;
	const char *agent, *id;
	int r = find_set(q, &id);

	if (r == EXIT_OK)
		r = find_agent_named(q->session, q->a, q->agent, &agent);
	if (r != EXIT_OK)
		return r;
	json_add_str(doc, obj, "agent_id", agent);
	if (q->version)
		yyjson_mut_obj_add_int(doc, obj, "agent_version", strtoll(q->version, NULL, 10));
	if (q->repeats)
		yyjson_mut_obj_add_int(doc, obj, "repeats", strtoll(q->repeats, NULL, 10));
	if (q->concurrency)
		yyjson_mut_obj_add_int(doc, obj, "concurrency", strtoll(q->concurrency, NULL, 10));
	if (q->tag)
		yyjson_mut_arr_add_str(doc, yyjson_mut_obj_add_arr(doc, obj, "tags"), q->tag);
	r = call(q, "POST", set_path(q, id, "/runs"), json_text(q->a, doc), &answer);
	return r == EXIT_OK && q->is_waiting ? wait_for(q, answer) : show_run(q, r, answer);
}

static int runs(struct asked *q)
{
	yyjson_val *answer, *item;
	const char *id;
	size_t i, n;
	int r = find_set(q, &id);

	if (r == EXIT_OK)
		r = call(q, "GET", set_path(q, id, "/runs?limit=200"), (struct str){0}, &answer);
	if (r == EXIT_OK && q->is_json)
		out_json(json_get_arr(answer, "items"));
	if (r != EXIT_OK || q->is_json)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item) print_run(q, item);
	if (n == 0)
		note_printf(STYLE_PLAIN, "It was not run yet.\n");
	return r;
}

static int show(struct asked *q)
{
	yyjson_val *answer = NULL;
	int r = call(q, "GET", run_path(q, ""), (struct str){0}, &answer);

	return show_run(q, r, answer);
}

static const char *reason_of(yyjson_val *row)
{
	yyjson_val *grade;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(row, "grades"), i, n, grade)
	{
		if (!json_get_bool(grade, "passed", false))
			return json_get_str(grade, "reason", "");
	}
	return "";
}

static void print_row(struct asked *q, yyjson_val *row)
{
	yyjson_val *passed = yyjson_obj_get(row, "passed");

	out_printf("%5lld.%lld  %-6s  %s", (long long)json_get_int(row, "case", 0),
		   (long long)json_get_int(row, "repeat", 1),
		   yyjson_is_true(passed)    ? "passed"
		   : yyjson_is_false(passed) ? "failed"
					     : "open",
		   one_line(q->a, json_get_str(row, "input", ""), 60));
	if (!yyjson_is_true(passed))
		out_printf("  -> %s  (%s)", one_line(q->a, json_get_str(row, "output", ""), 60),
			   one_line(q->a, reason_of(row), 100));
	out_printf("\n");
}

static int results(struct asked *q)
{
	yyjson_val *page, *row;
	const char *after = "";
	size_t i, n;
	int r = EXIT_OK;

	while (r == EXIT_OK && after) {
		r = call(q, "GET",
			 run_path(q, arena_printf(q->a, "/rows?limit=200%s%s%s", q->is_failed ? "&passed=false" : "",
						  *after ? "&after=" : "", after)),
			 (struct str){0}, &page);
		if (r != EXIT_OK)
			return r;
		yyjson_arr_foreach(json_get_arr(page, "items"), i, n, row)
		{
			if (q->is_json)
				out_printf("%s\n", json_val_text(q->a, row).p);
			else
				print_row(q, row);
		}
		after = json_get_str(page, "next", NULL);
	}
	return r;
}

static void print_side(struct asked *q, const char *name, yyjson_val *run)
{
	out_printf("%s  ", name);
	print_run(q, run);
}

/* The first run is what the second is measured by. */
static int compare(struct asked *q)
{
	yyjson_val *answer, *counts, *k;
	size_t i, n;
	_cleanup_(buf_deinit) struct buf tail = BUF_INIT;
	int r;

	buf_add_str(&tail, "/comparison?with=");
	percent_encode(str_of(q->rest[2]), &tail);
	r = call(q, "GET", run_path(q, tail.p), (struct str){0}, &answer);
	if (r == EXIT_OK && q->is_json)
		out_json(answer);
	if (r != EXIT_OK || q->is_json)
		return r;
	print_side(q, "base ", json_get_obj(answer, "base"));
	print_side(q, "other", json_get_obj(answer, "other"));
	counts = json_get_obj(answer, "counts");
	yyjson_arr_foreach(json_get_arr(answer, "cases"), i, n, k)
	{
		const char *change = json_get_str(k, "change", "");

		if (strcmp(change, "improved") == 0 || strcmp(change, "worse") == 0)
			out_printf("%5lld  %-8s  %s\n", (long long)json_get_int(k, "case", 0), change,
				   one_line(q->a, json_get_str(k, "input", ""), 90));
	}
	out_printf("%lld improved, %lld worse, %lld passed in both, %lld in none, %lld left out; p = %.4g\n",
		   (long long)json_get_int(counts, "improved", 0), (long long)json_get_int(counts, "worse", 0),
		   (long long)json_get_int(counts, "both_passed", 0), (long long)json_get_int(counts, "both_failed", 0),
		   (long long)json_get_int(counts, "left_out", 0), json_get_num(answer, "p_value", 1));
	return r;
}

static int set_status(struct asked *q)
{
	const char *verb = q->rest[0];
	const char *status = !strcmp(verb, "pause") ? "paused" : !strcmp(verb, "cancel") ? "cancelled" : "running";
	yyjson_val *answer = NULL;
	int r = call(q, "PATCH", run_path(q, ""), str_of(arena_printf(q->a, "{\"status\":\"%s\"}", status)), &answer);

	return show_run(q, r, answer);
}

static int retry(struct asked *q)
{
	yyjson_val *answer = NULL;
	int r = call(q, "POST", run_path(q, "/retry"), (struct str){0}, &answer);

	return show_run(q, r, answer);
}

static const struct verb verbs[] = {
	{"list", 1, list},       {"add", 4, add},           {"import", 3, import},     {"cases", 2, cases},
	{"runs", 2, runs},       {"run", 2, begin},         {"show", 2, show},         {"results", 2, results},
	{"compare", 3, compare}, {"pause", 2, set_status},  {"resume", 2, set_status}, {"cancel", 2, set_status},
	{"retry", 2, retry},     {"remove", 2, remove_set},
};

int cmd_evaluations(const struct command *self, int argc, char **argv)
{
	const char *url = NULL;
	struct asked q = {.self = self};
	const struct flag flags[] = {{"url", &url},
				     {"json", NULL, &q.is_json},
				     {"agent", &q.agent},
				     {"version", &q.version},
				     {"repeats", &q.repeats},
				     {"concurrency", &q.concurrency},
				     {"tag", &q.tag},
				     {"format", &q.format},
				     {"replace", NULL, &q.is_replacing},
				     {"wait", NULL, &q.is_waiting},
				     {"failed", NULL, &q.is_failed}};
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
