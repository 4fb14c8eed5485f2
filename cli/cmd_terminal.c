/* `ogent terminal`: a shell, or another command, on a terminal of its own over the WebSocket of its terminal. It goes
 * on when the connection breaks, and when one leaves it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "args.h"
#include "base/alloc.h"
#include "base/log.h"
#include "remote.h"
#include "ws_client.h"

#define LEAVE 0x1d /* Ctrl-] */
#define BREAKS_MAX 60
#define QUEUE_MAX (64u << 10) /* unsent: no more is read from the keyboard */
#define TYPED_MAX (1u << 20)
#define SHOWN_AGAIN (64u << 10) /* of its output, when one comes to it later */
#define CLOSE_UNAUTHORIZED 4401
#define CLOSE_NOT_FOUND 4404

struct terminal {
	struct session *session;
	char id[64];
	struct ws_client ws;
	uint64_t offset; /* of its output, shown */
	bool is_ready, is_news, has_left, has_ended;
	int exit_code;
	/* Typed since `from` of its input, as far as it was sent: what a break lost is sent again. */
	struct buf typed;
	uint64_t from;
	bool has_from;

	uv_poll_t poll;
	bool is_polling;
	uv_signal_t signals[3];
	bool is_resized;
};

/* ---- What comes ---- */

static void resend(struct terminal *t, uint64_t has)
{
	uint64_t lost = t->has_from && has >= t->from ? has - t->from : UINT64_MAX;

	if (lost <= t->typed.n)
		buf_consume(&t->typed, (size_t)lost);
	else
		buf_clear(&t->typed); /* somebody else types there too */
	t->from = has;
	t->has_from = true;
	if (t->typed.n > 0)
		ws_client_send(&t->ws, WS_BINARY, t->typed.p, t->typed.n);
}

static void take_ready(struct terminal *t, yyjson_val *message)
{
	t->offset = (uint64_t)json_get_int(message, "offset", 0);
	t->is_ready = t->is_resized = true;
	resend(t, (uint64_t)json_get_int(message, "input_bytes", 0));
}

static void take_text(struct terminal *t, const char *data, size_t n)
{
	struct arena *a = arena_new();
	yyjson_val *message = yyjson_doc_get_root(json_parse(a, data, n, NULL));
	const char *type = json_get_str(message, "type", "");

	if (strcmp(type, "ready") == 0) {
		take_ready(t, message);
	} else if (strcmp(type, "skipped") == 0) {
		t->offset = (uint64_t)(json_get_int(message, "offset", 0) + json_get_int(message, "bytes", 0));
	} else if (strcmp(type, "error") == 0) {
		fprintf(stderr, "\r\nogent: %s\r\n", json_get_str(message, "message", ""));
	} else if (strcmp(type, "ended") == 0) {
		raw_leave();
		t->has_ended = true;
		t->exit_code = remote_exit_code(json_get_obj(message, "command"));
	}
	arena_free(a);
}

static void on_message(void *arg, enum ws_opcode op, const char *data, size_t n)
{
	struct terminal *t = arg;

	t->is_news = true;
	if (op != WS_BINARY) {
		take_text(t, data, n);
		return;
	}
	if (!remote_write(STDOUT_FILENO, data, n))
		t->has_left = true;
	t->offset += n;
}

static void on_end(void *arg, int code)
{
	struct terminal *t = arg;

	t->is_ready = false;
}

static void connect_to(struct terminal *t)
{
	char path[128];

	snprintf(path, sizeof(path), "/api/commands/%s/terminal?offset=%llu", t->id, (unsigned long long)t->offset);
	t->ws.on_message = on_message;
	t->ws.on_end = on_end;
	t->ws.arg = t;
	ws_client_start(t->session->client, &t->ws, path);
}

/* ---- What is typed ---- */

static void type(struct terminal *t, const char *data, size_t n)
{
	const char *leave = memchr(data, LEAVE, n);

	t->has_left = leave != NULL;
	n = leave ? (size_t)(leave - data) : n;
	if (n == 0)
		return;
	if (t->typed.n + n > TYPED_MAX) {
		t->from += t->typed.n;
		buf_clear(&t->typed);
	}
	buf_add(&t->typed, data, n);
	ws_client_send(&t->ws, WS_BINARY, data, n);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct terminal *t = poll->data;
	char data[4096];
	ssize_t n = read(STDIN_FILENO, data, sizeof(data));

	uv_poll_stop(poll);
	t->is_polling = false;
	if (n > 0)
		type(t, data, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		t->has_left = true; /* the terminal is gone */
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct terminal *t = handle->data;

	if (number == SIGWINCH)
		t->is_resized = true;
	else
		t->has_left = true;
}

static void step(struct terminal *t)
{
	struct winsize w = remote_window();
	char text[80];

	if (!t->is_ready)
		return;
	if (t->is_resized) {
		snprintf(text, sizeof(text), "{\"type\":\"resize\",\"rows\":%u,\"cols\":%u}", w.ws_row, w.ws_col);
		ws_client_send(&t->ws, WS_TEXT, text, strlen(text));
		t->is_resized = false;
	}
	if (!t->is_polling && ws_client_queued(&t->ws) < QUEUE_MAX) {
		uv_poll_start(&t->poll, UV_READABLE, on_readable);
		t->is_polling = true;
	}
}

/* ---- The whole ---- */

static int refused(struct terminal *t)
{
	struct error err = {0};

	raw_leave();
	error_set(&err, "refused", "there is no such command with a terminal, or it is not yours");
	return session_fail(t->ws.status == 403 ? 403 : 404, &err);
}

/* The connection ended before the command did. */
static int again(struct terminal *t, unsigned *breaks)
{
	int status = t->ws.status, end = t->ws.code, code;

	ws_client_deinit(&t->ws);
	if (end == CLOSE_NOT_FOUND || status == 403 || status == 404)
		return refused(t);
	if ((end == CLOSE_UNAUTHORIZED || status == 401) && !t->session->is_fixed)
		t->session->expires_us = 0;
	*breaks = t->is_news ? 1 : *breaks + 1;
	t->is_news = false;
	if (*breaks > BREAKS_MAX) {
		raw_leave();
		fprintf(stderr,
			"\nogent: the platform does not answer any more; the command goes on there: `ogent terminal "
			"--attach %s`\n",
			t->id);
		return REMOTE_CODE_PLATFORM;
	}
	usleep(MIN(50000u << MIN(*breaks, 5), 1000000u));
	code = session_refresh(t->session);
	if (code != EXIT_OK && code != EXIT_NOT_RUNNING) /* it may come back */
		return REMOTE_CODE_PLATFORM;
	connect_to(t);
	return EXIT_OK;
}

static int follow(struct terminal *t)
{
	unsigned breaks = 0;
	int code = EXIT_OK;

	connect_to(t);
	while (!t->has_ended && !t->has_left && code == EXIT_OK) {
		step(t);
		if (t->ws.has_ended)
			code = again(t, &breaks);
		else
			uv_run(client_loop(t->session->client), UV_RUN_ONCE);
	}
	raw_leave();
	if (t->has_left && !t->has_ended)
		fprintf(stderr, "\nogent: left; it goes on: `ogent terminal --attach %s`\n", t->id);
	return t->has_ended ? t->exit_code : code;
}

static void open_handles(struct terminal *t)
{
	static const int numbers[] = {SIGWINCH, SIGTERM, SIGHUP};
	uv_loop_t *loop = client_loop(t->session->client);

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uv_signal_init(loop, &t->signals[i]);
		t->signals[i].data = t;
		uv_signal_start(&t->signals[i], on_signal, numbers[i]);
	}
	if (uv_poll_init(loop, &t->poll, STDIN_FILENO) < 0)
		fatal("stdin cannot be waited for");
	t->poll.data = t;
}

static void close_handles(struct terminal *t)
{
	ws_client_deinit(&t->ws);
	for (size_t i = 0; i < ARRAY_SIZE(t->signals); i++)
		uv_close((uv_handle_t *)&t->signals[i], NULL);
	uv_close((uv_handle_t *)&t->poll, NULL);
	uv_run(client_loop(t->session->client), UV_RUN_NOWAIT);
	buf_deinit(&t->typed);
}

/* One that runs, or has ended: the last of its output is shown again. */
static int attach(struct terminal *t, const char *id)
{
	struct arena *a = arena_new();
	yyjson_val *answer = NULL;
	int64_t bytes;
	int code;

	snprintf(t->id, sizeof(t->id), "%s", id);
	code = session_call(t->session, a, "GET", arena_printf(a, "/api/commands/%s", t->id), (struct str){0}, &answer);
	bytes = json_get_int(answer, "output_bytes", 0);
	t->offset = bytes > SHOWN_AGAIN ? (uint64_t)bytes - SHOWN_AGAIN : 0;
	arena_free(a);
	return code == EXIT_OK ? EXIT_OK : REMOTE_CODE_PLATFORM;
}

static int run(struct terminal *t, const struct remote_spec *spec, const char *id)
{
	int code = id ? attach(t, id) : remote_create(t->session, spec, t->id);

	if (code != EXIT_OK)
		return REMOTE_CODE_PLATFORM;
	open_handles(t);
	raw_enter();
	code = follow(t);
	close_handles(t);
	return code;
}

/* Its own words, so that whatever has the shell ends with it. */
static char *shell[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
			(char *)(uintptr_t) "command -v bash >/dev/null && exec bash -i; exec sh -i", NULL};

int cmd_terminal(const struct command *self, int argc, char **argv)
{
	struct remote_spec spec = {.has_tty = true};
	const char *id = NULL, *url = NULL;
	bool is_alone = false;
	struct session session;
	struct args args;
	int code;
	const struct flag flags[] = {{"workspace", &spec.workspace}, {"target", &spec.target}, {"cwd", &spec.cwd},
				     {"timeout-ms", &spec.timeout},  {"attach", &id},          {"url", &url},
				     {"alone", NULL, &is_alone}};

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &code))
		return code;
	spec.argv = args.n_rest ? args.rest : shell;
	/* With the workspace's other commands, where there is a sandbox for many. */
	spec.is_shared = spec.workspace && !is_alone && (!spec.target || strcmp(spec.target, "local") == 0);
	if (id && (args.n_rest > 0 || !remote_is_id(id)))
		code = usage_error(self, "--attach ID stands alone");
	else if (!isatty(STDIN_FILENO))
		code = usage_error(self, "stdin is no terminal: use `ogent exec`");
	else
		code = session_open(&session, args.options, url);
	if (code == EXIT_OK) {
		struct terminal *t = xcalloc(1, sizeof(*t));

		t->session = &session;
		code = run(t, &spec, id);
		session_close(&session);
		free(t);
	}
	args_deinit(&args);
	return code;
}
