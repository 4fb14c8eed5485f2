#include "agent/evaluations/grade.h"

#include "agent/batches/batch.h"
#include "agent/evaluations/graders.h"

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
	"coalesce(e.started_at, e.created_at)) / 1000 from batch_rows r join executions e on e.id = r.execution_id "   \
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
				       .latency_ms = ret->run.latency_ms};
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

static void grade_one(struct arena *work, struct arena *a, yyjson_val *rules, struct ended *e)
{
	yyjson_val *data = yyjson_doc_get_root(json_parse(work, e->data.p, e->data.n, NULL));
	yyjson_val *graders = json_get_arr(rules, "graders"), *grades;
	struct graded_row *row = &e->row;
	enum verdict verdict;

	row->grades = graders_grade(work, graders, &e->run, yyjson_obj_get(data, "expected"));
	grades = yyjson_doc_get_root(json_parse(work, row->grades, strlen(row->grades), NULL));
	verdict = graders_verdict(graders, grades, json_get_num(rules, "pass_score", 1), &row->score);
	row->is_open = verdict == VERDICT_OPEN;
	row->has_passed = verdict == VERDICT_PASSED;
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

int evaluation_keep_grade(struct db_conn *c, struct arena *a, const struct batch *b, const struct graded_row *row)
{
	return (int)MIN(db_exec(c,
				"update batch_rows set passed = ?, score = ?, grades = ?, tokens = ?, cost_nano = ?, "
				"latency_ms = ? where batch_id = ? and number = ?",
				row->is_open ? DB_NULL() : DB_INT(row->has_passed),
				row->is_open ? DB_NULL() : DB_INT(row->score), DB_TEXT(row->grades),
				DB_INT(row->tokens), DB_INT(row->cost_nano), DB_INT(row->latency_ms), DB_TEXT(b->id),
				DB_INT(row->number)),
			0);
}

void evaluation_begin_row(struct arena *a, struct str data, struct conversation_row *made)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, data.p, data.n, NULL));
	yyjson_val *variables = json_get_obj(root, "variables");

	if (yyjson_obj_size(variables) > 0)
		made->variables = json_val_text(a, variables).p;
}
