/* `ogent usage`: tokens and money, and what a user may spend in a day. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin.h"

static const char *group = "day", *days = "30", *user, *tokens, *dollars;

static void print_sum(struct admin *m, yyjson_val *item)
{
	const char *what = json_get_str(item, group, "");

	if (!strcmp(group, "agent"))
		what = json_get_str(item, "agent_name", what);
	out_printf("%-36s  %8lld  %12lld  %12lld  %s%.4f\n", one_line(m->a, what, 36),
		   (long long)json_get_int(item, "calls", 0), (long long)json_get_int(item, "input_tokens", 0),
		   (long long)json_get_int(item, "output_tokens", 0),
		   json_get_bool(item, "estimated", false) ? "~$" : " $", json_get_num(item, "cost_usd", 0));
}

static const char *day_before(struct admin *m, int n)
{
	time_t t = time(NULL) - (time_t)n * 86400;
	char text[16];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%d", gmtime_r(&t, &tm));
	return arena_strdup(m->a, text);
}

static int show(struct admin *m)
{
	const char *id = NULL;
	int n = atoi(days), r = EXIT_OK;

	if (n < 1)
		return usage_error(m->self, "--days is a number from 1 to 400");
	if (user)
		r = admin_find_user(m, user, &id);
	if (r != EXIT_OK)
		return r;
	if (!m->is_json)
		note_printf(STYLE_DIM, "%-36s  %8s  %12s  %12s  %s\n", group, "calls", "tokens in", "tokens out",
			    "cost");
	return admin_list(m,
			  arena_printf(m->a, "/api/usage?group=%s&from=%s%s%s", admin_escape(m, group),
				       day_before(m, n - 1), id ? "&user_id=" : "", id ?: ""),
			  "Nothing was spent.", print_sum);
}

static void print_limit(const char *what, double used, double limit, const char *unit)
{
	if (limit > 0)
		out_printf("%-7s  %s%.15g of %s%.15g a day, %.0f %%\n", what, unit, used, unit, limit,
			   100 * used / limit);
	else
		out_printf("%-7s  %s%.15g today, without limit\n", what, unit, used);
}

/* budget USER, with --tokens and --dollars to set it. */
static int budget(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	yyjson_val *b = NULL;
	const char *id, *path;
	int r = admin_find_user(m, m->args[0], &id);

	if (r != EXIT_OK)
		return r;
	path = arena_printf(m->a, "/api/usage/budgets/%s", id);
	if (tokens)
		yyjson_mut_obj_add_int(doc, obj, "day_tokens", strtoll(tokens, NULL, 10));
	if (dollars)
		yyjson_mut_obj_add_real(doc, obj, "day_cost_usd", strtod(dollars, NULL));
	r = tokens || dollars ? admin_call(m, "PUT", path, json_text(m->a, doc), &b)
			      : admin_call(m, "GET", path, (struct str){0}, &b);
	if (r != EXIT_OK)
		return r;
	if (m->is_json) {
		out_json(b);
		return r;
	}
	print_limit("tokens", json_get_num(b, "used_tokens", 0), json_get_num(b, "day_tokens", 0), "");
	print_limit("money", json_get_num(b, "used_cost_usd", 0), json_get_num(b, "day_cost_usd", 0), "$");
	return r;
}

int cmd_usage(const struct command *self, int argc, char **argv)
{
	const struct flag flags[] = {
		{"group", &group}, {"days", &days}, {"user", &user}, {"tokens", &tokens}, {"dollars", &dollars}};
	static const struct admin_verb verbs[] = {{"show", 0, 0, show}, {"budget", 1, 1, budget}};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
