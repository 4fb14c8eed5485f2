/* GET /api/usage: tokens and money by day, user, agent or model; and what a user may spend in a day. */
#include <errno.h>
#include <stdlib.h>

#include "agent/budget.h"
#include "agent/handlers.h"

#define DAYS_DEFAULT 30
#define DAYS_MAX 400
#define DAY_US (24 * 3600 * 1000000ll)

/* By what it may be added up: the column, never the client's text. */
static const struct {
	const char *name, *column;
} groups[] = {{"day", "u.day"}, {"user", "u.user_id"}, {"agent", "u.agent_id"}, {"model", "u.model"}};

struct usage_answer {
	struct answer answer;
	const char *column, *name;
	int64_t from, to; /* days */
	const char *user_id, *agent_id;
};

static struct db_stmt *query_usage(struct db_conn *c, const struct usage_answer *u)
{
	const struct exchange *x = u->answer.job.x;
	struct arena *a = x->arena;
	struct db_value args[8];
	size_t n = 0;
	const char *sql =
		arena_printf(a,
			     "select %s, sum(u.calls), sum(u.input_tokens), sum(u.output_tokens), "
			     "sum(u.cached_tokens), sum(u.cost_nano), max(u.estimated), max(g.name) from usage_days "
			     "u left join agents g on g.id = u.agent_id where u.day between ? and ?",
			     u->column);

	args[n++] = DB_INT(u->from);
	args[n++] = DB_INT(u->to);
	if (u->user_id) {
		sql = arena_printf(a, "%s and u.user_id = ?", sql);
		args[n++] = DB_TEXT(u->user_id);
	}
	if (u->agent_id) {
		sql = arena_printf(a, "%s and u.agent_id = ?", sql);
		args[n++] = DB_TEXT(u->agent_id);
	}
	sql = arena_printf(a, "%s group by %s order by %s desc limit 1000", sql, u->column,
			   strcmp(u->name, "day") == 0 ? "1" : "6");
	return db_query_dynamic(c, sql, args, n);
}

static const char *day_text(struct arena *a, int64_t day)
{
	char text[TIME_TEXT_SIZE];

	time_format(day * DAY_US, text);
	return arena_strndup(a, text, 10);
}

static void add_usage(const struct usage_answer *u, yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st)
{
	struct arena *a = u->answer.job.x->arena;

	json_add_str(doc, obj, u->name,
		     strcmp(u->name, "day") == 0 ? day_text(a, db_col_int(st, 0)) : db_col_dup(st, 0, a));
	if (strcmp(u->name, "agent") == 0)
		json_add_str(doc, obj, "agent_name", db_col_dup(st, 7, a));
	yyjson_mut_obj_add_int(doc, obj, "calls", strtoll(db_col_dup(st, 1, a), NULL, 10));
	yyjson_mut_obj_add_int(doc, obj, "input_tokens", strtoll(db_col_dup(st, 2, a), NULL, 10));
	yyjson_mut_obj_add_int(doc, obj, "output_tokens", strtoll(db_col_dup(st, 3, a), NULL, 10));
	yyjson_mut_obj_add_int(doc, obj, "cached_tokens", strtoll(db_col_dup(st, 4, a), NULL, 10));
	yyjson_mut_obj_add_real(doc, obj, "cost_usd", (double)strtoll(db_col_dup(st, 5, a), NULL, 10) / 1e9);
	yyjson_mut_obj_add_bool(doc, obj, "estimated", db_col_int(st, 6) != 0);
}

static int usage_run(struct db_conn *c, struct exchange_job *job)
{
	struct usage_answer *u = (struct usage_answer *)job;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(job->x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct db_stmt *st = query_usage(c, u);
	int r;

	while ((r = db_step(c, st)) == 1)
		add_usage(u, doc, yyjson_mut_arr_add_obj(doc, items), st);
	db_done(st);
	json_add_str(doc, obj, "from", day_text(job->x->arena, u->from));
	json_add_str(doc, obj, "to", day_text(job->x->arena, u->to));
	return r < 0 ? r : answer_json(&u->answer, 200, doc);
}

/* A day as 2026-11-23. Returns false after answering 400. */
static bool read_day(struct exchange *x, const char *name, int64_t *ret)
{
	const char *value = http_query_get(x->arena, x->req->query, name);
	int64_t us;

	if (!value || !*value)
		return true;
	if (strlen(value) != 10 || time_parse(str_of(arena_printf(x->arena, "%sT00:00:00Z", value)), &us) < 0) {
		reply_problem(x, 400, "bad_request", "\"%s\" is a day, for example 2026-11-23.", name);
		return false;
	}
	*ret = budget_day(us);
	return true;
}

void usage_get(struct exchange *x)
{
	struct usage_answer *u = arena_new_of(x->arena, struct usage_answer);
	const char *group = http_query_get(x->arena, x->req->query, "group");
	const char *user = http_query_get(x->arena, x->req->query, "user_id");

	group = group && *group ? group : "day";
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (strcmp(group, groups[i].name) != 0)
			continue;
		u->name = groups[i].name;
		u->column = groups[i].column;
	}
	u->to = budget_day(clock_now_us());
	u->from = u->to - DAYS_DEFAULT + 1;
	if (!read_day(x, "from", &u->from) || !read_day(x, "to", &u->to))
		return;
	if (!u->name || u->to - u->from >= DAYS_MAX) {
		reply_problem(x, 400, "bad_request", "group is day, user, agent or model; at most %d days.", DAYS_MAX);
		return;
	}
	/* Who may not see everybody's sees his own. */
	u->user_id = sees_all_executions(x) ? (user && *user ? user : NULL) : x->who.user_id;
	u->agent_id = http_query_get(x->arena, x->req->query, "agent_id");
	u->agent_id = u->agent_id && *u->agent_id ? u->agent_id : NULL;
	answer_read(x, &u->answer, usage_run);
}

/* ---- Budgets of users ---- */

static void add_limit(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int64_t value, double unit)
{
	if (value <= 0)
		yyjson_mut_obj_add_null(doc, obj, key);
	else if (unit == 1)
		yyjson_mut_obj_add_int(doc, obj, key, value);
	else
		yyjson_mut_obj_add_real(doc, obj, key, (double)value / unit);
}

static int answer_budget(struct db_conn *c, struct answer *a)
{
	struct exchange *x = a->job.x;
	const struct budget_amount *limit, *used;
	struct budgets b = {0};
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	int r = budgets_load_user(c, x->self, path_id(x), &b);

	limit = &b.limit[BUDGET_USER_DAY];
	used = &b.used[BUDGET_USER_DAY];
	add_limit(doc, obj, "day_tokens", limit->tokens, 1);
	add_limit(doc, obj, "day_cost_usd", limit->cost_nano, 1e9);
	/* What was spent is told in any case. */
	b.limit[BUDGET_USER_DAY].tokens = INT64_MAX;
	if (r == 0)
		r = budgets_load_used(c, path_id(x), "", clock_now_us(), &b);
	yyjson_mut_obj_add_int(doc, obj, "used_tokens", used->tokens);
	yyjson_mut_obj_add_real(doc, obj, "used_cost_usd", (double)used->cost_nano / 1e9);
	return r < 0 ? r : answer_json(a, 200, doc);
}

static int budget_get_run(struct db_conn *c, struct exchange_job *job)
{
	return answer_budget(c, (struct answer *)job);
}

void budgets_get(struct exchange *x)
{
	if (strcmp(path_id(x), x->who.user_id) != 0 && !sees_all_executions(x))
		reply_problem(x, 404, "not_found", "There is no such user, or it is not you.");
	else
		answer_read(x, arena_new_of(x->arena, struct answer), budget_get_run);
}

static const struct json_field fields[] = {
	{"day_tokens", JSON_INT, false, 0, 1000000000000ll},
	{"day_cost_usd", JSON_NUMBER},
};

static int budget_put_run(struct db_conn *c, struct exchange_job *job)
{
	yyjson_val *body = job->x->body;
	int64_t n = db_exec(
		c,
		"insert into user_budgets (user_id, day_tokens, day_cost_nano, updated_at) values (?, ?, ?, ?) on "
		"conflict (user_id) do update set day_tokens = excluded.day_tokens, day_cost_nano = "
		"excluded.day_cost_nano, updated_at = excluded.updated_at",
		DB_TEXT(path_id(job->x)), DB_INT(json_get_int(body, "day_tokens", 0)),
		DB_INT((int64_t)(json_get_num(body, "day_cost_usd", 0) * 1e9)), DB_INT(clock_now_us()));

	return n < 0 ? (int)n : answer_budget(c, (struct answer *)job);
}

void budgets_put(struct exchange *x)
{
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0)
		reply_error(x, 422, &err);
	else if (!*path_id(x))
		reply_problem(x, 404, "not_found", "There is no such user.");
	else
		answer_write(x, arena_new_of(x->arena, struct answer), budget_put_run);
}
