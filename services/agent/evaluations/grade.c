#include "agent/evaluations/grade.h"

#include "agent/batches/batch.h"
#include "agent/evaluations/judge.h"

#define AT_ONCE BATCH_CONCURRENCY_MAX

/* One that is to be graded. */
struct ended {
	int64_t number;
	const char *conversation_id;
	struct str data;
	struct graded_row row;
	struct graded_run run;
};

/* The runs that it called are part of what it cost. */
#define SELECT                                                                                                         \
	"select r.number, r.execution_id, e.conversation_id, r.data, e.status, e.error_code, o.content, o.parsed, "    \
	"e.steps, e.input_tokens + e.output_tokens + (select coalesce(sum(k.input_tokens + k.output_tokens), 0) "      \
	"from executions k where k.root_id = e.id and k.id <> e.id), e.cost_nano + (select coalesce(sum("              \
	"k.cost_nano), 0) from executions k where k.root_id = e.id and k.id <> e.id), (e.ended_at - "                  \
	"coalesce(e.started_at, e.created_at)) / 1000, r.part from batch_rows r join executions e on e.id = "          \
	"r.execution_id "                                                                                              \
	"left join messages o on o.conversation_id = e.conversation_id and o.seq = e.output_seq where r.batch_id = ? " \
	"and r.status = 'running' and e.ended_at is not null and e.status <> 'cancelled' order by r.number limit ?"

static void read_ended(struct db_stmt *st, struct arena *a, struct ended *ret)
{
	struct str answer = db_col_str(st, 6);
	const char *parsed = db_col_dup(st, 7, a);

	*ret = (struct ended){.number = db_col_int(st, 0),
			      .conversation_id = db_col_dup(st, 2, a),
			      .data = arena_str(a, db_col_str(st, 3)),
			      .run = {.status = db_col_dup(st, 4, a),
				      .error_code = db_col_dup(st, 5, a),
				      .answer = arena_str(a, answer),
				      .steps = db_col_int(st, 8),
				      .tokens = db_col_int(st, 9),
				      .cost_nano = db_col_int(st, 10),
				      .latency_ms = db_col_int(st, 11)}};
	if (parsed)
		ret->run.parsed = yyjson_doc_get_root(json_parse(a, parsed, strlen(parsed), NULL));
	ret->row = (struct graded_row){.number = ret->number,
				       .execution_id = db_col_dup(st, 1, a),
				       .tokens = ret->run.tokens,
				       .cost_nano = ret->run.cost_nano,
				       .latency_ms = ret->run.latency_ms,
				       .part = (int)db_col_int(st, 12)};
}

/* What it called, in order. */
static int read_calls(struct db_conn *c, struct arena *a, struct ended *e)
{
	struct db_stmt *st = db_query(c,
				      "select tool_calls from messages where conversation_id = ? and execution_id = ? "
				      "and tool_calls is not null order by seq",
				      DB_TEXT(e->conversation_id), DB_TEXT(e->row.execution_id));
	yyjson_mut_doc *doc = json_new(a);
	yyjson_mut_val *list = yyjson_mut_arr(doc);
	struct str text;
	int r;

	while ((r = db_step(c, st)) == 1) {
		struct str calls = db_col_str(st, 0);
		yyjson_val *call;
		size_t i, max;

		yyjson_arr_foreach(yyjson_doc_get_root(json_parse(a, calls.p, calls.n, NULL)), i, max, call)
			yyjson_mut_arr_append(list, yyjson_val_mut_copy(doc, call));
	}
	db_done(st);
	yyjson_mut_doc_set_root(doc, list);
	text = json_text(a, doc);
	e->run.calls = yyjson_doc_get_root(json_parse(a, text.p, text.n, NULL));
	return MIN(r, 0);
}

/* The n-th of the graders that are models, from 1. */
static yyjson_val *model_of(yyjson_val *graders, int n)
{
	yyjson_val *grader;
	size_t i, max;

	yyjson_arr_foreach(graders, i, max, grader)
	{
		if (strcmp(json_get_str(grader, "type", ""), "model") == 0 && --n == 0)
			return grader;
	}
	return NULL;
}

static void grade_by_judge(struct arena *work, struct arena *a, yyjson_val *graders, struct ended *e)
{
	struct graded_row *row = &e->row;

	row->grades = arena_strdup(a, judge_grade(work, model_of(graders, row->part), &e->run, row->execution_id));
	row->execution_id = arena_strdup(a, row->execution_id);
	row->is_open = true;
}

static void add_judgements(struct arena *work, struct arena *a, yyjson_val *rules, yyjson_val *data, struct ended *e)
{
	yyjson_val *judges = json_get_arr(rules, "judges"), *judge;
	size_t i, max;

	yyjson_arr_foreach(judges, i, max, judge)
	{
		if (e->row.n_judgements < GRADERS_MODELS_MAX)
			e->row.judgements[e->row.n_judgements++] =
				arena_str(a, judge_row(work, yyjson_get_str(judge), data, e->run.answer));
	}
}

static void grade_one(struct arena *work, struct arena *a, yyjson_val *rules, struct ended *e)
{
	yyjson_val *data = yyjson_doc_get_root(json_parse(work, e->data.p, e->data.n, NULL));
	yyjson_val *graders = json_get_arr(rules, "graders"), *grades;
	struct graded_row *row = &e->row;
	enum verdict verdict;

	if (row->part > 0) {
		grade_by_judge(work, a, graders, e);
		return;
	}
	row->grades = graders_grade(work, graders, &e->run, yyjson_obj_get(data, "expected"));
	grades = yyjson_doc_get_root(json_parse(work, row->grades, strlen(row->grades), NULL));
	verdict = graders_verdict(graders, grades, json_get_num(rules, "pass_score", 1), &row->score);
	row->is_open = verdict == VERDICT_OPEN;
	row->has_passed = verdict == VERDICT_PASSED;
	if (row->is_open)
		add_judgements(work, a, rules, data, e);
	row->grades = arena_strdup(a, row->grades);
	row->execution_id = arena_strdup(a, row->execution_id);
}

int evaluation_grade(struct db_conn *c, struct arena *a, const char *batch_id, struct graded_row **ret, size_t *ret_n)
{
	_cleanup_(arena_free_p) struct arena *rules_arena = arena_new(), *work = arena_new();
	struct graded_row *rows = arena_alloc(a, AT_ONCE * sizeof(*rows));
	yyjson_val *rules;
	struct batch b;
	struct db_stmt *st;
	size_t n = 0;
	int r = batch_find(c, rules_arena, batch_id, false, &b);

	*ret = rows;
	*ret_n = 0;
	if (r != 1 || !b.graders)
		return MIN(r, 0);
	rules = yyjson_doc_get_root(json_parse(rules_arena, b.graders, strlen(b.graders), NULL));
	st = db_query(c, SELECT, DB_TEXT(batch_id), DB_INT(AT_ONCE));
	while ((r = db_step(c, st)) == 1 && n < AT_ONCE) {
		struct ended e;

		read_ended(st, work, &e);
		r = read_calls(c, work, &e);
		if (r < 0)
			break;
		grade_one(work, a, rules, &e);
		rows[n++] = e.row;
		arena_reset(work);
	}
	db_done(st);
	*ret_n = n;
	return MIN(r, 0);
}

static int store(struct db_conn *c, const struct batch *b, int64_t number, const char *grades, enum verdict verdict,
		 int64_t score)
{
	bool is_open = verdict == VERDICT_OPEN;

	return error_only(
		db_exec(c, "update batch_rows set passed = ?, score = ?, grades = ? where batch_id = ? and number = ?",
			is_open ? DB_NULL() : DB_INT(verdict == VERDICT_PASSED), is_open ? DB_NULL() : DB_INT(score),
			DB_TEXT(grades), DB_TEXT(b->id), DB_INT(number)));
}

/* The grade of a judge has its place among those of the row that it judged. */
static int join(struct db_conn *c, struct arena *a, const struct batch *b, const struct graded_row *row)
{
	yyjson_val *rules = yyjson_doc_get_root(json_parse(a, b->graders, strlen(b->graders), NULL));
	yyjson_val *graders = json_get_arr(rules, "graders"), *joined;
	int64_t number = row->number - row->part * b->n_rows, score;
	const char *grades = NULL;
	enum verdict verdict;
	struct db_stmt *st = db_query(c, "select grades from batch_rows where batch_id = ? and number = ?",
				      DB_TEXT(b->id), DB_INT(number));
	int r = db_step(c, st);

	if (r == 1)
		grades = db_col_dup(st, 0, a);
	db_done(st);
	if (r < 0 || !grades)
		return MIN(r, 0);
	grades = judge_join(a, graders, yyjson_doc_get_root(json_parse(a, grades, strlen(grades), NULL)), row->part,
			    row->grades);
	joined = yyjson_doc_get_root(json_parse(a, grades, strlen(grades), NULL));
	verdict = graders_verdict(graders, joined, json_get_num(rules, "pass_score", 1), &score);
	return store(c, b, number, grades, verdict, score);
}

static int add_rows(struct db_conn *c, const struct batch *b, const struct graded_row *row)
{
	int r = 0;

	for (int i = 0; r == 0 && i < row->n_judgements; i++)
		r = batch_row_insert(c, b, (i + 1) * b->n_rows + row->number, i + 1, row->judgements[i]);
	return r;
}

int evaluation_keep_grade(struct db_conn *c, struct arena *a, const struct batch *b, const struct graded_row *row)
{
	enum verdict verdict = row->is_open ? VERDICT_OPEN : row->has_passed ? VERDICT_PASSED : VERDICT_NOT_PASSED;
	int64_t n = db_exec(c,
			    "update batch_rows set tokens = ?, cost_nano = ?, latency_ms = ? where batch_id = ? and "
			    "number = ?",
			    DB_INT(row->tokens), DB_INT(row->cost_nano), DB_INT(row->latency_ms), DB_TEXT(b->id),
			    DB_INT(row->number));
	int r = n < 0 ? (int)n : store(c, b, row->number, row->grades, verdict, row->score);

	if (r < 0)
		return r;
	return row->part > 0 ? join(c, a, b, row) : add_rows(c, b, row);
}

void evaluation_begin_row(struct arena *a, struct str data, int part, struct conversation_row *made)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, data.p, data.n, NULL));
	yyjson_val *variables = json_get_obj(root, "variables");

	if (part > 0) {
		made->agent_id = json_get_str(root, "agent_id", "");
		made->pinned_version = 1;
	} else if (yyjson_obj_size(variables) > 0) {
		made->variables = json_val_text(a, variables).p;
	}
}
