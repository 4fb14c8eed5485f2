#include "follower.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "command.h"

#define PIECE_MAX (32 << 10)
#define HOLD_MS 20

static const char *const stream_names[] = {"", "stdout", "stderr"};

static void follower_leave(struct follower *s)
{
	s->x->on_gone = NULL;
	if (s->x->req)
		s->x->req->on_drain = NULL;
	list_remove(&s->watcher.link);
	spool_reader_deinit(&s->spool);
	if (s->command)
		command_unref(s->command);
	s->command = NULL;
}

/* The client left, or the service is draining: the command goes on. */
static void on_gone(struct exchange *x)
{
	follower_leave(x->data);
}

static void pump(struct follower *s);

static void on_drain(struct http_request *r)
{
	struct exchange *x = r->owner;
	struct follower *s = x->data;

	s->is_blocked = false;
	pump(s);
}

/* ---- Events ---- */

static void send_command(struct follower *s, const char *event)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *command = yyjson_mut_obj_add_obj(doc, obj, "command");

	if (s->has_ended)
		command_add_json(doc, command, &s->spec, &s->result, 0, 0);
	else
		command_add_live(doc, command, s->command);
	if (!reply_sse(s->x, 0, event, json_text(a, doc)))
		s->is_blocked = true;
}

static void send_skipped(struct follower *s, uint64_t offset, uint64_t bytes)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;

	buf_printf(&b, "{\"offset\":%llu,\"bytes\":%llu}", (unsigned long long)offset, (unsigned long long)bytes);
	if (!reply_sse(s->x, 0, "skipped", buf_str(&b)))
		s->is_blocked = true;
}

static void send_waiting(struct follower *s)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;

	s->is_waiting = s->command->is_waiting;
	if (!s->is_waiting || !s->x->req)
		return;
	buf_printf(&b, "{\"offset\":%llu}", (unsigned long long)s->offset);
	if (!reply_sse(s->x, 0, "waiting", buf_str(&b)))
		s->is_blocked = true;
}

static void send_exact(struct follower *s, const struct spool_piece *p, const char *data)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;

	buf_printf(&b, "{\"stream\":\"%s\",\"offset\":%llu,\"bytes\":%zu,\"at_ms\":%u,\"base64\":\"",
		   stream_names[p->stream], (unsigned long long)p->offset, p->n, p->at_ms);
	base64_encode(&b, data, p->n);
	buf_add_str(&b, "\"}");
	if (!reply_sse(s->x, 0, "output", buf_str(&b)))
		s->is_blocked = true;
}

/* The text of a piece; bytes of a character that is not whole yet wait for the next one. */
static void send_output(struct follower *s, const struct spool_piece *p, const char *data, bool flush)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, b = BUF_INIT;
	struct utf8_carry *carry = &s->carry[p->stream];
	unsigned before = carry->n;

	utf8_clean(carry, data, p->n, flush, &text);
	if (text.n == 0)
		return;
	buf_printf(&b,
		   "{\"stream\":\"%s\",\"offset\":%llu,\"bytes\":%llu,\"at_ms\":%u,\"data\":", stream_names[p->stream],
		   (unsigned long long)(p->offset - before), (unsigned long long)(before + p->n - carry->n), p->at_ms);
	json_quote(&b, buf_str(&text));
	buf_add_char(&b, '}');
	if (!reply_sse(s->x, 0, "output", buf_str(&b)))
		s->is_blocked = true;
}

static void finish(struct follower *s)
{
	for (enum spool_stream i = SPOOL_STDOUT; i <= SPOOL_STDERR; i++) {
		struct spool_piece none = {.offset = s->offset, .stream = i};

		if (s->carry[i].n > 0)
			send_output(s, &none, "", true);
	}
	send_command(s, "ended");
	reply_sse_end(s->x);
	follower_leave(s);
}

/* Most commands are followed from their start, and many have nothing to say. */
static int open_spool(struct follower *s)
{
	struct exec *e = s->x->self;
	int dir, r;

	if (s->spool.fd >= 0 || !(s->has_ended ? result_has_output(&s->result) : s->command->has_shown))
		return 0;
	dir = journal_folder(&e->journal, s->spec.id);
	if (dir < 0)
		return dir;
	r = spool_reader_open(&s->spool, dir);
	close(dir);
	return r;
}

static void pump(struct follower *s)
{
	static char data[PIECE_MAX];
	struct spool_piece piece;

	while (s->x->req && !s->is_blocked) {
		if (open_spool(s) < 0 || spool_read(&s->spool, s->offset, data, sizeof(data), &piece) < 0) {
			http_reply_abort(s->x->req); /* on_gone follows */
			return;
		}
		if (piece.n == 0 && s->has_ended) {
			finish(s);
			return;
		}
		if (piece.n == 0) {
			command_seen(s->command);
			return;
		}
		if (piece.skipped)
			send_skipped(s, s->offset, piece.skipped);
		if (s->is_exact)
			send_exact(s, &piece, data);
		else
			send_output(s, &piece, data, false);
		s->offset = piece.offset + piece.n;
	}
}

static void on_output(struct watcher *w)
{
	pump(container_of(w, struct follower, watcher));
}

static void on_input(struct watcher *w)
{
	struct follower *s = container_of(w, struct follower, watcher);

	pump(s);
	if (s->command && s->is_waiting != s->command->is_waiting)
		send_waiting(s);
}

static void on_end(struct watcher *w)
{
	struct follower *s = container_of(w, struct follower, watcher);

	s->has_ended = true;
	s->result = s->command->result;
	pump(s);
}

static bool is_exact(const struct exchange *x)
{
	const char *value = http_query_get(x->arena, x->req->query, "encoding");

	return value && strcmp(value, "base64") == 0;
}

/* ---- Starting ---- */

static struct follower *follower_new(struct exchange *x, const struct spec *spec, uint64_t offset)
{
	struct follower *s = arena_new_of(x->arena, struct follower);

	list_init(&s->watcher.link);
	s->watcher.on_output = on_output;
	s->watcher.on_input = on_input;
	s->watcher.on_end = on_end;
	s->is_exact = is_exact(x);
	s->x = x;
	s->spec = *spec;
	s->offset = offset;
	s->spool.fd = -1;
	x->data = s;
	x->on_gone = on_gone;
	return s;
}

/* Most commands are short and silent: their beginning is told with their end. Whoever is to type is told at once. */
static bool may_hold(const struct follower *s)
{
	return s->command && !s->has_ended && !s->command->has_shown && !s->command->spec.has_input;
}

/* The stream may be over when reply_sse_start returns: a draining service cuts it. */
static void begin(struct follower *s)
{
	struct exchange *x = s->x;

	if (!x->req) {
		follower_leave(s);
		return;
	}
	x->req->on_drain = on_drain;
	reply_sse_start(x);
	send_command(s, "started");
	pump(s);
	if (s->command && s->command->is_waiting)
		send_waiting(s);
	if (may_hold(s))
		reply_sse_hold(x, HOLD_MS);
}

void follower_live(struct exchange *x, struct command *c, uint64_t offset)
{
	struct follower *s;

	if (c->phase == PHASE_GONE) {
		follower_ended(x, &c->spec, &c->result, offset, c);
		return;
	}
	s = follower_new(x, &c->spec, offset);
	s->command = c;
	command_ref(c);
	list_append(&c->watchers, &s->watcher.link);
	begin(s);
}

void follower_ended(struct exchange *x, const struct spec *spec, const struct result *result, uint64_t offset,
		    struct command *keep)
{
	struct follower *s = follower_new(x, spec, offset);

	s->command = keep;
	if (keep)
		command_ref(keep);
	s->has_ended = true;
	s->result = *result;
	begin(s);
}
