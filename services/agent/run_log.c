#include "agent/run_log.h"

#include "agent/agent.h"
#include "agent/publish.h"
#include "base/clock.h"

void run_log_init(struct run_log *l, struct agent *agent, const char *execution_id, const char *conversation_id,
		  const char *user_id, const char *traceparent)
{
	*l = (struct run_log){
		.agent = agent,
		.execution_id = execution_id,
		.conversation_id = conversation_id,
		.user_id = user_id,
	};
	list_init(&l->events);
	list_init(&l->listeners);
}

void run_log_close(struct run_log *l)
{
	struct log_listener *listener;

	while ((listener = list_first(&l->listeners, struct log_listener, link))) {
		list_remove(&listener->link);
		listener->on_close(listener);
	}
}

static void drop(struct run_log *l, uint64_t up_to)
{
	struct event *e;

	while ((e = list_first(&l->events, struct event, link)) && e->seq <= up_to) {
		list_remove(&e->link);
		event_free(e);
	}
}

void run_log_deinit(struct run_log *l)
{
	run_log_close(l);
	drop(l, UINT64_MAX);
	buf_deinit(&l->scratch);
}

static struct str write_event(struct run_log *l, const struct event *e)
{
	_cleanup_(buf_deinit) struct buf data = BUF_INIT;

	event_write_data(&data, e);
	buf_clear(&l->scratch);
	event_write(&l->scratch, l->execution_id, l->conversation_id, e->seq, event_type_name(e->type), e->at,
		    buf_str(&data));
	return buf_str(&l->scratch);
}

static void show(struct run_log *l, const struct event *e)
{
	struct str event = write_event(l, e);
	struct log_listener *listener;

	l->shown_seq = e->seq;
	list_foreach (listener, &l->listeners, struct log_listener, link)
		listener->on_event(listener, e->seq, e->type, event);
	if (l->agent->publisher)
		publisher_add(l->agent->publisher, l->execution_id, l->conversation_id, l->user_id, l->traceparent,
			      event);
}

/* In order, up to the first that may not be shown yet. */
static void show_ready(struct run_log *l, uint64_t stored)
{
	struct event *e;

	list_foreach (e, &l->events, struct event, link) {
		if (e->seq <= l->shown_seq)
			continue;
		if (e->seq > stored && (e->is_held || e->seq > l->seq_limit))
			break;
		show(l, e);
	}
}

void run_log_add(struct run_log *l, struct event *e, bool is_held)
{
	e->seq = ++l->last_seq;
	e->at = clock_now_us();
	e->is_held = is_held;
	l->unsaved += e->text_n;
	list_append(&l->events, &e->link);
	/* In the common case everything before it is shown. */
	if (l->shown_seq + 1 == e->seq && !is_held && e->seq <= l->seq_limit)
		show(l, e);
}

void run_log_saving(struct run_log *l)
{
	l->unsaved = 0;
}

void run_log_stored(struct run_log *l, uint64_t up_to, uint64_t seq_limit)
{
	l->seq_limit = MAX(l->seq_limit, seq_limit);
	show_ready(l, up_to);
	l->stored_seq = up_to;
	drop(l, up_to);
}

void run_log_follow(struct run_log *l, struct log_listener *listener, uint64_t after)
{
	struct event *e;

	list_append(&l->listeners, &listener->link);
	list_foreach (e, &l->events, struct event, link) {
		if (e->seq > l->shown_seq)
			break;
		if (e->seq > after)
			listener->on_event(listener, e->seq, e->type, write_event(l, e));
	}
}
