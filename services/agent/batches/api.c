/* Batches as people make and steer them. */
#include "agent/automation/automation.h"
#include "agent/batches/batches.h"
#include "agent/batches/table.h"
#include "agent/evaluations/evaluations.h"
#include "agent/retention_erase.h"
#include "agent/runner.h"
#include "base/clock.h"

#define PER_USER_MAX 500

/* ---- Out ---- */

static int add_batch(struct db_conn *c, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct batch *b)
{
	struct batch_counts n;
	yyjson_mut_val *counts;
	int r = batch_count(c, b->id, &n);

	json_add_str(doc, obj, "id", b->id);
	json_add_str(doc, obj, "name", b->name);
	json_add_str(doc, obj, "user_id", b->user_id);
	json_add_str(doc, obj, "agent_id", b->agent_id);
	json_add_str(doc, obj, "agent_name", b->agent_name);
	if (b->agent_version)
		yyjson_mut_obj_add_int(doc, obj, "agent_version", b->agent_version);
	else
		yyjson_mut_obj_add_null(doc, obj, "agent_version");
	json_add_str(doc, obj, "message", b->message);
	json_add_raw(doc, obj, "columns", b->columns);
	json_add_str(doc, obj, "status", b->status);
	json_add_str(doc, obj, "reason", b->reason);
	yyjson_mut_obj_add_int(doc, obj, "concurrency", b->concurrency);
	yyjson_mut_obj_add_int(doc, obj, "max_failures", b->max_failures);
	counts = yyjson_mut_obj_add_obj(doc, obj, "rows");
	yyjson_mut_obj_add_int(doc, counts, "total", b->n_rows);
	yyjson_mut_obj_add_int(doc, counts, "waiting", n.waiting);
	yyjson_mut_obj_add_int(doc, counts, "running", n.running);
	yyjson_mut_obj_add_int(doc, counts, "succeeded", n.succeeded);
	yyjson_mut_obj_add_int(doc, counts, "failed", n.failed);
	yyjson_mut_obj_add_int(doc, counts, "cancelled", n.cancelled);
	add_time(doc, obj, "created_at", b->created_at);
	add_time(doc, obj, "updated_at", b->updated_at);
	add_time(doc, obj, "ended_at", b->ended_at);
	return MIN(r, 0);
}

static int answer_batch(struct db_conn *c, struct answer *a, int status, const char *id)
{
	struct arena *arena = a->job.x->arena;
	struct batch b;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc);
	int r = batch_find(c, arena, id, false, &b);

	if (r == 1)
		r = b.evaluation_id ? evaluation_run_add(c, arena, doc, obj, &b) : add_batch(c, doc, obj, &b);
	return r < 0 ? r : answer_json(a, status, doc);
}

/* The routes of runs of evaluation sets have their own permission, and lead to nothing else. */
static bool is_of_evaluation(const struct exchange *x)
{
	return strcmp(x->route->permission, "evaluations.use") == 0;
}

static bool sees_all(const struct exchange *x)
{
	return identity_may(&x->who, is_of_evaluation(x) ? "evaluations.use_any" : "schedules.use_any");
}

int batches_find(struct db_conn *c, struct answer *a, bool to_change, struct batch *ret)
{
	struct exchange *x = a->job.x;
	int r = batch_find(c, x->arena, path_id(x), to_change, ret);

	if (r < 0)
		return r;
	if (r == 0 || (ret->evaluation_id != NULL) != is_of_evaluation(x) ||
	    (strcmp(ret->user_id, x->who.user_id) != 0 && !sees_all(x)))
		return answer_not_found(a, is_of_evaluation(x) ? "run" : "batch");
	return 0;
}

int batches_find_to_read(struct db_conn *c, struct answer *a, struct batch *ret)
{
	struct exchange *x = a->job.x;
	int r = batches_find(c, a, false, ret);

	if (r == 0 && strcmp(ret->user_id, x->who.user_id) != 0 && !sees_all_conversations(x))
		return answer_problem(
			a, 403, "forbidden",
			"The answers of another user's batch need the permission conversations.read_any.");
	return r;
}

/* ---- Making one ---- */

static const struct json_field create_fields[] = {
	{"name", JSON_STRING, true, 1, 200},
	{"agent_id", JSON_STRING, true, 36, 36},
	{"agent_version", JSON_INT, false, 1, INT32_MAX},
	{"message", JSON_STRING, true, 1, POST_CONTENT_MAX},
	{"format", JSON_STRING, true, 3, 5},
	{"separator", JSON_STRING, false, 1, 1},
	{"data", JSON_STRING, true, 1, 16 << 20},
	{"concurrency", JSON_INT, false, 1, BATCH_CONCURRENCY_MAX},
	{"max_failures", JSON_INT, false, 0, 1000000},
};

static int refuse(struct answer *a, const struct error *err)
{
	struct arena *arena = a->job.x->arena;

	return answer_problem(a, 422, arena_strdup(arena, err->code), arena_strdup(arena, err->message));
}

#define MESSAGES_MAX_BYTES (32 << 20)

/* What a person sends; the table is read before anything is locked. */
struct create {
	struct answer answer;
	struct table table;
};

static int read_table(struct answer *a, struct table *ret)
{
	struct exchange *x = a->job.x;
	struct agent *agent = x->self;
	yyjson_val *data = yyjson_obj_get(x->body, "data");
	struct str text = {yyjson_get_str(data), yyjson_get_len(data)};
	size_t max = (size_t)option_int(service_options(agent->service), "batch_max_rows");
	const char *format = json_get_str(x->body, "format", ""), *separator = json_get_str(x->body, "separator", ",");
	struct error err = {0};
	int r;

	if (strcmp(format, "csv") != 0 && strcmp(format, "jsonl") != 0)
		return answer_problem(a, 422, "invalid_field", "\"format\" is csv or jsonl.");
	if (!strchr(",;\t", *separator))
		return answer_problem(a, 422, "invalid_field", "\"separator\" is a comma, a semicolon or a tab.");
	r = strcmp(format, "csv") == 0 ? table_read_csv(x->arena, text, *separator, max, ret, &err)
				       : table_read_jsonl(x->arena, text, max, ret, &err);
	return r < 0 ? refuse(a, &err) : 0;
}

/* Every row must fill the message: better now than in the middle. */
static int check_rows(struct answer *a, const struct table *t)
{
	_cleanup_(arena_free_p) struct arena *each = arena_new();
	const char *template = json_get_str(a->job.x->body, "message", ""), *message;
	struct error err = {0};
	size_t total = 0;

	for (size_t i = 0; i < t->n_rows; i++) {
		if (batch_message(each, template, t->rows[i], &message, &err) < 0) {
			error_prefix(&err, "Row %zu", i + 1);
			return refuse(a, &err);
		}
		total += strlen(message);
		if (total > MESSAGES_MAX_BYTES)
			return answer_problem(a, 422, "table_too_large",
					      "The messages of all rows are more than 32 MiB: divide the file.");
		arena_reset(each);
	}
	return 0;
}

static int read_run(struct db_conn *c, struct exchange_job *job)
{
	struct create *p = (struct create *)job;
	int r = read_table(&p->answer, &p->table);

	return r ? r : check_rows(&p->answer, &p->table);
}

static const char *columns_json(struct arena *a, const struct table *t)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	buf_add_char(&out, '[');
	for (size_t i = 0; i < t->n_columns; i++) {
		buf_add_str(&out, i ? "," : "");
		json_quote(&out, str_of(t->columns[i]));
	}
	buf_add_char(&out, ']');
	return arena_strndup(a, out.p, out.n);
}

static int insert(struct db_conn *c, const struct batch *b, const struct table *t)
{
	int r = batch_insert(c, b);

	for (size_t i = 0; r == 0 && i < t->n_rows; i++)
		r = batch_row_insert(c, b, (int64_t)i + 1, 0, t->rows[i]);
	return r;
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct create *p = (struct create *)job;
	struct answer *a = &p->answer;
	struct exchange *x = job->x;
	char *id = arena_alloc(x->arena, ID_SIZE);
	struct batch b = {.id = id,
			  .user_id = x->who.user_id,
			  .agent_id = json_get_str(x->body, "agent_id", ""),
			  .name = json_get_str(x->body, "name", ""),
			  .message = json_get_str(x->body, "message", ""),
			  .concurrency = json_get_int(x->body, "concurrency", 4),
			  .max_failures = json_get_int(x->body, "max_failures", 0),
			  .agent_version = json_get_int(x->body, "agent_version", 0),
			  .n_rows = (int64_t)p->table.n_rows,
			  .created_at = clock_now_us()};
	int64_t n = 0;
	int r = answer_known(c, a);

	if (r == 0)
		r = answer_find_agent(c, a, b.agent_id, &b.agent_name);
	if (r == 0 && b.agent_version)
		r = batch_check_version(c, a, b.agent_id, b.agent_version);
	if (r == 0)
		r = error_only(db_get_int(c, &n,
					  "select count(*) from batches where user_id = ? and evaluation_id is null",
					  DB_TEXT(b.user_id)));
	if (r == 0 && n >= PER_USER_MAX)
		return answer_problem(a, 409, "too_many_batches",
				      "There are too many batches already: remove some that are not needed.");
	if (r)
		return r;
	id_new(id);
	b.columns = columns_json(x->arena, &p->table);
	r = insert(c, &b, &p->table);
	if (r == 0)
		r = answer_batch(c, a, 201, id);
	a->location = arena_printf(x->arena, "/api/batches/%s", id);
	return r ? r : answer_keep(c, a);
}

static void wake_done(struct exchange_job *job, int result)
{
	answer_send(job, result);
	automation_wake(((struct agent *)job->x->self)->automation);
}

static void on_read(struct exchange_job *job, int result)
{
	struct create *p = (struct create *)job;
	struct exchange *x = job->x;

	if (result || p->answer.code || !x->req) {
		answer_send(job, result);
		return;
	}
	p->answer = (struct answer){0};
	p->answer.job.done = wake_done;
	answer_write(x, &p->answer, create_run);
}

void batches_create(struct exchange *x)
{
	struct create *p = arena_new_of(x->arena, struct create);
	struct error err = {0};

	if (json_check(x->body, create_fields, ARRAY_SIZE(create_fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	p->answer.job.done = on_read;
	answer_read(x, &p->answer, read_run);
}

/* ---- Reading ---- */

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct batch b;
	int r = batches_find(c, a, false, &b);

	return r ? r : answer_batch(c, a, 200, b.id);
}

void batches_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	const char **ids = arena_alloc(x->arena, (size_t)(l->page.limit + 1) * sizeof(*ids));
	struct batch b;
	int64_t n = 0;
	struct db_stmt *st =
		db_query(c,
			 "select id from batches where evaluation_id is null and (user_id = ? or ? = 1) and id < ? "
			 "order by id desc limit ?",
			 DB_TEXT(x->who.user_id), DB_INT(sees_all(x)), DB_TEXT(l->page.after ? l->page.after : ID_LAST),
			 DB_INT(l->page.limit + 1));
	int r;

	while ((r = db_step(c, st)) == 1)
		ids[n++] = db_col_dup(st, 0, x->arena);
	db_done(st);
	for (int64_t i = 0; r >= 0 && i < MIN(n, l->page.limit); i++) {
		r = batch_find(c, x->arena, ids[i], false, &b);
		if (r == 1)
			r = add_batch(c, doc, yyjson_mut_arr_add_obj(doc, items), &b);
	}
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, ids[l->page.limit - 1]) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void batches_list(struct exchange *x)
{
	answer_page(x, list_run);
}

/* ---- Steering ---- */

static struct db_value time_or_null(int64_t us)
{
	return us ? DB_INT(us) : DB_NULL();
}

struct patch {
	struct answer answer;
	const char **cancelled; /* executions */
	int n_cancelled;
};

static int cancel(struct db_conn *c, struct patch *p, const struct batch *b)
{
	int64_t n = db_exec(c, "update batch_rows set status = 'cancelled' where batch_id = ? and status = 'waiting'",
			    DB_TEXT(b->id));

	p->n_cancelled = n < 0 ? (int)n : batch_cancel_runs(c, p->answer.job.x->arena, b->id, &p->cancelled);
	return MIN(p->n_cancelled, 0);
}

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct patch *p = (struct patch *)job;
	struct exchange *x = job->x;
	const char *status = json_get_str(x->body, "status", NULL);
	struct batch b;
	int r = batches_find(c, &p->answer, true, &b);

	p->n_cancelled = 0;
	if (r)
		return r;
	if (status && strcmp(status, "cancelled") == 0)
		r = cancel(c, p, &b);
	if (status && (strcmp(b.status, "ended") == 0 || strcmp(b.status, "cancelled") == 0) &&
	    strcmp(status, b.status) != 0)
		return answer_problem(&p->answer, 409, "batch_over",
				      "It is over: POST …/retry runs again what failed.");
	if (r == 0)
		r = error_only(
			db_exec(c,
				"update batches set name = ?, concurrency = ?, max_failures = ?, status = ?, reason = "
				"?, failures = ?, updated_at = ?, ended_at = ? where id = ?",
				DB_TEXT(json_get_str(x->body, "name", b.name)),
				DB_INT(json_get_int(x->body, "concurrency", b.concurrency)),
				DB_INT(json_get_int(x->body, "max_failures", b.max_failures)),
				DB_TEXT(status ? status : b.status), DB_TEXT(status ? NULL : b.reason),
				DB_INT(status ? 0 : b.failures), DB_INT(clock_now_us()),
				!status || strcmp(status, b.status) == 0 ? time_or_null(b.ended_at)
				: strcmp(status, "cancelled") == 0       ? DB_INT(clock_now_us())
									 : DB_NULL(),
				DB_TEXT(b.id)));
	return r < 0 ? r : answer_batch(c, &p->answer, 200, b.id);
}

static void patched(struct exchange_job *job, int result)
{
	struct patch *p = (struct patch *)job;
	struct agent *agent = job->x->self;

	for (int i = 0; result == 0 && i < p->n_cancelled; i++)
		runner_cancel(agent->runner, p->cancelled[i]);
	wake_done(job, result);
}

void batches_patch(struct exchange *x)
{
	static const struct json_field fields[] = {{"name", JSON_STRING, false, 1, 200},
						   {"concurrency", JSON_INT, false, 1, BATCH_CONCURRENCY_MAX},
						   {"max_failures", JSON_INT, false, 0, 1000000},
						   {"status", JSON_STRING, false, 1, 16}};
	struct patch *p = arena_new_of(x->arena, struct patch);
	const char *status = json_get_str(x->body, "status", "running");
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (strcmp(status, "running") != 0 && strcmp(status, "paused") != 0 && strcmp(status, "cancelled") != 0) {
		reply_problem(x, 422, "invalid_field", "\"status\" is running, paused or cancelled.");
		return;
	}
	p->answer.job.done = patched;
	answer_write(x, &p->answer, patch_run);
}

static int retry_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct batch_counts counts = {0};
	struct batch b;
	int64_t n;
	int r = batches_find(c, a, true, &b);

	if (r == 0)
		r = error_only(batch_count(c, b.id, &counts));
	if (r)
		return r;
	if (counts.running > 0 && strcmp(b.status, "cancelled") == 0)
		return answer_problem(a, 409, "batch_running",
				      "Runs of it are being cancelled: try again when they have ended.");
	n = db_exec(
		c,
		"update batch_rows set status = 'waiting', passed = null, score = null, grades = null where batch_id = "
		"? and status in ('failed', 'cancelled')",
		DB_TEXT(b.id));
	if (n >= 0)
		n = db_exec(
			c,
			"update batches set status = 'running', reason = null, failures = 0, updated_at = ?, ended_at "
			"= null where id = ?",
			DB_INT(clock_now_us()), DB_TEXT(b.id));
	return n < 0 ? (int)n : answer_batch(c, a, 200, b.id);
}

void batches_retry(struct exchange *x)
{
	struct answer *a = arena_new_of(x->arena, struct answer);

	a->job.done = wake_done;
	answer_write(x, a, retry_run);
}

/* Its conversations stay, and stand among the others from now on. */
static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct batch_counts counts;
	struct batch b;
	int r = batches_find(c, a, true, &b);

	if (r)
		return r;
	r = batch_count(c, b.id, &counts);
	if (r < 0)
		return r;
	if (counts.running > 0)
		return answer_problem(
			a, 409, "batch_running",
			"Runs of it are on: set its status to cancelled, and remove it when they have ended.");
	a->status = 204;
	return batch_erase(c, b.id);
}

void batches_delete(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), delete_run);
}
