/* Executions: the history, one with its calls, and stopping. */
#include "agent/execution.h"

#include <errno.h>

#include "agent/bus.h"
#include "agent/queue.h"
#include "agent/runner.h"

/* In a list, texts are cut to their beginning. */
#define SELECT(text)                                                                                                   \
	"select e.id, e.conversation_id, e.agent_id, e.agent_name, e.user_id, e.status, e.state, " text(               \
		"coalesce(i.content, q.content)") ", " text("o.content") ", e.error_code, e.error_message, e.model, "  \
									 "e.provider, e.steps, "                       \
									 "e.commands, e.input_tokens, "                \
									 "e.output_tokens, "                           \
									 "e.tokens_estimated, "                        \
									 "e.created_at, e.started_at, e.ended_at, "    \
									 "e.last_seq, "                                \
									 "e.cached_tokens, e.cost_nano, o.parsed "     \
									 "from "                                       \
									 "executions e "                               \
									 "left join messages i on i.conversation_id "  \
									 "= e.conversation_id "                        \
									 "and "                                        \
									 "i.seq = e.input_seq left join messages o "   \
									 "on o.conversation_id = "                     \
									 "e.conversation_id and o.seq = e.output_seq " \
									 "left join "                                  \
									 "queued_messages q on q.execution_id = e.id "
#define WHOLE(column) column
#define BEGINNING(column) "substr(text_of(" column "), 1, 2000)"

static void read_row(struct db_stmt *st, struct arena *a, struct execution_row *ret)
{
	*ret = (struct execution_row){
		.id = db_col_dup(st, 0, a),
		.conversation_id = db_col_dup(st, 1, a),
		.agent_id = db_col_dup(st, 2, a),
		.agent_name = db_col_dup(st, 3, a),
		.user_id = db_col_dup(st, 4, a),
		.status = db_col_dup(st, 5, a),
		.state = db_col_dup(st, 6, a),
		.input = db_col_dup(st, 7, a),
		.output = db_col_dup(st, 8, a),
		.error_code = db_col_dup(st, 9, a),
		.error_message = db_col_dup(st, 10, a),
		.model = db_col_dup(st, 11, a),
		.provider = db_col_dup(st, 12, a),
		.steps = db_col_int(st, 13),
		.commands = db_col_int(st, 14),
		.input_tokens = db_col_int(st, 15),
		.output_tokens = db_col_int(st, 16),
		.tokens_estimated = db_col_int(st, 17) != 0,
		.created_at = db_col_int(st, 18),
		.started_at = db_col_int(st, 19),
		.ended_at = db_col_int(st, 20),
		.last_seq = db_col_int(st, 21),
		.cached_tokens = db_col_int(st, 22),
		.cost_nano = db_col_int(st, 23),
		.parsed = db_col_dup(st, 24, a),
	};
}

bool execution_has_ended(const struct execution_row *row)
{
	return row->ended_at != 0;
}

static void add_error(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct execution_row *row)
{
	yyjson_mut_val *error;

	if (!row->error_code) {
		yyjson_mut_obj_add_null(doc, obj, "error");
		return;
	}
	error = yyjson_mut_obj_add_obj(doc, obj, "error");
	json_add_str(doc, error, "code", row->error_code);
	json_add_str(doc, error, "message", row->error_message);
}

void execution_add(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct execution_row *row)
{
	int64_t from = row->started_at ? row->started_at : row->created_at;
	yyjson_mut_val *usage;

	json_add_str(doc, obj, "id", row->id);
	json_add_str(doc, obj, "conversation_id", row->conversation_id);
	json_add_str(doc, obj, "agent_id", row->agent_id);
	json_add_str(doc, obj, "agent_name", row->agent_name);
	json_add_str(doc, obj, "user_id", row->user_id);
	json_add_str(doc, obj, "status", row->status);
	json_add_str(doc, obj, "state", row->state);
	json_add_str(doc, obj, "input", row->input ? row->input : "");
	json_add_str(doc, obj, "output", row->output);
	json_add_raw(doc, obj, "parsed", row->parsed);
	add_error(doc, obj, row);
	json_add_str(doc, obj, "model", row->model);
	json_add_str(doc, obj, "provider", row->provider);
	yyjson_mut_obj_add_int(doc, obj, "steps", row->steps);
	usage = yyjson_mut_obj_add_obj(doc, obj, "usage");
	yyjson_mut_obj_add_int(doc, usage, "input_tokens", row->input_tokens);
	yyjson_mut_obj_add_int(doc, usage, "output_tokens", row->output_tokens);
	yyjson_mut_obj_add_int(doc, usage, "cached_tokens", row->cached_tokens);
	yyjson_mut_obj_add_real(doc, usage, "cost_usd", (double)row->cost_nano / 1e9);
	yyjson_mut_obj_add_bool(doc, usage, "estimated", row->tokens_estimated);
	yyjson_mut_obj_add_int(doc, obj, "commands", row->commands);
	add_time(doc, obj, "created_at", row->created_at);
	add_time(doc, obj, "started_at", row->started_at);
	add_time(doc, obj, "ended_at", row->ended_at);
	if (row->ended_at)
		yyjson_mut_obj_add_int(doc, obj, "duration_ms", (row->ended_at - from) / 1000);
	else
		yyjson_mut_obj_add_null(doc, obj, "duration_ms");
	yyjson_mut_obj_add_int(doc, obj, "last_event", row->last_seq);
}

int execution_find(struct db_conn *c, const struct exchange *x, struct arena *a, const char *id,
		   struct execution_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, SELECT(WHOLE) "where e.id = ?", DB_TEXT(id));
	int r = db_step(c, st);

	if (r != 1)
		return r;
	read_row(st, a, ret);
	return strcmp(ret->user_id, x->who.user_id) == 0 || sees_all_executions(x);
}

/* ---- The list ---- */

struct list_answer {
	struct answer answer;
	struct page page;
	const char *status, *agent_id, *conversation_id, *words;
};

/* A filter that is not asked for compares with itself. */
static struct db_stmt *query_list(struct db_conn *c, const struct list_answer *l)
{
	const struct exchange *x = l->answer.job.x;
	struct arena *a = x->arena;
	struct db_value args[8];
	size_t n = 0;
	const char *sql = SELECT(BEGINNING) "where e.id < ?";

	args[n++] = DB_TEXT(l->page.after ? l->page.after : ID_LAST);
	if (!sees_all_executions(x)) {
		sql = arena_printf(a, "%s and e.user_id = ?", sql);
		args[n++] = DB_TEXT(x->who.user_id);
	}
	if (l->status) {
		sql = arena_printf(a, "%s and e.status = ?", sql);
		args[n++] = DB_TEXT(l->status);
	}
	if (l->agent_id) {
		sql = arena_printf(a, "%s and e.agent_id = ?", sql);
		args[n++] = DB_TEXT(l->agent_id);
	}
	if (l->conversation_id) {
		sql = arena_printf(a, "%s and e.conversation_id = ?", sql);
		args[n++] = DB_TEXT(l->conversation_id);
	}
	if (l->words) {
		sql = arena_printf(a, "%s and (text_has(i.content, ?) or text_has(o.content, ?))", sql);
		args[n++] = DB_TEXT(l->words);
		args[n++] = DB_TEXT(l->words);
	}
	sql = arena_printf(a, "%s order by e.id desc limit ?", sql);
	args[n++] = DB_INT(l->page.limit + 1);
	return db_query_dynamic(c, sql, args, n);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct list_answer *l = (struct list_answer *)job;
	struct arena *a = job->x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct db_stmt *st = query_list(c, l);
	struct execution_row row = {0};
	int64_t n = 0;
	int r;

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		read_row(st, a, &row);
		execution_add(doc, yyjson_mut_arr_add_obj(doc, items), &row);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(a, row.id) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

static const char *query(struct exchange *x, const char *name)
{
	const char *value = http_query_get(x->arena, x->req->query, name);

	return value && *value ? value : NULL;
}

void executions_list(struct exchange *x)
{
	struct list_answer *l = arena_new_of(x->arena, struct list_answer);
	const char *q = query(x, "q");

	if (!page_read(x, &l->page))
		return;
	if (q && strlen(q) > 800) {
		reply_problem(x, 400, "bad_request", "q is too long: look for at most 200 characters.");
		return;
	}
	l->status = query(x, "status");
	l->agent_id = query(x, "agent_id");
	l->conversation_id = query(x, "conversation_id");
	l->words = q;
	answer_read(x, &l->answer, list_run);
}

/* ---- One, with its calls ---- */

/* The calls of an answer; `calls` is the list of all, in which the results that follow are put. */
static void add_calls(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *calls, struct str json, bool has_ended)
{
	yyjson_val *list = yyjson_doc_get_root(json_parse(a, json.p, json.n, NULL)), *call;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, call)
	{
		yyjson_val *arguments = yyjson_obj_get(call, "arguments");
		yyjson_mut_val *obj = yyjson_mut_arr_add_obj(doc, calls);
		json_add_str(doc, obj, "id", json_get_str(call, "id", ""));
		json_add_str(doc, obj, "name", json_get_str(call, "name", ""));
		yyjson_mut_obj_add_val(doc, obj, "arguments", yyjson_val_mut_copy(doc, arguments));
		json_add_str(doc, obj, "command", json_get_str(arguments, "command", NULL));
		json_add_str(doc, obj, "status", has_ended ? "lost" : "running");
	}
}

static const char *const result_members[] = {
	"status",   "exit_code",   "signal",     "output",  "output_bytes", "started_at",
	"ended_at", "duration_ms", "command_id", "message", "approval_id",
};

static yyjson_mut_val *find_call(yyjson_mut_val *calls, struct str id)
{
	yyjson_mut_val *call, *found = NULL;
	size_t i, max;

	/* The last with that id: some models use an id again in another step. */
	yyjson_mut_arr_foreach(calls, i, max, call)
	{
		if (yyjson_mut_equals_strn(yyjson_mut_obj_get(call, "id"), id.p, id.n))
			found = call;
	}
	return found;
}

static void add_result(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *call, struct str json)
{
	yyjson_val *result = yyjson_doc_get_root(json_parse(a, json.p, json.n, NULL));

	for (size_t i = 0; i < ARRAY_SIZE(result_members); i++) {
		yyjson_val *v = yyjson_obj_get(result, result_members[i]);
		if (v)
			yyjson_mut_obj_put(call, yyjson_mut_str(doc, result_members[i]), yyjson_val_mut_copy(doc, v));
	}
}

/* Those that wait for a person say so. */
static int add_waiting(struct db_conn *c, struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *calls,
		       const char *execution_id)
{
	struct db_stmt *st =
		db_query(c, "select call_id, id from approvals where execution_id = ? and status = 'pending'",
			 DB_TEXT(execution_id));
	int r;

	while ((r = db_step(c, st)) == 1) {
		yyjson_mut_val *call = find_call(calls, db_col_str(st, 0));
		if (!call)
			continue;
		yyjson_mut_obj_put(call, yyjson_mut_str(doc, "status"), yyjson_mut_str(doc, "waiting"));
		json_add_str(doc, call, "approval_id", db_col_dup(st, 1, a));
	}
	db_done(st);
	return r;
}

static void complete_calls(yyjson_mut_doc *doc, yyjson_mut_val *calls)
{
	yyjson_mut_val *call;
	size_t i, max;

	yyjson_mut_arr_foreach(calls, i, max, call)
	{
		for (size_t m = 0; m < ARRAY_SIZE(result_members); m++)
			if (!yyjson_mut_obj_get(call, result_members[m]))
				yyjson_mut_obj_add_null(doc, call, result_members[m]);
	}
}

static int add_detail(struct db_conn *c, struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj,
		      const struct execution_row *row)
{
	yyjson_mut_val *calls = yyjson_mut_obj_add_arr(doc, obj, "calls"), *call;
	struct db_stmt *st =
		db_query(c,
			 "select m.tool_calls, m.tool_call_id, m.result from executions e join messages m on "
			 "m.conversation_id = e.conversation_id and m.seq > e.input_seq and m.execution_id = "
			 "e.id where e.id = ? order by m.seq",
			 DB_TEXT(row->id));
	int r;

	while ((r = db_step(c, st)) == 1) {
		if (!db_col_is_null(st, 0))
			add_calls(a, doc, calls, db_col_str(st, 0), execution_has_ended(row));
		call = db_col_is_null(st, 1) ? NULL : find_call(calls, db_col_str(st, 1));
		if (call && !db_col_is_null(st, 2))
			add_result(a, doc, call, db_col_str(st, 2));
	}
	db_done(st);
	if (r == 0 && !execution_has_ended(row))
		r = add_waiting(c, a, doc, calls, row->id);
	complete_calls(doc, calls);
	return r;
}

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct execution_row row;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(job->x->arena, &doc);
	int r = execution_find(c, job->x, job->x->arena, path_id(job->x), &row);

	if (r == 0)
		return answer_not_found(a, "execution");
	if (r < 0)
		return r;
	execution_add(doc, obj, &row);
	r = add_detail(c, job->x->arena, doc, obj, &row);
	return r < 0 ? r : answer_json(a, 200, doc);
}

void executions_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

/* ---- Going on ---- */

/* The run's own budget counts anew from what it has spent; those of days are looked at again. */
static int resume_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	struct execution_row row;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	int r = execution_find(c, x, x->arena, path_id(x), &row);

	if (r == 0)
		return answer_not_found(a, "execution");
	if (r < 0)
		return r;
	if (strcmp(row.user_id, x->who.user_id) != 0 && !identity_may(&x->who, "executions.cancel_any"))
		return answer_problem(a, 403, "forbidden", "Only its user may let this execution go on.");
	int64_t n = db_exec(c,
			    "update executions set lease_until = 0, budget_from_tokens = input_tokens + output_tokens, "
			    "budget_from_nano = cost_nano where id = ? and status = 'paused' and owner = ?",
			    DB_TEXT(row.id), DB_TEXT(RUNNER_PARKED));
	if (n == 0)
		return answer_problem(a, 409, "not_paused", "This execution is not paused.");
	execution_add(doc, obj, &row);
	answer_json(a, 202, doc);
	return n < 0 ? (int)n : bus_tell(c, BUS_QUEUE, NULL);
}

static void on_resumed(struct exchange_job *job, int result)
{
	runner_wake(((struct agent *)job->x->self)->runner);
	answer_send(job, result);
}

void executions_resume(struct exchange *x)
{
	struct answer *a = arena_new_of(x->arena, struct answer);

	a->job.done = on_resumed;
	answer_write(x, a, resume_run);
}

/* ---- Stopping ---- */

/* The wish is stored: a process that takes the run over obeys it too. */
int execution_cancel(struct db_conn *c, const char *id, int64_t now)
{
	int64_t n = db_exec(
		c,
		"update executions set cancel_at = ?, lease_until = case when owner = ? then 0 else lease_until end "
		"where id = ? and ended_at is null",
		DB_INT(now), DB_TEXT(RUNNER_PARKED), DB_TEXT(id));
	int r = n > 0 ? bus_tell(c, BUS_CANCEL, id) : (int)n;

	if (r >= 0 && n > 0)
		r = bus_tell(c, BUS_QUEUE, NULL);
	return r < 0 ? r : n > 0;
}

struct cancel {
	struct answer answer;
	bool is_active;
};

static int cancel_run(struct db_conn *c, struct exchange_job *job)
{
	struct cancel *m = (struct cancel *)job;
	struct exchange *x = job->x;
	struct execution_row row;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	int r = execution_find(c, x, x->arena, path_id(x), &row);

	if (r == 0)
		return answer_not_found(&m->answer, "execution");
	if (r < 0)
		return r;
	if (strcmp(row.user_id, x->who.user_id) != 0 && !identity_may(&x->who, "executions.cancel_any"))
		return answer_problem(&m->answer, 403, "forbidden", "Only its user may stop this execution.");
	m->is_active = !execution_has_ended(&row);
	r = m->is_active ? queue_take_back(c, x->arena, row.id) : 0;
	if (r < 0)
		return r;
	if (r == 1)
		row.status = "cancelled";
	execution_add(doc, obj, &row);
	answer_json(&m->answer, 202, doc);
	if (!m->is_active || r == 1)
		return 0;
	r = execution_cancel(c, row.id, clock_now_us());
	return MIN(r, 0);
}

static void on_cancelled(struct exchange_job *job, int result)
{
	struct cancel *m = (struct cancel *)job;
	struct agent *agent = job->x->self;

	if (result <= 0 && m->is_active)
		runner_cancel(agent->runner, path_id(job->x));
	/* One that is parked must be taken up to be ended. */
	runner_wake(agent->runner);
	answer_send(job, result);
}

void executions_cancel(struct exchange *x)
{
	struct cancel *m = arena_new_of(x->arena, struct cancel);

	m->answer.job.done = on_cancelled;
	answer_write(x, &m->answer, cancel_run);
}
