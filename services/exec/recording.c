/* GET /api/commands/{id}/recording: what the command has shown so far as asciicast v2, made from the spool with its
 * times and the session's events (docs.asciinema.org/manual/asciicast/v2). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "lookup.h"
#include "session.h"
#include "spool.h"

#define PIECE_MAX (32 << 10)
#define DEFAULT_ROWS 24
#define DEFAULT_COLS 80

struct recording {
	struct exchange *x;
	struct spool_reader spool;
	uint64_t offset, end;
	bool is_terminal; /* otherwise line feeds need carriage returns to look right */
	bool is_whole;
	uint64_t at_ms; /* of the last event: times never go back */
	struct utf8_carry carry[3];
	struct str session; /* events that are not in the answer yet, each a line */
};

static void leave(struct exchange *x)
{
	struct recording *r = x->data;

	spool_reader_deinit(&r->spool);
	x->on_gone = NULL;
	if (x->req)
		x->req->on_drain = NULL;
}

/* "[12.345,…" */
static uint64_t line_ms(struct str line)
{
	return (uint64_t)(strtod(line.p + 1, NULL) * 1000 + 0.5);
}

/* Events of the session up to that time. */
static void add_session(struct recording *r, uint64_t until_ms, struct buf *out)
{
	while (r->session.n > 0) {
		const char *end = memchr(r->session.p, '\n', r->session.n);
		struct str line = {r->session.p, end ? (size_t)(end - r->session.p) + 1 : 0};

		if (line.n == 0) {
			r->session.n = 0; /* cut off in the middle by a crash */
			return;
		}
		if (line_ms(line) > until_ms)
			return;
		r->at_ms = MAX(r->at_ms, line_ms(line));
		buf_add(out, line.p, line.n);
		r->session.p += line.n;
		r->session.n -= line.n;
	}
}

static void add_text(struct recording *r, const struct spool_piece *p, const char *data, bool flush, struct buf *out)
{
	_cleanup_(buf_deinit) struct buf clean = BUF_INIT, text = BUF_INIT;

	utf8_clean(&r->carry[p->stream], data, p->n, flush, &clean);
	for (size_t i = 0; i < clean.n; i++) {
		if (clean.p[i] == '\n' && !r->is_terminal)
			buf_add_char(&text, '\r');
		buf_add_char(&text, clean.p[i]);
	}
	r->at_ms = MAX(r->at_ms, p->at_ms);
	if (text.n > 0)
		session_line(out, r->at_ms, 'o', buf_str(&text));
}

static void add_gap(struct recording *r, uint64_t bytes, struct buf *out)
{
	char text[64];

	snprintf(text, sizeof(text), "%llu bytes are not kept", (unsigned long long)bytes);
	session_line(out, r->at_ms, 'm', str_of(text));
}

static void add_rest(struct recording *r, struct buf *out)
{
	for (enum spool_stream i = SPOOL_STDOUT; i <= SPOOL_STDERR; i++) {
		struct spool_piece none = {.stream = i};

		if (r->carry[i].n > 0)
			add_text(r, &none, "", true, out);
	}
	add_session(r, UINT64_MAX, out);
}

/* The next few events. Returns false at the end. */
static bool next_events(struct recording *r, struct buf *out)
{
	static char data[PIECE_MAX];
	struct spool_piece piece = {0};

	if (r->offset < r->end &&
	    spool_read(&r->spool, r->offset, data, MIN(sizeof(data), r->end - r->offset), &piece) < 0)
		piece.n = 0;
	if (piece.n == 0) {
		add_rest(r, out);
		return false;
	}
	add_session(r, piece.at_ms, out);
	if (piece.skipped)
		add_gap(r, piece.skipped, out);
	add_text(r, &piece, data, false, out);
	r->offset = piece.offset + piece.n;
	return true;
}

static void pump(struct recording *r)
{
	struct http_request *req = r->x->req;
	bool has_room = true;

	while (has_room && !r->is_whole) {
		_cleanup_(buf_deinit) struct buf out = BUF_INIT;

		r->is_whole = !next_events(r, &out);
		if (out.n > 0)
			has_room = http_reply_write(req, out.p, out.n);
	}
	if (r->is_whole) {
		leave(r->x);
		http_reply_end(req);
	}
}

static void on_drain(struct http_request *req)
{
	struct exchange *x = req->owner;

	pump(x->data);
}

/* ---- The head ---- */

static const char *command_line(struct arena *a, const struct spec *s)
{
	struct buf b = BUF_INIT;
	const char *text;

	if (!s->argv)
		return s->script;
	for (char **arg = s->argv; *arg; arg++) {
		if (arg > s->argv)
			buf_add_char(&b, ' ');
		buf_add_str(&b, *arg);
	}
	text = arena_strndup(a, b.p, b.n);
	buf_deinit(&b);
	return text;
}

static const char *variable(const struct spec *s, const char *name, const char *def)
{
	size_t n = strlen(name);

	for (char **e = s->env; *e; e++)
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
			return *e + n + 1;
	return def;
}

static void write_head(struct exchange *x, const struct spec *s, const struct result *result)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *env;
	struct str text;

	yyjson_mut_obj_add_uint(doc, obj, "version", 2);
	yyjson_mut_obj_add_uint(doc, obj, "width", s->tty.cols ? s->tty.cols : DEFAULT_COLS);
	yyjson_mut_obj_add_uint(doc, obj, "height", s->tty.rows ? s->tty.rows : DEFAULT_ROWS);
	yyjson_mut_obj_add_sint(doc, obj, "timestamp", s->created_us / 1000000);
	if (result && result->started_us)
		yyjson_mut_obj_add_real(doc, obj, "duration",
					(double)((result->ended_us - result->started_us) / 1000) / 1000);
	yyjson_mut_obj_add_strcpy(doc, obj, "command", command_line(x->arena, s));
	yyjson_mut_obj_add_strcpy(doc, obj, "title", arena_printf(x->arena, "Ogent command %s", s->id));
	env = yyjson_mut_obj_add_obj(doc, obj, "env");
	yyjson_mut_obj_add_strcpy(doc, env, "TERM", variable(s, "TERM", "dumb"));
	yyjson_mut_obj_add_strcpy(doc, env, "SHELL", variable(s, "SHELL", "/bin/sh"));
	text = json_text(x->arena, doc);
	http_reply_write(x->req, text.p, text.n);
	http_reply_write(x->req, "\n", 1);
}

static void start_reply(struct exchange *x, const struct spec *s)
{
	struct http_headers headers = {.arena = x->arena};

	http_header_set(&headers, "Content-Type", "application/x-asciicast");
	http_header_set(&headers, "Content-Disposition",
			arena_printf(x->arena, "attachment; filename=\"%s.cast\"", s->id));
	http_header_set(&headers, "Cache-Control", "no-store");
	http_header_set(&headers, "X-Content-Type-Options", "nosniff");
	http_header_set(&headers, "X-Request-Id", x->request_id);
	http_reply_head(x->req, 200, &headers, -1);
}

static void recording_found(struct lookup *l)
{
	struct exchange *x = l->x;
	struct exec *e = x->self;
	const struct spec *spec = l->command ? &l->command->spec : &l->entry.spec;
	const struct result *result = !l->command                       ? &l->entry.result
				      : l->command->phase == PHASE_GONE ? &l->command->result
									: NULL;
	struct recording *r = arena_new_of(x->arena, struct recording);
	int dir = journal_folder(&e->journal, spec->id), err;

	r->x = x;
	r->spool.fd = -1;
	r->is_terminal = spec->tty.rows > 0;
	err = dir < 0 ? dir : spool_reader_open(&r->spool, dir);
	if (err == 0 && session_read(dir, x->arena, &r->session) < 0)
		r->session = (struct str){0};
	if (dir >= 0)
		close(dir);
	if (err < 0) {
		reply_problem(x, 500, "internal", "The output cannot be read; the log has the request id.");
		return;
	}
	r->end = spool_reader_total(&r->spool);
	x->data = r;
	x->on_gone = leave;
	x->req->on_drain = on_drain;
	start_reply(x, spec);
	write_head(x, spec, result);
	pump(r);
}

void commands_recording(struct exchange *x)
{
	lookup_command(x, recording_found);
}
