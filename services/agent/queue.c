#include "agent/queue.h"

#include <errno.h>

#include "agent/attachments/store.h"
#include "agent/chat.h"
#include "agent/event.h"
#include "agent/run.h"
#include "base/clock.h"

#define STEERING_MAX 16

/* 1 found, 0 none, or -errno. */
static int find_next(struct db_conn *c, struct arena *a, const char *conversation_id, struct queue_next *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c,
		"select id, execution_id, content, traceparent from queued_messages where conversation_id = ? "
		"and priority = (select max(priority) from queued_messages where conversation_id = ?) order by "
		"id limit 1" DB_FOR_UPDATE,
		DB_TEXT(conversation_id), DB_TEXT(conversation_id));
	int r = db_step(c, st);

	if (r != 1)
		return r;
	snprintf(ret->message_id, ID_SIZE, "%.*s", STR_ARG(db_col_str(st, 0)));
	snprintf(ret->id, ID_SIZE, "%.*s", STR_ARG(db_col_str(st, 1)));
	ret->content = db_col_dup(st, 2, a);
	ret->traceparent = db_col_dup(st, 3, a);
	return 1;
}

static int insert_message(struct db_conn *c, const char *conversation_id, const char *execution_id, const char *id,
			  int64_t seq, struct str content, int64_t now)
{
	return error_only(
		db_exec(c,
			"insert into messages (conversation_id, seq, id, execution_id, role, content, created_at) "
			"values (?, ?, ?, ?, 'user', ?, ?)",
			DB_TEXT(conversation_id), DB_INT(seq), DB_TEXT(id), DB_TEXT(execution_id), DB_LONG_STR(content),
			DB_INT(now)));
}

static int delete_queued(struct db_conn *c, const char *message_id)
{
	return error_only(db_exec(c, "delete from queued_messages where id = ?", DB_TEXT(message_id)));
}

static int insert_first_event(struct db_conn *c, struct arena *a, const struct queue_next *n, int64_t seq)
{
	struct event_row row = {.seq = 1, .last_seq = 1, .at = n->at, .type = EVENT_STARTED};

	row.data = str_of(arena_printf(a, "{\"message_seq\":%lld}", (long long)seq));
	return event_rows_insert(c, n->id, &row, 1);
}

int queue_begin_next(struct db_conn *c, struct arena *a, const char *conversation_id, const char *owner,
		     int64_t *last_seq, struct queue_next *ret)
{
	int64_t seq = *last_seq + 1;
	int r = find_next(c, a, conversation_id, ret);

	if (r <= 0) {
		ret->id[0] = '\0';
		return r;
	}
	ret->at = clock_now_us();
	r = insert_message(c, conversation_id, ret->id, ret->message_id, seq, str_of(ret->content), ret->at);
	if (r == 0)
		r = error_only(
			db_exec(c,
				"update executions set input_seq = ?, owner = ?, lease_until = 0, last_seq = 1 where "
				"id = ?",
				DB_INT(seq), DB_TEXT(owner), DB_TEXT(ret->id)));
	if (r == 0)
		r = insert_first_event(c, a, ret, seq);
	if (r == 0)
		r = error_only(db_exec(
			c,
			"update conversations set last_seq = ?, active_execution_id = ?, last_execution_id = "
			"?, updated_at = ? where id = ?",
			DB_INT(seq), DB_TEXT(ret->id), DB_TEXT(ret->id), DB_INT(ret->at), DB_TEXT(conversation_id)));
	*last_seq = seq;
	return r < 0 ? r : delete_queued(c, ret->message_id);
}

static int read_steering(struct db_conn *c, struct arena *a, const char *conversation_id, struct queue_steering *ret,
			 char (*own)[ID_SIZE])
{
	struct db_stmt *st =
		db_query(c,
			 "select id, execution_id, content from queued_messages where conversation_id = ? and "
			 "kind = 'steer' order by id limit ?" DB_FOR_UPDATE,
			 DB_TEXT(conversation_id), DB_INT(STEERING_MAX));
	int r, n = 0;

	while ((r = db_step(c, st)) > 0) {
		snprintf(ret[n].id, ID_SIZE, "%.*s", STR_ARG(db_col_str(st, 0)));
		snprintf(own[n], ID_SIZE, "%.*s", STR_ARG(db_col_str(st, 1)));
		ret[n++].content = arena_str(a, db_col_str(st, 2));
	}
	db_done(st);
	return r < 0 ? r : n;
}

/* The execution that it would have started is not needed. */
int queue_steer(struct db_conn *c, struct arena *a, const char *conversation_id, const char *execution_id, int64_t now,
		int64_t *last_seq, struct queue_steering **ret)
{
	struct queue_steering *list = arena_alloc(a, STEERING_MAX * sizeof(*list));
	char own[STEERING_MAX][ID_SIZE];
	int r = 0, n = read_steering(c, a, conversation_id, list, own);

	*ret = list;
	for (int i = 0; i < n && r == 0; i++) {
		list[i].seq = ++*last_seq;
		r = insert_message(c, conversation_id, execution_id, list[i].id, list[i].seq, list[i].content, now);
		if (r == 0)
			r = delete_queued(c, list[i].id);
		if (r == 0)
			r = error_only(db_exec(c, "delete from executions where id = ?", DB_TEXT(own[i])));
	}
	return r < 0 ? r : n;
}

int queue_steered(struct db_conn *c, struct arena *a, const char *conversation_id, const char *execution_id,
		  int64_t *last_seq, struct queue_steering **ret)
{
	struct queue_steering *list = arena_alloc(a, STEERING_MAX * sizeof(*list));
	struct db_stmt *st =
		db_query(c,
			 "select id, content, seq from messages where conversation_id = ? and execution_id = ? "
			 "and role = 'user' and seq > ? order by seq limit ?",
			 DB_TEXT(conversation_id), DB_TEXT(execution_id), DB_INT(*last_seq), DB_INT(STEERING_MAX));
	int r, n = 0;

	*ret = list;
	while ((r = db_step(c, st)) > 0) {
		snprintf(list[n].id, ID_SIZE, "%.*s", STR_ARG(db_col_str(st, 0)));
		list[n].content = arena_str(a, db_col_str(st, 1));
		list[n].seq = *last_seq = db_col_int(st, 2);
		n++;
	}
	db_done(st);
	return r < 0 ? r : n;
}

int queue_take_back(struct db_conn *c, struct arena *a, const char *execution_id)
{
	struct event_row row = {.seq = 1, .last_seq = 1, .at = clock_now_us(), .type = EVENT_ENDED};
	struct chat_usage usage = {0};
	int64_t n =
		db_exec(c,
			"delete from message_attachments where message_id in (select id from queued_messages where "
			"execution_id = ?) and conversation_id in (select conversation_id from queued_messages where "
			"execution_id = ?)",
			DB_TEXT(execution_id), DB_TEXT(execution_id));

	if (n >= 0)
		n = db_exec(c, "delete from queued_messages where execution_id = ?", DB_TEXT(execution_id));
	if (n <= 0)
		return (int)n;
	row.data = str_of(arena_printf(a,
				       "{\"message_seq\":0,\"status\":\"cancelled\",\"error\":null,\"usage\":%.*s,"
				       "\"duration_ms\":0}",
				       STR_ARG(run_usage_json(a, &usage))));
	n = db_exec(c, "update executions set status = 'cancelled', state = 'ended', ended_at = ? where id = ?",
		    DB_INT(row.at), DB_TEXT(execution_id));
	if (n >= 0)
		n = event_rows_insert(c, execution_id, &row, 1);
	return n < 0 ? (int)n : 1;
}

int queue_roll_back(struct db_conn *c, const char *conversation_id, const char *execution_id)
{
	static const char *const statements[] = {
		"delete from execution_events where execution_id = ?",
		"delete from approvals where execution_id = ?",
		"delete from tool_marks where execution_id = ?",
		"delete from executions where id = ?",
	};
	int64_t wanted, n;
	int r = db_get_int(c, &wanted, "select is_rolled_back from executions where id = ?", DB_TEXT(execution_id));

	if (r <= 0 || !wanted)
		return MIN(r, 0);
	n = attachments_unlink_execution(c, conversation_id, execution_id);
	if (n >= 0)
		n = db_exec(c, "delete from messages where conversation_id = ? and execution_id = ?",
			    DB_TEXT(conversation_id), DB_TEXT(execution_id));
	for (size_t i = 0; n >= 0 && i < ARRAY_SIZE(statements); i++)
		n = db_exec(c, statements[i], DB_TEXT(execution_id));
	return n < 0 ? (int)n : 1;
}
