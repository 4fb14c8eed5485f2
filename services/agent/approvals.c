/* GET /api/approvals, GET and POST /api/approvals/{id}: what waits for a person, and his word on it.
 *
 * A row is decided once: whoever decides locks the execution, finds the row pending, and changes both it and the
 * execution's lease, so that some process goes on with the run. What lets a risky call be made may need the person's
 * second factor: his confirmation names the row, its hash and the decision. A command that exec's policy asks about is
 * approved there first, with the person's own token (exec believes no service); exec then runs exactly that command,
 * once. What is left there by a crash in between is used up when the person repeats his word, or lapses. */
#include <errno.h>

#include "agent/bus.h"
#include "agent/handlers.h"
#include "agent/runner.h"
#include "agent/tools/tools.h"
#include "service/confirmation.h"

#define EXEC_ANSWER_MS 10000
#define EXEC_ANSWER_MAX (256 * 1024)
/* The run is woken at once; beyond this, exec asks again. */
#define EXEC_APPROVAL_S 600
#define COLUMNS                                                                                                     \
	"id, execution_id, conversation_id, user_id, agent_name, call_id, kind, tool, arguments, summary, reason, " \
	"hash, "                                                                                                    \
	"command_hash, status, decided_by, decided_at, decision_arguments, decision_text, created_at, expires_at"

struct approval_row {
	const char *id, *execution_id, *conversation_id, *user_id, *agent_name, *call_id, *kind, *tool, *arguments,
		*summary, *reason, *hash, *command_hash, *status, *decided_by, *decision_arguments, *decision_text;
	int64_t decided_at, created_at, expires_at;
};

static void read_row(struct db_stmt *st, struct arena *a, struct approval_row *ret)
{
	*ret = (struct approval_row){
		.id = db_col_dup(st, 0, a),
		.execution_id = db_col_dup(st, 1, a),
		.conversation_id = db_col_dup(st, 2, a),
		.user_id = db_col_dup(st, 3, a),
		.agent_name = db_col_dup(st, 4, a),
		.call_id = db_col_dup(st, 5, a),
		.kind = db_col_dup(st, 6, a),
		.tool = db_col_dup(st, 7, a),
		.arguments = db_col_dup(st, 8, a),
		.summary = db_col_dup(st, 9, a),
		.reason = db_col_dup(st, 10, a),
		.hash = db_col_dup(st, 11, a),
		.command_hash = db_col_dup(st, 12, a),
		.status = db_col_dup(st, 13, a),
		.decided_by = db_col_dup(st, 14, a),
		.decided_at = db_col_int(st, 15),
		.decision_arguments = db_col_dup(st, 16, a),
		.decision_text = db_col_dup(st, 17, a),
		.created_at = db_col_int(st, 18),
		.expires_at = db_col_int(st, 19),
	};
}

static bool is_pending(const struct approval_row *row)
{
	return strcmp(row->status, "pending") == 0;
}

static bool may_decide(const struct exchange *x, const struct approval_row *row)
{
	return strcmp(row->user_id, x->who.user_id) == 0 || identity_may(&x->who, "executions.approve_any");
}

static void add_row(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct approval_row *row)
{
	bool is_expired = is_pending(row) && row->expires_at <= clock_now_us();

	json_add_str(doc, obj, "id", row->id);
	json_add_str(doc, obj, "execution_id", row->execution_id);
	json_add_str(doc, obj, "conversation_id", row->conversation_id);
	json_add_str(doc, obj, "user_id", row->user_id);
	json_add_str(doc, obj, "agent_name", row->agent_name);
	json_add_str(doc, obj, "call_id", row->call_id);
	json_add_str(doc, obj, "kind", row->kind);
	json_add_str(doc, obj, "tool", row->tool);
	json_add_raw(doc, obj, "arguments", row->arguments);
	json_add_str(doc, obj, "summary", row->summary);
	json_add_str(doc, obj, "reason", row->reason);
	json_add_str(doc, obj, "hash", row->hash);
	json_add_str(doc, obj, "status", is_expired ? "expired" : row->status);
	json_add_str(doc, obj, "decided_by", row->decided_by);
	add_time(doc, obj, "decided_at", row->decided_at);
	json_add_raw(doc, obj, "decision_arguments", row->decision_arguments);
	json_add_str(doc, obj, "decision_text", row->decision_text);
	add_time(doc, obj, "created_at", row->created_at);
	add_time(doc, obj, "expires_at", row->expires_at);
}

static int answer_row(struct answer *a, const struct approval_row *row)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);

	add_row(doc, obj, row);
	return answer_json(a, 200, doc);
}

/* 1 found, 0 none that the exchange's user may decide on, or -errno. */
static int find(struct db_conn *c, struct exchange *x, struct approval_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select " COLUMNS " from approvals where id = ?", DB_TEXT(path_id(x)));
	int r = db_step(c, st);

	if (r != 1)
		return r;
	read_row(st, x->arena, ret);
	return may_decide(x, ret);
}

/* ---- Reading ---- */

struct list_answer {
	struct answer answer;
	struct page page;
	const char *status, *execution_id, *conversation_id;
};

static struct db_stmt *query_list(struct db_conn *c, const struct list_answer *l)
{
	const struct exchange *x = l->answer.job.x;
	struct arena *a = x->arena;
	struct db_value args[8];
	size_t n = 0;
	const char *sql = "select " COLUMNS " from approvals where id < ?";

	args[n++] = DB_TEXT(l->page.after ? l->page.after : ID_LAST);
	if (!identity_may(&x->who, "executions.approve_any")) {
		sql = arena_printf(a, "%s and user_id = ?", sql);
		args[n++] = DB_TEXT(x->who.user_id);
	}
	if (l->status) {
		sql = arena_printf(a, "%s and status = ?", sql);
		args[n++] = DB_TEXT(l->status);
	}
	if (l->execution_id) {
		sql = arena_printf(a, "%s and execution_id = ?", sql);
		args[n++] = DB_TEXT(l->execution_id);
	}
	if (l->conversation_id) {
		sql = arena_printf(a, "%s and conversation_id = ?", sql);
		args[n++] = DB_TEXT(l->conversation_id);
	}
	sql = arena_printf(a, "%s order by id desc limit ?", sql);
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
	struct approval_row row = {0};
	int64_t n = 0;
	int r;

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		read_row(st, a, &row);
		add_row(doc, yyjson_mut_arr_add_obj(doc, items), &row);
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

void agent_approvals_list(struct exchange *x)
{
	struct list_answer *l = arena_new_of(x->arena, struct list_answer);

	if (!page_read(x, &l->page))
		return;
	l->status = query(x, "status");
	l->execution_id = query(x, "execution_id");
	l->conversation_id = query(x, "conversation_id");
	answer_read(x, &l->answer, list_run);
}

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct approval_row row;
	int r = find(c, job->x, &row);

	if (r == 0)
		return answer_not_found(a, "approval");
	return r < 0 ? r : answer_row(a, &row);
}

void agent_approvals_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

/* ---- Deciding ---- */

static const struct json_field fields[] = {
	{"decision", JSON_STRING, true, 1, 16},
	{"hash", JSON_STRING, false, 64, 64},
	{"arguments", JSON_OBJECT},
	{"message", JSON_STRING, false, 0, 20000},
	{"confirmation", JSON_STRING, false, 1, 1024},
};

static const struct {
	const char *decision, *status;
} decisions[] = {{"approve", "approved"}, {"edit", "edited"}, {"reject", "rejected"}, {"answer", "answered"}};

/* What a decision waits for: first the row, then auth where it must be confirmed, then exec where it has a word, then
 * the transaction. */
struct decide {
	struct answer answer;
	struct exchange *x;
	const char *status;
	const char *message, *arguments;
	struct approval_row row;
	struct http_fetch *fetch;
};

/* Whether the row may be decided so; otherwise the answer is set. */
static int check(struct decide *d, const struct approval_row *row)
{
	const char *hash = json_get_str(d->x->body, "hash", NULL);
	bool is_question = strcmp(row->kind, "question") == 0, is_answer = strcmp(d->status, "answered") == 0;

	if (!is_pending(row))
		return answer_problem(
			&d->answer, 409, "approval_decided",
			arena_printf(d->x->arena, "This was %s already. GET it to see by whom.", row->status));
	if (row->expires_at <= clock_now_us())
		return answer_problem(&d->answer, 409, "approval_expired",
				      "Nobody decided in time: the agent was told so and goes on without.");
	if (strcmp(d->status, "lapsed") == 0)
		return 0;
	if (strcmp(d->status, "approved") == 0 && !hash)
		return answer_problem(&d->answer, 422, "invalid_field",
				      "\"hash\" is missing: send the hash of what was shown to you.");
	if (hash && strcmp(hash, row->hash) != 0)
		return answer_problem(&d->answer, 409, "approval_changed",
				      "This is not what was shown to you: look at it again and decide on that.");
	if (is_question != is_answer && strcmp(d->status, "rejected") != 0)
		return answer_problem(&d->answer, 422, "invalid_field",
				      is_question ? "This is a question: \"answer\" it, or \"reject\" it."
						  : "This is no question: \"approve\", \"edit\" or \"reject\" it.");
	return 0;
}

/* The same word by the same person again: a second click, or a repeated request. */
static bool is_repeated(const struct decide *d, const struct approval_row *row)
{
	return strcmp(row->status, d->status) == 0 && row->decided_by &&
	       strcmp(row->decided_by, d->x->who.user_id) == 0;
}

/* 1 found and nobody else decides meanwhile, 0 none, or -errno. */
static int find_to_decide(struct db_conn *c, struct exchange *x, struct approval_row *ret)
{
	int64_t one;
	int r = find(c, x, ret);

	if (r != 1)
		return r;
	r = db_get_int(c, &one, "select 1 from executions where id = ?" DB_FOR_UPDATE, DB_TEXT(ret->execution_id));
	return r < 0 ? r : find(c, x, ret);
}

static int store(struct db_conn *c, struct decide *d, struct approval_row *row)
{
	row->status = d->status;
	row->decided_by = d->x->who.user_id;
	row->decided_at = clock_now_us();
	row->decision_arguments = d->arguments;
	row->decision_text = d->message;
	int64_t n = db_exec(c,
			    "update approvals set status = ?, decided_by = ?, decided_at = ?, decision_arguments = ?, "
			    "decision_text = ? where id = ? and status = 'pending'",
			    DB_TEXT(row->status), DB_TEXT(row->decided_by), DB_INT(row->decided_at),
			    DB_TEXT(row->decision_arguments), DB_TEXT(row->decision_text), DB_TEXT(row->id));
	if (n == 1)
		n = db_exec(c, "update executions set lease_until = 0 where id = ? and owner = ?",
			    DB_TEXT(row->execution_id), DB_TEXT(RUNNER_PARKED));
	return n < 0 ? (int)n : bus_tell(c, BUS_QUEUE, NULL);
}

static int decide_run(struct db_conn *c, struct exchange_job *job)
{
	struct decide *d = (struct decide *)job;
	struct approval_row row;
	int r = find_to_decide(c, job->x, &row);

	if (r == 0)
		return answer_not_found(&d->answer, "approval");
	if (r < 0)
		return r;
	if (is_repeated(d, &row))
		return answer_row(&d->answer, &row);
	r = check(d, &row);
	if (r == 0)
		r = store(c, d, &row);
	return r ? r : answer_row(&d->answer, &row);
}

static void on_decided(struct exchange_job *job, int result)
{
	struct agent *agent = job->x->self;

	/* Whether it was stored is not known after some failures: looking for work does no harm. */
	runner_wake(agent->runner);
	answer_send(job, result);
}

static void start_write(struct decide *d)
{
	d->answer.job.done = on_decided;
	answer_write(d->x, &d->answer, decide_run);
}

/* ---- exec's word ---- */

static void pass_on_refusal(struct exchange *x, int status, struct str body)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(x->arena, body.p, body.n, NULL));

	const char *code = json_get_str(root, "code", "");

	if (status == 403 && (!strcmp(code, "confirmation_required") || !strcmp(code, "second_factor_needed")))
		confirmation_pass_on(x, root);
	else if (status == 403)
		reply_problem(x, 403, "forbidden",
			      "The policy of commands asks about this one: approving it needs the permission "
			      "commands.approve.");
	else if (status >= 400 && status < 500 && status != 429)
		reply_problem(x, 409, "approval_refused", "The command service does not take the approval: %.300s",
			      json_get_str(root, "detail", "it does not say why."));
	else
		reply_problem(x, 503, "unavailable",
			      "The command service cannot be reached: nothing was decided, try again.");
}

/* What exec does not know any more is asked about anew when the run goes on. */
static void on_exec_answer(void *arg, int err, int status, struct str body)
{
	struct decide *d = arg;
	struct exchange *x = d->x;

	d->fetch = NULL;
	if (err == 0 && status == 404)
		d->status = "lapsed";
	if (err == 0 && (status == 201 || status == 404))
		start_write(d);
	else if (x->req)
		pass_on_refusal(x, err < 0 ? 0 : status, body);
	exchange_drop(x);
}

/* The person's own token goes along: exec lets nobody else approve. */
static void ask_exec(struct decide *d)
{
	struct exchange *x = d->x;
	struct agent *agent = x->self;
	struct http_headers *headers =
		service_peer_headers(agent->service, "exec", "", x->request_id, x->traceparent, x->arena);
	struct str token = http_header_get(&x->req->headers, "Authorization");
	const char *confirmation = json_get_str(x->body, "confirmation", NULL);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	http_header_set(headers, "Authorization", arena_strndup(x->arena, token.p, token.n));
	json_add_str(doc, obj, "hash", d->row.command_hash);
	yyjson_mut_obj_add_int(doc, obj, "uses", 1);
	yyjson_mut_obj_add_int(doc, obj, "expires_in", EXEC_APPROVAL_S);
	if (confirmation)
		json_add_str(doc, obj, "confirmation", confirmation);
	exchange_hold(x);
	d->fetch = http_fetch(service_peer(agent->service, "exec"), "POST", "/api/policies/approvals", headers,
			      "application/json", json_text(x->arena, doc), EXEC_ANSWER_MAX, EXEC_ANSWER_MS,
			      on_exec_answer, d);
}

static int look_run(struct db_conn *c, struct exchange_job *job)
{
	struct decide *d = (struct decide *)job;
	int r = find(c, job->x, &d->row);

	if (r == 0)
		return answer_not_found(&d->answer, "approval");
	if (r < 0)
		return r;
	return is_repeated(d, &d->row) ? answer_row(&d->answer, &d->row) : check(d, &d->row);
}

/* Whether changed arguments fit the tool; otherwise answers. */
static bool check_arguments(struct decide *d)
{
	const struct tool *tool = tool_find(d->row.tool);
	yyjson_val *arguments = yyjson_obj_get(d->x->body, "arguments");
	struct error err = {0};

	if (strcmp(d->status, "edited") != 0)
		return true;
	if (!arguments)
		error_set(&err, "invalid_field", "\"arguments\" is missing: the changed arguments");
	else if (!tool || tool->check(tool, arguments, &err) == 0)
		return true;
	else
		error_prefix(&err, "In \"arguments\"");
	reply_error(d->x, 422, &err);
	return false;
}

/* A call is risky unless its tool knows that it is not. */
static bool is_risky(const struct decide *d)
{
	const struct tool *tool = tool_find(d->row.tool);
	const char *text = d->arguments ? d->arguments : d->row.arguments;

	if (strcmp(d->status, "approved") != 0 && strcmp(d->status, "edited") != 0)
		return false;
	return !tool || !tool->is_risky ||
	       tool->is_risky(tool, yyjson_doc_get_root(json_parse(d->x->arena, text, strlen(text), NULL)));
}

static void on_confirmed(void *arg)
{
	struct decide *d = arg;

	if (d->x->req)
		start_write(d);
}

static void on_looked(struct exchange_job *job, int result)
{
	char act[SHA256_HEX_SIZE];
	struct decide *d = (struct decide *)job;

	if (result || d->answer.body.p || !d->x->req) {
		answer_send(job, result);
		return;
	}
	if (!check_arguments(d))
		return;
	if (strcmp(d->status, "approved") == 0 && d->row.command_hash) {
		ask_exec(d); /* which asks auth itself */
		return;
	}
	if (!is_risky(d)) {
		start_write(d);
		return;
	}
	confirmation_act(act, "approval", d->row.id, d->row.hash, d->status, d->arguments ? d->arguments : "", NULL);
	confirmation_ask(d->x, act, json_get_str(d->x->body, "confirmation", NULL), on_confirmed, d);
}

void agent_approvals_decide(struct exchange *x)
{
	struct decide *d = arena_new_of(x->arena, struct decide);
	const char *decision;
	struct error err = {0};

	if (x->who.service[0]) {
		reply_problem(x, 403, "forbidden", "Only a person decides.");
		return;
	}
	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	decision = json_get_str(x->body, "decision", "");
	for (size_t i = 0; i < ARRAY_SIZE(decisions); i++)
		if (strcmp(decision, decisions[i].decision) == 0)
			d->status = decisions[i].status;
	d->message = json_get_str(x->body, "message", NULL);
	if (!d->status || (strcmp(d->status, "answered") == 0 && (!d->message || !*d->message))) {
		reply_problem(
			x, 422, "invalid_field",
			"\"decision\" is approve, edit (with \"arguments\"), reject, or answer (with \"message\").");
		return;
	}
	if (strcmp(d->status, "edited") == 0 && yyjson_obj_get(x->body, "arguments"))
		d->arguments = json_val_text(x->arena, yyjson_obj_get(x->body, "arguments")).p;
	d->x = x;
	d->answer.job.done = on_looked;
	answer_read(x, &d->answer, look_run);
}
