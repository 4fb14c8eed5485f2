/* The cases of an evaluation set: one by one, and as files. */
#include <stdlib.h>

#include "agent/batches/table.h"
#include "agent/evaluations/case.h"
#include "agent/evaluations/evaluations.h"

#define CASE_COLUMNS "id, input, expected, variables, tags, number, updated_at from evaluation_cases "

static void read_case(struct db_stmt *st, struct arena *a, struct evaluation_case *ret)
{
	*ret = (struct evaluation_case){.id = db_col_dup(st, 0, a),
					.input = db_col_dup(st, 1, a),
					.expected = db_col_dup(st, 2, a),
					.variables = db_col_dup(st, 3, a),
					.tags = db_col_dup(st, 4, a)};
}

static void add_case(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct evaluation_case *k)
{
	json_add_str(doc, obj, "id", k->id);
	json_add_str(doc, obj, "input", k->input);
	json_add_raw(doc, obj, "expected", k->expected);
	json_add_raw(doc, obj, "variables", k->variables ? k->variables : "{}");
	json_add_raw(doc, obj, "tags", k->tags);
}

static int answer_case(struct answer *a, int status, const struct evaluation_case *k)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);

	add_case(doc, obj, k);
	return answer_json(a, status, doc);
}

/* ---- Storing ---- */

/* A new one behind the others, or in place of the one with its id; 1 = there is no such one. */
static int store_case(struct db_conn *c, struct answer *a, struct evaluation_set *s, struct evaluation_case *k)
{
	int64_t now = clock_now_us(), n;
	char *id;

	if (k->id) {
		n = db_exec(
			c,
			"update evaluation_cases set input = ?, expected = ?, variables = ?, tags = ?, updated_at = "
			"? where set_id = ? and id = ?",
			DB_TEXT(k->input), DB_TEXT(k->expected), DB_TEXT(k->variables), DB_TEXT(k->tags), DB_INT(now),
			DB_TEXT(s->id), DB_TEXT(k->id));
		return n == 0 ? 1 : (int)MIN(n, 0);
	}
	id = arena_alloc(a->job.x->arena, ID_SIZE);
	id_new(id);
	k->id = id;
	n = db_exec(c,
		    "insert into evaluation_cases (set_id, number, id, input, expected, variables, tags, updated_at) "
		    "values (?, ?, ?, ?, ?, ?, ?, ?)",
		    DB_TEXT(s->id), DB_INT(s->next_number++), DB_TEXT(id), DB_TEXT(k->input), DB_TEXT(k->expected),
		    DB_TEXT(k->variables), DB_TEXT(k->tags), DB_INT(now));
	return (int)MIN(n, 0);
}

/* What was stored is within the limits, and the set knows of it. */
static int keep_set(struct db_conn *c, struct answer *a, const struct evaluation_set *s)
{
	int64_t count = 0, bytes = 0;
	struct db_stmt *st = db_query(c,
				      "select count(*), coalesce(sum(length(input) + coalesce(length(expected), 0) + "
				      "coalesce(length(variables), 0)), 0) from evaluation_cases where set_id = ?",
				      DB_TEXT(s->id));
	int r = db_step(c, st);

	if (r == 1) {
		count = db_col_int(st, 0);
		bytes = db_col_int(st, 1);
	}
	db_done(st);
	if (r < 0)
		return r;
	if (count > EVALUATION_CASES_MAX || bytes > EVALUATION_BYTES_MAX)
		return answer_problem(a, 422, "too_many_cases",
				      arena_printf(a->job.x->arena, "A set has at most %d cases and %d MiB.",
						   EVALUATION_CASES_MAX, EVALUATION_BYTES_MAX >> 20));
	return error_only(db_exec(c, "update evaluation_sets set next_number = ?, updated_at = ? where id = ?",
				  DB_INT(s->next_number), DB_INT(clock_now_us()), DB_TEXT(s->id)));
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	struct evaluation_case k = {0};
	struct evaluation_set s;
	struct error err = {0};
	int r = answer_known(c, a);

	if (r == 0)
		r = evaluation_set_find(c, a, true, &s);
	if (r)
		return r;
	if (case_read(x->arena, x->body, &k, &err) < 0)
		return evaluation_refuse(a, &err);
	if (k.id)
		return answer_problem(a, 422, "invalid_field", "\"id\" is given by the set.");
	r = store_case(c, a, &s, &k);
	if (r == 0)
		r = keep_set(c, a, &s);
	if (r)
		return r;
	a->location = arena_printf(x->arena, "/api/evaluations/%s/cases/%s", s.id, k.id);
	answer_case(a, 201, &k);
	return answer_keep(c, a);
}

void evaluation_cases_create(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), create_run);
}

static const char *case_id(const struct exchange *x)
{
	return id_is_valid(x->params[1]) ? x->params[1].p : "";
}

static int find_case(struct db_conn *c, struct answer *a, const char *set_id, struct evaluation_case *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, "select " CASE_COLUMNS "where set_id = ? and id = ?",
							   DB_TEXT(set_id), DB_TEXT(case_id(a->job.x)));
	int r = db_step(c, st);

	if (r == 1)
		read_case(st, a->job.x->arena, ret);
	return r == 0 ? answer_not_found(a, "case") : MIN(r, 0);
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	struct evaluation_case k;
	struct evaluation_set s;
	struct error err = {0};
	const char *id;
	int r = evaluation_set_find(c, a, true, &s);

	if (r == 0)
		r = find_case(c, a, s.id, &k);
	if (r)
		return r;
	id = k.id;
	if (case_read(x->arena, x->body, &k, &err) < 0)
		return evaluation_refuse(a, &err);
	if (strcmp(k.id, id) != 0)
		return answer_problem(a, 422, "invalid_field", "\"id\" cannot be changed.");
	r = store_case(c, a, &s, &k);
	if (r == 0)
		r = keep_set(c, a, &s);
	return r ? r : answer_case(a, 200, &k);
}

void evaluation_cases_patch(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), patch_run);
}

static int remove_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct evaluation_set s;
	int64_t n;
	int r = evaluation_set_find(c, a, true, &s);

	if (r)
		return r;
	n = db_exec(c, "delete from evaluation_cases where set_id = ? and id = ?", DB_TEXT(s.id),
		    DB_TEXT(case_id(job->x)));
	if (n == 0)
		return answer_not_found(a, "case");
	a->status = 204;
	return n < 0 ? (int)n : evaluation_set_touch(c, s.id);
}

void evaluation_cases_delete(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), remove_run);
}

/* ---- Reading ---- */

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct arena *arena = job->x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct evaluation_set s;
	struct evaluation_case k;
	int64_t n = 0, last = 0;
	struct db_stmt *st;
	int r = evaluation_set_find(c, &l->answer, false, &s);

	if (r)
		return r;
	st = db_query(c, "select " CASE_COLUMNS "where set_id = ? and number > ? order by number limit ?",
		      DB_TEXT(s.id), DB_INT(l->page.after ? strtoll(l->page.after, NULL, 10) : 0),
		      DB_INT(l->page.limit + 1));
	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		read_case(st, arena, &k);
		add_case(doc, yyjson_mut_arr_add_obj(doc, items), &k);
		last = db_col_int(st, 5);
	}
	db_done(st);
	json_add_str(doc, obj, "next",
		     n > l->page.limit ? page_cursor(arena, arena_printf(arena, "%lld", (long long)last)) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void evaluation_cases_list(struct exchange *x)
{
	answer_page(x, list_run);
}

/* ---- From a file ---- */

static const struct json_field import_fields[] = {
	{"format", JSON_STRING, true, 3, 5},
	{"separator", JSON_STRING, false, 1, 1},
	{"data", JSON_STRING, true, 1, 16 << 20},
	{"replace", JSON_BOOL},
};

struct import {
	struct answer answer;
	struct evaluation_case *cases;
	size_t n;
};

/* All of it is read before anything is locked. */
static int read_run(struct db_conn *c, struct exchange_job *job)
{
	struct import *p = (struct import *)job;
	struct exchange *x = job->x;
	yyjson_val *data = yyjson_obj_get(x->body, "data");
	struct str text = {yyjson_get_str(data), yyjson_get_len(data)};
	const char *format = json_get_str(x->body, "format", ""), *separator = json_get_str(x->body, "separator", ",");
	bool is_csv = strcmp(format, "csv") == 0;
	struct error err = {0};
	struct table t;
	int r;

	if (!is_csv && strcmp(format, "jsonl") != 0)
		return answer_problem(&p->answer, 422, "invalid_field", "\"format\" is csv or jsonl.");
	if (!strchr(",;\t", *separator))
		return answer_problem(&p->answer, 422, "invalid_field",
				      "\"separator\" is a comma, a semicolon or a tab.");
	r = is_csv ? table_read_csv(x->arena, text, *separator, EVALUATION_CASES_MAX, &t, &err)
		   : table_read_jsonl(x->arena, text, EVALUATION_CASES_MAX, &t, &err);
	if (r < 0)
		return evaluation_refuse(&p->answer, &err);
	p->cases = arena_alloc(x->arena, t.n_rows * sizeof(*p->cases));
	for (p->n = 0; p->n < t.n_rows; p->n++) {
		yyjson_val *row = yyjson_doc_get_root(json_parse(x->arena, t.rows[p->n].p, t.rows[p->n].n, NULL));
		struct evaluation_case *k = &p->cases[p->n];

		*k = (struct evaluation_case){0};
		r = is_csv ? case_read_cells(x->arena, row, k, &err) : case_read(x->arena, row, k, &err);
		if (r < 0) {
			error_prefix(&err, "Row %zu", p->n + 1);
			return evaluation_refuse(&p->answer, &err);
		}
	}
	return 0;
}

/* Cases that the file does not name by their ids go. */
static int remove_others(struct db_conn *c, const struct import *p, const char *set_id)
{
	int64_t n = db_exec(c, "update evaluation_cases set updated_at = 0 where set_id = ?", DB_TEXT(set_id));

	for (size_t i = 0; n >= 0 && i < p->n; i++)
		if (p->cases[i].id)
			n = db_exec(c, "update evaluation_cases set updated_at = 1 where set_id = ? and id = ?",
				    DB_TEXT(set_id), DB_TEXT(p->cases[i].id));
	if (n >= 0)
		n = db_exec(c, "delete from evaluation_cases where set_id = ? and updated_at = 0", DB_TEXT(set_id));
	return (int)MIN(n, 0);
}

static int import_run(struct db_conn *c, struct exchange_job *job)
{
	struct import *p = (struct import *)job;
	struct answer *a = &p->answer;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	struct evaluation_set s;
	int64_t added = 0;
	int r = answer_known(c, a);

	if (r == 0)
		r = evaluation_set_find(c, a, true, &s);
	if (r == 0 && json_get_bool(x->body, "replace", false))
		r = remove_others(c, p, s.id);
	for (size_t i = 0; r == 0 && i < p->n; i++) {
		struct evaluation_case k = p->cases[i];

		added += !k.id;
		r = store_case(c, a, &s, &k);
		if (r == 1)
			return answer_problem(a, 422, "case_not_found",
					      arena_printf(x->arena,
							   "Row %zu: there is no case with this id; leave the id out "
							   "for a new one.",
							   i + 1));
	}
	if (r == 0)
		r = keep_set(c, a, &s);
	if (r)
		return r;
	yyjson_mut_obj_add_int(doc, obj, "added", added);
	yyjson_mut_obj_add_int(doc, obj, "changed", (int64_t)p->n - added);
	answer_json(a, 200, doc);
	return answer_keep(c, a);
}

static void on_read(struct exchange_job *job, int result)
{
	struct import *p = (struct import *)job;
	struct exchange *x = job->x;

	if (result || p->answer.code || !x->req) {
		answer_send(job, result);
		return;
	}
	p->answer = (struct answer){0};
	answer_write(x, &p->answer, import_run);
}

void evaluation_cases_import(struct exchange *x)
{
	struct import *p = arena_new_of(x->arena, struct import);
	struct error err = {0};

	if (json_check(x->body, import_fields, ARRAY_SIZE(import_fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	p->answer.job.done = on_read;
	answer_read(x, &p->answer, read_run);
}

/* ---- As a file ---- */

struct export
{
	struct answer answer;
	struct buf out;
	const char *name;
	bool is_csv;
};

static void csv_row(struct buf *out, struct arena *a, const struct evaluation_case *k)
{
	_cleanup_(buf_deinit) struct buf tags = BUF_INIT;
	yyjson_val *expected =
		k->expected ? yyjson_doc_get_root(json_parse(a, k->expected, strlen(k->expected), NULL)) : NULL;

	case_join_tags(yyjson_doc_get_root(json_parse(a, k->tags, strlen(k->tags), NULL)), &tags);
	case_write_cell(out, str_of(k->id));
	case_write_cell(out, str_of(k->input));
	case_write_cell(out, str_of(yyjson_get_str(expected)));
	case_write_cell(out, str_of(yyjson_is_str(expected) ? "" : k->expected));
	case_write_cell(out, str_of(k->variables));
	case_write_cell(out, buf_str(&tags));
	out->n--; /* the last comma */
	buf_add_str(out, "\r\n");
}

static void jsonl_row(struct buf *out, struct arena *a, const struct evaluation_case *k)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	struct str line;

	add_case(doc, obj, k);
	line = json_text(a, doc);
	buf_add(out, line.p, line.n);
	buf_add_char(out, '\n');
}

static int export_run(struct db_conn *c, struct exchange_job *job)
{
	struct export *p = (struct export *)job;
	_cleanup_(arena_free_p) struct arena *each = arena_new();
	struct evaluation_set s;
	struct evaluation_case k;
	struct db_stmt *st;
	int r = evaluation_set_find(c, &p->answer, false, &s);

	if (r)
		return r;
	p->name = s.name;
	buf_clear(&p->out);
	if (p->is_csv)
		buf_add_str(&p->out, "id,input,expected,expected_json,variables,tags\r\n");
	st = db_query(c, "select " CASE_COLUMNS "where set_id = ? order by number", DB_TEXT(s.id));
	while ((r = db_step(c, st)) == 1) {
		arena_reset(each);
		read_case(st, each, &k);
		if (p->is_csv)
			csv_row(&p->out, each, &k);
		else
			jsonl_row(&p->out, each, &k);
	}
	db_done(st);
	return r;
}

static void export_done(struct exchange_job *job, int result)
{
	struct export *p = (struct export *)job;
	struct exchange *x = job->x;

	if (result < 0 || p->answer.code)
		answer_send(job, result);
	else if (x->req)
		reply_download(x, p->is_csv ? "text/csv; charset=utf-8" : "application/jsonl",
			       arena_printf(x->arena, "%s.%s", p->name, p->is_csv ? "csv" : "jsonl"), buf_str(&p->out));
	buf_deinit(&p->out);
}

void evaluation_cases_export(struct exchange *x)
{
	struct export *p = arena_new_of(x->arena, struct export);
	const char *format = http_query_get(x->arena, x->req->query, "format");

	p->is_csv = format && strcmp(format, "csv") == 0;
	if (format && !p->is_csv && strcmp(format, "jsonl") != 0) {
		reply_problem(x, 422, "invalid_field", "\"format\" is csv or jsonl.");
		return;
	}
	p->answer.job.done = export_done;
	answer_read(x, &p->answer, export_run);
}
