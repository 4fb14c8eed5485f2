/* What has become of each case of a run: in pages, and as one file. */
#include <stdlib.h>

#include "agent/evaluations/case.h"
#include "agent/evaluations/evaluations.h"

#define RESULTS_MAX_BYTES (64 << 20)

#define SELECT                                                                                                      \
	"select r.number, r.data, r.status, r.attempt, r.passed, r.score, r.grades, r.tokens, r.cost_nano, "        \
	"r.latency_ms, r.execution_id, e.conversation_id, o.content, o.parsed, e.error_code, e.error_message from " \
	"batch_rows r left join executions e on e.id = r.execution_id left join messages o on o.conversation_id = " \
	"e.conversation_id and o.seq = e.output_seq where r.batch_id = ? and r.part = 0 "

static void add_int(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, struct db_stmt *st, int column)
{
	if (db_col_is_null(st, column))
		yyjson_mut_obj_add_null(doc, obj, name);
	else
		yyjson_mut_obj_add_int(doc, obj, name, db_col_int(st, column));
}

static void add_real(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, struct db_stmt *st, int column,
		     double unit)
{
	if (db_col_is_null(st, column))
		yyjson_mut_obj_add_null(doc, obj, name);
	else
		yyjson_mut_obj_add_real(doc, obj, name, (double)db_col_int(st, column) / unit);
}

static void add_passed(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st)
{
	if (db_col_is_null(st, 4))
		yyjson_mut_obj_add_null(doc, obj, "passed");
	else
		yyjson_mut_obj_add_bool(doc, obj, "passed", db_col_int(st, 4) != 0);
}

/* The members of the row's data: case_id, case, input, expected, variables, tags, repeat. */
static void add_case(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st, struct arena *a)
{
	struct str data = db_col_str(st, 1);
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, data.p, data.n, NULL)), *key, *val;
	size_t i, max;

	yyjson_obj_foreach(root, i, max, key, val)
		yyjson_mut_obj_add(obj, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, val));
	if (!yyjson_obj_get(root, "expected"))
		yyjson_mut_obj_add_null(doc, obj, "expected");
	if (!yyjson_obj_get(root, "variables"))
		yyjson_mut_obj_add_obj(doc, obj, "variables");
}

static void add_row(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st, struct arena *a)
{
	yyjson_mut_obj_add_int(doc, obj, "number", db_col_int(st, 0));
	add_case(doc, obj, st, a);
	json_add_str(doc, obj, "status", db_col_dup(st, 2, a));
	yyjson_mut_obj_add_int(doc, obj, "attempt", db_col_int(st, 3));
	add_passed(doc, obj, st);
	add_real(doc, obj, "score", st, 5, EVALUATION_SCORE_UNIT);
	json_add_raw(doc, obj, "grades", db_col_is_null(st, 6) ? "[]" : db_col_dup(st, 6, a));
	add_int(doc, obj, "tokens", st, 7);
	add_real(doc, obj, "cost_usd", st, 8, 1e9);
	add_int(doc, obj, "latency_ms", st, 9);
	json_add_str(doc, obj, "execution_id", db_col_dup(st, 10, a));
	json_add_str(doc, obj, "conversation_id", db_col_dup(st, 11, a));
	json_add_str(doc, obj, "output", db_col_dup(st, 12, a));
	json_add_raw(doc, obj, "parsed", db_col_dup(st, 13, a));
	if (db_col_is_null(st, 14)) {
		yyjson_mut_obj_add_null(doc, obj, "error");
	} else {
		yyjson_mut_val *error = yyjson_mut_obj_add_obj(doc, obj, "error");

		json_add_str(doc, error, "code", db_col_dup(st, 14, a));
		json_add_str(doc, error, "message", db_col_dup(st, 15, a));
	}
}

/* ---- Pages ---- */

struct rows_answer {
	struct answer answer;
	struct page page;
	int64_t passed; /* 1, 0, -1 = those that are open, -2 = all */
};

static int rows_run(struct db_conn *c, struct exchange_job *job)
{
	struct rows_answer *l = (struct rows_answer *)job;
	struct arena *arena = job->x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	int64_t n = 0, last = 0;
	struct batch b;
	struct db_stmt *st;
	int r = evaluation_run_find(c, &l->answer, path_id(job->x), &b);

	if (r)
		return r;
	st = db_query(c, SELECT "and r.number > ? and (? = -2 or coalesce(r.passed, -1) = ?) order by r.number limit ?",
		      DB_TEXT(b.id), DB_INT(l->page.after ? strtoll(l->page.after, NULL, 10) : 0), DB_INT(l->passed),
		      DB_INT(l->passed), DB_INT(l->page.limit + 1));
	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		add_row(doc, yyjson_mut_arr_add_obj(doc, items), st, arena);
		last = db_col_int(st, 0);
	}
	db_done(st);
	json_add_str(doc, obj, "next",
		     n > l->page.limit ? page_cursor(arena, arena_printf(arena, "%lld", (long long)last)) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void evaluation_runs_rows(struct exchange *x)
{
	static const struct {
		const char *name;
		int64_t passed;
	} words[] = {{"true", 1}, {"false", 0}, {"open", -1}, {"all", -2}};
	struct rows_answer *l = arena_new_of(x->arena, struct rows_answer);
	const char *passed = http_query_get(x->arena, x->req->query, "passed");
	size_t i = 0;

	passed = passed ? passed : "all";
	while (i < ARRAY_SIZE(words) && strcmp(words[i].name, passed) != 0)
		i++;
	if (i == ARRAY_SIZE(words)) {
		reply_problem(x, 422, "invalid_field", "\"passed\" is true, false, open or all.");
		return;
	}
	l->passed = words[i].passed;
	if (page_read(x, &l->page))
		answer_read(x, &l->answer, rows_run);
}

/* ---- One file ---- */

struct results_answer {
	struct answer answer;
	struct buf out;
	bool is_csv;
};

static struct str text_of(struct arena *a, yyjson_val *v)
{
	if (!v || yyjson_is_null(v))
		return STR("");
	return yyjson_is_str(v) ? (struct str){yyjson_get_str(v), yyjson_get_len(v)} : json_val_text(a, v);
}

/* "exact: The answer is another text.; …" of those that did not pass. */
static void write_reasons(struct buf *out, struct arena *a, struct db_stmt *st)
{
	_cleanup_(buf_deinit) struct buf reasons = BUF_INIT;
	struct str grades = db_col_str(st, 6);
	yyjson_val *grade;
	size_t i, max;

	if (grades.n == 0)
		grades = STR("[]");
	yyjson_arr_foreach(yyjson_doc_get_root(json_parse(a, grades.p, grades.n, NULL)), i, max, grade)
	{
		if (json_get_bool(grade, "passed", false))
			continue;
		buf_printf(&reasons, "%s%s: %s", reasons.n ? "; " : "", json_get_str(grade, "name", ""),
			   json_get_str(grade, "reason", ""));
	}
	case_write_cell(out, buf_str(&reasons));
}

static void csv_row(struct buf *out, struct arena *a, struct db_stmt *st)
{
	static const char *const of_case[] = {"case_id", "case", "repeat", "input", "expected"};
	_cleanup_(buf_deinit) struct buf tags = BUF_INIT;
	struct str data = db_col_str(st, 1);
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, data.p, data.n, NULL));

	for (size_t i = 0; i < ARRAY_SIZE(of_case); i++)
		case_write_cell(out, text_of(a, yyjson_obj_get(root, of_case[i])));
	case_join_tags(yyjson_obj_get(root, "tags"), &tags);
	case_write_cell(out, buf_str(&tags));
	case_write_cell(out, db_col_str(st, 2));
	case_write_cell(out, str_of(db_col_is_null(st, 4) ? "" : db_col_int(st, 4) ? "true" : "false"));
	if (!db_col_is_null(st, 5))
		buf_printf(out, "%.6g", (double)db_col_int(st, 5) / EVALUATION_SCORE_UNIT);
	buf_add_char(out, ',');
	write_reasons(out, a, st);
	case_write_cell(out, db_col_str(st, 12));
	case_write_cell(out, db_col_str(st, 15));
	case_write_cell(out, db_col_str(st, 10));
	case_write_cell(out, db_col_str(st, 11));
	if (!db_col_is_null(st, 9))
		buf_printf(out, "%lld,%.9g,%lld", (long long)db_col_int(st, 7), (double)db_col_int(st, 8) / 1e9,
			   (long long)db_col_int(st, 9));
	else
		buf_add_str(out, ",,");
	buf_add_str(out, "\r\n");
}

static void jsonl_row(struct buf *out, struct arena *a, struct db_stmt *st)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	struct str line;

	add_row(doc, obj, st, a);
	line = json_text(a, doc);
	buf_add(out, line.p, line.n);
	buf_add_char(out, '\n');
}

static int results_run(struct db_conn *c, struct exchange_job *job)
{
	struct results_answer *d = (struct results_answer *)job;
	_cleanup_(arena_free_p) struct arena *each = arena_new();
	struct batch b;
	struct db_stmt *st;
	int r = evaluation_run_find(c, &d->answer, path_id(job->x), &b);

	if (r)
		return r;
	buf_clear(&d->out);
	if (d->is_csv)
		buf_add_str(&d->out, "case_id,case,repeat,input,expected,tags,status,passed,score,reasons,output,error,"
				     "execution_id,conversation_id,tokens,cost_usd,latency_ms\r\n");
	st = db_query(c, SELECT "order by r.number", DB_TEXT(b.id));
	while (d->out.n < RESULTS_MAX_BYTES && (r = db_step(c, st)) == 1) {
		arena_reset(each);
		if (d->is_csv)
			csv_row(&d->out, each, st);
		else
			jsonl_row(&d->out, each, st);
	}
	db_done(st);
	if (r == 1)
		return answer_problem(&d->answer, 413, "results_too_large",
				      "The answers are too much for one file: read them in pages, …/rows.");
	return r;
}

static void results_done(struct exchange_job *job, int result)
{
	struct results_answer *d = (struct results_answer *)job;
	struct exchange *x = job->x;

	if (result < 0 || d->answer.code)
		answer_send(job, result);
	else if (x->req)
		reply_download(x, d->is_csv ? "text/csv; charset=utf-8" : "application/jsonl",
			       d->is_csv ? "results.csv" : "results.jsonl", buf_str(&d->out));
	buf_deinit(&d->out);
}

void evaluation_runs_results(struct exchange *x)
{
	struct results_answer *d = arena_new_of(x->arena, struct results_answer);
	const char *format = http_query_get(x->arena, x->req->query, "format");

	d->is_csv = !format || strcmp(format, "csv") == 0;
	if (!d->is_csv && strcmp(format, "jsonl") != 0) {
		reply_problem(x, 422, "invalid_field", "\"format\" is csv or jsonl.");
		return;
	}
	d->answer.job.done = results_done;
	answer_read(x, &d->answer, results_run);
}
