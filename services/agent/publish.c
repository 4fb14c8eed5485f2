#include "agent/publish.h"

#include <stdlib.h>

#include "agent/agent.h"
#include "base/alloc.h"

#define QUEUE_MAX (4 * 1024 * 1024)
#define BATCH_MAX (512 * 1024)
#define BATCH_MAX_EVENTS 1000
#define ANSWER_MS (10 * 1000)
#define AGAIN_FIRST_MS 50
#define AGAIN_MAX_MS 2000

struct publisher {
	struct agent *agent;
	/* Entries {rooms, event}, each with a comma behind it; `ends` says where each ends. */
	struct buf queue;
	struct buf ends; /* of size_t */
	size_t n;        /* entries in the queue */
	/* Of the first event that came to the empty queue, and of the batch. */
	char queue_trace[TRACEPARENT_SIZE], batch_trace[TRACEPARENT_SIZE];
	struct buf batch; /* the body under way */
	size_t batch_n;
	struct arena *arena;
	struct http_fetch *fetch;
	unsigned failures;
	bool is_stopped;
	struct deadline again;
};

static void send_batch(struct publisher *p);

static void on_again(struct deadline *d)
{
	send_batch(container_of(d, struct publisher, again));
}

struct publisher *publisher_new(struct agent *agent)
{
	struct publisher *p = xcalloc(1, sizeof(*p));

	p->agent = agent;
	p->arena = arena_new();
	deadline_init(&p->again, on_again);
	return p;
}

void publisher_stop(struct publisher *p)
{
	deadline_clear(&p->again);
	if (p->fetch && !p->is_stopped)
		http_fetch_cancel(p->fetch);
	p->is_stopped = true;
}

void publisher_free(struct publisher *p)
{
	if (!p)
		return;
	buf_deinit(&p->queue);
	buf_deinit(&p->ends);
	buf_deinit(&p->batch);
	arena_free(p->arena);
	free(p);
}

size_t publisher_n_queued(const struct publisher *p)
{
	return p->n + p->batch_n;
}

static size_t end_of(const struct publisher *p, size_t i)
{
	size_t end;

	memcpy(&end, p->ends.p + i * sizeof(end), sizeof(end));
	return end;
}

/* Moves entries from the queue into the batch. */
static void make_batch(struct publisher *p)
{
	size_t n = 0, bytes = 0;

	while (n < p->n && n < BATCH_MAX_EVENTS && (n == 0 || end_of(p, n) <= BATCH_MAX))
		bytes = end_of(p, n++);
	buf_clear(&p->batch);
	buf_add_str(&p->batch, "{\"events\":[");
	buf_add(&p->batch, p->queue.p, bytes - 1); /* without the last comma */
	buf_add_str(&p->batch, "]}");
	p->batch_n = n;
	memcpy(p->batch_trace, p->queue_trace, sizeof(p->batch_trace));
	if (n == p->n) {
		buf_clear(&p->queue);
		buf_clear(&p->ends);
	} else {
		buf_consume(&p->queue, bytes);
		buf_consume(&p->ends, n * sizeof(size_t));
		for (size_t i = 0; i < p->n - n; i++) {
			size_t end = end_of(p, i) - bytes;
			memcpy(p->ends.p + i * sizeof(end), &end, sizeof(end));
		}
	}
	p->n -= n;
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct publisher *p = arg;

	p->fetch = NULL;
	if (p->is_stopped)
		return;
	if (err == 0 && status < 300) {
		metric_add(p->agent->metrics.events_published, (double)p->batch_n);
		p->batch_n = 0;
		p->failures = 0;
		send_batch(p);
		return;
	}
	if (p->failures++ == 0)
		log_warn("the socket service does not take events: %s",
			 err ? strerror(-err) : http_status_text(status));
	if (err == 0 && status == 400) { /* sending the same again would not help */
		metric_add(p->agent->metrics.events_dropped, (double)p->batch_n);
		p->batch_n = 0;
	}
	deadline_set(service_wheel(p->agent->service), &p->again,
		     MIN((uint64_t)AGAIN_FIRST_MS << MIN(p->failures, 6u), AGAIN_MAX_MS));
}

static void send_batch(struct publisher *p)
{
	struct service *s = p->agent->service;

	if (p->batch_n == 0 && p->n > 0)
		make_batch(p);
	if (p->batch_n == 0)
		return;
	arena_reset(p->arena);
	struct http_headers *headers = service_peer_headers(s, "socket", "", NULL, p->batch_trace, p->arena);
	p->fetch = http_fetch(service_peer(s, "socket"), "POST", "/api/publish", headers, "application/json",
			      buf_str(&p->batch), 64 * 1024, ANSWER_MS, on_answer, p);
}

/* No memory is kept for a socket service that does not come back. */
static void drop_queue(struct publisher *p)
{
	metric_add(p->agent->metrics.events_dropped, (double)p->n);
	p->n = 0;
	buf_clear(&p->queue);
	buf_clear(&p->ends);
}

void publisher_add(struct publisher *p, const char *execution_id, const char *conversation_id, const char *user_id,
		   const char *traceparent, struct str event)
{
	if (p->is_stopped)
		return;
	if (p->queue.n + event.n > QUEUE_MAX)
		drop_queue(p);
	if (p->n == 0)
		snprintf(p->queue_trace, sizeof(p->queue_trace), "%s", traceparent);
	buf_add_str(&p->queue, "{\"rooms\":[\"execution:");
	buf_add_str(&p->queue, execution_id);
	buf_add_str(&p->queue, "\",\"conversation:");
	buf_add_str(&p->queue, conversation_id);
	buf_add_str(&p->queue, "\",\"user:");
	buf_add_str(&p->queue, user_id);
	buf_add_str(&p->queue, "\"],\"event\":");
	buf_add(&p->queue, event.p, event.n);
	buf_add_str(&p->queue, "},");
	size_t end = p->queue.n;
	buf_add(&p->ends, &end, sizeof(end));
	p->n++;
	if (!p->fetch && !deadline_is_set(&p->again))
		send_batch(p);
}
