#include "wait.h"

#include <unistd.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "spool.h"

struct waiter {
	struct watcher watcher;
	struct exchange *x;
	struct command *command; /* held */
	struct wait_query query;
	int status_ended, status_running;
	struct deadline deadline;
};

/* Returns false after answering. */
static bool read_number(struct exchange *x, const char *name, uint64_t max, uint64_t *ret)
{
	const char *text = http_query_get(x->arena, x->req->query, name);

	if (!text || str_to_u64(str_of(text), max, ret) == 0)
		return true;
	reply_problem(x, 400, "bad_request", "%s is a number of at most %llu.", name, (unsigned long long)max);
	return false;
}

bool wait_query_read(struct exchange *x, yyjson_val *body, struct wait_query *ret)
{
	*ret = (struct wait_query){.wait_ms = (uint64_t)json_get_int(body, "wait_ms", 0)};
	if (!read_number(x, "wait_ms", WAIT_MS_MAX, &ret->wait_ms))
		return false;
	ret->output = ret->wait_ms ? OUTPUT_SHORT_DEFAULT : 0;
	return read_number(x, "output", OUTPUT_SHORT_MAX, &ret->output);
}

/* ---- Output in short ---- */

/* Appends what is kept between the offsets; returns where it got to. */
static uint64_t read_range(struct spool_reader *spool, uint64_t from, uint64_t to, struct buf *out)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	struct utf8_carry carry = {0};
	struct spool_piece piece = {0};
	char data[16 << 10];

	while (from < to && spool_read(spool, from, data, MIN(sizeof(data), to - from), &piece) == 0 && piece.n > 0 &&
	       piece.skipped == 0) {
		buf_add(&bytes, data, piece.n);
		from += piece.n;
	}
	utf8_clean(&carry, bytes.p ? bytes.p : "", bytes.n, true, out);
	return from;
}

static void add_text(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, const struct buf *b)
{
	yyjson_mut_obj_add_strncpy(doc, obj, name, b->p ? b->p : "", b->n);
}

void wait_add_output(struct exec *e, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *id, uint64_t max)
{
	_cleanup_(buf_deinit) struct buf head = BUF_INIT, tail = BUF_INIT;
	yyjson_mut_val *output = yyjson_mut_obj_add_obj(doc, obj, "output");
	int dir = journal_folder(&e->journal, id);
	struct spool_reader spool = {.fd = -1};
	uint64_t total = 0, head_end = 0, tail_start = 0;

	if (dir >= 0 && spool_reader_open(&spool, dir) == 0) {
		total = spool_reader_total(&spool);
		head_end = read_range(&spool, 0, total <= max ? total : max / 2, &head);
		tail_start = total <= max ? head_end : MAX(head_end, total - (max - max / 2));
		if (read_range(&spool, tail_start, total, &tail) < total)
			tail_start = total; /* it fell out of the spool meanwhile */
		spool_reader_deinit(&spool);
	}
	if (dir >= 0)
		close(dir);
	add_text(doc, output, "head", &head);
	add_text(doc, output, "tail", &tail);
	yyjson_mut_obj_add_uint(doc, output, "bytes", total);
	yyjson_mut_obj_add_uint(doc, output, "omitted_bytes", tail_start - head_end);
}

/* ---- Waiting ---- */

static void reply_now(struct exchange *x, struct command *c, const struct wait_query *q, int status)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	command_add_live(doc, obj, c);
	if (q->output)
		wait_add_output(c->exec, doc, obj, c->spec.id, q->output);
	reply_json(x, status, doc);
}

static void leave(struct waiter *w)
{
	list_remove(&w->watcher.link);
	deadline_clear(&w->deadline);
	w->x->on_gone = NULL;
	command_unref(w->command);
}

static void finish(struct waiter *w)
{
	struct command *c = w->command;

	command_ref(c);
	leave(w);
	reply_now(w->x, c, &w->query, c->phase == PHASE_GONE ? w->status_ended : w->status_running);
	command_unref(c);
}

static void on_gone(struct exchange *x)
{
	leave(x->data);
}

static void on_end(struct watcher *watcher)
{
	finish(container_of(watcher, struct waiter, watcher));
}

static void on_input(struct watcher *watcher)
{
	struct waiter *w = container_of(watcher, struct waiter, watcher);

	if (w->command->is_waiting)
		finish(w);
}

static void on_expire(struct deadline *d)
{
	finish(container_of(d, struct waiter, deadline));
}

void wait_reply(struct exchange *x, struct command *c, const struct wait_query *q, int status_ended, int status_running)
{
	struct waiter *w;

	if (c->phase == PHASE_GONE || q->wait_ms == 0 || c->is_waiting) {
		reply_now(x, c, q, c->phase == PHASE_GONE ? status_ended : status_running);
		return;
	}
	w = arena_new_of(x->arena, struct waiter);
	*w = (struct waiter){{.on_input = on_input, .on_end = on_end}, x, c, *q, status_ended, status_running};
	deadline_init(&w->deadline, on_expire);
	deadline_set(service_wheel(c->exec->service), &w->deadline, q->wait_ms);
	command_ref(c);
	list_append(&c->watchers, &w->watcher.link);
	x->data = w;
	x->on_gone = on_gone;
}
