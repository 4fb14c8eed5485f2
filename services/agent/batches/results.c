/* What has become of a batch's rows: in pages, and as one file. */
#include "agent/batches/batches.h"
#include "base/csv.h"

#define RESULTS_MAX_BYTES (64 << 20)

#define SELECT                                                                                                     \
	"select r.number, r.data, r.status, r.attempt, r.execution_id, e.conversation_id, o.content, o.parsed, "   \
	"e.error_code, e.error_message, e.input_tokens, e.output_tokens, e.cost_nano from batch_rows r left join " \
	"executions e on e.id = r.execution_id left join messages o on o.conversation_id = e.conversation_id and " \
	"o.seq = e.output_seq "

static void add_error(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st, struct arena *a)
{
	yyjson_mut_val *error;

	if (db_col_is_null(st, 8)) {
		yyjson_mut_obj_add_null(doc, obj, "error");
		return;
	}
	error = yyjson_mut_obj_add_obj(doc, obj, "error");
	json_add_str(doc, error, "code", db_col_dup(st, 8, a));
	json_add_str(doc, error, "message", db_col_dup(st, 9, a));
}

static void add_row(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st, struct arena *a)
{
	yyjson_mut_obj_add_int(doc, obj, "number", db_col_int(st, 0));
	json_add_raw(doc, obj, "data", db_col_dup(st, 1, a));
	json_add_str(doc, obj, "status", db_col_dup(st, 2, a));
	yyjson_mut_obj_add_int(doc, obj, "attempt", db_col_int(st, 3));
	json_add_str(doc, obj, "execution_id", db_col_dup(st, 4, a));
	json_add_str(doc, obj, "conversation_id", db_col_dup(st, 5, a));
	json_add_str(doc, obj, "output", db_col_dup(st, 6, a));
	json_add_raw(doc, obj, "parsed", db_col_dup(st, 7, a));
	add_error(doc, obj, st, a);
	yyjson_mut_obj_add_int(doc, obj, "input_tokens", db_col_int(st, 10));
	yyjson_mut_obj_add_int(doc, obj, "output_tokens", db_col_int(st, 11));
	yyjson_mut_obj_add_real(doc, obj, "cost_usd", (double)db_col_int(st, 12) / 1e9);
}

/* ---- Pages ---- */

struct rows_answer {
	struct answer answer;
	struct page page;
	const char *status;
};

static int rows_run(struct db_conn *c, struct exchange_job *job)
{
	struct rows_answer *l = (struct rows_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	uint64_t after = 0;
	int64_t n = 0, last = 0;
	struct batch b;
	struct db_stmt *st;
	int r = batches_find_to_read(c, &l->answer, &b);

	if (r)
		return r;
	if (l->page.after && str_to_u64(str_of(l->page.after), INT64_MAX, &after) < 0)
		return answer_problem(&l->answer, 400, "bad_request",
				      "after is not a cursor: take it from \"next\" of the page before.");
	st = db_query(c,
		      SELECT
		      "where r.batch_id = ? and r.number > ? and (r.status = ? or ? = '') order by r.number limit ?",
		      DB_TEXT(b.id), DB_INT((int64_t)after), DB_TEXT(l->status), DB_TEXT(l->status),
		      DB_INT(l->page.limit + 1));
	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		add_row(doc, yyjson_mut_arr_add_obj(doc, items), st, x->arena);
		last = db_col_int(st, 0);
	}
	db_done(st);
	json_add_str(doc, obj, "next",
		     n > l->page.limit ? page_cursor(x->arena, arena_printf(x->arena, "%lld", (long long)last)) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void batches_rows(struct exchange *x)
{
	struct rows_answer *l = arena_new_of(x->arena, struct rows_answer);
	const char *status = http_query_get(x->arena, x->req->query, "status");

	l->status = status ? status : "";
	if (page_read(x, &l->page))
		answer_read(x, &l->answer, rows_run);
}

/* ---- One file ---- */

struct results_answer {
	struct answer answer;
	struct buf out;
	bool is_csv;
};

static void add_cell(struct buf *out, struct str text)
{
	csv_add_cell(out, text, true);
	buf_add_char(out, ',');
}

static void csv_head(struct buf *out, struct arena *a, const struct batch *b)
{
	yyjson_val *columns = yyjson_doc_get_root(json_parse(a, b->columns, strlen(b->columns), NULL)), *name;
	size_t i, max;

	yyjson_arr_foreach(columns, i, max, name) add_cell(out, str_of(yyjson_get_str(name)));
	buf_add_str(out, "ogent_status,ogent_output,ogent_error,ogent_execution,ogent_tokens,ogent_cost_usd\r\n");
}

static struct str cell_text(struct arena *a, yyjson_val *v)
{
	if (!v || yyjson_is_null(v))
		return STR("");
	return yyjson_is_str(v) ? (struct str){yyjson_get_str(v), yyjson_get_len(v)} : json_val_text(a, v);
}

static void csv_row(struct buf *out, struct arena *a, const struct batch *b, struct db_stmt *st)
{
	struct str data = db_col_str(st, 1);
	yyjson_val *row = yyjson_doc_get_root(json_parse(a, data.p, data.n, NULL));
	yyjson_val *columns = yyjson_doc_get_root(json_parse(a, b->columns, strlen(b->columns), NULL)), *name;
	size_t i, max;

	yyjson_arr_foreach(columns, i, max, name)
		add_cell(out, cell_text(a, yyjson_obj_get(row, yyjson_get_str(name))));
	add_cell(out, db_col_str(st, 2));
	add_cell(out, db_col_str(st, 6));
	add_cell(out, db_col_str(st, 9));
	add_cell(out, db_col_str(st, 4));
	buf_printf(out, "%lld,%.9g\r\n", (long long)(db_col_int(st, 10) + db_col_int(st, 11)),
		   (double)db_col_int(st, 12) / 1e9);
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
	int r = batches_find_to_read(c, &d->answer, &b);

	if (r)
		return r;
	buf_clear(&d->out);
	if (d->is_csv)
		csv_head(&d->out, each, &b);
	st = db_query(c, SELECT "where r.batch_id = ? order by r.number", DB_TEXT(b.id));
	while (d->out.n < RESULTS_MAX_BYTES && (r = db_step(c, st)) == 1) {
		arena_reset(each);
		if (d->is_csv)
			csv_row(&d->out, each, &b, st);
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

	if (result < 0 || d->answer.code) {
		answer_send(job, result);
	} else if (x->req) {
		reply_download(x, d->is_csv ? "text/csv; charset=utf-8" : "application/jsonl",
			       d->is_csv ? "results.csv" : "results.jsonl", buf_str(&d->out));
	}
	buf_deinit(&d->out);
}

void batches_results(struct exchange *x)
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
