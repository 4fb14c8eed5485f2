/* POST /api/commands/{id}/stdin: the body goes into the command's stdin as fast as that takes it; what does not fit
 * waits at the client. One request at a time. Signals and sizes of the terminal. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lookup.h"

#define INPUT_BODY_MAX (1ull << 30)

struct input {
	struct watcher watcher;
	struct exchange *x;
	struct command *command; /* held */
	struct buf chunk;        /* of the body, on its way */
	uint64_t skip;           /* bytes that the command has already */
	bool closes;             /* stdin ends with the body */
	bool is_whole;           /* all of the body is here */
};

static void reply_ended(struct exchange *x)
{
	reply_problem(x, 409, "command_ended", "The command has ended.");
}

static void reply_closed(struct exchange *x)
{
	reply_problem(x, 409, "stdin_closed",
		      "The command's stdin is closed. To write to it, make the command with \"stdin_open\": true.");
}

static void input_leave(struct input *in)
{
	list_remove(&in->watcher.link);
	in->x->on_gone = NULL;
	if (in->x->req) {
		in->x->req->on_body = NULL;
		in->x->req->on_body_end = NULL;
		http_body_resume(in->x->req);
	}
	buf_deinit(&in->chunk);
	in->command->input.is_busy = false;
	command_unref(in->command);
	in->command = NULL;
}

static void on_gone(struct exchange *x)
{
	input_leave(x->data);
}

static void reply_input(struct exchange *x, const struct command *c)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	yyjson_mut_obj_add_uint(doc, obj, "input_bytes", c->input.sent);
	reply_json(x, 200, doc);
}

static void finish(struct input *in)
{
	struct exchange *x = in->x;
	struct command *c = in->command;
	int r = in->closes ? command_input_end(c) : 0;

	command_ref(c);
	input_leave(in);
	if (r == -EAGAIN)
		reply_busy(x);
	else
		reply_input(x, c);
	command_unref(c);
}

static void input_pump(struct input *in)
{
	struct command *c = in->command;
	ssize_t n = 0;

	if (in->chunk.n > 0)
		n = command_input(c, in->chunk.p, in->chunk.n);
	if (n < 0) {
		struct exchange *x = in->x;

		input_leave(in);
		reply_closed(x);
		return;
	}
	buf_consume(&in->chunk, (size_t)n);
	if (in->chunk.n > 0)
		http_body_pause(in->x->req);
	else if (in->is_whole)
		finish(in);
	else
		http_body_resume(in->x->req);
}

static void on_input(struct watcher *w)
{
	input_pump(container_of(w, struct input, watcher));
}

static void on_end(struct watcher *w)
{
	struct input *in = container_of(w, struct input, watcher);
	struct exchange *x = in->x;

	input_leave(in);
	reply_ended(x);
}

static void on_body(struct http_request *r, const char *data, size_t n)
{
	struct input *in = ((struct exchange *)r->owner)->data;
	size_t skip = MIN(n, in->skip);

	in->skip -= skip;
	buf_add(&in->chunk, data + skip, n - skip);
	input_pump(in);
}

static void on_body_end(struct http_request *r)
{
	struct input *in = ((struct exchange *)r->owner)->data;

	in->is_whole = true;
	input_pump(in);
}

/* A client that does not know what arrived says where its bytes belong: those that are there already are passed over.
 * Returns false after answering. */
static bool read_offset(struct exchange *x, const struct command *c, uint64_t *ret_skip)
{
	const char *text = http_query_get(x->arena, x->req->query, "offset");
	uint64_t offset = c->input.sent;

	if (text && str_to_u64(str_of(text), INT64_MAX, &offset) < 0) {
		reply_problem(x, 400, "bad_request", "offset is a number of bytes.");
		return false;
	}
	if (offset > c->input.sent) {
		reply_problem(x, 409, "input_gap", "The command has %llu bytes of input: go on from there.",
			      (unsigned long long)c->input.sent);
		return false;
	}
	*ret_skip = c->input.sent - offset;
	return true;
}

static bool may_write(struct exchange *x, const struct spec *spec)
{
	if (command_is_writable(&x->who, spec))
		return true;
	reply_problem(x, 403, "forbidden", "Only its owner, or who has commands.run_any, may do this to a command.");
	return false;
}

static void input_found(struct lookup *l)
{
	struct exchange *x = l->x;
	struct command *c = l->command;
	const char *close = http_query_get(x->arena, x->req->query, "close");
	struct input *in = arena_new_of(x->arena, struct input);

	if (!may_write(x, c ? &c->spec : &l->entry.spec))
		return;
	if (!c || c->phase == PHASE_GONE) {
		reply_ended(x);
		return;
	}
	if (!c->spec.has_input || c->input.is_closed) {
		reply_closed(x);
		return;
	}
	if (c->input.is_busy) {
		reply_problem(x, 409, "stdin_busy", "Another request writes to the command's stdin. Wait for its end.");
		return;
	}
	if (!read_offset(x, c, &in->skip))
		return;
	in->x = x;
	in->command = c;
	in->closes = close && strcmp(close, "1") == 0;
	in->watcher = (struct watcher){.on_input = on_input, .on_end = on_end};
	c->input.is_busy = true;
	command_ref(c);
	list_append(&c->watchers, &in->watcher.link);
	x->data = in;
	x->on_gone = on_gone;
	http_set_max_body(x->req, INPUT_BODY_MAX);
	x->req->on_body = on_body;
	x->req->on_body_end = on_body_end;
}

void commands_stdin(struct exchange *x)
{
	lookup_command(x, input_found);
}

/* ---- Signals and sizes ---- */

static const struct {
	const char *name;
	int number;
} signals[] = {{"INT", SIGINT},   {"TERM", SIGTERM}, {"HUP", SIGHUP},   {"KILL", SIGKILL},
	       {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"QUIT", SIGQUIT}, {"CONT", SIGCONT}};

int command_signal_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (strcmp(signals[i].name, name) == 0)
			return signals[i].number;
	return -EINVAL;
}

/* The answer to what was asked of a command that runs. */
static void answer(struct exchange *x, struct command *c, int r)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (r == -ENOTSUP) {
		reply_problem(x, 501, "not_on_this_target",
			      "Commands on a target over SSH take neither input nor signals; cancel works.");
	} else if (r == -EAGAIN || (r == -ESRCH && c->phase != PHASE_GONE)) {
		reply_busy(x);
	} else if (r < 0) {
		reply_ended(x);
	} else {
		obj = json_new_obj(x->arena, &doc);
		command_add_live(doc, obj, c);
		reply_json(x, 202, doc);
	}
}

static void signal_found(struct lookup *l)
{
	static const struct json_field fields[] = {{"signal", JSON_STRING, true, 1, 8},
						   {"to", JSON_STRING, false, 1, 8}};
	struct exchange *x = l->x;
	struct error err = {0};
	const char *to;
	int sig;

	if (!may_write(x, l->command ? &l->command->spec : &l->entry.spec))
		return;
	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	sig = command_signal_number(json_get_str(x->body, "signal", ""));
	to = json_get_str(x->body, "to", "group");
	if (sig < 0)
		reply_problem(x, 422, "invalid_field",
			      "signal is one of INT, TERM, HUP, KILL, USR1, USR2, QUIT and CONT.");
	else if (strcmp(to, "group") != 0 && strcmp(to, "leader") != 0)
		reply_problem(x, 422, "invalid_field", "to is \"group\" or \"leader\".");
	else if (!l->command)
		reply_ended(x);
	else
		answer(x, l->command, command_signal(l->command, sig, strcmp(to, "leader") == 0));
}

void commands_signal(struct exchange *x)
{
	lookup_command(x, signal_found);
}

static void resize_found(struct lookup *l)
{
	struct exchange *x = l->x;
	struct error err = {0};
	struct tty_size size;

	if (!may_write(x, l->command ? &l->command->spec : &l->entry.spec))
		return;
	if (tty_size_read(x->body, &size, &err) < 0)
		reply_error(x, 422, &err);
	else if (!l->command)
		reply_ended(x);
	else if (!l->command->spec.tty.rows)
		reply_problem(x, 409, "no_terminal", "The command has no terminal. Make it with \"tty\".");
	else
		answer(x, l->command, command_resize(l->command, &size));
}

void commands_resize(struct exchange *x)
{
	lookup_command(x, resize_found);
}

int tty_size_read(yyjson_val *obj, struct tty_size *ret, struct error *err)
{
	int64_t rows = json_get_int(obj, "rows", 0), cols = json_get_int(obj, "cols", 0);

	if (rows < 1 || rows > TTY_SIZE_MAX || cols < 1 || cols > TTY_SIZE_MAX)
		return error_set(err, "invalid_field", "rows and cols are numbers from 1 to %d.", TTY_SIZE_MAX);
	*ret = (struct tty_size){(unsigned)rows, (unsigned)cols};
	return 0;
}
