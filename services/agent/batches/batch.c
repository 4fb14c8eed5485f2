#include "agent/batches/batch.h"

#include <errno.h>

#include "agent/agent_shares.h"
#include "agent/automation/template.h"
#include "agent/conversation.h"
#include "agent/execution.h"
#include "base/clock.h"

static int failed(int64_t r)
{
	return (int)MIN(r, 0);
}

int batch_insert(struct db_conn *c, const struct batch *b)
{
	return failed(db_exec(
		c,
		"insert into batches (id, user_id, agent_id, agent_name, name, message, columns, n_rows, concurrency, "
		"max_failures, failures, status, created_at, updated_at, agent_version, evaluation_id, graders, "
		"repeats) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 'running', ?, ?, ?, ?, ?, ?)",
		DB_TEXT(b->id), DB_TEXT(b->user_id), DB_TEXT(b->agent_id), DB_TEXT(b->agent_name), DB_TEXT(b->name),
		DB_TEXT(b->message), DB_TEXT(b->columns), DB_INT(b->n_rows), DB_INT(b->concurrency),
		DB_INT(b->max_failures), DB_INT(b->created_at), DB_INT(b->created_at),
		b->agent_version ? DB_INT(b->agent_version) : DB_NULL(), DB_TEXT(b->evaluation_id), DB_TEXT(b->graders),
		DB_INT(MAX(b->repeats, 1))));
}

int batch_row_insert(struct db_conn *c, const struct batch *b, int64_t number, int part, struct str data)
{
	return failed(db_exec(c,
			      "insert into batch_rows (batch_id, number, part, data, status, attempt) values (?, ?, ?, "
			      "?, ?, 0)",
			      DB_TEXT(b->id), DB_INT(number), DB_INT(part), DB_STR(data),
			      DB_TEXT(b->status && strcmp(b->status, "cancelled") == 0 ? "cancelled" : "waiting")));
}

int batch_check_version(struct db_conn *c, struct answer *a, const char *agent_id, int64_t version)
{
	int64_t one;
	int r = db_get_int(c, &one, "select 1 from agent_versions where agent_id = ? and version = ?",
			   DB_TEXT(agent_id), DB_INT(version));

	return r == 0 ? answer_problem(a, 404, "version_not_found",
				       "The agent has no such version: GET /api/agents/{id}/versions lists them.")
		      : MIN(r, 0);
}

int batch_find(struct db_conn *c, struct arena *a, const char *id, bool to_change, struct batch *ret)
{
#define SELECT                                                                                                      \
	"select id, user_id, agent_id, agent_name, name, message, columns, status, reason, n_rows, concurrency, "   \
	"max_failures, failures, created_at, updated_at, ended_at, agent_version, evaluation_id, graders, repeats " \
	"from batches where id = ?"
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, to_change ? SELECT DB_FOR_UPDATE : SELECT, DB_TEXT(id));
	int r = db_step(c, st);

	if (r != 1)
		return r;
	*ret = (struct batch){
		.id = db_col_dup(st, 0, a),
		.user_id = db_col_dup(st, 1, a),
		.agent_id = db_col_dup(st, 2, a),
		.agent_name = db_col_dup(st, 3, a),
		.name = db_col_dup(st, 4, a),
		.message = db_col_dup(st, 5, a),
		.columns = db_col_dup(st, 6, a),
		.status = db_col_dup(st, 7, a),
		.reason = db_col_dup(st, 8, a),
		.n_rows = db_col_int(st, 9),
		.concurrency = db_col_int(st, 10),
		.max_failures = db_col_int(st, 11),
		.failures = db_col_int(st, 12),
		.created_at = db_col_int(st, 13),
		.updated_at = db_col_int(st, 14),
		.ended_at = db_col_int(st, 15),
		.agent_version = db_col_int(st, 16),
		.evaluation_id = db_col_dup(st, 17, a),
		.graders = db_col_dup(st, 18, a),
		.repeats = db_col_int(st, 19),
	};
	return 1;
}

int batch_count(struct db_conn *c, const char *id, struct batch_counts *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select status, count(*) from batch_rows where batch_id = ? group by status", DB_TEXT(id));
	const struct {
		const char *status;
		int64_t *n;
	} all[] = {{"waiting", &ret->waiting},
		   {"running", &ret->running},
		   {"succeeded", &ret->succeeded},
		   {"failed", &ret->failed},
		   {"cancelled", &ret->cancelled}};
	int r;

	*ret = (struct batch_counts){0};
	while ((r = db_step(c, st)) == 1)
		for (size_t i = 0; i < ARRAY_SIZE(all); i++)
			if (str_is(db_col_str(st, 0), all[i].status))
				*all[i].n = db_col_int(st, 1);
	return r;
}

/* ---- The message of a row ---- */

static bool look_up(void *arg, struct str name, struct buf *out)
{
	yyjson_val *value = yyjson_obj_getn(arg, name.p, name.n);
	char *text;

	if (!value)
		return false;
	if (yyjson_is_str(value)) {
		buf_add(out, yyjson_get_str(value), yyjson_get_len(value));
		return true;
	}
	text = yyjson_val_write(value, 0, NULL);
	buf_add_str(out, text);
	free(text);
	return true;
}

int batch_message(struct arena *a, const char *template, struct str row, const char **ret, struct error *err)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, row.p, row.n, err));

	if (!root || template_fill(str_of(template), look_up, root, POST_CONTENT_MAX, &out, err) < 0)
		return -EINVAL;
	if (str_trim(buf_str(&out)).n == 0)
		return error_set(err, "template_invalid", "The message of this row is empty.");
	*ret = arena_strndup(a, out.p, out.n);
	return 0;
}

/* ---- A visit ---- */

struct visit {
	struct batch_visit *v;
	struct db_conn *c;
	struct batch b;
	struct batch_counts counts;
	int64_t now;
};

static void stop(struct visit *w, const char *reason)
{
	w->b.status = "stopped";
	w->b.reason = reason;
	w->v->stopped = reason;
}

static int set_row(struct visit *w, int64_t number, const char *status)
{
	return failed(db_exec(w->c, "update batch_rows set status = ? where batch_id = ? and number = ?",
			      DB_TEXT(status), DB_TEXT(w->b.id), DB_INT(number)));
}

struct ended {
	int64_t number;
	const char *execution_id, *status;
};

static const struct graded_row *graded(const struct visit *w, const struct ended *row)
{
	for (size_t i = 0; i < w->v->n_graded; i++)
		if (w->v->graded[i].number == row->number &&
		    strcmp(w->v->graded[i].execution_id, row->execution_id) == 0)
			return &w->v->graded[i];
	return NULL;
}

static int settle_row(struct visit *w, const struct ended *row)
{
	const char *status = row->status;
	bool is_good = status && strcmp(status, "succeeded") == 0;
	bool is_cancelled = !status || strcmp(status, "cancelled") == 0;
	const struct graded_row *grade = w->b.evaluation_id && !is_cancelled ? graded(w, row) : NULL;
	int r = 0;

	/* It ended since the grading; the next visit has it. */
	if (w->b.evaluation_id && !is_cancelled && !grade)
		return 0;
	w->b.failures += !is_good && !is_cancelled;
	if (grade)
		r = evaluation_keep_grade(w->c, w->v->arena, &w->b, grade);
	return r < 0 ? r : set_row(w, row->number, is_good ? "succeeded" : is_cancelled ? "cancelled" : "failed");
}

/* Rows whose executions have ended, or are gone, have ended. */
static int settle(struct visit *w)
{
	struct ended list[BATCH_CONCURRENCY_MAX];
	struct db_stmt *st =
		db_query(w->c,
			 "select r.number, r.execution_id, e.status from batch_rows r left join executions e on e.id = "
			 "r.execution_id where r.batch_id = ? and r.status = 'running' and (e.id is null or "
			 "e.ended_at is not null) order by r.number limit ?",
			 DB_TEXT(w->b.id), DB_INT(BATCH_CONCURRENCY_MAX));
	size_t n = 0;
	int r;

	while ((r = db_step(w->c, st)) == 1)
		list[n++] = (struct ended){db_col_int(st, 0), db_col_dup(st, 1, w->v->arena),
					   db_col_dup(st, 2, w->v->arena)};
	db_done(st);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = settle_row(w, &list[i]);
	if (w->b.max_failures > 0 && w->b.failures >= w->b.max_failures && strcmp(w->b.status, "running") == 0)
		stop(w, "failures");
	return MIN(r, 0);
}

struct waiting {
	int64_t number;
	int part;
	struct str data;
};

static int begin_row(struct visit *w, const struct waiting *row)
{
	struct post *p = &w->v->posts[w->v->n_posts];
	char *id = arena_alloc(w->v->arena, ID_SIZE);
	struct conversation_row made = {
		.id = id,
		.user_id = w->b.user_id,
		.agent_id = w->b.agent_id,
		.title = arena_printf(w->v->arena, "%.150s %lld", w->b.name, (long long)row->number),
		.pinned_version = w->b.agent_version,
		.created_at = w->now,
		.updated_at = w->now};
	struct error err = {0};
	int r;

	if (w->b.evaluation_id)
		evaluation_begin_row(w->v->arena, row->data, row->part, &made);
	if (batch_message(w->v->arena, w->b.message, row->data, &p->content, &err) < 0) {
		w->b.failures++;
		return set_row(w, row->number, "failed");
	}
	id_new(id);
	r = conversation_insert(w->c, &made);
	if (r == 0)
		r = failed(db_exec(w->c, "update conversations set batch_id = ? where id = ?", DB_TEXT(w->b.id),
				   DB_TEXT(id)));
	if (r == 0)
		r = conversation_load_to_change(w->c, w->v->arena, id, &p->conversation);
	if (r < 0)
		return r;
	/* A judge is nobody's to talk to, so it is archived from the beginning. */
	if (row->part > 0)
		p->conversation.is_archived = false;
	if (r == 0 || p->conversation.is_archived) {
		stop(w, "agent_archived");
		return r == 0 ? 0 : failed(db_exec(w->c, "delete from conversations where id = ?", DB_TEXT(id)));
	}
	if (!agent_rights(w->v->who, p->conversation.agent_owner_id, p->conversation.agent_shares)) {
		stop(w, "right_lost");
		return failed(db_exec(w->c, "delete from conversations where id = ?", DB_TEXT(id)));
	}
	p->when_busy = BUSY_REJECT;
	r = post_store(w->c, p);
	if (r)
		return r < 0 ? r : -EDEADLK;
	w->v->n_posts++;
	return failed(db_exec(w->c,
			      "update batch_rows set status = 'running', attempt = attempt + 1, execution_id = ? where "
			      "batch_id = ? and number = ?",
			      DB_TEXT(p->execution_id), DB_TEXT(w->b.id), DB_INT(row->number)));
}

static int begin_rows(struct visit *w)
{
	struct waiting list[BATCH_STARTS_MAX];
	int64_t room = MIN(w->b.concurrency - w->counts.running, (int64_t)BATCH_STARTS_MAX);
	struct db_stmt *st;
	size_t n = 0;
	int r;

	if (room <= 0 || w->counts.waiting == 0)
		return 0;
	st = db_query(
		w->c,
		"select number, part, data from batch_rows where batch_id = ? and status = 'waiting' order by number "
		"limit ?",
		DB_TEXT(w->b.id), DB_INT(room));
	while ((r = db_step(w->c, st)) == 1) {
		list[n].number = db_col_int(st, 0);
		list[n].part = (int)db_col_int(st, 1);
		list[n++].data = arena_str(w->v->arena, db_col_str(st, 2));
	}
	db_done(st);
	for (size_t i = 0; r >= 0 && i < n && strcmp(w->b.status, "running") == 0; i++)
		r = begin_row(w, &list[i]);
	return MIN(r, 0);
}

static int go_on(struct visit *w)
{
	if (strcmp(w->b.status, "running") != 0)
		return 0;
	if (w->counts.waiting + w->counts.running == 0) {
		w->b.status = "ended";
		w->b.ended_at = w->now;
		w->v->has_ended = true;
		return 0;
	}
	switch (w->v->rights) {
	case RIGHTS_UNKNOWN: return 0;
	case RIGHTS_USER_GONE: stop(w, "user_disabled"); return 0;
	case RIGHTS_LOST: stop(w, "right_lost"); return 0;
	case RIGHTS_GIVEN: break;
	}
	return begin_rows(w);
}

static int store(struct visit *w, const struct batch *before)
{
	const struct batch *b = &w->b;

	if (strcmp(b->status, before->status) == 0 && b->failures == before->failures)
		return 0;
	return failed(
		db_exec(w->c,
			"update batches set status = ?, reason = ?, failures = ?, updated_at = ?, ended_at = ? where "
			"id = ?",
			DB_TEXT(b->status), DB_TEXT(b->reason), DB_INT(b->failures), DB_INT(w->now),
			b->ended_at ? DB_INT(b->ended_at) : DB_NULL(), DB_TEXT(b->id)));
}

int batch_visit(struct db_conn *c, struct batch_visit *v)
{
	struct visit w = {.v = v, .c = c, .now = clock_now_us()};
	int r = batch_find(c, v->arena, v->id, true, &w.b);
	struct batch before = w.b;

	v->n_posts = 0;
	v->stopped = NULL;
	v->has_ended = false;
	if (r != 1)
		return MIN(r, 0);
	r = settle(&w);
	if (r == 0)
		r = batch_count(c, v->id, &w.counts);
	if (r == 0)
		r = go_on(&w);
	return r < 0 ? r : store(&w, &before);
}

int batch_cancel_runs(struct db_conn *c, struct arena *a, const char *id, const char ***ret)
{
	const char **list = arena_alloc(a, BATCH_CONCURRENCY_MAX * sizeof(*list));
	struct db_stmt *st =
		db_query(c,
			 "select r.execution_id from batch_rows r join executions e on e.id = r.execution_id "
			 "where r.batch_id = ? and r.status = 'running' and e.ended_at is null limit ?",
			 DB_TEXT(id), DB_INT(BATCH_CONCURRENCY_MAX));
	int r, n = 0;

	*ret = list;
	while ((r = db_step(c, st)) == 1)
		list[n++] = db_col_dup(st, 0, a);
	db_done(st);
	for (int i = 0; r >= 0 && i < n; i++)
		r = execution_cancel(c, list[i], clock_now_us());
	return r < 0 ? r : n;
}
