/* GET /api/commands/{id}/terminal: a command by WebSocket. Binary messages are bytes: from the client for stdin, to the
 * client of the output, from the offset that `ready` names on. Text messages are JSON with a type. Any number of
 * clients may look on; who may not write gets the output alone. What one does not take waits in the spool, never in
 * memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/ws.h"
#include "lookup.h"
#include "service/keyring.h"
#include "service/revocation.h"
#include "spool.h"

#define AUTH_MS 10000
#define MESSAGE_MAX (64 << 10)
#define INPUT_QUEUE_MAX (1 << 20) /* typed, and not taken by the command */
#define QUEUE_HIGH (256 << 10)
#define PIECE_MAX (16 << 10)
#define CLOSE_UNAUTHORIZED 4401
#define CLOSE_NOT_FOUND 4404
#define CLOSE_TRY_AGAIN 1013

/* What it waits for. */
enum terminal_state {
	TERMINAL_SIGNING_IN, /* the client's token */
	TERMINAL_FINDING,    /* the journal */
	TERMINAL_OPEN,       /* output, input */
	TERMINAL_ENDING,     /* the connection's close */
};

struct terminal {
	struct list link; /* in exec's terminals */
	struct exec *exec;
	struct ws_conn *ws;
	enum terminal_state state;
	struct arena *arena;      /* of the message that is handled */
	struct deadline deadline; /* for the token, then its expiry */
	struct key_wait key_wait;
	char *token;
	struct identity who; /* in who_arena */
	struct arena *who_arena;
	unsigned refs; /* the connection's, the job's */

	char id[ID_SIZE];
	struct job job;
	struct journal_entry entry; /* of a command that has ended; in entry_arena */
	struct arena *entry_arena;
	int result;
	struct watcher watcher;
	struct command *command; /* held; NULL: it had ended before */
	bool has_ended, may_write, is_waiting;
	struct buf input; /* typed, on its way */
	bool input_ends;
	struct spool_reader spool;
	int dir_fd;
	uint64_t offset;
};

static void pump(struct terminal *t);
static void check_token(struct terminal *t, struct str token, bool may_wait);

/* ---- Coming and going ---- */

static void terminal_unref(struct terminal *t)
{
	if (--t->refs)
		return;
	arena_free(t->arena);
	arena_free(t->entry_arena);
	arena_free(t->who_arena);
	buf_deinit(&t->input);
	free(t->token);
	free(t);
}

static void let_go(struct terminal *t)
{
	deadline_clear(&t->deadline);
	key_wait_cancel(&t->key_wait);
	list_remove(&t->watcher.link);
	spool_reader_deinit(&t->spool);
	if (t->dir_fd >= 0)
		close(t->dir_fd);
	t->dir_fd = -1;
	if (t->command)
		command_unref(t->command);
	t->command = NULL;
}

static void end(struct terminal *t, int code, const char *reason)
{
	if (t->state == TERMINAL_ENDING)
		return;
	t->state = TERMINAL_ENDING;
	let_go(t);
	ws_close(t->ws, code, reason);
}

static void on_close(void *owner, int code)
{
	struct terminal *t = owner;

	t->state = TERMINAL_ENDING;
	let_go(t);
	list_remove(&t->link);
	t->ws = NULL;
	terminal_unref(t);
}

void terminals_end(struct exec *e)
{
	struct terminal *t;

	list_foreach (t, &e->terminals, struct terminal, link)
		end(t, 1001, "the service stops");
}

void terminals_cut(struct exec *e)
{
	struct terminal *t;

	terminals_end(e);
	list_foreach (t, &e->terminals, struct terminal, link)
		ws_cut(t->ws);
}

/* ---- Out ---- */

static yyjson_mut_val *message_new(struct terminal *t, const char *type, yyjson_mut_doc **ret)
{
	yyjson_mut_val *obj;

	arena_reset(t->arena);
	obj = json_new_obj(t->arena, ret);
	yyjson_mut_obj_add_str(*ret, obj, "type", type);
	return obj;
}

static void message_send(struct terminal *t, yyjson_mut_doc *doc)
{
	struct str text = json_text(t->arena, doc);

	ws_send(t->ws, WS_TEXT, text.p, text.n);
}

static void send_type(struct terminal *t, const char *type)
{
	yyjson_mut_doc *doc;

	message_new(t, type, &doc);
	message_send(t, doc);
}

static void send_error(struct terminal *t, const char *code, const char *text)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = message_new(t, "error", &doc);

	yyjson_mut_obj_add_str(doc, obj, "code", code);
	yyjson_mut_obj_add_strcpy(doc, obj, "message", text);
	message_send(t, doc);
}

static void add_command(struct terminal *t, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	yyjson_mut_val *command = yyjson_mut_obj_add_obj(doc, obj, "command");

	if (t->command)
		command_add_live(doc, command, t->command);
	else
		command_add_json(doc, command, &t->entry.spec, &t->entry.result, t->entry.started_us, t->entry.total);
}

static void send_ready(struct terminal *t)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = message_new(t, "ready", &doc);

	yyjson_mut_obj_add_uint(doc, obj, "offset", t->offset);
	yyjson_mut_obj_add_uint(doc, obj, "input_bytes", t->command ? t->command->input.sent : 0);
	yyjson_mut_obj_add_bool(doc, obj, "may_write", t->may_write);
	add_command(t, doc, obj);
	message_send(t, doc);
}

static void send_waiting(struct terminal *t)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (t->is_waiting == t->command->is_waiting)
		return;
	t->is_waiting = t->command->is_waiting;
	obj = message_new(t, "waiting", &doc);
	yyjson_mut_obj_add_bool(doc, obj, "waiting_for_input", t->is_waiting);
	message_send(t, doc);
}

static void send_skipped(struct terminal *t, uint64_t bytes)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = message_new(t, "skipped", &doc);

	yyjson_mut_obj_add_uint(doc, obj, "offset", t->offset);
	yyjson_mut_obj_add_uint(doc, obj, "bytes", bytes);
	message_send(t, doc);
}

static void finish(struct terminal *t)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = message_new(t, "ended", &doc);

	add_command(t, doc, obj);
	message_send(t, doc);
	end(t, 1000, "the command has ended");
}

/* As fast as the client takes it. */
static void pump(struct terminal *t)
{
	static char data[PIECE_MAX];
	struct spool_piece piece;

	while (t->state == TERMINAL_OPEN && ws_queued(t->ws) < QUEUE_HIGH) {
		if ((t->spool.fd < 0 && spool_reader_open(&t->spool, t->dir_fd) < 0) ||
		    spool_read(&t->spool, t->offset, data, sizeof(data), &piece) < 0) {
			end(t, 1011, "the output cannot be read");
			return;
		}
		if (piece.n == 0 && t->has_ended)
			finish(t);
		else if (piece.n == 0)
			command_seen(t->command);
		if (piece.n == 0)
			return;
		if (piece.skipped)
			send_skipped(t, piece.skipped);
		ws_send(t->ws, WS_BINARY, data, piece.n);
		t->offset = piece.offset + piece.n;
	}
}

static void on_drain(void *owner)
{
	pump(owner);
}

/* ---- Input ---- */

static void pump_input(struct terminal *t)
{
	ssize_t n;

	if (t->has_ended || t->command->input.is_busy)
		return;
	n = t->input.n ? command_input(t->command, t->input.p, t->input.n) : 0;
	if (n < 0) {
		buf_clear(&t->input);
		send_error(t, "stdin_closed", "The command's stdin is closed.");
		return;
	}
	buf_consume(&t->input, (size_t)n);
	if (t->input.n == 0 && t->input_ends) {
		t->input_ends = false;
		command_input_end(t->command);
	}
}

static bool may_write(struct terminal *t)
{
	if (!t->may_write)
		send_error(t, "forbidden", "You may look on; typing needs to be its owner or commands.run_any.");
	else if (t->has_ended)
		send_error(t, "command_ended", "The command has ended.");
	return t->may_write && !t->has_ended;
}

static void on_bytes(struct terminal *t, const char *data, size_t n)
{
	if (t->state != TERMINAL_OPEN) {
		end(t, CLOSE_UNAUTHORIZED, "send a token first");
		return;
	}
	if (!may_write(t))
		return;
	if (t->input.n + n > INPUT_QUEUE_MAX) {
		end(t, 1008, "the command does not read so much");
		return;
	}
	buf_add(&t->input, data, n);
	pump_input(t);
}

static void on_resize(struct terminal *t, yyjson_val *message)
{
	struct error err = {0};
	struct tty_size size;

	if (!may_write(t))
		return;
	if (tty_size_read(message, &size, &err) < 0)
		send_error(t, "invalid_message", err.message);
	else if (!t->command->spec.tty.rows)
		send_error(t, "no_terminal", "The command has no terminal.");
	else if (command_resize(t->command, &size) < 0)
		send_error(t, "unavailable", "The size could not be set. Try again.");
}

static void on_signal(struct terminal *t, yyjson_val *message)
{
	int sig = command_signal_number(json_get_str(message, "signal", ""));
	bool leader_alone = strcmp(json_get_str(message, "to", "group"), "leader") == 0;

	if (!may_write(t))
		return;
	if (sig < 0)
		send_error(t, "invalid_message", "signal is one of INT, TERM, HUP, KILL, USR1, USR2, QUIT and CONT.");
	else if (command_signal(t->command, sig, leader_alone) < 0)
		send_error(t, "unavailable", "The signal could not be sent. Try again.");
}

static void on_input_end(struct terminal *t, yyjson_val *message)
{
	if (!may_write(t))
		return;
	t->input_ends = true;
	pump_input(t);
}

/* ---- The command ---- */

static void on_output(struct watcher *w)
{
	pump(container_of(w, struct terminal, watcher));
}

static void on_input(struct watcher *w)
{
	struct terminal *t = container_of(w, struct terminal, watcher);

	pump(t);
	if (t->state == TERMINAL_OPEN)
		send_waiting(t);
	if (t->state == TERMINAL_OPEN && t->may_write)
		pump_input(t);
}

static void on_end(struct watcher *w)
{
	struct terminal *t = container_of(w, struct terminal, watcher);

	list_remove(&t->watcher.link);
	t->has_ended = true;
	pump(t);
}

static void set_rights(struct terminal *t, const struct spec *spec)
{
	bool is_own = strcmp(t->who.user_id, spec->user_id) == 0;

	t->may_write = identity_may(&t->who, is_own ? "commands.run" : "commands.run_any");
}

static bool may_look(const struct terminal *t, const struct spec *spec)
{
	bool is_own = strcmp(t->who.user_id, spec->user_id) == 0;

	return identity_may(&t->who, is_own ? "commands.read" : "commands.read_any");
}

static void attach(struct terminal *t, const struct spec *spec)
{
	if (!may_look(t, spec)) {
		end(t, CLOSE_NOT_FOUND, "there is no such command, or it is not yours");
		return;
	}
	t->dir_fd = journal_folder(&t->exec->journal, t->id);
	set_rights(t, spec);
	t->state = TERMINAL_OPEN;
	send_ready(t);
	if (t->command && t->command->is_waiting)
		send_waiting(t);
	pump(t);
}

static void attach_live(struct terminal *t, struct command *c)
{
	t->command = c;
	command_ref(c);
	t->watcher = (struct watcher){.on_output = on_output, .on_input = on_input, .on_end = on_end};
	list_append(&c->watchers, &t->watcher.link);
	attach(t, &c->spec);
}

static void find_run(struct job *job)
{
	struct terminal *t = container_of(job, struct terminal, job);

	t->result = journal_load(&t->exec->journal, t->id, t->entry_arena, &t->entry);
}

static void find_done(struct job *job)
{
	struct terminal *t = container_of(job, struct terminal, job);
	struct command *c;

	if (t->state == TERMINAL_FINDING) {
		if (t->result == 0 && !t->entry.has_result && !command_by_id(t->exec, t->id))
			command_adopt(t->exec, t->id);
		c = command_by_id(t->exec, t->id);
		if (c) {
			attach_live(t, c);
		} else if (t->result < 0 || !t->entry.has_result) {
			end(t, CLOSE_NOT_FOUND, "there is no such command, or it is not yours");
		} else {
			t->has_ended = true;
			attach(t, &t->entry.spec);
		}
	}
	terminal_unref(t);
}

static void find(struct terminal *t)
{
	struct command *c = command_by_id(t->exec, t->id);

	t->state = TERMINAL_FINDING;
	if (c && c->phase == PHASE_RUNNING) {
		attach_live(t, c);
		return;
	}
	t->job = (struct job){.run = find_run, .done = find_done};
	if (job_submit(t->exec->lane, &t->job) < 0)
		end(t, CLOSE_TRY_AGAIN, "there is too much to do");
	else
		t->refs++;
}

/* ---- The token ---- */

static void on_deadline(struct deadline *d)
{
	struct terminal *t = container_of(d, struct terminal, deadline);

	end(t, CLOSE_UNAUTHORIZED, t->state == TERMINAL_SIGNING_IN ? "no token came in time" : "the token expired");
}

static const char *const *copy_list(struct arena *a, const char *const *list)
{
	const char **copy;
	size_t n = 0;

	while (list && list[n])
		n++;
	copy = arena_alloc(a, (n + 1) * sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_strdup(a, list[i]);
	return copy;
}

/* For as long as the connection lives. */
static void keep_identity(struct terminal *t, const struct identity *who)
{
	struct arena *a = arena_new();
	struct identity kept = *who;

	kept.user_id = arena_strdup(a, who->user_id);
	kept.name = kept.service = "";
	kept.session_id = arena_strdup(a, who->session_id ? who->session_id : "");
	kept.token_id = arena_strdup(a, who->token_id ? who->token_id : "");
	kept.permissions = copy_list(a, who->permissions);
	arena_free(t->who_arena);
	t->who_arena = a;
	t->who = kept;
}

static const struct spec *spec_of(const struct terminal *t)
{
	return t->command ? &t->command->spec : &t->entry.spec;
}

static void accept_identity(struct terminal *t, const struct identity *who)
{
	int64_t left_ms = who->expires_at * 1000 - clock_now_us() / 1000;

	if (who->service[0] || !who->user_id[0] || (t->who_arena && strcmp(t->who.user_id, who->user_id) != 0)) {
		end(t, CLOSE_UNAUTHORIZED, "the token is somebody else's");
		return;
	}
	if (!identity_may(who, "commands.read")) {
		end(t, CLOSE_UNAUTHORIZED, "this needs the permission commands.read");
		return;
	}
	keep_identity(t, who);
	deadline_set(service_wheel(t->exec->service), &t->deadline, (uint64_t)MAX(left_ms, 0));
	if (t->state == TERMINAL_SIGNING_IN) {
		find(t);
		return;
	}
	if (t->state == TERMINAL_OPEN)
		set_rights(t, spec_of(t));
	send_type(t, "renewed");
}

/* His session has ended, or his rights have changed: both hold at once. */
void terminals_revoke(void *arg, const struct revocation *what)
{
	struct exec *e = arg;
	struct revocations *set = service_revocations(e->service);
	struct terminal *t;

	list_foreach (t, &e->terminals, struct terminal, link) {
		if (t->state == TERMINAL_ENDING || !t->who_arena || !revocations_concern(set, &t->who))
			continue;
		if (!revocations_apply(set, &t->who, t->who_arena) || !identity_may(&t->who, "commands.read"))
			end(t, CLOSE_UNAUTHORIZED, "the session was ended");
		else if (t->state == TERMINAL_OPEN)
			set_rights(t, spec_of(t));
	}
}

static void on_keys(struct key_wait *w)
{
	struct terminal *t = container_of(w, struct terminal, key_wait);
	char *token = t->token;

	t->token = NULL;
	check_token(t, str_of(token), false);
	free(token);
}

static void check_token(struct terminal *t, struct str token, bool may_wait)
{
	struct keyring *keyring = service_keyring(t->exec->service);
	struct identity who;
	enum token_result r = keyring_check(keyring, token, t->arena, &who);

	if (r == TOKEN_OK) {
		accept_identity(t, &who);
	} else if (r == TOKEN_UNKNOWN_KEY && may_wait && keyring_wait(keyring, token, &t->key_wait)) {
		free(t->token);
		t->token = xstrndup(token.p, token.n);
	} else if (r == TOKEN_UNKNOWN_KEY && keyring_cannot_tell(keyring)) {
		end(t, CLOSE_TRY_AGAIN, "the auth service does not answer");
	} else {
		end(t, CLOSE_UNAUTHORIZED, r == TOKEN_EXPIRED ? "the token expired" : "the token is not valid");
	}
}

static void on_auth(struct terminal *t, yyjson_val *message)
{
	if (t->token)
		send_error(t, "busy", "Another token is being checked. Wait for the answer.");
	else
		check_token(t, str_of(json_get_str(message, "token", "")), true);
}

static void on_ping(struct terminal *t, yyjson_val *message)
{
	send_type(t, "pong");
}

/* ---- In ---- */

static const struct message_type {
	const char *name;
	bool is_for_all; /* also before the token */
	void (*handle)(struct terminal *t, yyjson_val *message);
} types[] = {
	{"auth", true, on_auth},      {"ping", true, on_ping},      {"resize", false, on_resize},
	{"signal", false, on_signal}, {"end", false, on_input_end},
};

static void dispatch(struct terminal *t, yyjson_val *message)
{
	const char *name = json_get_str(message, "type", "");

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i].name, name) != 0)
			continue;
		if (types[i].is_for_all || t->state == TERMINAL_OPEN)
			types[i].handle(t, message);
		else
			end(t, CLOSE_UNAUTHORIZED, "send a token first");
		return;
	}
	send_error(t, "unknown_type", "Types are auth, ping, resize, signal and end; bytes go as binary messages.");
}

static void on_message(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	_cleanup_(arena_free_p) struct arena *a = NULL;
	struct terminal *t = owner;
	struct error err = {0};
	yyjson_doc *doc;

	if (t->state == TERMINAL_ENDING)
		return;
	if (op == WS_BINARY) {
		on_bytes(t, data, n);
		return;
	}
	a = arena_new();
	doc = json_parse(a, data, n, &err);
	if (doc && yyjson_is_obj(yyjson_doc_get_root(doc)))
		dispatch(t, yyjson_doc_get_root(doc));
	else
		send_error(t, "invalid_message", "Text messages are JSON objects with a type.");
}

static const struct ws_events ws_events = {.on_message = on_message, .on_drain = on_drain, .on_close = on_close};

/* ---- Opening ---- */

static struct terminal *terminal_new(struct exec *e, const char *id, uint64_t offset)
{
	struct terminal *t = xcalloc(1, sizeof(*t));

	t->exec = e;
	t->refs = 1;
	t->arena = arena_new();
	t->entry_arena = arena_new();
	t->spool.fd = t->dir_fd = -1;
	t->offset = offset;
	snprintf(t->id, sizeof(t->id), "%s", id);
	list_init(&t->watcher.link);
	list_init(&t->key_wait.link);
	t->key_wait.done = on_keys;
	deadline_init(&t->deadline, on_deadline);
	list_append(&e->terminals, &t->link);
	return t;
}

void commands_terminal(struct exchange *x)
{
	struct exec *e = x->self;
	const char *text = http_query_get(x->arena, x->req->query, "offset");
	uint64_t offset = 0;
	struct terminal *t;

	if (text && str_to_u64(str_of(text), INT64_MAX, &offset) < 0) {
		reply_problem(x, 400, "bad_request", "offset is a number of bytes.");
		return;
	}
	if (!http_has_token(http_header_get(&x->req->headers, "Upgrade"), "websocket")) {
		reply_header(x, "Upgrade", "websocket");
		reply_problem(x, 426, "upgrade_required",
			      "This address speaks WebSocket: connect with Upgrade: websocket.");
		return;
	}
	if (service_is_draining(e->service)) {
		reply_busy(x);
		return;
	}
	t = terminal_new(e, x->params[0].p, offset);
	t->ws = ws_accept(x->req, service_wheel(e->service), NULL, MESSAGE_MAX, &ws_events, t);
	if (!t->ws) {
		list_remove(&t->link);
		terminal_unref(t);
		return;
	}
	deadline_set(service_wheel(e->service), &t->deadline, AUTH_MS);
	if (x->who.user_id && x->who.user_id[0])
		accept_identity(t, &x->who);
}
