/* The log of an execution that has ended, in few rows.
 *
 * While it runs its events are rows of their own (event.c). With its end everything but output of calls becomes rows of
 * type "log": [[gap, n, dt, "type", data], …], where gap is how many numbers are left out in front, n how many events
 * it is, dt the microseconds since the one before. Text that stands in a message is not in it any more: data of a
 * text.delta names the place, and "cuts" the bytes of each piece, in base64 digits of five bits each, the lowest first,
 * with 32 for "more follows". The pieces come back as they were; only their times are spread evenly over "span". */
#include "agent/event_fold.h"

#include <errno.h>
#include <stdlib.h>

#include "base/json.h"

/* An execution with more than that keeps its rows: nothing long is done in the transaction that ends it. */
#define ROWS_MAX 2000
#define LOG_BYTES (32 * 1024)

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void add_cut(struct buf *out, uint64_t n)
{
	for (; n >= 32; n >>= 5)
		buf_add_char(out, digits[(n & 31) | 32]);
	buf_add_char(out, digits[n]);
}

/* Returns false at the end, or when it is none. */
static bool next_cut(const char **at, uint64_t *ret)
{
	unsigned shift = 0;

	for (*ret = 0; **at && shift < 60; shift += 5) {
		const char *digit = strchr(digits, *(*at)++);
		if (!digit)
			return false;
		*ret |= (uint64_t)((digit - digits) & 31) << shift;
		if (digit - digits < 32)
			return true;
	}
	return false;
}

/* ---- Making ---- */

struct fold {
	struct db_conn *c;
	struct arena *arena;
	const char *execution_id, *conversation_id;
	struct event_row *rows;
	size_t n;
	/* The row being made. */
	struct buf out;
	struct event_row log;
	int64_t at;
};

struct told {
	int64_t seq;
	const char *id;
	struct str content;
};

/* The message that the row message.done is about. */
static int find_message(struct fold *f, const struct event_row *row, struct told *ret)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(f->arena, row->data.p, row->data.n, NULL));

	*ret = (struct told){.seq = json_get_int(root, "message_seq", 0)};
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(f->c, "select id, content from messages where conversation_id = ? and seq = ?",
			 DB_TEXT(f->conversation_id), DB_INT(ret->seq));
	int r = db_step(f->c, st);

	if (r == 1) {
		ret->id = db_col_dup(st, 0, f->arena);
		ret->content = arena_str(f->arena, db_col_str(st, 1));
	}
	return MIN(r, 0);
}

static void write_cuts(struct buf *out, yyjson_val *cuts)
{
	int64_t span = 0;
	yyjson_val *val;
	size_t i, max;

	buf_add_str(out, ",\"cuts\":\"");
	yyjson_arr_foreach(cuts, i, max, val)
	{
		if (i % 2 == 0)
			add_cut(out, yyjson_get_uint(val));
		else
			span += yyjson_get_sint(val);
	}
	buf_printf(out, "\",\"span\":%lld", (long long)span);
}

/* Pieces whose text stands in the message name its place. */
static void refer_to_message(struct fold *f, struct event_row *row, const struct told *m)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(f->arena, row->data.p, row->data.n, NULL));
	yyjson_val *text = yyjson_obj_get(root, "text"), *cuts = yyjson_obj_get(root, "cuts");
	int64_t offset = json_get_int(root, "offset", -1);
	struct str s = {yyjson_get_str(text), yyjson_get_len(text)};
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	if (!m->id || !s.p || offset < 0 || strcmp(json_get_str(root, "message_id", ""), m->id) != 0)
		return;
	if ((uint64_t)offset > m->content.n || s.n > m->content.n - (size_t)offset ||
	    memcmp(m->content.p + offset, s.p, s.n) != 0)
		return;
	buf_printf(&out, "{\"message_seq\":%lld,\"offset\":%lld,\"bytes\":%zu", (long long)m->seq, (long long)offset,
		   s.n);
	if (cuts)
		write_cuts(&out, cuts);
	buf_add_char(&out, '}');
	row->data = arena_str(f->arena, buf_str(&out));
}

static int refer_to_messages(struct fold *f)
{
	struct told m = {0};
	int r = 0;

	for (size_t i = f->n; i-- > 0 && r == 0;) {
		if (f->rows[i].type == EVENT_MESSAGE_DONE)
			r = find_message(f, &f->rows[i], &m);
		else if (f->rows[i].type == EVENT_TEXT_DELTA)
			refer_to_message(f, &f->rows[i], &m);
	}
	return r;
}

static int insert(struct fold *f, const struct event_row *row, const char *type)
{
	return error_only(db_exec(f->c,
				  "insert into execution_events (execution_id, seq, last_seq, type, at, data) values "
				  "(?, ?, ?, ?, ?, ?)",
				  DB_TEXT(f->execution_id), DB_INT((int64_t)row->seq), DB_INT((int64_t)row->last_seq),
				  DB_TEXT(type), DB_INT(row->at), DB_LONG_STR(row->data)));
}

static int end_log(struct fold *f)
{
	if (f->out.n == 0)
		return 0;
	buf_add_char(&f->out, ']');
	f->log.data = buf_str(&f->out);
	int r = insert(f, &f->log, EVENT_LOG);
	buf_clear(&f->out);
	return r;
}

static void add_to_log(struct fold *f, const struct event_row *row)
{
	bool is_first = f->out.n == 0;

	if (is_first) {
		f->log = *row;
		f->at = row->at;
	}
	buf_add_str(&f->out, is_first ? "[[" : ",[");
	buf_add_number(&f->out, is_first ? 0 : row->seq - f->log.last_seq - 1);
	buf_add_char(&f->out, ',');
	buf_add_number(&f->out, row->last_seq - row->seq + 1);
	/* The clock may have been set back. */
	buf_add_str(&f->out, row->at < f->at ? ",-" : ",");
	buf_add_number(&f->out, row->at < f->at ? (uint64_t)(f->at - row->at) : (uint64_t)(row->at - f->at));
	buf_add_str(&f->out, ",\"");
	buf_add_str(&f->out, event_type_name(row->type));
	buf_add_str(&f->out, "\",");
	buf_add(&f->out, row->data.p, row->data.n);
	buf_add_char(&f->out, ']');
	f->log.last_seq = row->last_seq;
	f->at = row->at;
}

/* Returns their number, -E2BIG when they are too many, or -errno. Output is left where it is: seq says where. */
static int read_rows(struct fold *f, size_t more)
{
	struct db_stmt *st = db_query(f->c,
				      "select seq, last_seq, type, at, case when type = 'call.output' then '' else "
				      "data end from execution_events where execution_id = ? order by seq limit ?",
				      DB_TEXT(f->execution_id), DB_INT(ROWS_MAX + 1));
	size_t cap = 16;
	int r, type;

	f->rows = arena_alloc(f->arena, (cap + more) * sizeof(*f->rows));
	while ((r = db_step(f->c, st)) > 0) {
		type = event_type_from_name(db_col_str(st, 2));
		if (type < 0 || f->n == ROWS_MAX) {
			r = -E2BIG;
			break;
		}
		if (f->n == cap) {
			struct event_row *old = f->rows;
			f->rows = arena_alloc(f->arena, (2 * cap + more) * sizeof(*f->rows));
			memcpy(f->rows, old, cap * sizeof(*old));
			cap *= 2;
		}
		f->rows[f->n++] = (struct event_row){
			.seq = (uint64_t)db_col_int(st, 0),
			.last_seq = (uint64_t)db_col_int(st, 1),
			.type = (enum event_type)type,
			.at = db_col_int(st, 3),
			.data = arena_str(f->arena, db_col_str(st, 4)),
		};
	}
	db_done(st);
	return r;
}

static int write_rows(struct fold *f, size_t n_stored)
{
	int r = error_only(db_exec(f->c,
				   "delete from execution_events where execution_id = ? and type <> 'call.output'",
				   DB_TEXT(f->execution_id)));

	for (size_t i = 0; i < f->n && r == 0; i++) {
		const struct event_row *row = &f->rows[i];
		bool is_output = row->type == EVENT_CALL_OUTPUT;

		if (is_output || f->out.n > LOG_BYTES)
			r = end_log(f);
		if (is_output && i >= n_stored && r == 0)
			r = insert(f, row, event_type_name(row->type));
		if (!is_output)
			add_to_log(f, row);
	}
	return r < 0 ? r : end_log(f);
}

int event_rows_fold(struct db_conn *c, const char *execution_id, const char *conversation_id,
		    const struct event_row *rows, size_t n)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct fold f = {.c = c, .arena = a, .execution_id = execution_id, .conversation_id = conversation_id};
	int r = read_rows(&f, n);
	size_t n_stored = f.n;

	if (r == -E2BIG)
		return event_rows_insert(c, execution_id, rows, n);
	if (r < 0)
		return r;
	memcpy(f.rows + f.n, rows, n * sizeof(*rows));
	f.n += n;
	r = refer_to_messages(&f);
	if (r == 0)
		r = write_rows(&f, n_stored);
	buf_deinit(&f.out);
	return r;
}

/* ---- Reading ---- */

/* The parts of a log from the one on that has a number above `after`. */
static int read_log(struct arena *a, const struct event_row *log, uint64_t after, struct event_row **ret, size_t *ret_n)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, log->data.p, log->data.n, NULL)), *part;
	struct event_row *rows = arena_alloc(a, (yyjson_arr_size(root) + 1) * sizeof(*rows));
	uint64_t seq = log->seq;
	int64_t at = log->at;
	size_t i, max, n = 0;

	yyjson_arr_foreach(root, i, max, part)
	{
		uint64_t count = yyjson_get_uint(yyjson_arr_get(part, 1));
		yyjson_val *name = yyjson_arr_get(part, 3);
		int type = event_type_from_name((struct str){yyjson_get_str(name), yyjson_get_len(name)});

		seq += yyjson_get_uint(yyjson_arr_get(part, 0)) + count;
		at += yyjson_get_sint(yyjson_arr_get(part, 2));
		if (count == 0 || seq - 1 > log->last_seq)
			return -EBADMSG;
		if (type < 0 || seq - 1 <= after)
			continue;
		rows[n++] = (struct event_row){.seq = seq - count,
					       .last_seq = seq - 1,
					       .at = at,
					       .type = (enum event_type)type,
					       .data = json_val_text(a, yyjson_arr_get(part, 4))};
	}
	*ret = rows;
	*ret_n = n;
	return 0;
}

int event_log_read(struct arena *a, struct event_row *log, uint64_t after)
{
	return read_log(a, log, after, &log->parts, &log->n_parts);
}

int event_pieces_fill(struct arena *a, struct event_row *row, const char *message_id, struct str content)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, row->data.p, row->data.n, NULL));
	uint64_t offset = (uint64_t)json_get_int(root, "offset", 0), bytes = (uint64_t)json_get_int(root, "bytes", 0);
	int64_t n = (int64_t)(row->last_seq - row->seq), span = json_get_int(root, "span", 0);
	const char *cut = json_get_str(root, "cuts", "");
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	uint64_t len;

	if (offset > content.n || bytes > content.n - offset)
		return -EBADMSG;
	buf_printf(&out, "{\"message_id\":\"%s\",\"offset\":%llu,\"text\":", message_id, (unsigned long long)offset);
	json_quote(&out, (struct str){content.p + offset, bytes});
	for (int64_t i = 0; next_cut(&cut, &len); i++)
		buf_printf(&out, "%s%llu,%lld", i ? "," : ",\"cuts\":[", (unsigned long long)len,
			   i && n > 0 ? (long long)(span * i / n - span * (i - 1) / n) : 0);
	buf_add_str(&out, n > 0 ? "]}" : "}");
	row->data = arena_str(a, buf_str(&out));
	return 0;
}

static const char *last_state(struct arena *a, struct event_row *log, uint64_t up_to)
{
	const char *found = NULL;

	if (event_log_read(a, log, 0) < 0)
		return NULL;
	for (size_t i = 0; i < log->n_parts && log->parts[i].seq <= up_to; i++)
		if (log->parts[i].type == EVENT_STATE)
			found = log->parts[i].data.p;
	return found;
}

int event_state_at(struct db_conn *c, struct arena *a, const char *execution_id, uint64_t up_to, const char **ret)
{
	struct db_stmt *st =
		db_query(c,
			 "select seq, last_seq, type, at, data from execution_events where execution_id = "
			 "? and type in ('execution.state', '" EVENT_LOG "') and seq <= ? order by seq desc",
			 DB_TEXT(execution_id), DB_INT((int64_t)up_to));
	int r;

	*ret = NULL;
	while (!*ret && (r = db_step(c, st)) > 0) {
		struct event_row row = {.seq = (uint64_t)db_col_int(st, 0),
					.last_seq = (uint64_t)db_col_int(st, 1),
					.at = db_col_int(st, 3),
					.data = arena_str(a, db_col_str(st, 4))};
		*ret = str_is(db_col_str(st, 2), EVENT_LOG) ? last_state(a, &row, up_to) : row.data.p;
	}
	db_done(st);
	return *ret ? 1 : r;
}
