/* `ogent exec -- CMD…`: a command in the sandbox as if it ran here. Its output comes as it is, from the stream of its
 * events; what is typed or piped in goes out in one request after the other, each saying where its bytes belong, so
 * that one whose answer got lost is sent again. Both go on after a break. Without `--` it is the role of that name. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "args.h"
#include "base/alloc.h"
#include "remote.h"

#define PIECE_MAX (64 << 10)
#define BREAKS_MAX 60
#define CODE_PLATFORM REMOTE_CODE_PLATFORM

struct remote {
	struct session *session;
	char id[64];
	bool has_tty;   /* the command */
	bool is_shared; /* in the workspace's shared sandbox */

	/* Its output. */
	struct request events;
	uint64_t offset;
	bool is_news, has_ended;
	int exit_code;

	/* Its input. */
	struct request post;
	bool is_posting, is_closing; /* the request that is under way ends stdin */
	char piece[PIECE_MAX];
	size_t piece_n;
	uint64_t sent;  /* bytes that the command has */
	bool is_at_end; /* of our stdin */
	bool is_done;   /* nothing is to be sent any more */
	bool is_polling;
	uv_poll_t poll;
	bool can_poll;

	/* What happened here, to be told. */
	uv_signal_t signals[4];
	int signal;
	bool is_resized;
	struct request telling;
	bool is_telling;
};

/* ---- Output ---- */

static void show_output(struct remote *r, yyjson_val *data)
{
	const char *text = json_get_str(data, "base64", ""), *stream = json_get_str(data, "stream", "");
	size_t size = strlen(text) / 4 * 3 + 3, n = 0;
	char *bytes = xmalloc(size);

	if (sodium_base642bin((unsigned char *)bytes, size, text, strlen(text), NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) < 0)
		n = 0;
	if (n > 0 && !remote_write(strcmp(stream, "stderr") == 0 ? STDERR_FILENO : STDOUT_FILENO, bytes, n) &&
	    errno == EPIPE)
		exit(EXIT_OK); /* the reader of our output has gone */
	free(bytes);
	r->offset = (uint64_t)(json_get_int(data, "offset", 0) + json_get_int(data, "bytes", 0));
	r->is_news = true;
}

static bool on_event(void *arg, const struct sse_event *ev)
{
	struct remote *r = arg;
	struct arena *a = arena_new();
	yyjson_val *data = yyjson_doc_get_root(json_parse(a, ev->data.p, ev->data.n, NULL));

	if (str_eq(ev->type, STR("output"))) {
		show_output(r, data);
	} else if (str_eq(ev->type, STR("skipped"))) {
		fprintf(stderr, "ogent: %lld bytes of output were not kept\n",
			(long long)json_get_int(data, "bytes", 0));
	} else if (str_eq(ev->type, STR("ended"))) {
		r->has_ended = true;
		r->exit_code = remote_exit_code(json_get_obj(data, "command"));
	}
	arena_free(a);
	return !r->has_ended;
}

static void start_events(struct remote *r)
{
	char path[160];

	snprintf(path, sizeof(path), "/api/commands/%s/stream?encoding=base64&offset=%llu", r->id,
		 (unsigned long long)r->offset);
	r->events = (struct request){.on_event = on_event, .arg = r};
	request_start(r->session->client, &r->events, "GET", path, (struct str){0});
}

/* ---- Input ---- */

static void read_input(struct remote *r)
{
	ssize_t n = read(STDIN_FILENO, r->piece, sizeof(r->piece));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	r->piece_n = (size_t)MAX(n, 0);
	r->is_at_end = n <= 0;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct remote *r = poll->data;

	if (r->piece_n == 0 && !r->is_at_end)
		read_input(r);
	uv_poll_stop(poll);
	r->is_polling = false;
}

/* A file cannot be waited for, and need not be. */
static void wait_for_input(struct remote *r)
{
	if (!r->can_poll) {
		read_input(r);
		return;
	}
	if (!r->is_polling)
		uv_poll_start(&r->poll, UV_READABLE, on_readable);
	r->is_polling = true;
}

static void post_input(struct remote *r)
{
	char path[160];

	r->is_closing = r->is_at_end && r->piece_n == 0;
	snprintf(path, sizeof(path), "/api/commands/%s/stdin?offset=%llu%s", r->id, (unsigned long long)r->sent,
		 r->is_closing ? "&close=1" : "");
	r->post = (struct request){0};
	request_start(r->session->client, &r->post, "POST", path, (struct str){r->piece, r->piece_n});
	r->is_posting = true;
}

/* What was not answered is sent again. */
static void input_posted(struct remote *r)
{
	int status = r->post.err < 0 ? 0 : r->post.status;

	r->is_posting = false;
	request_deinit(&r->post);
	if (status == 200) {
		r->sent += r->piece_n;
		r->piece_n = 0;
		r->is_done = r->is_closing;
	} else if (status >= 400 && status < 500 && status != 401 && status != 429) {
		r->is_done = true; /* it reads no more */
	} else {
		usleep(50000);
	}
}

static void step_input(struct remote *r)
{
	if (r->is_posting && r->post.is_done)
		input_posted(r);
	if (r->is_posting || r->is_done)
		return;
	if (r->piece_n > 0 || r->is_at_end)
		post_input(r);
	else
		wait_for_input(r);
}

/* ---- Signals ---- */

static void on_signal(uv_signal_t *handle, int number)
{
	struct remote *r = handle->data;

	if (number == SIGWINCH)
		r->is_resized = true;
	else
		r->signal = number;
}

static void step_signals(struct remote *r)
{
	char path[128], text[64];
	struct winsize w = remote_window();

	if (r->is_telling && r->telling.is_done) {
		request_deinit(&r->telling);
		r->is_telling = false;
	}
	if (r->is_telling || (!r->signal && !(r->is_resized && r->has_tty)))
		return;
	if (r->signal) {
		snprintf(path, sizeof(path), "/api/commands/%s/signal", r->id);
		snprintf(text, sizeof(text), "{\"signal\":\"%s\"}",
			 r->signal == SIGINT   ? "INT"
			 : r->signal == SIGHUP ? "HUP"
					       : "TERM");
		r->signal = 0;
	} else {
		snprintf(path, sizeof(path), "/api/commands/%s/resize", r->id);
		snprintf(text, sizeof(text), "{\"rows\":%u,\"cols\":%u}", w.ws_row, w.ws_col);
		r->is_resized = false;
	}
	r->telling = (struct request){0};
	request_start(r->session->client, &r->telling, "POST", path, str_of(text));
	r->is_telling = true;
}

/* ---- The whole ---- */

static void open_handles(struct remote *r)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
	uv_loop_t *loop = client_loop(r->session->client);

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uv_signal_init(loop, &r->signals[i]);
		r->signals[i].data = r;
		uv_signal_start(&r->signals[i], on_signal, numbers[i]);
	}
	r->can_poll = uv_poll_init(loop, &r->poll, STDIN_FILENO) == 0;
	r->poll.data = r;
}

static void finish_request(struct request *q, bool is_open)
{
	if (!is_open)
		return;
	request_wait(q);
	request_deinit(q);
}

static void close_handles(struct remote *r)
{
	uv_loop_t *loop = client_loop(r->session->client);

	finish_request(&r->telling, r->is_telling);
	finish_request(&r->post, r->is_posting);
	for (size_t i = 0; i < ARRAY_SIZE(r->signals); i++)
		uv_close((uv_handle_t *)&r->signals[i], NULL);
	if (r->can_poll)
		uv_close((uv_handle_t *)&r->poll, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
}

/* The stream broke, or was refused. */
static int events_over(struct remote *r, unsigned *breaks)
{
	struct error err = {0};
	int status = r->events.err < 0 ? 0 : r->events.status, code;

	request_deinit(&r->events);
	if (status == 401 && !r->session->is_fixed)
		r->session->expires_us = 0;
	else if (status >= 400 && status < 500 && status != 429) {
		error_set(&err, "refused", "the command %s cannot be followed any more", r->id);
		session_fail(status, &err);
		return CODE_PLATFORM;
	}
	*breaks = r->is_news ? 1 : *breaks + 1;
	r->is_news = false;
	if (*breaks > BREAKS_MAX) {
		fprintf(stderr,
			"ogent: the platform does not answer any more; the command goes on there: `ogent exec "
			"--attach %s`\n",
			r->id);
		return CODE_PLATFORM;
	}
	usleep(MIN(50000u << MIN(*breaks, 5), 1000000u));
	code = session_refresh(r->session);
	if (code == EXIT_NOT_RUNNING)
		return EXIT_OK; /* it may come back */
	if (code != EXIT_OK)
		return CODE_PLATFORM;
	start_events(r);
	return EXIT_OK;
}

static int follow(struct remote *r)
{
	uv_loop_t *loop = client_loop(r->session->client);
	unsigned breaks = 0;
	int code = EXIT_OK;

	start_events(r);
	while (!r->has_ended && code == EXIT_OK) {
		step_input(r);
		step_signals(r);
		if (r->events.is_done || !r->events.client) {
			code = events_over(r, &breaks);
			continue;
		}
		/* A file's bytes are there at once: the next turn sends them. */
		uv_run(loop, !r->can_poll && r->piece_n > 0 && !r->is_posting ? UV_RUN_NOWAIT : UV_RUN_ONCE);
	}
	if (r->has_ended)
		finish_request(&r->events, true);
	return r->has_ended ? r->exit_code : code;
}

static int create(struct remote *r, const struct remote_spec *spec)
{
	return remote_create(r->session, spec, r->id) == EXIT_OK ? EXIT_OK : CODE_PLATFORM;
}

/* One that runs already: its input goes on where it is. */
static int attach(struct remote *r, const char *id)
{
	struct arena *a = arena_new();
	yyjson_val *answer = NULL;
	int code;

	snprintf(r->id, sizeof(r->id), "%s", id);
	code = session_call(r->session, a, "GET", arena_printf(a, "/api/commands/%s", r->id), (struct str){0}, &answer);
	if (code == EXIT_OK) {
		r->has_tty = json_get_obj(answer, "tty") != NULL;
		r->is_done = !json_get_bool(answer, "stdin_open", false);
		r->sent = (uint64_t)json_get_int(answer, "input_bytes", 0);
		r->is_resized = r->has_tty;
	}
	arena_free(a);
	return code == EXIT_OK ? EXIT_OK : CODE_PLATFORM;
}

static bool is_for_client(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0 || strncmp(argv[i], "--attach", 8) == 0)
			return true;
	return false;
}

int cmd_exec(const struct command *self, int argc, char **argv)
{
	const char *workspace = NULL, *target = NULL, *cwd = NULL, *timeout = NULL, *id = NULL, *url = NULL;
	struct remote *r = xcalloc(1, sizeof(*r));
	struct session session;
	struct args args;
	int code;
	const struct flag flags[] = {{"workspace", &workspace},
				     {"target", &target},
				     {"cwd", &cwd},
				     {"timeout-ms", &timeout},
				     {"attach", &id},
				     {"url", &url},
				     {"tty", NULL, &r->has_tty},
				     {"session", NULL, &r->is_shared}};

	if (!is_for_client(argc, argv)) {
		free(r);
		return cmd_role(self, argc, argv);
	}
	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &code)) {
		free(r);
		return code;
	}
	if (id ? args.n_rest > 0 || !remote_is_id(id) : !args.n_rest)
		code = usage_error(self, id ? "--attach ID stands alone" : "there is no command behind --");
	else
		code = session_open(&session, args.options, url);
	if (code == EXIT_OK) {
		r->session = &session;
		code = id ? attach(r, id)
			  : create(r, &(struct remote_spec){args.rest, workspace, target, cwd, timeout, r->has_tty,
							    r->is_shared});
		if (code == EXIT_OK) {
			open_handles(r);
			if (r->has_tty)
				raw_enter();
			code = follow(r);
			raw_leave();
			close_handles(r);
		}
		session_close(&session);
	}
	args_deinit(&args);
	free(r);
	return code;
}
