/* GET /api/executions/{id}/events: the numbered events of an execution, as a stream or as a list.
 *
 * A list has every event that was shown before it was asked for, stored or not: what the run's log held then goes
 * behind what the database has. Who has joined the run's room and then reads the list misses nothing.
 *
 * A stream first reads what the database has, page by page, then follows the live run. Between the last page and the
 * following nothing can be missed: what is not stored yet is still in the run's log, and when something was stored
 * while the page was being read, one more page is read. A client that takes its events too slowly is not followed any
 * more; once it has taken what was sent, it goes on from the database. */
#include <errno.h>
#include <stdlib.h>

#include "agent/bus.h"
#include "agent/event.h"
#include "agent/execution.h"
#include "agent/run_log.h"
#include "agent/runner.h"

#define PAGE_ROWS 64
/* For an execution that another process works on, or that waits for room; where there are hints, only in case one is
 * lost. */
#define POLL_MS 500
#define POLL_HINTED_MS 2000
#define LIST_MAX_BYTES (16 * 1024 * 1024)

/* ---- The list ---- */

/* An event that was shown and perhaps not stored yet when the list was asked for. */
struct unstored {
	struct list link;
	uint64_t seq;
	struct str event;
};

struct list_answer {
	struct answer answer;
	uint64_t after, last;
	struct execution_row execution;
	struct buf out;
	bool has_items, is_whole; /* there are no more */
	struct log_listener listener;
	struct list unstored; /* struct unstored, in order */
};

static void on_unstored(struct log_listener *listener, uint64_t seq, enum event_type type, struct str event)
{
	struct list_answer *l = container_of(listener, struct list_answer, listener);
	struct arena *a = l->answer.job.x->arena;
	struct unstored *u = arena_new_of(a, struct unstored);

	u->seq = seq;
	u->event = arena_str(a, event);
	list_append(&l->unstored, &u->link);
}

static void take_unstored(struct list_answer *l, struct exchange *x)
{
	struct agent *agent = x->self;

	l->answer.job.x = x;
	list_init(&l->unstored);
	list_init(&l->listener.link);
	l->listener.on_event = on_unstored;
	runner_follow(agent->runner, path_id(x), &l->listener, l->after);
	list_remove(&l->listener.link);
}

static void begin_item(struct list_answer *l, uint64_t seq)
{
	if (l->has_items)
		buf_add_char(&l->out, ',');
	l->has_items = true;
	l->last = seq;
}

static void add_item(void *arg, uint64_t seq, const char *type, int64_t at, struct str data)
{
	struct list_answer *l = arg;

	begin_item(l, seq);
	event_write(&l->out, l->execution.id, l->execution.conversation_id, seq, type, at, data);
}

static int read_all(struct db_conn *c, struct list_answer *l)
{
	uint64_t from = l->after;
	int n, r = 0;

	do {
		_cleanup_(arena_free_p) struct arena *a = arena_new();
		struct event_row *rows;
		n = event_rows_read(c, a, l->execution.id, l->execution.conversation_id, from, PAGE_ROWS, &rows);
		for (int i = 0; i < n && r == 0; i++)
			r = event_row_split(&rows[i], l->after, add_item, l);
		if (n > 0)
			from = rows[n - 1].last_seq;
	} while (n == PAGE_ROWS && r == 0 && l->out.n < LIST_MAX_BYTES);
	l->is_whole = n < PAGE_ROWS;
	return n < 0 ? n : r;
}

static void add_unstored(struct list_answer *l)
{
	struct unstored *u;

	list_foreach (u, &l->unstored, struct unstored, link) {
		if (u->seq <= l->last)
			continue;
		begin_item(l, u->seq);
		buf_add(&l->out, u->event.p, u->event.n);
	}
}

/* Of a list that was cut, the number up to which there is more. */
static uint64_t last_event(const struct list_answer *l)
{
	return l->is_whole ? l->last : MAX(l->last, (uint64_t)l->execution.last_seq);
}

static void free_buf(void *arg)
{
	buf_deinit(arg);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct list_answer *l = (struct list_answer *)job;
	int r = execution_find(c, job->x, job->x->arena, path_id(job->x), &l->execution);

	if (r == 0)
		return answer_not_found(&l->answer, "execution");
	if (r < 0)
		return r;
	l->last = l->after;
	buf_add_str(&l->out, "{\"items\":[");
	r = read_all(c, l);
	if (r == 0 && l->is_whole)
		add_unstored(l);
	buf_printf(&l->out, "],\"last_event\":%llu,\"ended\":%s}", (unsigned long long)last_event(l),
		   execution_has_ended(&l->execution) && l->is_whole ? "true" : "false");
	l->answer.status = 200;
	l->answer.body = buf_str(&l->out);
	return r;
}

static void answer_list(struct exchange *x, uint64_t after)
{
	struct list_answer *l = arena_new_of(x->arena, struct list_answer);

	l->after = after;
	arena_defer(x->arena, free_buf, &l->out);
	take_unstored(l, x);
	answer_read(x, &l->answer, list_run);
}

/* ---- The stream ---- */

/* What a stream waits for. */
enum stream_state {
	STREAM_READING,   /* a page of the database */
	STREAM_FOLLOWING, /* the run's next event */
	STREAM_DRAINING,  /* the client to take what was sent */
	STREAM_POLLING,   /* the time to look into the database again */
	STREAM_ENDED,
};

struct stream_page {
	struct exchange_job job;
	struct event_stream *stream;
	struct arena *arena;
	struct event_row *rows;
	int n;
	int found; /* of the execution */
	struct execution_row execution;
};

struct event_stream {
	struct exchange *x;
	struct agent *agent;
	enum stream_state state;
	char id[ID_SIZE], conversation_id[ID_SIZE];
	uint64_t sent;        /* the greatest number sent */
	uint64_t stored_then; /* what was on disk when the page was asked for */
	bool was_here;        /* the run, when the page was asked for */
	bool has_started, has_ended, is_slow, is_gone;
	struct log_listener listener;
	struct deadline poll;
	struct list remote; /* in agent.remote_streams while polling */
	bool is_hinted;     /* a hint came while it was reading */
	struct stream_page page;
};

static void stream_read(struct event_stream *s);

static void stream_end(struct event_stream *s)
{
	struct exchange *x = s->x;

	if (s->state == STREAM_ENDED)
		return;
	s->state = STREAM_ENDED;
	list_remove(&s->listener.link);
	list_remove(&s->remote);
	deadline_clear(&s->poll);
	if (!s->is_gone)
		reply_sse_end(x);
	exchange_drop(x);
}

static void send_event(struct event_stream *s, uint64_t seq, const char *type, struct str event)
{
	if (seq <= s->sent || s->is_gone)
		return;
	s->sent = seq;
	if (strcmp(type, event_type_name(EVENT_ENDED)) == 0)
		s->has_ended = true;
	if (!reply_sse(s->x, seq, type, event))
		s->is_slow = true;
}

/* Following goes on as long as the client takes what it gets. */
static void on_event(struct log_listener *l, uint64_t seq, enum event_type type, struct str event)
{
	struct event_stream *s = container_of(l, struct event_stream, listener);

	send_event(s, seq, event_type_name(type), event);
	if (s->is_slow && !s->has_ended) {
		list_remove(&l->link);
		s->state = STREAM_DRAINING;
	}
}

static void on_log_close(struct log_listener *l)
{
	struct event_stream *s = container_of(l, struct event_stream, listener);

	/* Ended, or left to another process: the database knows. */
	if (s->has_ended)
		stream_end(s);
	else
		stream_read(s);
}

static void on_drain(struct http_request *r)
{
	struct exchange *x = r->owner;
	struct event_stream *s = x->data;

	s->is_slow = false;
	if (s->state == STREAM_DRAINING)
		stream_read(s);
}

static void on_gone(struct exchange *x)
{
	struct event_stream *s = x->data;

	s->is_gone = true;
	if (s->state != STREAM_READING)
		stream_end(s);
}

static void on_poll(struct deadline *d)
{
	struct event_stream *s = container_of(d, struct event_stream, poll);

	s->is_hinted = true;
	if (s->state == STREAM_POLLING)
		stream_read(s);
}

/* Another process works on it, and tells when there is more if it knows that somebody waits for that. */
static void stream_poll(struct event_stream *s)
{
	struct agent *a = s->agent;
	bool is_up = bus_is_up(a->bus);

	s->state = STREAM_POLLING;
	if (list_is_empty(&s->remote))
		list_append(&a->remote_streams, &s->remote);
	if (is_up && !deadline_is_set(&s->poll))
		bus_send(a->bus, BUS_FOLLOW, s->id);
	if (!deadline_is_set(&s->poll))
		deadline_set(service_wheel(a->service), &s->poll, is_up ? POLL_HINTED_MS : POLL_MS);
	if (s->is_hinted)
		stream_read(s);
}

void events_wake(struct agent *agent, const char *execution_id)
{
	struct list *it, *next;

	for (it = agent->remote_streams.next; it != &agent->remote_streams; it = next) {
		struct event_stream *s = container_of(it, struct event_stream, remote);
		next = it->next;
		if (execution_id && strcmp(s->id, execution_id) != 0)
			continue;
		s->is_hinted = true;
		if (s->state == STREAM_POLLING)
			stream_read(s);
	}
}

/* Everything stored has been sent: what comes next? */
static void stream_follow(struct event_stream *s, bool has_ended)
{
	bool is_here;

	if (s->has_ended || has_ended) {
		stream_end(s);
		return;
	}
	/* Stored while the page was read, and no longer in the log: it may not have been in the page. */
	if (runner_stored_seq(s->agent->runner, s->id) > MAX(s->stored_then, s->sent)) {
		stream_read(s);
		return;
	}
	s->state = STREAM_FOLLOWING;
	is_here = runner_follow(s->agent->runner, s->id, &s->listener, s->sent);
	if (is_here) {
		list_remove(&s->remote);
		deadline_clear(&s->poll);
	} else if (s->was_here) {
		stream_read(s);
	} else {
		stream_poll(s);
	}
}

static void send_row_event(void *arg, uint64_t seq, const char *type, int64_t at, struct str data)
{
	struct event_stream *s = arg;
	_cleanup_(buf_deinit) struct buf event = BUF_INIT;

	event_write(&event, s->id, s->conversation_id, seq, type, at, data);
	send_event(s, seq, type, buf_str(&event));
}

static void start_stream(struct event_stream *s, const struct execution_row *row)
{
	s->has_started = true;
	snprintf(s->conversation_id, sizeof(s->conversation_id), "%s", row->conversation_id);
	reply_sse_start(s->x);
	s->x->req->on_drain = on_drain;
}

static void on_page(struct exchange_job *job, int result)
{
	struct stream_page *p = (struct stream_page *)job;
	struct event_stream *s = p->stream;
	bool has_ended = p->found && execution_has_ended(&p->execution), is_last = p->n < PAGE_ROWS;

	if (!s->is_gone && !s->has_started && result == 0 && p->found && s->x->req)
		start_stream(s, &p->execution);
	else if (!s->has_started && s->x->req && result < 0)
		reply_db_failure(s->x, result);
	else if (!s->has_started && s->x->req)
		reply_problem(s->x, 404, "not_found", "There is no such execution, or it is not yours.");
	for (int i = 0; i < p->n && result == 0 && s->has_started; i++)
		event_row_split(&p->rows[i], s->sent, send_row_event, s);
	arena_free(p->arena);
	p->arena = NULL;
	if (s->is_gone || !s->has_started || result < 0 || !p->found)
		stream_end(s);
	else if (s->is_slow && !s->has_ended)
		s->state = STREAM_DRAINING;
	else if (!is_last)
		stream_read(s);
	else
		stream_follow(s, has_ended);
}

static int read_page(struct db_conn *c, struct exchange_job *job)
{
	struct stream_page *p = (struct stream_page *)job;

	p->n = 0;
	p->found = execution_find(c, job->x, p->arena, path_id(job->x), &p->execution);
	if (p->found <= 0)
		return p->found;
	p->n = event_rows_read(c, p->arena, p->execution.id, p->execution.conversation_id, p->stream->sent, PAGE_ROWS,
			       &p->rows);
	return MIN(p->n, 0);
}

static void stream_read(struct event_stream *s)
{
	s->state = STREAM_READING;
	s->is_hinted = false;
	list_remove(&s->listener.link);
	s->stored_then = runner_stored_seq(s->agent->runner, s->id);
	s->was_here = s->stored_then > 0;
	s->page = (struct stream_page){
		.job = {.x = s->x, .run = read_page, .done = on_page},
		.stream = s,
		.arena = arena_new(),
	};
	exchange_read(s->agent->db, &s->page.job);
}

static void answer_stream(struct exchange *x, uint64_t after)
{
	struct event_stream *s = arena_new_of(x->arena, struct event_stream);

	s->x = x;
	s->agent = x->self;
	s->sent = after;
	snprintf(s->id, sizeof(s->id), "%s", path_id(x));
	list_init(&s->listener.link);
	list_init(&s->remote);
	s->listener.on_event = on_event;
	s->listener.on_close = on_log_close;
	deadline_init(&s->poll, on_poll);
	x->data = s;
	x->on_gone = on_gone;
	exchange_hold(x);
	stream_read(s);
}

/* ---- Both ---- */

/* A stream is for those who ask for one by name. */
static bool wants_stream(const struct exchange *x)
{
	struct str accept = http_header_get(&x->req->headers, "Accept");

	return accept.p && memmem(accept.p, accept.n, "text/event-stream", 17);
}

void executions_events(struct exchange *x)
{
	struct str last = str_trim(http_header_get(&x->req->headers, "Last-Event-ID"));
	const char *after = http_query_get(x->arena, x->req->query, "after");
	uint64_t from = 0;

	if (last.n == 0 && after && *after)
		last = str_of(after);
	if (last.n > 0 && str_to_u64(last, INT64_MAX, &from) < 0) {
		reply_problem(
			x, 400, "bad_request",
			"Last-Event-ID or after is not the number of an event: take the seq of the last one you have.");
		return;
	}
	if (wants_stream(x))
		answer_stream(x, from);
	else
		answer_list(x, from);
}
