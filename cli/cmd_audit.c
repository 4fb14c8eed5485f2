/* The audit log: what happened, and whether it is as it was written. */
#include <stdlib.h>
#include <string.h>

#include "admin.h"

static const char *event, *actor, *target, *outcome, *since, *until, *limit;

static void print_event(struct admin *m, yyjson_val *e)
{
	yyjson_val *who = json_get_obj(e, "actor");
	const char *name = json_get_str(who, "name", "");

	out_printf("%6lld  %s  %-26s %-8s %-20s %-28s %s\n", (long long)json_get_int(e, "seq", 0),
		   local_time(m->a, json_get_str(e, "at", "")), json_get_str(e, "event", ""),
		   json_get_str(e, "outcome", ""),
		   one_line(m->a, *name ? name : json_get_str(who, "id", json_get_str(who, "kind", "")), 40),
		   one_line(m->a, json_get_str(e, "target", ""), 50), json_get_str(e, "address", ""));
}

static const char *add(struct admin *m, const char *path, const char *name, const char *value)
{
	return value ? arena_printf(m->a, "%s&%s=%s", path, name, admin_escape(m, value)) : path;
}

/* One page: the newest ones. */
static int list(struct admin *m)
{
	const char *path = arena_printf(m->a, "/api/audit?limit=%s", admin_escape(m, limit ? limit : "50"));
	yyjson_val *page, *item;
	size_t i, n;
	int r;

	path = add(m, path, "event", event);
	path = add(m, path, "actor", actor);
	path = add(m, path, "target", target);
	path = add(m, path, "outcome", outcome);
	path = add(m, path, "since", since);
	path = add(m, path, "until", until);
	r = admin_call(m, "GET", path, (struct str){0}, &page);
	if (r != EXIT_OK)
		return r;
	if (m->is_json) {
		out_json(json_get_arr(page, "items"));
		return EXIT_OK;
	}
	if (!yyjson_arr_size(json_get_arr(page, "items")))
		note_printf(STYLE_DIM, "Nothing of that kind has happened.\n");
	yyjson_arr_foreach(json_get_arr(page, "items"), i, n, item)
	{
		print_event(m, item);
	}
	return EXIT_OK;
}

static void print_finding(yyjson_val *found)
{
	yyjson_val *problem = json_get_obj(found, "problem");
	const char *kind = json_get_str(problem, "kind", "");
	long long seq = json_get_int(problem, "seq", 0);

	if (!problem)
		out_printf("whole: %lld rows; the last one is %lld:%s\n", (long long)json_get_int(found, "rows", 0),
			   (long long)json_get_int(found, "newest", 0), json_get_str(found, "hash", ""));
	else if (!strcmp(kind, "changed"))
		out_printf("BROKEN: row %lld was changed or put in\n", seq);
	else if (!strcmp(kind, "removed"))
		out_printf("BROKEN: row %lld was removed\n", seq);
	else if (!strcmp(kind, "inserted"))
		out_printf("BROKEN: row %lld was put in\n", seq);
	else
		out_printf("BROKEN: what is said to be the last row (%lld) is not what was written\n", seq);
}

/* Exits with 0 when it is whole, 1 when not. */
static int verify(struct admin *m)
{
	yyjson_val *found;
	int r = admin_call(m, "GET", "/api/audit/verify", (struct str){0}, &found);

	if (r != EXIT_OK)
		return r;
	if (m->is_json)
		out_json(found);
	else
		print_finding(found);
	return json_get_bool(found, "ok", false) ? EXIT_OK : EXIT_FAILED;
}

int cmd_audit(const struct command *self, int argc, char **argv)
{
	const struct flag flags[] = {{"event", &event}, {"actor", &actor}, {"target", &target}, {"outcome", &outcome},
				     {"since", &since}, {"until", &until}, {"limit", &limit}};
	static const struct admin_verb verbs[] = {{"list", 0, 0, list}, {"verify", 0, 0, verify}};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
