#include "agent/event.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/event_fold.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"

/* One row holds at most so much text, so that reading back stays in small pieces. */
#define ROW_TEXT_MAX (64 * 1024)

static const char *const names[] = {
	[EVENT_STARTED] = "execution.started",
	[EVENT_STATE] = "execution.state",
	[EVENT_TEXT_DELTA] = "text.delta",
	[EVENT_TEXT_RESET] = "text.reset",
	[EVENT_MESSAGE_DONE] = "message.done",
	[EVENT_CALL_STARTED] = "call.started",
	[EVENT_CALL_OUTPUT] = "call.output",
	[EVENT_CALL_OUTPUT_SKIPPED] = "call.output_skipped",
	[EVENT_CALL_DONE] = "call.done",
	[EVENT_MODEL_RETRY] = "model.retry",
	[EVENT_MODEL_FALLBACK] = "model.fallback",
	[EVENT_MODEL_WAITING] = "model.waiting",
	[EVENT_APPROVAL_REQUESTED] = "approval.requested",
	[EVENT_MODEL_WARNING] = "model.warning",
	[EVENT_CONTEXT_COMPACTED] = "context.compacted",
	[EVENT_APPROVAL_DECIDED] = "approval.decided",
	[EVENT_MESSAGE_ADDED] = "message.added",
	[EVENT_BUDGET_WARNING] = "budget.warning",
	[EVENT_BUDGET_PAUSED] = "budget.paused",
	[EVENT_ENDED] = "execution.ended",
};

const char *event_type_name(enum event_type t)
{
	return names[t];
}

int event_type_from_name(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_is(name, names[i]))
			return (int)i;
	return -EINVAL;
}

static bool is_piece(enum event_type t)
{
	return t == EVENT_TEXT_DELTA || t == EVENT_CALL_OUTPUT;
}

struct event *event_new_piece(enum event_type type, const char *id, const char *stream, uint64_t offset,
			      struct str text)
{
	struct event *e = xcalloc(1, sizeof(*e));

	list_init(&e->link);
	e->type = type;
	e->id = xstrdup(id);
	e->stream = stream;
	e->offset = offset;
	e->text = xstrndup(text.p, text.n);
	e->text_n = text.n;
	return e;
}

struct event *event_new(enum event_type type, char *data, char *stored)
{
	struct event *e = xcalloc(1, sizeof(*e));

	list_init(&e->link);
	e->type = type;
	e->data = data;
	e->stored = stored;
	return e;
}

void event_free(struct event *e)
{
	if (!e)
		return;
	free(e->id);
	free(e->text);
	free(e->data);
	free(e->stored);
	free(e);
}

/* Of all that a live run does, writing events is done most often: no printf here. */
static void add_number(struct buf *out, uint64_t v)
{
	char text[20];
	size_t at = sizeof(text);

	do
		text[--at] = (char)('0' + v % 10);
	while (v /= 10);
	buf_add(out, text + at, sizeof(text) - at);
}

#define ADD(out, literal) buf_add((out), (literal), sizeof(literal) - 1)

void event_write(struct buf *out, const char *execution_id, const char *conversation_id, uint64_t seq, const char *type,
		 int64_t at, struct str data)
{
	char time[TIME_TEXT_SIZE];

	time_format(at, time);
	buf_reserve(out, data.n + 256);
	ADD(out, "{\"seq\":");
	add_number(out, seq);
	ADD(out, ",\"execution_id\":\"");
	buf_add_str(out, execution_id);
	ADD(out, "\",\"conversation_id\":\"");
	buf_add_str(out, conversation_id);
	ADD(out, "\",\"type\":\"");
	buf_add_str(out, type);
	ADD(out, "\",\"at\":\"");
	buf_add_str(out, time);
	ADD(out, "\",\"data\":");
	buf_add(out, data.p, data.n);
	buf_add_char(out, '}');
}

static void write_piece(struct buf *out, enum event_type type, const char *id, const char *stream, uint64_t offset,
			struct str text)
{
	if (type == EVENT_TEXT_DELTA)
		ADD(out, "{\"message_id\":");
	else
		ADD(out, "{\"call_id\":");
	json_quote(out, str_of(id));
	if (type == EVENT_CALL_OUTPUT) {
		ADD(out, ",\"stream\":\"");
		buf_add_str(out, stream);
		buf_add_char(out, '"');
	}
	ADD(out, ",\"offset\":");
	add_number(out, offset);
	ADD(out, ",\"text\":");
	json_quote(out, text);
	buf_add_char(out, '}');
}

void event_write_data(struct buf *out, const struct event *e)
{
	if (is_piece(e->type))
		write_piece(out, e->type, e->id, e->stream, e->offset, (struct str){e->text, e->text_n});
	else
		buf_add_str(out, e->data);
}

/* ---- Data that refers to a message ---- */

void event_data_started(struct buf *out, const char *message_id, struct str input)
{
	buf_add_str(out, "{\"input\":");
	json_quote(out, input);
	buf_printf(out, ",\"message_id\":\"%s\"}", message_id);
}

void event_data_message_added(struct buf *out, const char *message_id, struct str content)
{
	buf_printf(out, "{\"message_id\":\"%s\",\"content\":", message_id);
	json_quote(out, content);
	buf_add_char(out, '}');
}

void event_data_message_done(struct buf *out, const char *message_id, struct str content, struct str tool_calls,
			     struct str citations)
{
	buf_printf(out, "{\"message_id\":\"%s\",\"content\":", message_id);
	json_quote(out, content);
	buf_add_str(out, ",\"tool_calls\":");
	if (tool_calls.n)
		buf_add(out, tool_calls.p, tool_calls.n);
	else
		buf_add_str(out, "null");
	if (citations.n)
		buf_printf(out, ",\"citations\":%.*s", STR_ARG(citations));
	buf_add_char(out, '}');
}

void event_data_ended(struct buf *out, const char *status, const char *output, struct str error, struct str usage,
		      int64_t duration_ms)
{
	buf_printf(out, "{\"status\":\"%s\",\"output\":", status);
	if (output)
		json_quote(out, str_of(output));
	else
		buf_add_str(out, "null");
	buf_printf(out, ",\"error\":%.*s,\"usage\":%.*s,\"duration_ms\":%lld}", STR_ARG(error), STR_ARG(usage),
		   (long long)duration_ms);
}

/* ---- Rows ---- */

bool event_continues(const struct event *a, const struct event *b)
{
	return a->type == b->type && is_piece(a->type) && a->seq + 1 == b->seq && a->stream == b->stream &&
	       b->offset == a->offset + a->text_n && strcmp(a->id, b->id) == 0;
}

static const struct event *entry(const struct list *l)
{
	return container_of(l, const struct event, link);
}

/* A row of the pieces from `first` on that belong together. Returns the last of them. */
static const struct event *make_pieces_row(struct arena *a, const struct list *end, const struct event *first,
					   uint64_t up_to, struct event_row *row)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, cuts = BUF_INIT, data = BUF_INIT;
	const struct event *e = first, *last = first;
	int64_t at = first->at;

	for (;;) {
		buf_add(&text, e->text, e->text_n);
		buf_printf(&cuts, "%s%zu,%lld", cuts.n ? "," : "", e->text_n, (long long)(e->at - at));
		at = e->at;
		last = e;
		if (e->link.next == end || text.n >= ROW_TEXT_MAX)
			break;
		const struct event *next = entry(e->link.next);
		if (next->seq > up_to || !event_continues(e, next))
			break;
		e = next;
	}
	write_piece(&data, first->type, first->id, first->stream, first->offset, buf_str(&text));
	if (last != first) {
		data.n--;
		buf_printf(&data, ",\"cuts\":[%s]}", cuts.p);
	}
	row->last_seq = last->seq;
	row->data = arena_str(a, buf_str(&data));
	return last;
}

size_t event_rows_make(struct arena *a, const struct list *events, uint64_t up_to, struct event_row **ret)
{
	size_t n = 0;

	for (const struct list *l = events->next; l != events && entry(l)->seq <= up_to; l = l->next)
		n++;
	struct event_row *rows = arena_alloc(a, MAX(n, 1u) * sizeof(*rows));
	n = 0;
	for (const struct list *l = events->next; l != events && entry(l)->seq <= up_to; l = l->next) {
		const struct event *e = entry(l);
		struct event_row *row = &rows[n++];
		*row = (struct event_row){.seq = e->seq, .last_seq = e->seq, .at = e->at, .type = e->type};
		if (is_piece(e->type))
			l = &make_pieces_row(a, events, e, up_to, row)->link;
		else
			row->data = arena_str(a, str_of(e->stored ? e->stored : e->data));
	}
	*ret = rows;
	return n;
}

struct piece {
	const char *id, *stream;
	uint64_t offset;
	struct str text;
};

static int split_pieces(const struct event_row *row, const struct piece *p, yyjson_val *cuts, uint64_t after,
			event_fn *fn, void *arg)
{
	uint64_t seq = row->seq, offset = 0;
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	int64_t at = row->at;
	yyjson_val *val;
	size_t i, max;
	uint64_t len = 0;

	yyjson_arr_foreach(cuts, i, max, val)
	{
		if (i % 2 == 0) {
			len = yyjson_get_uint(val);
			continue;
		}
		at += yyjson_get_sint(val);
		if (len > p->text.n - offset)
			return -EBADMSG;
		if (seq > after) {
			buf_clear(&out);
			write_piece(&out, row->type, p->id, p->stream, p->offset + offset,
				    (struct str){p->text.p + offset, len});
			fn(arg, seq, names[row->type], at, buf_str(&out));
		}
		offset += len;
		seq++;
	}
	return seq == row->last_seq + 1 ? 0 : -EBADMSG;
}

int event_row_split(const struct event_row *row, uint64_t after, event_fn *fn, void *arg)
{
	int r = 0;

	for (size_t i = 0; i < row->n_parts && r == 0; i++)
		r = event_row_split(&row->parts[i], after, fn, arg);
	if (row->parts)
		return r;
	if (row->seq == row->last_seq) {
		if (row->seq > after)
			fn(arg, row->seq, names[row->type], row->at, row->data);
		return 0;
	}
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_doc *doc = json_parse(a, row->data.p, row->data.n, NULL);
	yyjson_val *root = yyjson_doc_get_root(doc), *text = yyjson_obj_get(root, "text");
	struct piece p = {
		.id = json_get_str(root, row->type == EVENT_TEXT_DELTA ? "message_id" : "call_id", NULL),
		.stream = json_get_str(root, "stream", ""),
		.offset = (uint64_t)json_get_int(root, "offset", 0),
		.text = {yyjson_get_str(text), yyjson_get_len(text)},
	};
	if (!p.id || !p.text.p || !is_piece(row->type))
		return -EBADMSG;
	return split_pieces(row, &p, json_get_arr(root, "cuts"), after, fn, arg);
}

/* ---- The table ---- */

static int fill_ended(struct arena *a, struct event_row *row, yyjson_val *stored, const char *output)
{
	yyjson_val *error = yyjson_obj_get(stored, "error"), *usage = yyjson_obj_get(stored, "usage");
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	if (!error || !usage)
		return -EBADMSG;
	event_data_ended(&out, json_get_str(stored, "status", ""), output, json_val_text(a, error),
			 json_val_text(a, usage), json_get_int(stored, "duration_ms", 0));
	row->data = arena_str(a, buf_str(&out));
	return 0;
}

/* The message that was looked up last: the next reference is mostly to the same one. */
struct told {
	int64_t seq;
	const char *id;
	struct str content, tool_calls, citations;
};

static int find_message(struct db_conn *c, struct arena *a, const char *conversation_id, int64_t seq, struct told *m)
{
	if (m->seq == seq)
		return 0;
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select id, content, tool_calls, citations from messages where conversation_id = ? and seq = ?",
		DB_TEXT(conversation_id), DB_INT(seq));
	int r = db_step(c, st);

	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	*m = (struct told){
		.seq = seq,
		.id = db_col_dup(st, 0, a),
		.content = arena_str(a, db_col_str(st, 1)),
		.tool_calls = arena_str(a, db_col_str(st, 2)),
		.citations = arena_str(a, db_col_str(st, 3)),
	};
	return 0;
}

/* Puts a message's text in place of the reference to it. */
static int fill_row(struct db_conn *c, struct arena *a, const char *conversation_id, struct told *m,
		    struct event_row *row)
{
	yyjson_val *stored = yyjson_doc_get_root(json_parse(a, row->data.p, row->data.n, NULL));
	int64_t place = json_get_int(stored, "message_seq", 0);

	if (place == 0)
		return row->type == EVENT_ENDED ? fill_ended(a, row, stored, NULL) : 0;
	int r = find_message(c, a, conversation_id, place, m);
	if (r < 0)
		return r;
	if (row->type == EVENT_ENDED)
		return fill_ended(a, row, stored, m->content.p);
	if (row->type == EVENT_TEXT_DELTA)
		return event_pieces_fill(a, row, m->id, m->content);
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	if (row->type == EVENT_STARTED)
		event_data_started(&out, m->id, m->content);
	else if (row->type == EVENT_MESSAGE_ADDED)
		event_data_message_added(&out, m->id, m->content);
	else
		event_data_message_done(&out, m->id, m->content, m->tool_calls, m->citations);
	row->data = arena_str(a, buf_str(&out));
	return 0;
}

static bool refers_to_message(enum event_type t)
{
	return t == EVENT_STARTED || t == EVENT_MESSAGE_ADDED || t == EVENT_MESSAGE_DONE || t == EVENT_ENDED;
}

/* Of a folded row, each part; text.delta refers to a message there only. */
static int fill_rows(struct db_conn *c, struct arena *a, const char *conversation_id, struct event_row *rows, size_t n)
{
	struct told m = {0};
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct event_row *row = &rows[i];
		bool is_one = !row->parts;
		size_t n_parts = is_one ? 1 : row->n_parts;

		for (size_t k = 0; k < n_parts && r == 0; k++) {
			struct event_row *part = is_one ? row : &row->parts[k];
			if (refers_to_message(part->type) || (!is_one && part->type == EVENT_TEXT_DELTA))
				r = fill_row(c, a, conversation_id, &m, part);
		}
	}
	return r;
}

int event_rows_read(struct db_conn *c, struct arena *a, const char *execution_id, const char *conversation_id,
		    uint64_t after, size_t max_rows, struct event_row **ret)
{
	struct event_row *rows = arena_alloc(a, max_rows * sizeof(*rows));
	size_t n = 0;
	int r, type;
	struct db_stmt *st = db_query(c,
				      "select seq, last_seq, type, at, data from execution_events where "
				      "execution_id = ? and last_seq > ? order by seq limit ?",
				      DB_TEXT(execution_id), DB_INT((int64_t)after), DB_INT((int64_t)max_rows));

	while ((r = db_step(c, st)) > 0) {
		bool is_log = str_is(db_col_str(st, 2), EVENT_LOG);
		type = is_log ? EVENT_STARTED : event_type_from_name(db_col_str(st, 2));
		if (type < 0)
			continue; /* made by a newer program */
		rows[n++] = (struct event_row){
			.seq = (uint64_t)db_col_int(st, 0),
			.last_seq = (uint64_t)db_col_int(st, 1),
			.type = (enum event_type)type,
			.at = db_col_int(st, 3),
			.data = arena_str(a, db_col_str(st, 4)),
		};
		if (is_log && event_log_read(a, &rows[n - 1], after) < 0) {
			r = -EBADMSG;
			break;
		}
	}
	db_done(st);
	if (r == 0)
		r = fill_rows(c, a, conversation_id, rows, n);
	*ret = rows;
	return r < 0 ? r : (int)n;
}

int event_rows_insert(struct db_conn *c, const char *execution_id, const struct event_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* What will not be folded is long. */
		struct db_value data =
			rows[i].type == EVENT_CALL_OUTPUT ? DB_LONG_STR(rows[i].data) : DB_STR(rows[i].data);
		int64_t r =
			db_exec(c,
				"insert into execution_events (execution_id, seq, last_seq, type, at, data) values "
				"(?, ?, ?, ?, ?, ?)",
				DB_TEXT(execution_id), DB_INT((int64_t)rows[i].seq), DB_INT((int64_t)rows[i].last_seq),
				DB_TEXT(names[rows[i].type]), DB_INT(rows[i].at), data);
		if (r < 0)
			return (int)r;
	}
	return 0;
}
