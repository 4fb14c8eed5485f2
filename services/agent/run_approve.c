/* What people are asked about calls, and what follows from what they said. The rows are the run's until they are stored
 * as pending; then approvals.c decides each of them once, and wakes the run. */
#include <errno.h>

#include "agent/agent.h"
#include "agent/run.h"
#include "base/clock.h"
#include "base/encode.h"

/* A decision that is being stored at the last moment still counts. */
#define EXPIRY_GRACE_US (5 * 1000000ll)

static const char *const mode_names[] = {
	[APPROVAL_NEVER] = "never", [APPROVAL_RISKY] = "risky", [APPROVAL_ALWAYS] = "always"};

enum approval_mode approval_mode_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(mode_names); i++)
		if (strcmp(mode_names[i], name) == 0)
			return (enum approval_mode)i;
	return APPROVAL_NEVER;
}

static enum approval_mode mode_of(const struct run *run, const struct tool *tool)
{
	for (size_t i = 0; i < run->n_tools; i++)
		if (run->tool_table[i] == tool)
			return run->approval_modes[i];
	return APPROVAL_NEVER;
}

static bool needs_leave(const struct run *run, const struct tool *tool, yyjson_val *arguments)
{
	if (tool->is_question)
		return true;
	switch (mode_of(run, tool)) {
	case APPROVAL_NEVER: return false;
	case APPROVAL_ALWAYS: return true;
	case APPROVAL_RISKY: return tool->is_risky && tool->is_risky(tool, arguments);
	}
	return true;
}

/* ---- Asking ---- */

/* Everything that matters: what was approved is what is made, or it is asked about again. */
static const char *hash_call(struct run *run, const struct run_call *call, const struct tool *tool, const char *kind,
			     struct str arguments, const char *command_hash)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	char hex[SHA256_HEX_SIZE];

	buf_printf(&text, "ogent-call-1\n%s\n%s\n%zu:%s\n%lld\n%s\n%s\n%zu:", kind, run->id, strlen(call->spec.id),
		   call->spec.id, (long long)run->steps, call->spec.name, command_hash ? command_hash : "",
		   arguments.n);
	buf_add(&text, arguments.p, arguments.n);
	if (tool->fingerprint)
		buf_printf(&text, "\n%s", tool->fingerprint);
	sha256_hex(text.p, text.n, hex);
	return arena_strdup(run->arena, hex);
}

static void emit_requested(struct run *run, const struct run_approval *a)
{
	_cleanup_(arena_free_p) struct arena *arena = arena_new();
	char expires[TIME_TEXT_SIZE];
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc);

	time_format(a->expires_at, expires);
	json_add_str(doc, obj, "approval_id", a->id);
	json_add_str(doc, obj, "call_id", a->call_id);
	json_add_str(doc, obj, "kind", a->kind);
	json_add_str(doc, obj, "tool", a->tool);
	json_add_raw(doc, obj, "arguments", a->arguments.p);
	json_add_str(doc, obj, "summary", a->summary);
	json_add_str(doc, obj, "reason", a->reason);
	json_add_str(doc, obj, "hash", a->hash);
	json_add_str(doc, obj, "expires_at", expires);
	run_emit(run, EVENT_APPROVAL_REQUESTED, true, "%s", json_text(arena, doc).p);
}

static void ask(struct run *run, const struct run_call *call, const struct tool *tool, const char *kind,
		yyjson_val *arguments, const char *reason, const char *command_hash)
{
	int64_t seconds = option_int(service_options(run->agent->service), "approval_seconds");
	struct run_approval *a = arena_new_of(run->arena, struct run_approval);
	const char *summary = tool->summary ? tool->summary(tool, arguments, run->arena) : NULL;

	list_init(&a->link);
	id_new(a->id);
	a->kind = kind;
	a->call_id = call->spec.id;
	a->tool = call->spec.name;
	a->step = run->steps;
	a->arguments = json_val_text(run->arena, arguments);
	a->summary = summary ? arena_strdup(run->arena, summary) : NULL;
	a->reason = reason ? arena_strdup(run->arena, reason) : NULL;
	a->command_hash = command_hash ? arena_strdup(run->arena, command_hash) : NULL;
	a->hash = hash_call(run, call, tool, kind, a->arguments, a->command_hash);
	a->status = "pending";
	a->created_at = clock_now_us();
	a->expires_at = a->created_at + seconds * 1000000;
	a->is_fresh = true;
	list_append(&run->approvals, &a->link);
	emit_requested(run, a);
}

void run_hold_command(struct run *run, struct run_call *call, const struct tool *tool, const struct tool_result *r)
{
	ask(run, call, tool, "command", call->tool.arguments, r->approval_reason, r->approval_hash);
	call->is_held = true;
}

/* ---- What was said ---- */

static bool is(const struct run_approval *a, const char *status)
{
	return strcmp(a->status, status) == 0;
}

static void tell(struct run *run, struct run_approval *a)
{
	_cleanup_(arena_free_p) struct arena *arena = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc);

	if (a->is_told || is(a, "pending"))
		return;
	a->is_told = a->is_changed = true;
	json_add_str(doc, obj, "approval_id", a->id);
	json_add_str(doc, obj, "call_id", a->call_id);
	json_add_str(doc, obj, "status", a->status);
	json_add_str(doc, obj, "decided_by", a->decided_by);
	json_add_raw(doc, obj, "arguments", a->decision_arguments);
	json_add_str(doc, obj, "text", a->decision_text);
	run_emit(run, EVENT_APPROVAL_DECIDED, true, "%s", json_text(arena, doc).p);
}

/* The last word on the call; *ret_edited: the last change of its arguments, or NULL. */
static struct run_approval *find(struct run *run, const struct run_call *call, const struct run_approval **ret_edited)
{
	struct run_approval *a, *last = NULL;

	*ret_edited = NULL;
	list_foreach (a, &run->approvals, struct run_approval, link) {
		if (a->step != run->steps || strcmp(a->call_id, call->spec.id) != 0)
			continue;
		last = a;
		if (is(a, "edited"))
			*ret_edited = a;
	}
	return last;
}

static void use_edited(struct run *run, struct run_call *call, const struct run_approval *a, yyjson_val **arguments)
{
	const char *text = a->decision_arguments;

	*arguments = yyjson_doc_get_root(json_parse(run->arena, text, strlen(text), NULL));
	call->note = arena_printf(
		run->arena, "A person changed the arguments before this call was made. It was made with: %s\n", text);
}

static bool is_for_this(struct run *run, const struct run_call *call, const struct tool *tool,
			const struct run_approval *a, yyjson_val *arguments)
{
	struct str text = json_val_text(run->arena, arguments);

	return strcmp(a->hash, hash_call(run, call, tool, a->kind, text, a->command_hash)) == 0;
}

static enum leave refuse(struct run *run, const struct run_approval *a, const char **message)
{
	if (is(a, "rejected") && a->decision_text && *a->decision_text)
		*message = arena_printf(run->arena, "A person rejected this call, it was not made. They say: %s",
					a->decision_text);
	else if (is(a, "rejected"))
		*message =
			"A person rejected this call, it was not made. Do not try to get around that: do without it, "
			"or ask what to do instead.";
	else if (strcmp(a->kind, "question") == 0)
		*message = "Nobody answered in time. Go on as well as you can without, and say what you assumed.";
	else
		*message =
			"Nobody approved this call in time, it was not made. Do without it, or say what it is needed "
			"for.";
	return LEAVE_REFUSED;
}

enum leave run_ask_leave(struct run *run, struct run_call *call, const struct tool *tool, yyjson_val **arguments,
			 const char **message)
{
	const struct run_approval *edited;
	struct run_approval *a = find(run, call, &edited);

	if (!a && !needs_leave(run, tool, *arguments))
		return LEAVE_GIVEN;
	if (!a) {
		ask(run, call, tool, tool->is_question ? "question" : "call", *arguments, NULL, NULL);
		return LEAVE_AWAITED;
	}
	if (is(a, "pending") && a->expires_at + EXPIRY_GRACE_US > clock_now_us())
		return LEAVE_AWAITED;
	if (is(a, "pending"))
		a->status = "expired";
	tell(run, a);
	if (edited)
		use_edited(run, call, edited, arguments);
	if (is(a, "answered")) {
		*message = a->decision_text ? a->decision_text : "";
		return LEAVE_ANSWERED;
	}
	if (is(a, "rejected") || is(a, "expired") || is(a, "cancelled"))
		return refuse(run, a, message);
	if (is(a, "approved") && !is_for_this(run, call, tool, a, *arguments)) {
		ask(run, call, tool, "call", *arguments, NULL, NULL);
		return LEAVE_AWAITED;
	}
	return LEAVE_GIVEN;
}

int64_t run_approvals_expire_at(const struct run *run)
{
	int64_t at = INT64_MAX;
	struct run_approval *a;

	list_foreach (a, &run->approvals, struct run_approval, link)
		if (is(a, "pending"))
			at = MIN(at, a->expires_at + EXPIRY_GRACE_US);
	return at;
}

/* ---- The rows, on worker threads but for run_approvals_take ---- */

static struct run_approval *read_row(struct db_stmt *st, struct arena *a)
{
	struct run_approval *p = arena_new_of(a, struct run_approval);

	list_init(&p->link);
	snprintf(p->id, sizeof(p->id), "%.*s", STR_ARG(db_col_str(st, 0)));
	p->call_id = db_col_dup(st, 1, a);
	p->step = db_col_int(st, 2);
	p->kind = db_col_dup(st, 3, a);
	p->tool = db_col_dup(st, 4, a);
	p->arguments = arena_str(a, db_col_str(st, 5));
	p->hash = db_col_dup(st, 6, a);
	p->command_hash = db_col_dup(st, 7, a);
	p->status = db_col_dup(st, 8, a);
	p->is_told = db_col_int(st, 9) != 0;
	p->decided_by = db_col_dup(st, 10, a);
	p->decision_arguments = db_col_dup(st, 11, a);
	p->decision_text = db_col_dup(st, 12, a);
	p->created_at = db_col_int(st, 13);
	p->expires_at = db_col_int(st, 14);
	return p;
}

int run_approvals_load(struct db_conn *c, struct arena *a, const char *execution_id, struct list *ret)
{
	struct db_stmt *st =
		db_query(c,
			 "select id, call_id, step, kind, tool, arguments, hash, command_hash, status, told, "
			 "decided_by, decision_arguments, decision_text, created_at, expires_at from approvals "
			 "where execution_id = ? order by id",
			 DB_TEXT(execution_id));
	int r;

	list_init(ret);
	while ((r = db_step(c, st)) > 0)
		list_append(ret, &read_row(st, a)->link);
	db_done(st);
	return r;
}

size_t run_approvals_take(struct run *run, struct arena *arena, struct run_approval **ret)
{
	struct run_approval *a;
	size_t n = 0;

	list_foreach (a, &run->approvals, struct run_approval, link)
		n += a->is_fresh || a->is_changed;
	*ret = arena_alloc(arena, (n + 1) * sizeof(**ret));
	n = 0;
	list_foreach (a, &run->approvals, struct run_approval, link) {
		if (!a->is_fresh && !a->is_changed)
			continue;
		(*ret)[n++] = *a;
		a->is_fresh = a->is_changed = false;
	}
	return n;
}

static int64_t insert(struct db_conn *c, const struct run *run, const struct run_approval *a)
{
	return db_exec(
		c,
		"insert into approvals (id, execution_id, conversation_id, user_id, agent_name, call_id, step, kind, "
		"tool, arguments, summary, reason, hash, command_hash, status, told, created_at, expires_at) values "
		"(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		DB_TEXT(a->id), DB_TEXT(run->id), DB_TEXT(run->conversation_id), DB_TEXT(run->user_id),
		DB_TEXT(run->agent_name), DB_TEXT(a->call_id), DB_INT(a->step), DB_TEXT(a->kind), DB_TEXT(a->tool),
		DB_STR(a->arguments), DB_TEXT(a->summary), DB_TEXT(a->reason), DB_TEXT(a->hash),
		DB_TEXT(a->command_hash), DB_TEXT(a->status), DB_INT(a->is_told), DB_INT(a->created_at),
		DB_INT(a->expires_at));
}

int run_approvals_store(struct db_conn *c, const struct run *run, const struct run_approval *list, size_t n)
{
	int64_t r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		if (list[i].is_fresh)
			r = insert(c, run, &list[i]);
		else
			r = db_exec(c, "update approvals set status = ?, told = ? where id = ?",
				    DB_TEXT(list[i].status), DB_INT(list[i].is_told), DB_TEXT(list[i].id));
	}
	return (int)MIN(r, 0);
}
