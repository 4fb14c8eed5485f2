/* Runs of an evaluation set: each of its cases, so many times, by one version of an agent. */
#include "agent/automation/automation.h"
#include "agent/evaluations/evaluations.h"
#include "agent/evaluations/judge.h"
#include "agent/variables.h"

#include <stdlib.h>

#define ROWS_MAX_BYTES (64 << 20)

/* ---- Out ---- */

static int compare_ints(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static double median(int64_t *list, size_t n)
{
	qsort(list, n, sizeof(*list), compare_ints);
	return n % 2 ? (double)list[n / 2] : ((double)list[n / 2 - 1] + (double)list[n / 2]) / 2;
}

/* Of all runs that were graded. */
static int add_medians(struct db_conn *c, struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj,
		       const struct batch *b)
{
	struct db_stmt *st =
		db_query(c,
			 "select cost_nano, latency_ms, tokens from batch_rows where batch_id = ? and part = "
			 "0 and latency_ms is not null limit ?",
			 DB_TEXT(b->id), DB_INT(b->n_rows));
	int64_t *cost = arena_alloc(a, (size_t)(b->n_rows + 1) * 3 * sizeof(*cost)), *latency = cost + b->n_rows,
		*tokens = latency + b->n_rows;
	yyjson_mut_val *medians;
	size_t n = 0;
	int r;

	while ((r = db_step(c, st)) == 1 && n < (size_t)b->n_rows) {
		cost[n] = db_col_int(st, 0);
		latency[n] = db_col_int(st, 1);
		tokens[n++] = db_col_int(st, 2);
	}
	db_done(st);
	if (n == 0) {
		yyjson_mut_obj_add_null(doc, obj, "medians");
		return MIN(r, 0);
	}
	medians = yyjson_mut_obj_add_obj(doc, obj, "medians");
	yyjson_mut_obj_add_real(doc, medians, "cost_usd", median(cost, n) / 1e9);
	yyjson_mut_obj_add_real(doc, medians, "latency_ms", median(latency, n));
	yyjson_mut_obj_add_real(doc, medians, "tokens", median(tokens, n));
	return MIN(r, 0);
}

struct sums {
	struct batch_counts rows;
	int64_t passed, failed, score, tokens, cost_nano;
	int64_t judging, judge_cost_nano; /* of models that grade */
};

static int sum_up_judges(struct db_conn *c, const char *id, struct sums *ret)
{
	struct db_stmt *st =
		db_query(c,
			 "select coalesce(sum(case when status in ('waiting', 'running') then 1 else 0 end), "
			 "0), coalesce(sum(cost_nano), 0) from batch_rows where batch_id = ? and part > 0",
			 DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1) {
		ret->judging = db_col_int(st, 0);
		ret->judge_cost_nano = db_col_int(st, 1);
	}
	db_done(st);
	return MIN(r, 0);
}

static int sum_up(struct db_conn *c, const char *id, struct sums *ret)
{
	struct db_stmt *st =
		db_query(c,
			 "select status, passed, count(*), coalesce(sum(score), 0), coalesce(sum(tokens), 0), "
			 "coalesce(sum(cost_nano), 0) from batch_rows where batch_id = ? and part = 0 group "
			 "by status, passed",
			 DB_TEXT(id));
	const struct {
		const char *status;
		int64_t *n;
	} all[] = {{"waiting", &ret->rows.waiting},
		   {"running", &ret->rows.running},
		   {"succeeded", &ret->rows.succeeded},
		   {"failed", &ret->rows.failed},
		   {"cancelled", &ret->rows.cancelled}};
	int r;

	*ret = (struct sums){0};
	while ((r = db_step(c, st)) == 1) {
		for (size_t i = 0; i < ARRAY_SIZE(all); i++)
			if (str_is(db_col_str(st, 0), all[i].status))
				*all[i].n += db_col_int(st, 2);
		if (!db_col_is_null(st, 1))
			*(db_col_int(st, 1) ? &ret->passed : &ret->failed) += db_col_int(st, 2);
		ret->score += db_col_int(st, 3);
		ret->tokens += db_col_int(st, 4);
		ret->cost_nano += db_col_int(st, 5);
	}
	db_done(st);
	return r < 0 ? r : sum_up_judges(c, id, ret);
}

static void add_sums(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct batch *b, const struct sums *n)
{
	yyjson_mut_val *rows = yyjson_mut_obj_add_obj(doc, obj, "rows"),
		       *results = yyjson_mut_obj_add_obj(doc, obj, "results");
	int64_t graded = n->passed + n->failed;

	yyjson_mut_obj_add_int(doc, rows, "total", b->n_rows);
	yyjson_mut_obj_add_int(doc, rows, "waiting", n->rows.waiting);
	yyjson_mut_obj_add_int(doc, rows, "running", n->rows.running);
	yyjson_mut_obj_add_int(doc, rows, "succeeded", n->rows.succeeded);
	yyjson_mut_obj_add_int(doc, rows, "failed", n->rows.failed);
	yyjson_mut_obj_add_int(doc, rows, "cancelled", n->rows.cancelled);
	yyjson_mut_obj_add_int(doc, rows, "judging", n->judging);
	yyjson_mut_obj_add_int(doc, results, "passed", n->passed);
	yyjson_mut_obj_add_int(doc, results, "failed", n->failed);
	yyjson_mut_obj_add_int(doc, results, "open", b->n_rows - graded);
	if (graded) {
		yyjson_mut_obj_add_real(doc, results, "pass_rate", (double)n->passed / (double)graded);
		yyjson_mut_obj_add_real(doc, results, "mean_score",
					(double)n->score / EVALUATION_SCORE_UNIT / (double)graded);
	} else {
		yyjson_mut_obj_add_null(doc, results, "pass_rate");
		yyjson_mut_obj_add_null(doc, results, "mean_score");
	}
	yyjson_mut_obj_add_int(doc, results, "tokens", n->tokens);
	yyjson_mut_obj_add_real(doc, results, "cost_usd", (double)n->cost_nano / 1e9);
	yyjson_mut_obj_add_real(doc, results, "judge_cost_usd", (double)n->judge_cost_nano / 1e9);
}

static int add_run(struct db_conn *c, struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct batch *b,
		   bool is_whole)
{
	yyjson_val *rules = yyjson_doc_get_root(json_parse(a, b->graders, strlen(b->graders), NULL));
	struct sums n;
	int r = sum_up(c, b->id, &n);

	json_add_str(doc, obj, "id", b->id);
	json_add_str(doc, obj, "evaluation_id", b->evaluation_id);
	json_add_str(doc, obj, "name", b->name);
	json_add_str(doc, obj, "user_id", b->user_id);
	json_add_str(doc, obj, "agent_id", b->agent_id);
	json_add_str(doc, obj, "agent_name", b->agent_name);
	yyjson_mut_obj_add_int(doc, obj, "agent_version", b->agent_version);
	json_add_str(doc, obj, "status", b->status);
	json_add_str(doc, obj, "reason", b->reason);
	yyjson_mut_obj_add_int(doc, obj, "repeats", b->repeats);
	yyjson_mut_obj_add_int(doc, obj, "concurrency", b->concurrency);
	yyjson_mut_obj_add_int(doc, obj, "max_failures", b->max_failures);
	yyjson_mut_obj_add_val(doc, obj, "graders", yyjson_val_mut_copy(doc, yyjson_obj_get(rules, "graders")));
	yyjson_mut_obj_add_val(doc, obj, "pass_score", yyjson_val_mut_copy(doc, yyjson_obj_get(rules, "pass_score")));
	add_sums(doc, obj, b, &n);
	add_time(doc, obj, "created_at", b->created_at);
	add_time(doc, obj, "updated_at", b->updated_at);
	add_time(doc, obj, "ended_at", b->ended_at);
	return r < 0 || !is_whole ? MIN(r, 0) : add_medians(c, a, doc, obj, b);
}

int evaluation_run_add(struct db_conn *c, struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj,
		       const struct batch *b)
{
	return add_run(c, a, doc, obj, b, true);
}

int evaluation_run_find(struct db_conn *c, struct answer *a, const char *id, struct batch *ret)
{
	struct exchange *x = a->job.x;
	int r = batch_find(c, x->arena, id, false, ret);

	if (r < 0)
		return r;
	if (r == 0 || !ret->evaluation_id || (strcmp(ret->user_id, x->who.user_id) != 0 && !evaluation_sees_all(x)))
		return answer_not_found(a, "run");
	if (strcmp(ret->user_id, x->who.user_id) != 0 && !sees_all_conversations(x))
		return answer_problem(a, 403, "forbidden",
				      "The answers of another user's run need the permission conversations.read_any.");
	return 0;
}

/* ---- Beginning one ---- */

static const struct json_field create_fields[] = {
	{"agent_id", JSON_STRING, true, 36, 36},
	{"agent_version", JSON_INT, false, 1, INT32_MAX},
	{"name", JSON_STRING, false, 1, 200},
	{"repeats", JSON_INT, false, 1, EVALUATION_REPEATS_MAX},
	{"concurrency", JSON_INT, false, 1, BATCH_CONCURRENCY_MAX},
	{"max_failures", JSON_INT, false, 0, 1000000},
	{"tags", JSON_ARRAY, false, 0, 20},
};

/* A run that is to begin. */
struct begin {
	struct answer *a;
	struct db_conn *c;
	struct evaluation_set set;
	struct batch b;
	struct str *cases; /* the rows' data without the number of the time */
	size_t n_cases, n_bytes;
};

static bool is_wanted(yyjson_val *wanted, yyjson_val *tags)
{
	yyjson_val *one, *tag;
	size_t i, k, max, n;

	if (yyjson_arr_size(wanted) == 0)
		return true;
	yyjson_arr_foreach(wanted, i, max, one)
	{
		yyjson_arr_foreach(tags, k, n, tag)
		{
			if (yyjson_equals(one, tag))
				return true;
		}
	}
	return false;
}

static struct str case_data(struct arena *a, struct db_stmt *st)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	json_add_str(doc, obj, "case_id", db_col_dup(st, 0, a));
	yyjson_mut_obj_add_int(doc, obj, "case", db_col_int(st, 1));
	json_add_str(doc, obj, "input", db_col_dup(st, 2, a));
	if (!db_col_is_null(st, 3))
		json_add_raw(doc, obj, "expected", db_col_dup(st, 3, a));
	if (!db_col_is_null(st, 4))
		json_add_raw(doc, obj, "variables", db_col_dup(st, 4, a));
	json_add_raw(doc, obj, "tags", db_col_dup(st, 5, a));
	return json_text(a, doc);
}

/* Its variables fit the version: better now than in the middle. */
static int check_case(struct begin *p, struct db_stmt *st, const char *config)
{
	struct exchange *x = p->a->job.x;
	const char *text = db_col_dup(st, 4, x->arena);
	yyjson_val *values = text ? yyjson_doc_get_root(json_parse(x->arena, text, strlen(text), NULL)) : NULL;
	struct error err = {0};

	if (variables_check_values(x->arena, config, values, &err) == 0)
		return 0;
	error_prefix(&err, "Case %lld", (long long)db_col_int(st, 1));
	return evaluation_refuse(p->a, &err);
}

static int read_cases(struct begin *p, const char *config)
{
	struct exchange *x = p->a->job.x;
	yyjson_val *wanted = json_get_arr(x->body, "tags");
	struct db_stmt *st = db_query(p->c,
				      "select id, number, input, expected, variables, tags from evaluation_cases where "
				      "set_id = ? order by number limit ?",
				      DB_TEXT(p->set.id), DB_INT(EVALUATION_CASES_MAX));
	int r;

	p->cases = arena_alloc(x->arena, EVALUATION_CASES_MAX * sizeof(*p->cases));
	while ((r = db_step(p->c, st)) == 1) {
		struct str tags = db_col_str(st, 5);

		if (!is_wanted(wanted, yyjson_doc_get_root(json_parse(x->arena, tags.p, tags.n, NULL))))
			continue;
		r = check_case(p, st, config);
		if (r)
			break;
		p->cases[p->n_cases] = case_data(x->arena, st);
		p->n_bytes += p->cases[p->n_cases++].n;
	}
	db_done(st);
	return r;
}

/* The version's number and its configuration; the newest one where none is named. */
static int read_version(struct begin *p, const char **ret_config)
{
	struct arena *arena = p->a->job.x->arena;
	struct db_stmt *st;
	int r;

	st = db_query(
		p->c,
		"select version, config from agent_versions where agent_id = ? and (version = ? or ? = 0) order by "
		"version desc limit 1",
		DB_TEXT(p->b.agent_id), DB_INT(p->b.agent_version), DB_INT(p->b.agent_version));
	r = db_step(p->c, st);
	if (r == 1) {
		p->b.agent_version = db_col_int(st, 0);
		*ret_config = db_col_dup(st, 1, arena);
	}
	db_done(st);
	return r == 0 ? answer_problem(p->a, 404, "version_not_found",
				       "The agent has no such version: GET /api/agents/{id}/versions lists them.")
		      : MIN(r, 0);
}

static int check_size(struct begin *p)
{
	struct exchange *x = p->a->job.x;
	struct agent *agent = x->self;
	int64_t most = option_int(service_options(agent->service), "batch_max_rows");

	p->b.n_rows = (int64_t)p->n_cases * p->b.repeats;
	if (p->n_cases == 0)
		return answer_problem(p->a, 422, "evaluation_empty",
				      "There is no case to run: add some, or name other tags.");
	if (strcmp(p->set.graders, "[]") == 0)
		return answer_problem(p->a, 422, "evaluation_empty", "The set has no grader: add one.");
	if (p->b.n_rows > most || p->n_bytes * (size_t)p->b.repeats > ROWS_MAX_BYTES)
		return answer_problem(
			p->a, 422, "table_too_large",
			arena_printf(x->arena,
				     "A run has at most %lld rows (option batch_max_rows) and %d MiB: name fewer "
				     "repeats, or tags.",
				     (long long)most, ROWS_MAX_BYTES >> 20));
	return 0;
}

/* Times one behind the other: {…, "repeat": 2}. */
static int insert_rows(struct begin *p)
{
	_cleanup_(buf_deinit) struct buf data = BUF_INIT;
	int64_t number = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_cases; i++) {
		for (int64_t k = 1; r == 0 && k <= p->b.repeats; k++) {
			buf_clear(&data);
			buf_add(&data, p->cases[i].p, p->cases[i].n - 1);
			buf_printf(&data, ",\"repeat\":%lld}", (long long)k);
			r = batch_row_insert(p->c, &p->b, ++number, 0, buf_str(&data));
		}
	}
	return r;
}

/* With the judges, who are made now if they are not there. */
static int make_rules(struct begin *p)
{
	struct exchange *x = p->a->job.x;
	const char *graders = p->set.graders, *judges;
	int r = judges_make(p->c, x->self, x->arena, p->b.user_id,
			    yyjson_doc_get_root(json_parse(x->arena, graders, strlen(graders), NULL)), &judges);

	p->b.graders = arena_printf(x->arena, "{\"pass_score\":%.6g,\"judges\":%s,\"graders\":%s}",
				    (double)p->set.pass_score / EVALUATION_SCORE_UNIT, judges, graders);
	return r;
}

static int check_count(struct begin *p)
{
	int64_t n = 0;
	int r = db_get_int(p->c, &n, "select count(*) from batches where user_id = ? and evaluation_id is not null",
			   DB_TEXT(p->b.user_id));

	return r >= 0 && n >= EVALUATION_RUNS_MAX
		       ? answer_problem(p->a, 409, "too_many_runs",
					"There are too many runs already: remove some that are not needed.")
		       : MIN(r, 0);
}

static int fill(struct begin *p, const char **config)
{
	int r = evaluation_set_find(p->c, p->a, true, &p->set);

	if (r == 0)
		r = answer_find_agent(p->c, p->a, p->b.agent_id, &p->b.agent_name);
	if (r == 0)
		r = read_version(p, config);
	return r == 0 ? check_count(p) : r;
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	char *id = arena_alloc(x->arena, ID_SIZE);
	struct begin p = {.a = a,
			  .c = c,
			  .b = {.id = id,
				.user_id = x->who.user_id,
				.agent_id = json_get_str(x->body, "agent_id", ""),
				.agent_version = json_get_int(x->body, "agent_version", 0),
				.message = "{{input}}",
				.columns = "[\"input\"]",
				.status = "running",
				.repeats = json_get_int(x->body, "repeats", 1),
				.concurrency = json_get_int(x->body, "concurrency", 4),
				.max_failures = json_get_int(x->body, "max_failures", 0),
				.created_at = clock_now_us()}};
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	const char *config = NULL;
	int r = answer_known(c, a);

	if (r == 0)
		r = fill(&p, &config);
	if (r == 0)
		r = read_cases(&p, config);
	if (r == 0)
		r = check_size(&p);
	if (r)
		return r;
	id_new(id);
	p.b.evaluation_id = p.set.id;
	p.b.name = json_get_str(x->body, "name", p.set.name);
	p.b.updated_at = p.b.created_at;
	r = make_rules(&p);
	if (r == 0)
		r = batch_insert(c, &p.b);
	if (r == 0)
		r = insert_rows(&p);
	if (r == 0)
		r = evaluation_run_add(c, x->arena, doc, obj, &p.b);
	if (r)
		return r;
	a->location = arena_printf(x->arena, "/api/evaluations/runs/%s", id);
	answer_json(a, 201, doc);
	return answer_keep(c, a);
}

static void wake_done(struct exchange_job *job, int result)
{
	answer_send(job, result);
	automation_wake(((struct agent *)job->x->self)->automation);
}

void evaluation_runs_create(struct exchange *x)
{
	struct answer *a = arena_new_of(x->arena, struct answer);
	struct error err = {0};

	if (json_check(x->body, create_fields, ARRAY_SIZE(create_fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	a->job.done = wake_done;
	answer_write(x, a, create_run);
}

/* ---- Reading ---- */

/* Those of a set. */
static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	const char **ids = arena_alloc(x->arena, (size_t)(l->page.limit + 1) * sizeof(*ids));
	struct evaluation_set s;
	struct batch b;
	struct db_stmt *st;
	int64_t n = 0;
	int r = evaluation_set_find(c, &l->answer, false, &s);

	if (r)
		return r;
	st = db_query(c, "select id from batches where evaluation_id = ? and id < ? order by id desc limit ?",
		      DB_TEXT(s.id), DB_TEXT(l->page.after ? l->page.after : ID_LAST), DB_INT(l->page.limit + 1));
	while ((r = db_step(c, st)) == 1)
		ids[n++] = db_col_dup(st, 0, x->arena);
	db_done(st);
	for (int64_t i = 0; r >= 0 && i < MIN(n, l->page.limit); i++) {
		r = batch_find(c, x->arena, ids[i], false, &b);
		if (r == 1)
			r = add_run(c, x->arena, doc, yyjson_mut_arr_add_obj(doc, items), &b, false);
	}
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, ids[l->page.limit - 1]) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void evaluation_runs_list(struct exchange *x)
{
	answer_page(x, list_run);
}
