#include "agent/post.h"

#include "agent/attachments/store.h"
#include "agent/bus.h"
#include "agent/event.h"
#include "agent/publish.h"
#include "agent/run.h"
#include "agent/run_log.h"
#include "agent/runner.h"
#include "base/clock.h"

#define TITLE_CHARS 60
#define QUEUE_MAX 50

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

static int insert_message(struct db_conn *c, const struct post *p, int64_t seq)
{
	return error_only(
		db_exec(c,
			"insert into messages (conversation_id, seq, id, execution_id, role, content, created_at) "
			"values (?, ?, ?, ?, 'user', ?, ?)",
			DB_TEXT(p->conversation.id), DB_INT(seq), DB_TEXT(p->message_id), DB_TEXT(p->execution_id),
			DB_LONG_TEXT(p->content), DB_INT(p->now)));
}

/* One that waits for another has no process and, so far, no message. */
static int insert_execution(struct db_conn *c, const struct post *p, int64_t seq)
{
	const struct conversation_row *v = &p->conversation;

	return error_only(
		db_exec(c,
			"insert into executions (id, conversation_id, agent_id, agent_version, agent_name, user_id, "
			"status, state, owner, lease_until, claim, draft_id, input_seq, steps, commands, "
			"input_tokens, output_tokens, tokens_estimated, seq_limit, last_seq, created_at, "
			"traceparent, output_schema) values (?, ?, ?, ?, ?, ?, 'queued', 'loading', ?, ?, 1, ?, ?, 0, "
			"0, "
			"0, 0, 0, ?, 1, ?, ?, ?)",
			DB_TEXT(p->execution_id), DB_TEXT(v->id), DB_TEXT(v->agent_id), DB_INT(v->agent_version),
			DB_TEXT(v->agent_name), DB_TEXT(v->user_id), DB_TEXT(p->active ? NULL : p->owner),
			DB_INT(p->lease_until), DB_TEXT(p->draft_id), DB_INT(seq), DB_INT(RUN_LOG_AHEAD),
			DB_INT(p->now), DB_TEXT(p->traceparent), DB_TEXT(p->output_schema)));
}

static int insert_first_event(struct db_conn *c, const struct post *p, int64_t seq)
{
	struct event_row row = {.seq = 1, .last_seq = 1, .at = p->now, .type = EVENT_STARTED};

	row.data = str_of(arena_printf(p->arena, "{\"message_seq\":%lld}", (long long)seq));
	return event_rows_insert(c, p->execution_id, &row, 1);
}

static int update_conversation(struct db_conn *c, const struct post *p, int64_t seq)
{
	const struct conversation_row *v = &p->conversation;
	const char *title = *v->title ? v->title : make_title(p->arena, p->content);

	return error_only(
		db_exec(c,
			"update conversations set last_seq = ?, active_execution_id = ?, last_execution_id = ?, "
			"title = ?, updated_at = ? where id = ?",
			DB_INT(seq), DB_TEXT(p->execution_id), DB_TEXT(p->execution_id), DB_TEXT(title), DB_INT(p->now),
			DB_TEXT(v->id)));
}

static int check_queue(struct db_conn *c, struct post *p)
{
	int64_t n;
	int r = db_get_int(c, &n, "select count(*) from queued_messages where conversation_id = ?",
			   DB_TEXT(p->conversation.id));

	return r < 0 ? r : n < QUEUE_MAX ? POST_OK : POST_QUEUE_FULL;
}

static int insert_queued(struct db_conn *c, const struct post *p)
{
	bool is_urgent = p->when_busy == BUSY_INTERRUPT || p->when_busy == BUSY_ROLLBACK;

	return error_only(
		db_exec(c,
			"insert into queued_messages (id, conversation_id, execution_id, kind, priority, content, "
			"created_at, traceparent) values (?, ?, ?, ?, ?, ?, ?, ?)",
			DB_TEXT(p->message_id), DB_TEXT(p->conversation.id), DB_TEXT(p->execution_id),
			DB_TEXT(p->when_busy == BUSY_STEER ? "steer" : "queue"), DB_INT(is_urgent), DB_TEXT(p->content),
			DB_INT(p->now), DB_TEXT(p->traceparent)));
}

static int stop_active(struct db_conn *c, const struct post *p)
{
	int64_t n;

	if (p->when_busy != BUSY_INTERRUPT && p->when_busy != BUSY_ROLLBACK)
		return 0;
	n = db_exec(c,
		    "update executions set cancel_at = ?, is_rolled_back = ?, lease_until = case when owner = ? then 0 "
		    "else "
		    "lease_until end where id = ?",
		    DB_INT(p->now), DB_INT(p->when_busy == BUSY_ROLLBACK), DB_TEXT(RUNNER_PARKED), DB_TEXT(p->active));
	if (n >= 0)
		n = bus_tell(c, BUS_CANCEL, p->active);
	return n < 0 ? (int)n : bus_tell(c, BUS_QUEUE, NULL);
}

static int wait_for_active(struct db_conn *c, struct post *p)
{
	int r = check_queue(c, p);

	p->lease_until = 0;
	if (r == 0)
		r = insert_execution(c, p, 0);
	if (r == 0)
		r = insert_queued(c, p);
	return r ? r : stop_active(c, p);
}

/* Whether all that the message names is there. POST_OK, POST_NO_FILE or -errno. */
static int check_files(struct db_conn *c, const struct post *p)
{
	struct attachment file;
	int r = 1;

	for (size_t i = 0; r == 1 && i < p->n_attachments; i++)
		r = attachment_find(c, p->arena, p->conversation.id, p->attachments[i], &file);
	return r < 0 ? r : r == 1 ? POST_OK : POST_NO_FILE;
}

static int link_files(struct db_conn *c, const struct post *p)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < p->n_attachments; i++)
		r = attachment_link(c, p->conversation.id, p->message_id, (int)i, p->attachments[i]);
	return MIN(r, 0);
}

void post_prepare(struct post *p, struct agent *agent)
{
	id_new(p->message_id);
	id_new(p->execution_id);
	id_new(p->draft_id);
	p->agent = agent;
	p->owner = runner_owner(agent->runner);
	p->now = clock_now_us();
	p->lease_until = runner_has_room(agent->runner) ? RUNNER_TAKEN : 0;
}

int post_store(struct db_conn *c, struct post *p)
{
	const struct conversation_row *v = &p->conversation;
	int64_t seq = v->last_seq + 1;
	int r;

	p->preload = NULL;
	if (v->is_archived)
		return POST_ARCHIVED;
	if (v->active_execution_id && p->when_busy == BUSY_REJECT)
		return POST_BUSY;
	r = check_files(c, p);
	if (r)
		return r;
	p->active = v->active_execution_id;
	r = link_files(c, p);
	if (r == 0 && p->active)
		return wait_for_active(c, p);
	if (r == 0)
		r = insert_message(c, p, seq);
	if (r == 0)
		r = insert_execution(c, p, seq);
	if (r == 0)
		r = insert_first_event(c, p, seq);
	if (r == 0)
		r = update_conversation(c, p, seq);
	return r == 0 && !p->lease_until ? bus_tell(c, BUS_QUEUE, NULL) : r;
}

int post_preload(struct db_conn *c, struct post *p)
{
	return p->active || !p->lease_until ? 0 : run_preload(c, p->agent, p->execution_id, p->arena, &p->preload);
}

static void take(struct agent *agent, const struct post *p, struct run_preload *preload)
{
	if (p->lease_until)
		runner_take(agent->runner, p->execution_id, p->conversation.id, p->conversation.user_id, p->traceparent,
			    p->request_id, preload);
}

static void publish_first_event(struct agent *agent, const struct post *p)
{
	_cleanup_(buf_deinit) struct buf data = BUF_INIT, event = BUF_INIT;
	const struct conversation_row *v = &p->conversation;

	event_data_started(&data, p->message_id, str_of(p->content));
	event_write(&event, p->execution_id, v->id, 1, event_type_name(EVENT_STARTED), p->now, buf_str(&data));
	publisher_add(agent->publisher, p->execution_id, v->id, v->user_id, p->traceparent, buf_str(&event));
}

void post_begin(struct agent *agent, struct post *p)
{
	if (!p->active) {
		publish_first_event(agent, p);
		take(agent, p, p->preload);
		return;
	}
	if (p->when_busy == BUSY_INTERRUPT || p->when_busy == BUSY_ROLLBACK)
		runner_cancel(agent->runner, p->active);
	runner_wake(agent->runner);
}

void post_begin_unsure(struct agent *agent, struct post *p)
{
	take(agent, p, NULL);
}
