/* Evaluation sets as people make and change them. */
#include "agent/evaluations/evaluations.h"

#include <errno.h>
#include <math.h>

#include "agent/evaluations/graders.h"
#include "agent/retention_erase.h"

/* ---- Out ---- */

static void add_set(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct evaluation_set *s)
{
	json_add_str(doc, obj, "id", s->id);
	json_add_str(doc, obj, "user_id", s->user_id);
	json_add_str(doc, obj, "name", s->name);
	json_add_str(doc, obj, "description", s->description);
	json_add_raw(doc, obj, "graders", s->graders);
	yyjson_mut_obj_add_real(doc, obj, "pass_score", (double)s->pass_score / EVALUATION_SCORE_UNIT);
	yyjson_mut_obj_add_int(doc, obj, "cases", s->n_cases);
	add_time(doc, obj, "created_at", s->created_at);
	add_time(doc, obj, "updated_at", s->updated_at);
}

static int answer_set(struct answer *a, int status, const struct evaluation_set *s)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);

	add_set(doc, obj, s);
	return answer_json(a, status, doc);
}

int evaluation_refuse(struct answer *a, const struct error *err)
{
	struct arena *arena = a->job.x->arena;

	return answer_problem(a, 422, arena_strdup(arena, err->code), arena_strdup(arena, err->message));
}

/* ---- Finding ---- */

#define COLUMNS                                                                                          \
	"s.id, s.user_id, s.name, s.description, s.graders, s.pass_score, s.next_number, s.created_at, " \
	"s.updated_at, (select count(*) from evaluation_cases k where k.set_id = s.id) from evaluation_sets s "

static void read_set(struct db_stmt *st, struct arena *a, struct evaluation_set *ret)
{
	*ret = (struct evaluation_set){.id = db_col_dup(st, 0, a),
				       .user_id = db_col_dup(st, 1, a),
				       .name = db_col_dup(st, 2, a),
				       .description = db_col_dup(st, 3, a),
				       .graders = db_col_dup(st, 4, a),
				       .pass_score = db_col_int(st, 5),
				       .next_number = db_col_int(st, 6),
				       .created_at = db_col_int(st, 7),
				       .updated_at = db_col_int(st, 8),
				       .n_cases = db_col_int(st, 9)};
}

bool evaluation_sees_all(const struct exchange *x)
{
	return identity_may(&x->who, "evaluations.use_any");
}

int evaluation_set_find(struct db_conn *c, struct answer *a, bool to_change, struct evaluation_set *ret)
{
#define SELECT "select " COLUMNS "where s.id = ?"
	struct exchange *x = a->job.x;
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, to_change ? SELECT " /*! for update of s */" : SELECT, DB_TEXT(path_id(x)));
	int r = db_step(c, st);

	if (r < 0)
		return r;
	if (r == 1)
		read_set(st, x->arena, ret);
	if (r == 0 || (strcmp(ret->user_id, x->who.user_id) != 0 && !evaluation_sees_all(x)))
		return answer_not_found(a, "evaluation set");
	return 0;
}

int evaluation_set_touch(struct db_conn *c, const char *id)
{
	return error_only(db_exec(c, "update evaluation_sets set updated_at = ? where id = ?", DB_INT(clock_now_us()),
				  DB_TEXT(id)));
}

/* ---- Making and changing ---- */

static const struct json_field create_fields[] = {
	{"name", JSON_STRING, true, 1, 200},
	{"description", JSON_STRING, false, 0, 2000},
	{"graders", JSON_ARRAY, false, 0, GRADERS_MAX},
	{"pass_score", JSON_NUMBER},
};

static const struct json_field patch_fields[] = {
	{"name", JSON_STRING, false, 1, 200},
	{"description", JSON_STRING, false, 0, 2000},
	{"graders", JSON_ARRAY, false, 0, GRADERS_MAX},
	{"pass_score", JSON_NUMBER},
};

static int check_body(struct exchange *x, const struct json_field *fields, size_t n, struct error *err)
{
	double pass_score = json_get_num(x->body, "pass_score", 1);
	int r = json_check(x->body, fields, n, err);

	if (r == 0 && !(pass_score >= 0 && pass_score <= 1))
		return error_set(err, "invalid_field", "\"pass_score\" is 0 to 1.");
	return r == 0 && json_get_arr(x->body, "graders") ? graders_check(json_get_arr(x->body, "graders"), err) : r;
}

static void take_body(const struct exchange *x, struct evaluation_set *s)
{
	yyjson_val *graders = json_get_arr(x->body, "graders");

	s->name = json_get_str(x->body, "name", s->name);
	s->description = json_get_str(x->body, "description", s->description);
	if (yyjson_obj_get(x->body, "pass_score"))
		s->pass_score = llround(json_get_num(x->body, "pass_score", 1) * EVALUATION_SCORE_UNIT);
	if (graders)
		s->graders = json_val_text(x->arena, graders).p;
	s->updated_at = clock_now_us();
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	char *id = arena_alloc(x->arena, ID_SIZE);
	struct evaluation_set s = {.id = id,
				   .user_id = x->who.user_id,
				   .name = "",
				   .description = "",
				   .graders = "[]",
				   .pass_score = EVALUATION_SCORE_UNIT,
				   .next_number = 1};
	int64_t n = 0;
	int r = answer_known(c, a);

	if (r == 0)
		r = error_only(db_get_int(c, &n, "select count(*) from evaluation_sets where user_id = ?",
					  DB_TEXT(s.user_id)));
	if (r == 0 && n >= EVALUATION_SETS_MAX)
		return answer_problem(a, 409, "too_many_evaluations",
				      "There are too many sets already: remove some that are not needed.");
	if (r)
		return r;
	id_new(id);
	take_body(x, &s);
	s.created_at = s.updated_at;
	r = error_only(db_exec(c,
			       "insert into evaluation_sets (id, user_id, name, description, graders, pass_score, "
			       "next_number, created_at, updated_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			       DB_TEXT(s.id), DB_TEXT(s.user_id), DB_TEXT(s.name), DB_TEXT(s.description),
			       DB_TEXT(s.graders), DB_INT(s.pass_score), DB_INT(s.next_number), DB_INT(s.created_at),
			       DB_INT(s.updated_at)));
	if (r < 0)
		return r;
	a->location = arena_printf(x->arena, "/api/evaluations/%s", id);
	answer_set(a, 201, &s);
	return answer_keep(c, a);
}

void evaluations_create(struct exchange *x)
{
	struct error err = {0};

	if (check_body(x, create_fields, ARRAY_SIZE(create_fields), &err) < 0)
		reply_error(x, 422, &err);
	else
		answer_write(x, arena_new_of(x->arena, struct answer), create_run);
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct evaluation_set s;
	int r = evaluation_set_find(c, a, true, &s);

	if (r)
		return r;
	take_body(job->x, &s);
	r = error_only(db_exec(c,
			       "update evaluation_sets set name = ?, description = ?, graders = ?, pass_score = ?, "
			       "updated_at = ? where id = ?",
			       DB_TEXT(s.name), DB_TEXT(s.description), DB_TEXT(s.graders), DB_INT(s.pass_score),
			       DB_INT(s.updated_at), DB_TEXT(s.id)));
	return r < 0 ? r : answer_set(a, 200, &s);
}

void evaluations_patch(struct exchange *x)
{
	struct error err = {0};

	if (check_body(x, patch_fields, ARRAY_SIZE(patch_fields), &err) < 0)
		reply_error(x, 422, &err);
	else
		answer_write(x, arena_new_of(x->arena, struct answer), patch_run);
}

/* ---- Reading ---- */

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct evaluation_set s;
	int r = evaluation_set_find(c, a, false, &s);

	return r ? r : answer_set(a, 200, &s);
}

void evaluations_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct evaluation_set s = {0};
	int64_t n = 0;
	int r;
	struct db_stmt *st =
		db_query(c, "select " COLUMNS "where (s.user_id = ? or ? = 1) and s.id < ? order by s.id desc limit ?",
			 DB_TEXT(x->who.user_id), DB_INT(evaluation_sees_all(x)),
			 DB_TEXT(l->page.after ? l->page.after : ID_LAST), DB_INT(l->page.limit + 1));

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		read_set(st, x->arena, &s);
		add_set(doc, yyjson_mut_arr_add_obj(doc, items), &s);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, s.id) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void evaluations_list(struct exchange *x)
{
	answer_page(x, list_run);
}

/* ---- Removing ---- */

static int remove_runs(struct db_conn *c, struct answer *a, const char *set_id)
{
	const char **ids = arena_alloc(a->job.x->arena, EVALUATION_RUNS_MAX * sizeof(*ids));
	struct db_stmt *st = db_query(c, "select id from batches where evaluation_id = ? limit ?", DB_TEXT(set_id),
				      DB_INT(EVALUATION_RUNS_MAX));
	int64_t one;
	size_t n = 0;
	int r;

	while ((r = db_step(c, st)) == 1)
		ids[n++] = db_col_dup(st, 0, a->job.x->arena);
	db_done(st);
	if (r == 0)
		r = db_get_int(
			c, &one,
			"select 1 from batches b join batch_rows r on r.batch_id = b.id where b.evaluation_id = ? "
			"and (b.status = 'running' or r.status = 'running') limit 1",
			DB_TEXT(set_id));
	if (r == 1)
		return answer_problem(a, 409, "evaluation_running",
				      "A run of it is on: cancel it, and remove the set when it has ended.");
	for (size_t i = 0; r == 0 && i < n; i++)
		r = batch_erase(c, ids[i]);
	return r;
}

/* With its runs; their conversations stay. */
static int remove_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct evaluation_set s;
	int64_t n;
	int r = evaluation_set_find(c, a, true, &s);

	if (r == 0)
		r = remove_runs(c, a, s.id);
	if (r)
		return r;
	n = db_exec(c, "delete from evaluation_cases where set_id = ?", DB_TEXT(s.id));
	if (n >= 0)
		n = db_exec(c, "delete from evaluation_sets where id = ?", DB_TEXT(s.id));
	a->status = 204;
	return (int)MIN(n, 0);
}

void evaluations_delete(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), remove_run);
}
