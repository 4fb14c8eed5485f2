/* Messages of a conversation. Sending one makes an execution: message, execution and first event are on disk before the
 * answer goes out. */
#include <errno.h>

#include "agent/bus.h"
#include "agent/conversation.h"
#include "agent/event.h"
#include "agent/execution.h"
#include "agent/publish.h"
#include "agent/run_log.h"
#include "agent/runner.h"
#include "base/utf8.h"

#define CONTENT_MAX 200000
#define TITLE_CHARS 60

/* ---- Sending ---- */

static const struct json_field send_fields[] = {
	{"content", JSON_STRING, true, 1, CONTENT_MAX},
	{"when_busy", JSON_STRING, false, 1, 16},
};

/* What becomes of a message that comes while an execution is on. */
enum when_busy {
	BUSY_REJECT,
	BUSY_QUEUE,     /* it waits for the end */
	BUSY_INTERRUPT, /* the execution is stopped, what it has done stays */
	BUSY_ROLLBACK,  /* the execution is stopped and taken away with its messages */
	BUSY_STEER,     /* the execution is told at its next step */
};

static const char *const when_busy_names[] = {
	[BUSY_REJECT] = "reject",     [BUSY_QUEUE] = "queue", [BUSY_INTERRUPT] = "interrupt",
	[BUSY_ROLLBACK] = "rollback", [BUSY_STEER] = "steer",
};

#define QUEUE_MAX 50

struct send {
	struct answer answer;
	char message_id[ID_SIZE], execution_id[ID_SIZE], draft_id[ID_SIZE];
	const char *owner;
	int64_t lease_until, now;
	bool is_new;
	enum when_busy when_busy;
	const char *active; /* the execution that is on, when the message waits for it; otherwise NULL */
	struct conversation_row conversation;
};

/* What was cut ends with a word, unless that is a long one. */
static size_t cut_at_word(const char *title, size_t n)
{
	size_t end = n;

	while (end > n / 2 && title[end - 1] != ' ')
		end--;
	return end > n / 2 ? end : n;
}

/* The first characters of the first message, in one line. */
static const char *make_title(struct arena *a, const char *content)
{
	char *title = arena_alloc(a, TITLE_CHARS * 4 + sizeof("…"));
	size_t n = 0, chars = 0;

	while (*content && (unsigned char)*content <= ' ')
		content++;
	for (; *content; content++) {
		bool starts = ((unsigned char)*content & 0xc0) != 0x80;
		if (starts && chars++ == TITLE_CHARS)
			break;
		title[n++] = (unsigned char)*content < ' ' ? ' ' : *content;
	}
	if ((unsigned char)*content > ' ')
		n = cut_at_word(title, n);
	while (n > 0 && title[n - 1] == ' ')
		n--;
	strcpy(title + n, *content ? "…" : "");
	return title;
}

static int insert_message(struct db_conn *c, const struct send *s, int64_t seq, const char *content)
{
	return (int)MIN(
		db_exec(c,
			"insert into messages (conversation_id, seq, id, execution_id, role, content, created_at) "
			"values (?, ?, ?, ?, 'user', ?, ?)",
			DB_TEXT(s->conversation.id), DB_INT(seq), DB_TEXT(s->message_id), DB_TEXT(s->execution_id),
			DB_TEXT(content), DB_INT(s->now)),
		0);
}

/* One that waits for another has no process and, so far, no message. */
static int insert_execution(struct db_conn *c, const struct send *s, int64_t seq)
{
	const struct conversation_row *v = &s->conversation;

	return (int)MIN(
		db_exec(c,
			"insert into executions (id, conversation_id, agent_id, agent_version, agent_name, user_id, "
			"status, state, owner, lease_until, claim, draft_id, input_seq, steps, commands, "
			"input_tokens, output_tokens, tokens_estimated, seq_limit, last_seq, created_at, "
			"traceparent) values (?, ?, ?, ?, ?, ?, 'queued', 'loading', ?, ?, 1, ?, ?, 0, 0, 0, 0, 0, ?, "
			"1, ?, ?)",
			DB_TEXT(s->execution_id), DB_TEXT(v->id), DB_TEXT(v->agent_id), DB_INT(v->agent_version),
			DB_TEXT(v->agent_name), DB_TEXT(v->user_id), DB_TEXT(s->active ? NULL : s->owner),
			DB_INT(s->lease_until), DB_TEXT(s->draft_id), DB_INT(seq), DB_INT(RUN_LOG_AHEAD),
			DB_INT(s->now), DB_TEXT(s->answer.job.x->traceparent)),
		0);
}

static int insert_first_event(struct db_conn *c, const struct send *s, int64_t seq)
{
	struct event_row row = {.seq = 1, .last_seq = 1, .at = s->now, .type = EVENT_STARTED};

	row.data = str_of(arena_printf(s->answer.job.x->arena, "{\"message_seq\":%lld}", (long long)seq));
	return event_rows_insert(c, s->execution_id, &row, 1);
}

static int update_conversation(struct db_conn *c, const struct send *s, int64_t seq, const char *content)
{
	const struct conversation_row *v = &s->conversation;
	const char *title = *v->title ? v->title : make_title(s->answer.job.x->arena, content);

	return (int)MIN(
		db_exec(c,
			"update conversations set last_seq = ?, active_execution_id = ?, last_execution_id = ?, "
			"title = ?, updated_at = ? where id = ?",
			DB_INT(seq), DB_TEXT(s->execution_id), DB_TEXT(s->execution_id), DB_TEXT(title), DB_INT(s->now),
			DB_TEXT(v->id)),
		0);
}

static int answer_execution(struct send *s, const char *content)
{
	const struct conversation_row *v = &s->conversation;
	struct arena *a = s->answer.job.x->arena;
	struct execution_row row = {
		.id = s->execution_id,
		.conversation_id = v->id,
		.agent_id = v->agent_id,
		.agent_name = v->agent_name,
		.user_id = v->user_id,
		.status = "queued",
		.state = "loading",
		.input = content,
		.created_at = s->now,
		.last_seq = 1,
	};
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	execution_add(doc, obj, &row);
	s->answer.location = arena_printf(a, "/api/executions/%s", s->execution_id);
	return answer_json(&s->answer, 202, doc);
}

static int check_conversation(struct db_conn *c, struct send *s)
{
	struct conversation_row *v = &s->conversation;
	struct exchange *x = s->answer.job.x;
	int r = conversation_find_to_change(c, x, path_id(x), v);

	if (r < 0)
		return r;
	if (r == 0)
		return answer_not_found(&s->answer, "conversation");
	if (strcmp(v->user_id, x->who.user_id) != 0)
		return answer_problem(&s->answer, 403, "forbidden", "Only its user may write in this conversation.");
	if (v->is_archived)
		return answer_problem(&s->answer, 409, "agent_archived",
				      "This conversation's agent is archived: start a conversation with another one.");
	if (v->active_execution_id && s->when_busy == BUSY_REJECT)
		return answer_problem(
			&s->answer, 409, "run_active",
			"The agent is still at work here: wait for its answer, cancel the execution, or say "
			"when_busy: queue, interrupt, rollback or steer.");
	s->active = v->active_execution_id;
	return 0;
}

static int check_queue(struct db_conn *c, struct send *s)
{
	int64_t n;
	int r = db_get_int(c, &n, "select count(*) from queued_messages where conversation_id = ?",
			   DB_TEXT(s->conversation.id));

	if (r < 0 || n < QUEUE_MAX)
		return MIN(r, 0);
	return answer_problem(&s->answer, 409, "queue_full",
			      "Too many messages wait in this conversation: wait, or cancel some of their executions.");
}

static int insert_queued(struct db_conn *c, const struct send *s, const char *content)
{
	bool is_urgent = s->when_busy == BUSY_INTERRUPT || s->when_busy == BUSY_ROLLBACK;

	return (int)MIN(
		db_exec(c,
			"insert into queued_messages (id, conversation_id, execution_id, kind, priority, content, "
			"created_at, traceparent) values (?, ?, ?, ?, ?, ?, ?, ?)",
			DB_TEXT(s->message_id), DB_TEXT(s->conversation.id), DB_TEXT(s->execution_id),
			DB_TEXT(s->when_busy == BUSY_STEER ? "steer" : "queue"), DB_INT(is_urgent), DB_TEXT(content),
			DB_INT(s->now), DB_TEXT(s->answer.job.x->traceparent)),
		0);
}

static int stop_active(struct db_conn *c, const struct send *s)
{
	int64_t n;

	if (s->when_busy != BUSY_INTERRUPT && s->when_busy != BUSY_ROLLBACK)
		return 0;
	n = db_exec(c,
		    "update executions set cancel_at = ?, is_rolled_back = ?, lease_until = case when owner = ? then 0 "
		    "else "
		    "lease_until end where id = ?",
		    DB_INT(s->now), DB_INT(s->when_busy == BUSY_ROLLBACK), DB_TEXT(RUNNER_PARKED), DB_TEXT(s->active));
	if (n >= 0)
		n = bus_tell(c, BUS_CANCEL, s->active);
	return n < 0 ? (int)n : bus_tell(c, BUS_QUEUE, NULL);
}

/* The answer of steering is the execution that is told. */
static int answer_active(struct db_conn *c, struct send *s)
{
	struct exchange *x = s->answer.job.x;
	struct execution_row row;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	int r = execution_find(c, x, x->arena, s->active, &row);

	if (r != 1)
		return r < 0 ? r : -EDEADLK;
	execution_add(doc, obj, &row);
	s->answer.location = arena_printf(x->arena, "/api/executions/%s", s->active);
	return answer_json(&s->answer, 202, doc);
}

static int wait_for_active(struct db_conn *c, struct send *s, const char *content)
{
	int r = check_queue(c, s);

	s->lease_until = 0;
	if (r == 0)
		r = insert_execution(c, s, 0);
	if (r == 0)
		r = insert_queued(c, s, content);
	if (r == 0)
		r = stop_active(c, s);
	if (r)
		return r;
	r = s->when_busy == BUSY_STEER ? answer_active(c, s) : answer_execution(s, content);
	return r ? r : answer_keep(c, &s->answer);
}

static int send_run(struct db_conn *c, struct exchange_job *job)
{
	struct send *s = (struct send *)job;
	const char *content = json_get_str(job->x->body, "content", "");
	int r = answer_known(c, &s->answer);
	int64_t seq;

	s->is_new = r == 0;
	if (r == 0)
		r = check_conversation(c, s);
	if (r)
		return r;
	if (s->active)
		return wait_for_active(c, s, content);
	seq = s->conversation.last_seq + 1;
	r = insert_message(c, s, seq, content);
	if (r == 0)
		r = insert_execution(c, s, seq);
	if (r == 0)
		r = insert_first_event(c, s, seq);
	if (r == 0)
		r = update_conversation(c, s, seq, content);
	if (r == 0 && !s->lease_until)
		r = bus_tell(c, BUS_QUEUE, NULL);
	if (r < 0)
		return r;
	answer_execution(s, content);
	return answer_keep(c, &s->answer);
}

static void publish_first_event(struct agent *agent, const struct send *s, const char *content)
{
	_cleanup_(buf_deinit) struct buf data = BUF_INIT, event = BUF_INIT;
	const struct conversation_row *v = &s->conversation;

	event_data_started(&data, s->message_id, str_of(content));
	event_write(&event, s->execution_id, v->id, 1, event_type_name(EVENT_STARTED), s->now, buf_str(&data));
	publisher_add(agent->publisher, s->execution_id, v->id, v->user_id, s->answer.job.x->traceparent,
		      buf_str(&event));
}

static void on_sent(struct exchange_job *job, int result)
{
	struct send *s = (struct send *)job;
	struct agent *agent = job->x->self;

	answer_send(job, result);
	/* Whether it was stored is not known: the run finds out when it is loaded. */
	if (result == -ECONNRESET && s->is_new && s->lease_until)
		runner_take(agent->runner, s->execution_id, s->conversation.id, s->conversation.user_id,
			    job->x->traceparent, job->x->request_id);
	if (result != 0 || !s->is_new || s->answer.code)
		return;
	if (s->active) {
		if (s->when_busy == BUSY_INTERRUPT || s->when_busy == BUSY_ROLLBACK)
			runner_cancel(agent->runner, s->active);
		runner_wake(agent->runner);
		return;
	}
	publish_first_event(agent, s, json_get_str(job->x->body, "content", ""));
	if (s->lease_until)
		runner_take(agent->runner, s->execution_id, s->conversation.id, s->conversation.user_id,
			    job->x->traceparent, job->x->request_id);
}

void messages_send(struct exchange *x)
{
	struct send *s = arena_new_of(x->arena, struct send);
	struct agent *agent = x->self;
	struct error err = {0};

	if (json_check(x->body, send_fields, ARRAY_SIZE(send_fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	const char *when_busy = json_get_str(x->body, "when_busy", "reject");

	while ((size_t)s->when_busy < ARRAY_SIZE(when_busy_names) &&
	       strcmp(when_busy, when_busy_names[s->when_busy]) != 0)
		s->when_busy++;
	if ((size_t)s->when_busy == ARRAY_SIZE(when_busy_names)) {
		reply_problem(x, 422, "invalid_field", "\"when_busy\" is reject, queue, interrupt, rollback or steer.");
		return;
	}
	id_new(s->message_id);
	id_new(s->execution_id);
	id_new(s->draft_id);
	s->owner = runner_owner(agent->runner);
	s->now = clock_now_us();
	s->lease_until = runner_has_room(agent->runner) ? RUNNER_TAKEN : 0;
	s->answer.job.done = on_sent;
	answer_write(x, &s->answer, send_run);
}

/* ---- The list ---- */

struct list_answer {
	struct answer answer;
	struct page page;
};

static void add_message(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *conversation_id, struct db_stmt *st,
			struct arena *a)
{
	json_add_str(doc, obj, "id", db_col_dup(st, 0, a));
	json_add_str(doc, obj, "conversation_id", conversation_id);
	json_add_str(doc, obj, "execution_id", db_col_dup(st, 1, a));
	yyjson_mut_obj_add_int(doc, obj, "seq", db_col_int(st, 2));
	json_add_str(doc, obj, "role", db_col_dup(st, 3, a));
	json_add_str(doc, obj, "content", db_col_dup(st, 4, a));
	json_add_raw(doc, obj, "tool_calls", db_col_dup(st, 5, a));
	json_add_str(doc, obj, "tool_call_id", db_col_dup(st, 6, a));
	json_add_raw(doc, obj, "result", db_col_dup(st, 7, a));
	add_time(doc, obj, "created_at", db_col_int(st, 8));
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct list_answer *l = (struct list_answer *)job;
	struct arena *a = job->x->arena;
	struct conversation_row row;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	uint64_t after = 0;
	int64_t n = 0, seq = 0;
	int r = conversation_find(c, job->x, path_id(job->x), &row);

	if (r == 0)
		return answer_not_found(&l->answer, "conversation");
	if (r < 0)
		return r;
	if (l->page.after && str_to_u64(str_of(l->page.after), INT64_MAX, &after) < 0)
		return answer_problem(&l->answer, 400, "bad_request",
				      "after is not a cursor: take it from \"next\" of the page before.");
	struct db_stmt *st =
		db_query(c,
			 "select id, execution_id, seq, role, content, tool_calls, tool_call_id, result, "
			 "created_at from messages where conversation_id = ? and seq > ? order by seq limit ?",
			 DB_TEXT(row.id), DB_INT((int64_t)after), DB_INT(l->page.limit + 1));
	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		add_message(doc, yyjson_mut_arr_add_obj(doc, items), row.id, st, a);
		seq = db_col_int(st, 2);
	}
	db_done(st);
	json_add_str(doc, obj, "next",
		     n > l->page.limit ? page_cursor(a, arena_printf(a, "%lld", (long long)seq)) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void messages_list(struct exchange *x)
{
	struct list_answer *l = arena_new_of(x->arena, struct list_answer);

	if (conversation_may_read(x) && page_read(x, &l->page))
		answer_read(x, &l->answer, list_run);
}
