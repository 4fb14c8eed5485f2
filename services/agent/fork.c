/* POST /api/executions/{id}/fork: a new conversation whose history ends at a step of the execution, with the workspace
 * as it was there. First it is found out where, then exec makes the workspace, then the conversation is stored: what is
 * cut off in between leaves no conversation.
 *
 * Where no call of a tool came later the workspace is copied as it is now; otherwise from the snapshot of the last step
 * before that place; where there was none, the fork begins with an empty one. */
#include <errno.h>

#include "agent/agent_shares.h"
#include "agent/attachments/store.h"
#include "agent/conversation.h"
#include "agent/event_fold.h"
#include "agent/execution.h"

#define ANSWER_MS 60000
#define ANSWER_MAX 8192
#define STEPS_MAX 400

static const struct json_field fields[] = {
	{"step", JSON_INT, false, 0, STEPS_MAX},
	{"event", JSON_INT, false, 0, INT64_MAX},
	{"agent_id", JSON_STRING, false, 1, 36},
	{"agent_version", JSON_INT, false, 1, INT32_MAX},
	{"same_version", JSON_BOOL},
};

enum from { FROM_EMPTY, FROM_LIVE, FROM_SNAPSHOT };
static const char *const from_names[] = {"empty", "live", "snapshot"};

struct fork {
	struct answer answer; /* of the job under way */
	struct execution_row execution;
	struct conversation_row source, made;
	char id[ID_SIZE];
	int64_t cut; /* the last message that it has */
	enum from from;
	const char *workspace, *snapshot;
	const char *target; /* where the workspace is */
};

/* ---- Where ---- */

/* The steps that were done before an event: the state it was in says which one was under way. 1, 0 or -errno. */
static int step_of_event(struct db_conn *c, struct fork *f, int64_t event, int64_t *ret)
{
	struct arena *a = f->answer.job.x->arena;
	const char *state;
	int r = event_state_at(c, a, f->execution.id, (uint64_t)event, &state);

	*ret = 0;
	if (r == 1) {
		yyjson_val *root = yyjson_doc_get_root(json_parse(a, state, strlen(state), NULL));
		*ret = MAX(json_get_int(root, "step", 1) - 1, 0);
	}
	return MIN(r, 0);
}

/* The place of the last message of a step: its answer, or the last result of its calls. *ret_whole: all are there. */
static int end_of_step(struct db_conn *c, struct fork *f, int64_t step, int64_t *ret, bool *ret_whole)
{
	struct arena *a = f->answer.job.x->arena;
	struct db_stmt *st = db_query(c,
				      "select m.seq, m.role, m.tool_calls from messages m join executions e on e.id = "
				      "m.execution_id where m.execution_id = ? and m.conversation_id = "
				      "e.conversation_id and m.seq > e.input_seq order by m.seq",
				      DB_TEXT(f->execution.id));
	int64_t n = 0, open = 0;
	int r;

	*ret = 0;
	while ((r = db_step(c, st)) == 1) {
		bool is_answer = str_is(db_col_str(st, 1), "assistant");

		if (is_answer && ++n > step)
			break;
		if (is_answer && !db_col_is_null(st, 2)) {
			struct str calls = str_of(db_col_dup(st, 2, a));
			open = (int64_t)yyjson_arr_size(yyjson_doc_get_root(json_parse(a, calls.p, calls.n, NULL)));
		} else if (is_answer) {
			open = 0;
		} else if (str_is(db_col_str(st, 1), "tool") && n == step) {
			open--;
		}
		if (n == step)
			*ret = db_col_int(st, 0);
	}
	db_done(st);
	*ret_whole = open <= 0 && n >= step;
	return MIN(r, 0);
}

/* 0, or what run is to return. */
static int find_cut(struct db_conn *c, struct fork *f)
{
	yyjson_val *body = f->answer.job.x->body;
	int64_t step = json_get_int(body, "step", -1), event = json_get_int(body, "event", -1), input_seq;
	bool is_whole = true;
	int r = db_get_int(c, &input_seq, "select input_seq from executions where id = ?", DB_TEXT(f->execution.id));

	if (r == 1 && input_seq == 0)
		return answer_problem(&f->answer, 409, "not_begun", "This execution has not begun yet.");
	if (r == 1 && event >= 0)
		r = step_of_event(c, f, event, &step);
	if (r < 0)
		return r;
	if (step == 0) {
		f->cut = input_seq - 1;
		return 0;
	}
	r = end_of_step(c, f, step < 0 ? f->execution.steps : step, &f->cut, &is_whole);
	if (r == 0 && step < 0 && f->cut == 0)
		f->cut = input_seq;
	else if (r == 0 && (f->cut == 0 || !is_whole))
		return answer_problem(&f->answer, 409, "no_such_step",
				      "The execution has no such step, or is still at work on it.");
	return r;
}

/* ---- The workspace ---- */

/* It is where that run's commands ran. */
static int find_target(struct db_conn *c, struct fork *f, const char *execution_id)
{
	struct arena *a = f->answer.job.x->arena;
	struct db_stmt *st = db_query(c,
				      "select v.config from executions e join agent_versions v on v.agent_id = "
				      "e.agent_id and v.version = e.agent_version where e.id = ?",
				      DB_TEXT(execution_id));
	int r = db_step(c, st);

	f->target = "local";
	if (r == 1) {
		struct str config = str_of(db_col_dup(st, 0, a));

		f->target =
			json_get_str(yyjson_doc_get_root(json_parse(a, config.p, config.n, NULL)), "target", "local");
	}
	db_done(st);
	return MIN(r, 0);
}

static int find_snapshot(struct db_conn *c, struct fork *f)
{
	struct arena *a = f->answer.job.x->arena;
	int64_t one;
	int r = db_get_int(c, &one,
			   "select 1 from messages where conversation_id = ? and seq > ? and role = 'tool' limit 1",
			   DB_TEXT(f->source.id), DB_INT(f->cut));

	const char *execution_id = f->execution.id;

	f->workspace = f->source.id;
	f->from = FROM_LIVE;
	if (r != 1)
		return r < 0 ? r : find_target(c, f, execution_id);
	f->from = FROM_EMPTY;
	struct db_stmt *st = db_query(c,
				      "select workspace, snapshot_id, execution_id from step_snapshots where "
				      "conversation_id = ? and message_seq <= ? order by message_seq desc limit 1",
				      DB_TEXT(f->source.id), DB_INT(f->cut));
	r = db_step(c, st);
	if (r == 1) {
		f->from = FROM_SNAPSHOT;
		f->workspace = db_col_dup(st, 0, a);
		f->snapshot = db_col_dup(st, 1, a);
		execution_id = db_col_dup(st, 2, a);
	}
	db_done(st);
	return r < 0 ? r : find_target(c, f, execution_id);
}

/* ---- The agent ---- */

static int find_agent(struct db_conn *c, struct fork *f)
{
	struct exchange *x = f->answer.job.x;
	yyjson_val *body = x->body;
	const char *id = json_get_str(body, "agent_id", f->execution.agent_id);
	int64_t version = json_get_int(body, "agent_version", 0), one;
	struct db_stmt *st =
		db_query(c, "select name, owner_id, shares, archived_at from agents where id = ?", DB_TEXT(id));
	int r = db_step(c, st);
	bool is_usable = r == 1 && db_col_is_null(st, 3) &&
			 agent_rights(&x->who, db_col_dup(st, 1, x->arena), db_col_dup(st, 2, x->arena));

	f->made.agent_id = arena_strdup(x->arena, id);
	f->made.agent_name = r == 1 ? db_col_dup(st, 0, x->arena) : "";
	db_done(st);
	if (r >= 0 && !is_usable)
		return answer_problem(&f->answer, 404, "agent_not_found",
				      "There is no such agent: GET /api/agents lists them.");
	if (r >= 0 && json_get_bool(body, "same_version", false))
		r = db_get_int(c, &version, "select agent_version from executions where id = ?",
			       DB_TEXT(f->execution.id));
	if (r >= 0 && version > 0)
		r = db_get_int(c, &one, "select 1 from agent_versions where agent_id = ? and version = ?",
			       DB_TEXT(f->made.agent_id), DB_INT(version));
	f->made.pinned_version = version;
	return r < 0 ? r : r == 0 ? answer_not_found(&f->answer, "version of the agent") : 0;
}

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct fork *f = (struct fork *)job;
	struct exchange *x = job->x;
	int r = execution_find(c, x, x->arena, path_id(x), &f->execution);

	if (r == 0)
		return answer_not_found(&f->answer, "execution");
	if (r == 1)
		r = conversation_find(c, x, f->execution.conversation_id, &f->source);
	if (r == 0)
		return answer_not_found(&f->answer, "conversation");
	if (r < 0)
		return r;
	if (strcmp(f->source.user_id, x->who.user_id) != 0)
		return answer_problem(&f->answer, 403, "forbidden", "Only its user may fork this conversation.");
	r = find_cut(c, f);
	if (r == 0)
		r = find_snapshot(c, f);
	return r ? r : find_agent(c, f);
}

/* ---- The conversation ---- */

static int copy_marks(struct db_conn *c, const struct fork *f)
{
	char id[ID_SIZE];

	id_new(id);
	return error_only(
		db_exec(c,
			"insert into context_marks (id, conversation_id, execution_id, up_to_seq, summary, "
			"tokens_before, tokens_after, created_at) select ?, ?, execution_id, up_to_seq, summary, "
			"tokens_before, tokens_after, created_at from context_marks where conversation_id = ? "
			"and up_to_seq <= ? order by up_to_seq desc limit 1",
			DB_TEXT(id), DB_TEXT(f->id), DB_TEXT(f->source.id), DB_INT(f->cut)));
}

static int copy_messages(struct db_conn *c, const struct fork *f)
{
	int64_t n =
		db_exec(c,
			"insert into messages (conversation_id, seq, id, execution_id, role, content, tool_calls, "
			"tool_call_id, result, opaque, created_at) select ?, seq, id, execution_id, role, content, "
			"tool_calls, tool_call_id, result, opaque, created_at from messages where conversation_id = ? "
			"and seq <= ?",
			DB_TEXT(f->id), DB_TEXT(f->source.id), DB_INT(f->cut));

	if (n >= 0)
		n = attachments_fork(c, f->source.id, f->id, f->execution.id);
	if (n >= 0)
		n = db_exec(
			c,
			"insert into step_snapshots (conversation_id, message_seq, execution_id, step, workspace, "
			"snapshot_id, created_at) select ?, message_seq, execution_id, step, workspace, snapshot_id, "
			"created_at from step_snapshots where conversation_id = ? and message_seq <= ?",
			DB_TEXT(f->id), DB_TEXT(f->source.id), DB_INT(f->cut));
	return n < 0 ? (int)n : copy_marks(c, f);
}

static int store_run(struct db_conn *c, struct exchange_job *job)
{
	struct fork *f = (struct fork *)job;
	int r = answer_known(c, &f->answer);

	if (r)
		return r;
	r = conversation_insert(c, &f->made);
	if (r == 0)
		r = copy_messages(c, f);
	if (r < 0)
		return r;
	f->answer.location = arena_printf(job->x->arena, "/api/conversations/%s", f->id);
	conversation_answer(&f->answer, 201, &f->made);
	return answer_keep(c, &f->answer);
}

static void store(struct fork *f)
{
	struct exchange *x = f->answer.job.x;
	struct conversation_row *m = &f->made;

	m->id = f->id;
	m->title = f->source.title;
	m->user_id = x->who.user_id;
	m->user_name = x->who.name;
	m->variables = f->source.variables;
	m->last_seq = f->cut;
	m->created_at = m->updated_at = clock_now_us();
	m->forked_from = f->source.id;
	m->forked_execution = f->execution.id;
	m->forked_seq = f->cut;
	reply_header(x, "X-Ogent-Workspace", from_names[f->from]);
	f->answer = (struct answer){0};
	answer_write(x, &f->answer, store_run);
}

/* ---- The flow ---- */

static void refuse(struct fork *f, int err, int status, struct str body)
{
	struct exchange *x = f->answer.job.x;

	if (err || status >= 500) {
		reply_header(x, "Retry-After", "2");
		reply_problem(x, 503, "exec_unavailable", "The workspace cannot be copied now: try again in a moment.");
	} else if (f->from == FROM_SNAPSHOT && status == 404) {
		reply_problem(
			x, 409, "snapshot_gone",
			"The files of that step are not kept any more (option workspace_steps_max): fork at a later "
			"step.");
	} else {
		yyjson_val *root = yyjson_doc_get_root(json_parse(x->arena, body.p, body.n, NULL));
		reply_problem(x, status, json_get_str(root, "code", "workspace_busy"), "%s",
			      json_get_str(root, "detail", "The workspace cannot be copied now."));
	}
}

static void on_copied(void *arg, int err, int status, struct str body)
{
	struct fork *f = arg;
	struct exchange *x = f->answer.job.x;

	if (!x->req) {
		exchange_drop(x);
		return;
	}
	/* There never was one: nothing ran in this conversation. */
	if (err == 0 && status == 404 && f->from == FROM_LIVE) {
		f->from = FROM_EMPTY;
		store(f);
	} else if (err == 0 && status == 201) {
		store(f);
	} else {
		refuse(f, err, status, body);
	}
	exchange_drop(x);
}

static void copy_workspace(struct fork *f)
{
	struct exchange *x = f->answer.job.x;
	struct service *s = x->service;
	const char *snapshot = f->snapshot ? arena_printf(x->arena, ",\"snapshot\":\"%s\"", f->snapshot) : "";

	exchange_hold(x);
	http_fetch(service_peer(s, "exec"), "POST",
		   arena_printf(x->arena, "/api/workspaces/%s/copy?target=%s", f->workspace, f->target),
		   service_peer_headers(s, "exec", x->who.user_id, x->request_id, x->traceparent, x->arena),
		   "application/json", str_of(arena_printf(x->arena, "{\"id\":\"%s\"%s}", f->id, snapshot)), ANSWER_MAX,
		   ANSWER_MS, on_copied, f);
}

static void on_found(struct exchange_job *job, int result)
{
	struct fork *f = (struct fork *)job;

	if (result != 0)
		answer_send(job, result);
	else if (f->from == FROM_EMPTY)
		store(f);
	else
		copy_workspace(f);
}

void executions_fork(struct exchange *x)
{
	struct fork *f = arena_new_of(x->arena, struct fork);
	struct error err = {0};

	if (x->body && json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	id_new(f->id);
	f->answer.job.done = on_found;
	answer_read(x, &f->answer, find_run);
}
