#include <stdlib.h>
#include <string.h>

#include "agent_find.h"
#include "base/encode.h"
#include "output.h"
#include "verbs.h"

struct when {
	const char *cron, *zone, *every, *at, *agent, *missed, *overlap;
	bool is_kept;
};

struct asked {
	const struct command *self;
	struct session *session;
	struct arena *a;
	const struct when *when;
	char **rest;
	bool is_json;
};

static const char *path_of(struct asked *q, const char *id, const char *tail)
{
	_cleanup_(buf_deinit) struct buf path = BUF_INIT;

	buf_add_str(&path, "/api/schedules/");
	percent_encode(str_of(id), &path);
	buf_add_str(&path, tail);
	return arena_strdup(q->a, path.p);
}

static const char *when_text(struct arena *a, yyjson_val *s)
{
	const char *cron = json_get_str(s, "cron", NULL), *at = json_get_str(s, "at", NULL);

	if (cron)
		return arena_printf(a, "%s (%s)", cron, json_get_str(s, "timezone", ""));
	if (at)
		return arena_printf(a, "at %s", local_time(a, at));
	return arena_printf(a, "every %lld s", (long long)json_get_int(s, "every_seconds", 0));
}

static void print_schedule(struct arena *a, yyjson_val *s)
{
	const char *next = json_get_str(s, "next_at", NULL), *reason = json_get_str(s, "reason", NULL);

	out_printf("%s  %-8s  %-16s  %-28s  %s\n", json_get_str(s, "id", ""), json_get_str(s, "status", ""),
		   next     ? local_time(a, next)
		   : reason ? reason
			    : "",
		   when_text(a, s), one_line(a, json_get_str(s, "name", ""), 60));
}

static int list(struct asked *q)
{
	yyjson_val *answer, *item;
	size_t i, n;
	int r = session_call(q->session, q->a, "GET", "/api/schedules?limit=200", (struct str){0}, &answer);

	if (r != EXIT_OK)
		return r;
	if (q->is_json) {
		out_json(json_get_arr(answer, "items"));
		return EXIT_OK;
	}
	if (!yyjson_arr_size(json_get_arr(answer, "items")))
		note_printf(STYLE_PLAIN, "There is no schedule.\n");
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		print_schedule(q->a, item);
	}
	return EXIT_OK;
}

static void add_when(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct when *w)
{
	if (w->cron)
		json_add_str(doc, obj, "cron", w->cron);
	if (w->zone)
		json_add_str(doc, obj, "timezone", w->zone);
	if (w->every)
		yyjson_mut_obj_add_int(doc, obj, "every_seconds", strtoll(w->every, NULL, 10));
	if (w->at)
		json_add_str(doc, obj, "at", w->at);
}

static int show_answer(struct asked *q, int r, yyjson_val *answer)
{
	if (r == EXIT_OK && q->is_json)
		out_json(answer);
	else if (r == EXIT_OK)
		print_schedule(q->a, answer);
	return r;
}

static int add(struct asked *q)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(q->a, &doc);
	yyjson_val *answer = NULL;
	const char *agent;
	int r = find_agent_named(q->session, q->a, q->when->agent, &agent);

	if (r != EXIT_OK)
		return r;
	json_add_str(doc, obj, "name", q->rest[1]);
	json_add_str(doc, obj, "message", q->rest[2]);
	json_add_str(doc, obj, "agent_id", agent);
	add_when(doc, obj, q->when);
	if (q->when->is_kept)
		json_add_str(doc, obj, "conversation", "keep");
	if (q->when->missed)
		json_add_str(doc, obj, "missed", q->when->missed);
	if (q->when->overlap)
		json_add_str(doc, obj, "overlap", q->when->overlap);
	r = session_call(q->session, q->a, "POST", "/api/schedules", json_text(q->a, doc), &answer);
	return show_answer(q, r, answer);
}

static int preview(struct asked *q)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(q->a, &doc);
	yyjson_val *answer, *item;
	size_t i, n;
	int r;

	add_when(doc, obj, q->when);
	r = session_call(q->session, q->a, "POST", "/api/schedules/preview", json_text(q->a, doc), &answer);
	if (r != EXIT_OK)
		return r;
	yyjson_arr_foreach(json_get_arr(answer, "items"), i, n, item)
	{
		out_printf("%s\n", json_get_str(item, "local", ""));
	}
	return EXIT_OK;
}

static void print_firing(struct arena *a, yyjson_val *f)
{
	const char *reason = json_get_str(f, "reason", NULL), *run = json_get_str(f, "execution_id", NULL);

	out_printf("%s  %-9s  %s\n", local_time(a, json_get_str(f, "planned_at", "")), json_get_str(f, "status", ""),
		   run      ? run
		   : reason ? reason
			    : "");
}

static int show(struct asked *q)
{
	yyjson_val *schedule, *firings, *item;
	size_t i, n;
	int r = session_call(q->session, q->a, "GET", path_of(q, q->rest[1], ""), (struct str){0}, &schedule);

	if (r != EXIT_OK || q->is_json)
		return show_answer(q, r, schedule);
	r = session_call(q->session, q->a, "GET", path_of(q, q->rest[1], "/firings"), (struct str){0}, &firings);
	if (r != EXIT_OK)
		return r;
	print_schedule(q->a, schedule);
	yyjson_arr_foreach(json_get_arr(firings, "items"), i, n, item)
	{
		print_firing(q->a, item);
	}
	return EXIT_OK;
}

static int run_now(struct asked *q)
{
	yyjson_val *firing;
	int r = session_call(q->session, q->a, "POST", path_of(q, q->rest[1], "/run"), (struct str){0}, &firing);

	if (r == EXIT_OK)
		print_firing(q->a, firing);
	return r;
}

static int set_status(struct asked *q)
{
	bool is_pause = strcmp(q->rest[0], "pause") == 0;
	yyjson_val *answer = NULL;
	int r = session_call(q->session, q->a, "PATCH", path_of(q, q->rest[1], ""),
			     is_pause ? STR("{\"status\":\"paused\"}") : STR("{\"status\":\"active\"}"), &answer);

	return show_answer(q, r, answer);
}

static int delete (struct asked *q)
{
	return session_call(q->session, q->a, "DELETE", path_of(q, q->rest[1], ""), (struct str){0}, NULL);
}

static const struct verb verbs[] = {
	{"list", 1, list},        {"add", 3, add},           {"show", 2, show},     {"run", 2, run_now},
	{"pause", 2, set_status}, {"resume", 2, set_status}, {"remove", 2, delete}, {"preview", 1, preview},
};

int cmd_schedules(const struct command *self, int argc, char **argv)
{
	struct when when = {0};
	const char *url = NULL;
	struct asked q = {.self = self, .when = &when};
	const struct flag flags[] = {{"url", &url},
				     {"json", NULL, &q.is_json},
				     {"cron", &when.cron},
				     {"zone", &when.zone},
				     {"every", &when.every},
				     {"at", &when.at},
				     {"agent", &when.agent},
				     {"missed", &when.missed},
				     {"overlap", &when.overlap},
				     {"keep", NULL, &when.is_kept}};
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
