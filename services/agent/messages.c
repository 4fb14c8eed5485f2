/* Messages of a conversation. Sending one makes an execution: message, execution and first event are on disk before the
 * answer goes out. */
#include <errno.h>

#include "agent/agent_shares.h"
#include "agent/attachments/store.h"
#include "agent/conversation.h"
#include "agent/execution.h"
#include "agent/post.h"
#include "io/json_schema.h"

/* ---- Sending ---- */

static const struct json_field send_fields[] = {
	{"content", JSON_STRING, true, 1, POST_CONTENT_MAX},
	{"when_busy", JSON_STRING, false, 1, 16},
	{"output_schema", JSON_OBJECT},
	{"attachments", JSON_ARRAY},
};

static const char *const when_busy_names[] = {
	[BUSY_REJECT] = "reject",     [BUSY_QUEUE] = "queue", [BUSY_INTERRUPT] = "interrupt",
	[BUSY_ROLLBACK] = "rollback", [BUSY_STEER] = "steer",
};

struct send {
	struct answer answer;
	struct post post;
	bool is_new;
};

static int answer_execution(struct send *s)
{
	const struct post *p = &s->post;
	const struct conversation_row *v = &p->conversation;
	struct arena *a = s->answer.job.x->arena;
	struct execution_row row = {
		.id = p->execution_id,
		.conversation_id = v->id,
		.agent_id = v->agent_id,
		.agent_name = v->agent_name,
		.user_id = v->user_id,
		.status = "queued",
		.state = "loading",
		.input = p->content,
		.created_at = p->now,
		.last_seq = 1,
	};
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	execution_add(doc, obj, &row);
	s->answer.location = arena_printf(a, "/api/executions/%s", p->execution_id);
	return answer_json(&s->answer, 202, doc);
}

static int check_conversation(struct db_conn *c, struct send *s)
{
	struct conversation_row *v = &s->post.conversation;
	struct exchange *x = s->answer.job.x;
	int r = conversation_find_to_change(c, x, path_id(x), v);

	if (r < 0)
		return r;
	if (r == 0)
		return answer_not_found(&s->answer, "conversation");
	if (strcmp(v->user_id, x->who.user_id) != 0)
		return answer_problem(&s->answer, 403, "forbidden", "Only its user may write in this conversation.");
	if (!agent_rights(&x->who, v->agent_owner_id, v->agent_shares))
		return answer_problem(
			&s->answer, 403, "agent_not_shared",
			"This conversation's agent is not shared with you any more: start one with another "
			"agent.");
	return 0;
}

/* The answer of steering is the execution that is told. */
static int answer_active(struct db_conn *c, struct send *s)
{
	struct exchange *x = s->answer.job.x;
	struct execution_row row;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	int r = execution_find(c, x, x->arena, s->post.active, &row);

	if (r != 1)
		return r < 0 ? r : -EDEADLK;
	execution_add(doc, obj, &row);
	s->answer.location = arena_printf(x->arena, "/api/executions/%s", s->post.active);
	return answer_json(&s->answer, 202, doc);
}

static int refuse(struct send *s, enum post_result why)
{
	switch (why) {
	case POST_ARCHIVED:
		return answer_problem(&s->answer, 409, "agent_archived",
				      "This conversation's agent is archived: start a conversation with another one.");
	case POST_BUSY:
		return answer_problem(
			&s->answer, 409, "run_active",
			"The agent is still at work here: wait for its answer, cancel the execution, or say "
			"when_busy: queue, interrupt, rollback or steer.");
	case POST_NO_FILE:
		return answer_problem(
			&s->answer, 422, "attachment_not_found",
			"One of \"attachments\" is no file of this conversation: POST it to its /attachments "
			"first.");
	default:
		return answer_problem(
			&s->answer, 409, "queue_full",
			"Too many messages wait in this conversation: wait, or cancel some of their executions.");
	}
}

static int send_run(struct db_conn *c, struct exchange_job *job)
{
	struct send *s = (struct send *)job;
	int r = answer_known(c, &s->answer);

	s->is_new = r == 0;
	if (r == 0)
		r = check_conversation(c, s);
	if (r)
		return r;
	r = post_store(c, &s->post);
	if (r)
		return r < 0 ? r : refuse(s, r);
	r = post_preload(c, &s->post);
	if (r == 0)
		r = s->post.active && s->post.when_busy == BUSY_STEER ? answer_active(c, s) : answer_execution(s);
	return r ? r : answer_keep(c, &s->answer);
}

static void on_sent(struct exchange_job *job, int result)
{
	struct send *s = (struct send *)job;
	struct agent *agent = job->x->self;

	answer_send(job, result);
	if (result == -ECONNRESET && s->is_new)
		post_begin_unsure(agent, &s->post);
	if (result == 0 && s->is_new && !s->answer.code)
		post_begin(agent, &s->post);
}

/* Ids of files that were sent before. Returns false after answering. */
static bool read_attachments(struct exchange *x, struct post *p)
{
	yyjson_val *list = json_get_arr(x->body, "attachments"), *item;
	size_t n = yyjson_arr_size(list), i, max;
	const char **ids = arena_alloc(x->arena, (n + 1) * sizeof(*ids));

	p->attachments = ids;
	yyjson_arr_foreach(list, i, max, item)
	{
		if (n > ATTACHMENTS_PER_MESSAGE || !yyjson_is_str(item)) {
			reply_problem(x, 422, "invalid_field", "\"attachments\" has at most %d ids of files.",
				      ATTACHMENTS_PER_MESSAGE);
			return false;
		}
		ids[p->n_attachments++] = arena_strdup(x->arena, yyjson_get_str(item));
	}
	if (n > 0 && p->when_busy == BUSY_STEER)
		reply_problem(x, 422, "invalid_field",
			      "A run is not steered with files: send them with when_busy queue or interrupt.");
	return n == 0 || p->when_busy != BUSY_STEER;
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

	while ((size_t)s->post.when_busy < ARRAY_SIZE(when_busy_names) &&
	       strcmp(when_busy, when_busy_names[s->post.when_busy]) != 0)
		s->post.when_busy++;
	if ((size_t)s->post.when_busy == ARRAY_SIZE(when_busy_names)) {
		reply_problem(x, 422, "invalid_field", "\"when_busy\" is reject, queue, interrupt, rollback or steer.");
		return;
	}
	yyjson_val *schema = yyjson_obj_get(x->body, "output_schema");

	if (schema && json_schema_check(schema, &err) < 0) {
		error_prefix(&err, "In \"output_schema\"");
		reply_error(x, 422, &err);
		return;
	}
	if (schema) {
		struct str text = json_val_text(x->arena, schema);
		if (text.n > JSON_SCHEMA_MAX) {
			reply_problem(x, 422, "invalid_field", "\"output_schema\" has more than %d KiB.",
				      JSON_SCHEMA_MAX >> 10);
			return;
		}
		s->post.output_schema = text.p;
	}
	if (!read_attachments(x, &s->post))
		return;
	s->post.arena = x->arena;
	s->post.content = json_get_str(x->body, "content", "");
	s->post.traceparent = x->traceparent;
	s->post.request_id = x->request_id;
	post_prepare(&s->post, agent);
	s->answer.job.done = on_sent;
	answer_write(x, &s->answer, send_run);
}

/* ---- The list ---- */

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
	json_add_raw(doc, obj, "citations", db_col_dup(st, 9, a));
	json_add_raw(doc, obj, "parsed", db_col_dup(st, 10, a));
	add_time(doc, obj, "created_at", db_col_int(st, 8));
}

static void add_attachments(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct attachment_of *files, int n)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, obj, "attachments");
	int64_t seq = yyjson_mut_get_sint(yyjson_mut_obj_get(obj, "seq"));

	for (int i = 0; i < n; i++)
		if (files[i].message_seq == seq)
			attachment_add_json(doc, yyjson_mut_arr_add_obj(doc, list), &files[i].file);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct arena *a = job->x->arena;
	struct conversation_row row;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct attachment_of *files = NULL;
	yyjson_mut_val *item;
	size_t i, max;
	uint64_t after = 0;
	int64_t n = 0, seq = 0;
	int n_files, r = conversation_find(c, job->x, path_id(job->x), &row);

	if (r == 0)
		return answer_not_found(&l->answer, "conversation");
	if (r < 0)
		return r;
	if (l->page.after && str_to_u64(str_of(l->page.after), INT64_MAX, &after) < 0)
		return answer_problem(&l->answer, 400, "bad_request",
				      "after is not a cursor: take it from \"next\" of the page before.");
	struct db_stmt *st = db_query(c,
				      "select id, execution_id, seq, role, content, tool_calls, tool_call_id, result, "
				      "created_at, citations, parsed from messages where conversation_id = ? and seq > "
				      "? order by seq limit ?",
				      DB_TEXT(row.id), DB_INT((int64_t)after), DB_INT(l->page.limit + 1));
	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		item = yyjson_mut_arr_add_obj(doc, items);
		seq = db_col_int(st, 2);
		add_message(doc, item, row.id, st, a);
	}
	db_done(st);
	n_files = r < 0 ? r
			: attachments_list(c, a, row.id, (int64_t)after, seq,
					   (int)l->page.limit * ATTACHMENTS_PER_MESSAGE, &files);
	yyjson_mut_arr_foreach(items, i, max, item)
	{
		add_attachments(doc, item, files, n_files);
	}
	r = MIN(n_files, r);
	json_add_str(doc, obj, "next",
		     n > l->page.limit ? page_cursor(a, arena_printf(a, "%lld", (long long)seq)) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void messages_list(struct exchange *x)
{
	if (conversation_may_read(x))
		answer_page(x, list_run);
}
