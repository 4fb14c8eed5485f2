/* Saving: what a step has brought goes to disk in one transaction, then the next step begins. A write that fails for
 * want of room or by a lock is repeated until it succeeds: the run waits, nothing of it is lost. */
#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/automation/automation.h"
#include "agent/automation/hooks.h"
#include "agent/bus.h"
#include "agent/event_fold.h"
#include "agent/publish.h"
#include "agent/queue.h"
#include "agent/run.h"
#include "agent/run_compact.h"
#include "agent/runner.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"

#define AGAIN_FIRST_MS 100
#define AGAIN_MAX_MS 5000

/* Another process has taken the run over; or it was deleted. */
enum { WRITE_LOST = 1, WRITE_GONE = 2 };

/* One transaction, with a copy of all it needs: the run goes on meanwhile. */
struct run_write {
	struct db_job db;
	struct run *run;
	struct arena *arena;
	bool is_commit; /* the flow waits for it */
	bool is_parking;
	bool is_unsure;   /* whether it was stored at an earlier try */
	bool is_followed; /* by somebody elsewhere */

	struct event_row *rows;
	size_t n_rows;
	uint64_t up_to, seq_limit;
	struct run_message *messages;
	size_t n_messages;
	struct run_approval *approvals;
	size_t n_approvals;
	bool has_approvals; /* some of this execution are stored */
	int64_t last_message_seq, output_seq, parked_us, wake_at;
	/* What others have said meanwhile: to this execution, or for the time after it. */
	bool takes_steering;
	struct queue_steering *steering;
	int n_steering;
	int64_t last_seq_now;
	struct queue_next next;
	struct usage_entry spent; /* since the last write */
	struct budgets budgets;
	const char *status, *state, *owner;
	const struct run_mark *mark;
	struct run_kept kept;
	const char *model, *provider, *draft_id, *error_code, *error_message;
	int64_t steps, commands, started_at, ended_at, now;
	struct chat_usage usage;
};

static const char *const role_names[] = {[CHAT_USER] = "user", [CHAT_ASSISTANT] = "assistant", [CHAT_TOOL] = "tool"};

/* ---- On the worker thread ---- */

static struct db_value int_or_null(int64_t v)
{
	return v ? DB_INT(v) : DB_NULL();
}

#define UPDATE                                                                                                         \
	"update executions set status = ?, state = ?, owner = ?, draft_id = ?, output_seq = ?, model = ?, provider "   \
	"= ?, steps = ?, commands = ?, input_tokens = ?, output_tokens = ?, tokens_estimated = ?, cached_tokens = ?, " \
	"cost_nano = ?, error_code = ?, error_message = ?, seq_limit = ?, last_seq = ?, started_at = ?, ended_at = "   \
	"?, parked_us = ?, parked_at = null"
#define IS_OURS " where id = ? and claim = ? and owner = ?"

static int update_execution(struct db_conn *c, const struct run_write *w)
{
	/* What only a run that goes on needs is not kept. */
	int64_t n = db_exec(c, w->ended_at ? UPDATE ", traceparent = null" IS_OURS : UPDATE IS_OURS, DB_TEXT(w->status),
			    DB_TEXT(w->state), DB_TEXT(w->owner), DB_TEXT(w->draft_id), int_or_null(w->output_seq),
			    DB_TEXT(w->model), DB_TEXT(w->provider), DB_INT(w->steps), DB_INT(w->commands),
			    DB_INT(w->usage.input_tokens), DB_INT(w->usage.output_tokens), DB_INT(w->usage.estimated),
			    DB_INT(w->usage.cached_tokens), DB_INT(w->usage.cost_nano), DB_TEXT(w->error_code),
			    DB_TEXT(w->error_message), DB_INT((int64_t)w->seq_limit), DB_INT((int64_t)w->up_to),
			    int_or_null(w->started_at), int_or_null(w->ended_at), DB_INT(w->parked_us),
			    DB_TEXT(w->run->id), DB_INT(w->run->claim), DB_TEXT(runner_owner(w->run->agent->runner)));

	if (n != 0)
		return (int)MIN(n, 0);
	int r = db_get_int(c, &n, "select 1 from executions where id = ?", DB_TEXT(w->run->id));
	return r < 0 ? r : r ? WRITE_LOST : WRITE_GONE;
}

static int insert_messages(struct db_conn *c, const struct run_write *w)
{
	for (size_t i = 0; i < w->n_messages; i++) {
		const struct run_message *m = &w->messages[i];
		int64_t r = db_exec(
			c,
			"insert into messages (conversation_id, seq, id, execution_id, role, content, tool_calls, "
			"tool_call_id, result, opaque, citations, parsed, created_at) values (?, ?, ?, ?, ?, ?, ?, ?, "
			"?, ?, ?, ?, ?)",
			DB_TEXT(w->run->conversation_id), DB_INT(m->seq), DB_TEXT(m->id), DB_TEXT(w->run->id),
			DB_TEXT(role_names[m->role]), DB_LONG_STR(m->content), DB_TEXT(m->tool_calls),
			DB_TEXT(m->call_id), DB_LONG_TEXT(m->result), DB_LONG_TEXT(m->opaque),
			DB_LONG_TEXT(m->citations), DB_LONG_TEXT(m->parsed), DB_INT(w->now));
		if (r < 0)
			return (int)r;
	}
	return 0;
}

/* Nobody's from now on. What was decided meanwhile, and a wish to stop, make it free at once: whoever brings them locks
 * the execution first. */
static int park(struct db_conn *c, const struct run_write *w)
{
	if (!w->is_parking)
		return 0;
	return error_only(
		db_exec(c,
			"update executions set owner = ?, parked_at = ?, lease_until = case when cancel_at is not "
			"null or exists (select 1 from approvals a where a.execution_id = executions.id and "
			"a.status <> 'pending' and a.told = 0) then 0 else ? end where id = ?",
			DB_TEXT(RUNNER_PARKED), DB_INT(w->now), DB_INT(w->wake_at), DB_TEXT(w->run->id)));
}

/* Nobody need decide any more what a run that has ended asked. */
static int store_approvals(struct db_conn *c, const struct run_write *w)
{
	int r = run_approvals_store(c, w->run, w->approvals, w->n_approvals);

	if (r < 0 || !w->ended_at || !w->has_approvals)
		return r;
	return error_only(
		db_exec(c,
			"update approvals set status = 'cancelled', told = 1 where execution_id = ? and status = "
			"'pending'",
			DB_TEXT(w->run->id)));
}

static int update_conversation(struct db_conn *c, const struct run_write *w)
{
	if (w->n_messages == 0 && w->n_steering == 0 && !w->ended_at)
		return 0;
	return error_only(
		db_exec(c,
			"update conversations set last_seq = ?, active_execution_id = ?, updated_at = ? where id = "
			"?",
			DB_INT(w->last_seq_now), DB_TEXT(w->ended_at ? NULL : w->run->id), DB_INT(w->now),
			DB_TEXT(w->run->conversation_id)));
}

/* Every write has events, so the greatest number tells which one was the last. 1 = it is there, 0 = no, or -errno. */
static int is_stored(struct db_conn *c, const struct run_write *w)
{
	int64_t one;

	return db_get_int(c, &one, "select 1 from executions where id = ? and claim = ? and last_seq = ?",
			  DB_TEXT(w->run->id), DB_INT(w->run->claim), DB_INT((int64_t)w->up_to));
}

static int steer(struct db_conn *c, struct run_write *w)
{
	w->n_steering = 0;
	w->last_seq_now = w->last_message_seq;
	if (!w->takes_steering)
		return 0;
	int n = queue_steer(c, w->arena, w->run->conversation_id, w->run->id, w->now, &w->last_seq_now, &w->steering);
	w->n_steering = MAX(n, 0);
	return MIN(n, 0);
}

/* The transaction was stored before: what was said to it in there. */
static int find_steered(struct db_conn *c, struct run_write *w)
{
	w->last_seq_now = w->last_message_seq;
	int n = queue_steered(c, w->arena, w->run->conversation_id, w->run->id, &w->last_seq_now, &w->steering);

	w->n_steering = MAX(n, 0);
	return n < 0 ? n : 1;
}

/* What was spent is known before the model is asked again. */
static int account(struct db_conn *c, struct run_write *w)
{
	int r = 0;

	if (w->spent.calls > 0)
		r = usage_add(c, &w->spent, w->now, (unsigned)w->run->id[ID_SIZE - 2]);
	if (r == 0 && w->takes_steering && budgets_has_limits(&w->budgets))
		r = budgets_load_used(c, w->spent.user_id, w->spent.agent_id, w->now, &w->budgets);
	return r;
}

static int begin_next(struct db_conn *c, struct run_write *w)
{
	const struct run *run = w->run;
	int r;

	w->next.id[0] = '\0';
	if (!w->ended_at)
		return 0;
	r = queue_roll_back(c, run->conversation_id, run->id);
	if (r == 1)
		r = error_only(
			db_exec(c,
				"update conversations set last_execution_id = (select max(e.id) from executions e "
				"where "
				"e.conversation_id = conversations.id and e.input_seq > 0) where id = ?",
				DB_TEXT(run->conversation_id)));
	if (r == 0)
		r = queue_begin_next(c, w->arena, run->conversation_id, runner_owner(run->agent->runner),
				     &w->last_seq_now, &w->next);
	return r == 0 && w->next.id[0] ? bus_tell(c, BUS_QUEUE, NULL) : r;
}

static const char *event_of(const struct run_write *w)
{
	if (w->ended_at)
		return strcmp(w->status, "succeeded") == 0 ? "execution.succeeded"
		       : strcmp(w->status, "failed") == 0  ? "execution.failed"
							   : "execution.cancelled";
	if (!w->is_parking)
		return NULL;
	return strcmp(w->status, "paused") == 0 ? "execution.paused" : "execution.waiting";
}

/* Whoever wants to be told of it. */
static int tell_hooks(struct db_conn *c, const struct run_write *w)
{
	const struct run *run = w->run;
	struct hook_news news = {.event = event_of(w),
				 .execution_id = run->id,
				 .conversation_id = run->conversation_id,
				 .agent_id = run->agent_id,
				 .agent_name = run->agent_name,
				 .user_id = run->user_id,
				 .status = w->status,
				 .error_code = w->error_code,
				 .error_message = w->error_message,
				 .steps = w->steps,
				 .input_tokens = w->usage.input_tokens,
				 .output_tokens = w->usage.output_tokens,
				 .cost_nano = w->usage.cost_nano,
				 .created_at = run->created_at,
				 .at = w->now};

	for (size_t i = 0; i < w->n_messages; i++)
		if (w->output_seq && w->messages[i].seq == w->output_seq)
			news.output = w->messages[i].content.p;
	return news.event ? hooks_tell(c, w->arena, &news) : 0;
}

static int store_events(struct db_conn *c, const struct run_write *w)
{
	const struct run *run = w->run;

	return w->ended_at ? event_rows_fold(c, run->id, run->conversation_id, w->rows, w->n_rows)
			   : event_rows_insert(c, run->id, w->rows, w->n_rows);
}

static int write_all(struct db_conn *c, struct db_job *job)
{
	struct run_write *w = container_of(job, struct run_write, db);
	int r = w->is_unsure ? is_stored(c, w) : 0;

	if (r == 1)
		r = find_steered(c, w);
	if (r != 0)
		return MIN(r, 0);
	r = update_execution(c, w);
	if (r == 0)
		r = insert_messages(c, w);
	if (r == 0)
		r = store_events(c, w);
	if (r == 0)
		r = run_mark_store(c, w->run, w->mark, w->now);
	if (r == 0)
		r = run_kept_store(c, w->run, &w->kept, w->now);
	if (r == 0)
		r = store_approvals(c, w);
	if (r == 0)
		r = steer(c, w);
	if (r == 0)
		r = update_conversation(c, w);
	if (r == 0)
		r = account(c, w);
	if (r == 0)
		r = begin_next(c, w);
	if (r == 0)
		r = park(c, w);
	if (r == 0)
		r = tell_hooks(c, w);
	if (r == 0 && w->is_followed)
		r = bus_tell(c, BUS_EVENTS, w->run->id);
	return r;
}

/* ---- On the loop ---- */

static void start_write(struct run *run, bool is_commit);

static void on_again(struct deadline *d)
{
	struct run *run = container_of(d, struct run, write_again);

	db_write(run->agent->db, &run->write->db);
}

static void try_again(struct run *run, int err)
{
	if (run->write_failures++ == 0)
		log_warn("run %s waits, it cannot be stored: %s", run->id, strerror(-err));
	deadline_set(service_wheel(run->agent->service), &run->write_again,
		     MIN((uint64_t)AGAIN_FIRST_MS << MIN(run->write_failures, 6u), AGAIN_MAX_MS));
}

static void take_steering(struct run *run, const struct run_write *w)
{
	for (int i = 0; i < w->n_steering; i++) {
		const struct queue_steering *s = &w->steering[i];
		struct chat_message *chat = arena_new_of(run->arena, struct chat_message);
		struct buf data = BUF_INIT;

		chat->role = CHAT_USER;
		chat->content = arena_str(run->arena, s->content);
		list_append(&run->messages, &chat->link);
		event_data_message_added(&data, s->id, s->content);
		run_log_add(&run->log,
			    event_new(EVENT_MESSAGE_ADDED, buf_steal(&data, NULL),
				      xasprintf("{\"message_seq\":%lld}", (long long)s->seq)),
			    false);
	}
	if (w->n_steering > 0)
		run->message_seq = w->last_seq_now;
}

/* Whoever looks at the conversation hears of it before it is taken up. */
static void tell_next(const struct run *run, const struct run_write *w)
{
	_cleanup_(buf_deinit) struct buf data = BUF_INIT, event = BUF_INIT;
	const struct queue_next *n = &w->next;

	if (!n->id[0])
		return;
	event_data_started(&data, n->message_id, str_of(n->content));
	event_write(&event, n->id, run->conversation_id, 1, event_type_name(EVENT_STARTED), n->at, buf_str(&data));
	publisher_add(run->agent->publisher, n->id, run->conversation_id, run->user_id, n->traceparent,
		      buf_str(&event));
	runner_wake(run->agent->runner);
}

static void on_written(struct db_job *job, int result)
{
	struct run_write *w = container_of(job, struct run_write, db);
	struct run *run = w->run;
	bool is_commit = w->is_commit, is_lost = result > 0 || result == -EEXIST;

	if (run->state == RUN_ENDED) {
		/* It was left meanwhile: what was not stored is made again by whoever has it now. */
		run->write = NULL;
		arena_free(w->arena);
		runner_on_ended(run->agent->runner, run);
		return;
	}
	if (result < 0 && !is_lost) {
		w->is_unsure = w->is_unsure || result == -ECONNRESET;
		try_again(run, result);
		return;
	}
	if (run->write_failures && !is_lost)
		log_info("run %s goes on, it could be stored", run->id);
	run->write_failures = 0;
	run->write = NULL;
	if (!is_lost)
		run_log_stored(&run->log, w->up_to, w->seq_limit);
	if (!is_lost) {
		take_steering(run, w);
		if (w->takes_steering)
			memcpy(run->budgets.used, w->budgets.used, sizeof(run->budgets.used));
		tell_next(run, w);
		if (w->ended_at || w->is_parking)
			automation_wake(run->agent->automation);
	}
	arena_free(w->arena);
	if (is_lost)
		log_warn("run %s is left: another process has taken it over, or it was deleted", run->id);
	if (is_commit)
		run_on_done(run, is_lost ? -ESTALE : 0);
	else if (is_lost && run->is_commit_waiting)
		run_on_done(run, -ESTALE);
	else if (result == WRITE_GONE)
		run_stop(run, "cancelled", NULL, NULL);
	else if (is_lost)
		run_drop(run);
	else if (run->is_commit_waiting)
		start_write(run, true);
	else if (run->n_fresh > 0)
		run_flush(run);
	else if (run->log.unsaved > 0 && !deadline_is_set(&run->flush_at))
		deadline_set(service_wheel(run->agent->service), &run->flush_at, 250);
}

static const char *state_now(const struct run *run)
{
	if (run->ended_at)
		return "ended";
	return run->shown_state ? run->shown_state : "loading";
}

static const char *status_now(const struct run *run)
{
	if (!run->ended_at)
		return run->is_parking ? run->parked_status : "running";
	return run->stop.status ? run->stop.status : "succeeded";
}

/* A message that was cut may end in half a character. */
static const char *clean_text(struct arena *a, const char *text)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct utf8_carry carry = {0};

	utf8_clean(&carry, text, strlen(text), true, &out);
	return arena_strndup(a, out.p, out.n);
}

static void take_spent(struct run_write *w, struct run *run)
{
	const struct chat_usage *now = &run->usage, *then = &run->usage_stored;

	w->spent = (struct usage_entry){
		.user_id = run->user_id,
		.agent_id = run->agent_id,
		.provider = run->target ? run->target->kind : "",
		.model = run->target ? run->target->model : "",
		.usage = {.input_tokens = now->input_tokens - then->input_tokens,
			  .output_tokens = now->output_tokens - then->output_tokens,
			  .cached_tokens = now->cached_tokens - then->cached_tokens,
			  .cost_nano = now->cost_nano - then->cost_nano,
			  .estimated = now->estimated},
	};
	/* A call under way has not been counted yet. */
	if (w->spent.usage.input_tokens + w->spent.usage.output_tokens > 0)
		w->spent.calls = MAX(run->steps - run->steps_stored, 1);
	run->usage_stored = run->usage;
	run->steps_stored = run->steps;
}

static void take_facts(struct run_write *w, struct run *run)
{
	struct arena *a = w->arena;
	const struct error *e = &run->stop.error;

	w->status = status_now(run);
	w->state = state_now(run);
	w->owner = run->ended_at ? NULL : runner_owner(run->agent->runner);
	w->now = clock_now_us();
	w->model = run->target ? run->target->model : NULL;
	w->provider = run->target ? run->target->kind : NULL;
	w->draft_id = run->ended_at ? "" : arena_strdup(a, run->draft_id);
	w->error_code = run->ended_at && e->code[0] ? arena_strdup(a, e->code) : NULL;
	w->error_message = w->error_code ? clean_text(a, e->message) : NULL;
	w->kept = run->kept;
	run->kept.snapshot_id[0] = '\0';
	w->steps = run->steps;
	w->commands = run->commands;
	w->usage = run->usage;
	w->started_at = run->started_at;
	w->ended_at = run->ended_at;
	w->parked_us = run->parked_us;
	w->is_parking = run->is_parking && w->is_commit;
	w->budgets = run->budgets;
	take_spent(w, run);
	w->takes_steering = w->is_commit && !run->ended_at && !run_has_open_calls(run);
	w->wake_at = run->wake_at;
	w->has_approvals = !list_is_empty(&run->approvals);
	w->n_approvals = run_approvals_take(run, a, &w->approvals);
	w->output_seq = run->output_seq;
	w->mark = run->mark;
	run->mark = NULL;
}

static void start_write(struct run *run, bool is_commit)
{
	struct arena *a = arena_new();
	struct run_write *w = arena_new_of(a, struct run_write);

	deadline_clear(&run->flush_at);
	if (is_commit)
		run->is_commit_waiting = false;
	w->db.run = write_all;
	w->db.done = on_written;
	w->run = run;
	w->arena = a;
	w->is_commit = is_commit;
	w->is_followed = clock_mono_us() < run->followed_until;
	take_facts(w, run);
	w->up_to = run->log.last_seq;
	w->seq_limit = w->up_to + RUN_LOG_AHEAD;
	w->n_rows = event_rows_make(a, &run->log.events, w->up_to, &w->rows);
	w->n_messages = run->n_fresh;
	w->messages = arena_alloc(a, (run->n_fresh + 1) * sizeof(*w->messages));
	memcpy(w->messages, run->fresh, run->n_fresh * sizeof(*w->messages));
	w->last_message_seq = run->message_seq;
	run->n_fresh = 0;
	run->write = w;
	run_log_saving(&run->log);
	db_write(run->agent->db, &w->db);
}

void run_commit(struct run *run)
{
	run->is_commit_waiting = true;
	if (!run->write)
		start_write(run, true);
}

void run_flush(struct run *run)
{
	bool is_working = run->state == RUN_THINKING || run->state == RUN_TOOLING;

	if (!run->write && is_working && !run->is_lost && !list_is_empty(&run->log.events))
		start_write(run, false);
}

static void on_flush(struct deadline *d)
{
	run_flush(container_of(d, struct run, flush_at));
}

void run_write_init(struct run *run)
{
	deadline_init(&run->flush_at, on_flush);
	deadline_init(&run->write_again, on_again);
}

/* ---- What a step has brought ---- */

struct run_message *run_add_message(struct run *run, enum chat_role role, struct str content)
{
	struct run_message *m = &run->fresh[run->n_fresh++];
	struct chat_message *chat = arena_new_of(run->arena, struct chat_message);

	*m = (struct run_message){.role = role, .content = arena_str(run->arena, content)};
	id_new(m->id);
	if (role != CHAT_TOOL)
		m->seq = ++run->message_seq;
	chat->role = role;
	chat->seq = m->seq;
	chat->content = m->content;
	list_append(&run->messages, &chat->link);
	return m;
}

static const char *write_calls(struct run *run)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	for (size_t i = 0; i < run->n_calls; i++) {
		const struct chat_call *call = &run->calls[i].spec;
		yyjson_val *root =
			yyjson_doc_get_root(json_parse(run->arena, call->arguments.p, call->arguments.n, NULL));
		buf_add_str(&out, i ? ",{\"id\":" : "[{\"id\":");
		json_quote(&out, str_of(call->id));
		buf_add_str(&out, ",\"name\":");
		json_quote(&out, str_of(call->name));
		buf_add_str(&out, ",\"arguments\":");
		if (yyjson_is_obj(root))
			buf_add_str(&out, json_val_text(run->arena, root).p);
		else
			json_quote(&out, call->arguments);
		buf_add_char(&out, '}');
	}
	buf_add_char(&out, ']');
	return arena_strdup(run->arena, out.p);
}

static void take_calls(struct run *run, const struct chat_answer *answer, struct chat_message *chat)
{
	run->n_calls = answer->n_calls;
	run->calls = arena_alloc(run->arena, (run->n_calls + 1) * sizeof(*run->calls));
	chat->n_calls = run->n_calls;
	chat->calls = arena_alloc(run->arena, (run->n_calls + 1) * sizeof(*chat->calls));
	/* Results come as the calls end, but stand in the order of the calls. */
	run->calls_seq = run->message_seq;
	run->message_seq += (int64_t)run->n_calls;
	for (size_t i = 0; i < run->n_calls; i++) {
		run->calls[i].run = run;
		run->calls[i].spec = (struct chat_call){
			.id = arena_strdup(run->arena, answer->calls[i].id),
			.name = arena_strdup(run->arena, answer->calls[i].name),
			.arguments = arena_str(run->arena, buf_str(&answer->calls[i].arguments)),
		};
		chat->calls[i] = run->calls[i].spec;
	}
}

/* The answer becomes a message of the conversation. */
static void take_answer(struct run *run, bool with_calls)
{
	const struct chat_answer *answer = &run->call->answer;
	struct run_message *m = run_add_message(run, CHAT_ASSISTANT, buf_str(&answer->text));
	struct buf data = BUF_INIT;

	memcpy(m->id, run->draft_id, ID_SIZE);
	if (with_calls && answer->n_calls == 0)
		m->parsed = run->parsed;
	if (answer->opaque.n > 0) {
		m->opaque = arena_strdup(run->arena, answer->opaque.p);
		container_of(run->messages.prev, struct chat_message, link)->opaque = m->opaque;
	}
	if (with_calls && answer->n_calls > 0) {
		take_calls(run, answer, container_of(run->messages.prev, struct chat_message, link));
		m->tool_calls = write_calls(run);
	}
	m->citations = citations_make(run->arena, m->content, &run->sources);
	event_data_message_done(&data, m->id, m->content, str_of(m->tool_calls), str_of(m->citations));
	run_log_add(&run->log,
		    event_new(EVENT_MESSAGE_DONE, buf_steal(&data, NULL),
			      xasprintf("{\"message_seq\":%lld}", (long long)m->seq)),
		    true);
	id_new(run->draft_id);
}

void run_end_thinking(struct run *run)
{
	model_call_clear(run->call);
	free(run->call);
	run->call = NULL;
}

static void end(struct run *run, const char *output)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct str error = run_error_json(a, &run->stop.error), usage = run_usage_json(a, &run->usage);
	struct buf data = BUF_INIT, stored = BUF_INIT;
	const char *status;

	run->ended_at = clock_now_us();
	status = status_now(run);
	int64_t ms = (run->ended_at - (run->started_at ? run->started_at : run->created_at)) / 1000;
	event_data_ended(&data, status, output, error, usage, ms);
	buf_printf(&stored,
		   "{\"message_seq\":%lld,\"status\":\"%s\",\"error\":%.*s,\"usage\":%.*s,\"duration_ms\":%lld}",
		   (long long)run->output_seq, status, STR_ARG(error), STR_ARG(usage), (long long)ms);
	run_log_add(&run->log, event_new(EVENT_ENDED, buf_steal(&data, NULL), buf_steal(&stored, NULL)), true);
}

/* Store the answer, or a call's result. An answer without calls is the end. */
enum run_state run_save(struct run *run)
{
	if (run->call) {
		take_answer(run, true);
		bool is_final = run->call->answer.n_calls == 0;
		run_end_thinking(run);
		if (is_final) {
			run->is_answered = true;
			run->output_seq = run->message_seq;
			end(run, container_of(run->messages.prev, struct chat_message, link)->content.p);
		} else {
			run_show_state(run, "tooling", run->steps, true);
		}
	}
	run_commit(run);
	return RUN_SAVING;
}

/* Store what it waits for; then it is let go. */
enum run_state run_park(struct run *run, const char *status, const char *state, int64_t wake_at)
{
	run->is_parking = true;
	run->parked_status = status;
	run->wake_at = wake_at;
	deadline_clear(&run->time_limit);
	run_show_state(run, state, run->steps, true);
	run_commit(run);
	return RUN_PARKING;
}

/* Store that the run ends without an answer. Every call gets a result, so that the conversation can go on. */
enum run_state run_fail(struct run *run)
{
	const char *output = NULL;

	if (run->call && run->err == -ECANCELED && run->call->answer.text.n > 0) {
		take_answer(run, false);
		run->output_seq = run->message_seq;
		output = container_of(run->messages.prev, struct chat_message, link)->content.p;
	} else if (run->call && run->call->answer.text.n > 0) {
		run_emit(run, EVENT_TEXT_RESET, false, "{\"message_id\":\"%s\"}", run->draft_id);
	}
	if (run->call)
		run_end_thinking(run);
	run_tool_refuse_open_calls(run, "The run was stopped before this call was made.");
	end(run, output);
	run_commit(run);
	return RUN_FAILING;
}
