#include "talk.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/encode.h"
#include "base/id.h"
#include "command.h"
#include "decision.h"
#include "local_file.h"
#include "output.h"

#define MAX_MESSAGE (1u << 20)
/* A broken event stream is taken up again where it ended, this often without any news. */
#define MAX_BREAKS 20

/* One run being shown. */
struct run {
	struct talk *talk;
	char id[64];
	int64_t seq; /* the last event that was shown */
	bool has_ended, is_news;
	int exit_code;
	bool is_line_open[2]; /* stdout, stderr: something stands on the current line */
	struct request events, cancel;
	uv_signal_t interrupt;
	unsigned n_interrupts;
	char *asked; /* the data of the approval that is to be decided here, JSON, or NULL */
};

int talk_open(struct talk *t, const char *agent, const char *conversation)
{
	struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	yyjson_val *answer = NULL;
	int r;

	if (conversation) {
		struct buf path = BUF_INIT;
		buf_add_str(&path, "/api/conversations/");
		percent_encode(str_of(conversation), &path);
		r = session_call(t->session, a, "GET", path.p, (struct str){0}, &answer);
		buf_deinit(&path);
	} else {
		if (agent)
			json_add_str(doc, obj, "agent", agent);
		r = session_call(t->session, a, "POST", "/api/conversations", json_text(a, doc), &answer);
	}
	if (r == EXIT_OK)
		snprintf(t->conversation, sizeof(t->conversation), "%s", json_get_str(answer, "id", ""));
	arena_free(a);
	return r;
}

/* ---- Showing events ---- */

static void close_line(struct run *run, bool is_stderr)
{
	if (!run->is_line_open[is_stderr])
		return;
	run->is_line_open[is_stderr] = false;
	if (is_stderr)
		note_text(STYLE_PLAIN, STR("\n"));
	else
		out_text(STR("\n"));
}

static void show(struct run *run, bool is_stderr, enum style style, struct str text)
{
	if (!text.n)
		return;
	/* On one screen the two must not share a line. */
	if (isatty(STDOUT_FILENO) && isatty(STDERR_FILENO))
		close_line(run, !is_stderr);
	if (is_stderr)
		note_text(style, text);
	else
		out_text(text);
	run->is_line_open[is_stderr] = text.p[text.n - 1] != '\n';
}

static struct str member(yyjson_val *data, const char *name)
{
	return str_of(json_get_str(data, name, ""));
}

static void show_call(struct run *run, struct arena *a, yyjson_val *data)
{
	const char *command = json_get_str(data, "command", json_get_str(data, "name", "?"));

	close_line(run, false);
	close_line(run, true);
	show(run, true, STYLE_BOLD, str_of(arena_printf(a, "$ %s\n", command)));
}

/* Only what went otherwise than well. */
static void show_call_end(struct run *run, struct arena *a, yyjson_val *data)
{
	const char *status = json_get_str(data, "status", ""), *message = json_get_str(data, "message", "");
	int64_t code = json_get_int(data, "exit_code", 0);

	close_line(run, true);
	if (strcmp(status, "exited") == 0 && code == 0)
		return;
	if (strcmp(status, "exited") == 0)
		message = arena_printf(a, "exit code %lld", (long long)code);
	show(run, true, STYLE_RED, str_of(arena_printf(a, "[%s]\n", *message ? message : status)));
}

/* Where the answer has it from, below it. */
static void show_citations(struct run *run, struct arena *a, yyjson_val *data)
{
	yyjson_val *c;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(data, "citations"), i, n, c)
	{
		const char *id = json_get_str(c, "id", ""), *title = json_get_str(c, "title", "");
		int64_t page = json_get_int(c, "page", 0);
		const char *where = *title ? title : json_get_str(c, "document", "");
		if (!json_get_bool(c, "found", false)) {
			show(run, true, STYLE_RED,
			     str_of(arena_printf(a, "[%s] was not found by any search: the model made it up\n", id)));
			continue;
		}
		if (page)
			where = arena_printf(a, "%s, page %lld", where, (long long)page);
		show(run, true, STYLE_DIM,
		     str_of(arena_printf(a, "[%s] %s%s%s\n", id, where, *json_get_str(c, "heading", "") ? ": " : "",
					 json_get_str(c, "heading", ""))));
	}
}

static void show_stream(struct run *run, struct arena *a, const char *type, yyjson_val *data)
{
	if (strcmp(type, "text.delta") == 0)
		show(run, false, STYLE_PLAIN, member(data, "text"));
	else if (strcmp(type, "message.done") == 0) {
		close_line(run, false);
		show_citations(run, a, data);
	} else if (strcmp(type, "text.reset") == 0) {
		close_line(run, false);
		show(run, true, STYLE_DIM, STR("[the answer starts again]\n"));
	} else if (strcmp(type, "call.started") == 0)
		show_call(run, a, data);
	else if (strcmp(type, "call.output") == 0)
		show(run, true, STYLE_DIM, member(data, "text"));
	else if (strcmp(type, "call.output_skipped") == 0)
		show(run, true, STYLE_DIM,
		     str_of(arena_printf(a, "[%lld bytes are not shown]\n",
					 (long long)json_get_int(data, "bytes", 0))));
	else if (strcmp(type, "call.done") == 0)
		show_call_end(run, a, data);
	else if (strcmp(type, "model.retry") == 0)
		show(run, true, STYLE_DIM,
		     str_of(arena_printf(a, "[the model is asked again: %s]\n", json_get_str(data, "reason", ""))));
	else if (strcmp(type, "model.fallback") == 0)
		show(run, true, STYLE_DIM,
		     str_of(arena_printf(a, "[%s is asked instead of %s: %s]\n", json_get_str(data, "to", ""),
					 json_get_str(data, "from", ""), json_get_str(data, "reason", ""))));
	else if (strcmp(type, "model.waiting") == 0)
		show(run, true, STYLE_DIM, STR("[waits for its turn at the model]\n"));
	else if (strcmp(type, "model.warning") == 0)
		show(run, true, STYLE_DIM, str_of(arena_printf(a, "[%s]\n", json_get_str(data, "message", ""))));
	else if (strcmp(type, "context.compacted") == 0)
		show(run, true, STYLE_DIM, STR("[what was said before is told to the model in short]\n"));
}

/* On a terminal the person decides here and now; elsewhere is told how. */
static void take_question(struct run *run, struct arena *a, yyjson_val *data)
{
	if (run->talk->mode == TALK_EVENTS)
		return;
	close_line(run, false);
	close_line(run, true);
	if (run->talk->mode == TALK_STREAM && isatty(STDIN_FILENO) && isatty(STDERR_FILENO)) {
		free(run->asked);
		run->asked = xstrdup(json_val_text(a, data).p);
		return;
	}
	decision_print(a, data);
	note_printf(STYLE_DIM, "[waits for you: ogent approvals approve|reject|answer|edit %s]\n",
		    json_get_str(data, "approval_id", ""));
}

static void take_end(struct run *run, yyjson_val *data)
{
	const char *status = json_get_str(data, "status", "failed");
	yyjson_val *error = json_get_obj(data, "error");

	run->has_ended = true;
	close_line(run, false);
	close_line(run, true);
	if (strcmp(status, "succeeded") == 0)
		run->exit_code = EXIT_OK;
	else if (strcmp(status, "cancelled") == 0)
		run->exit_code = EXIT_CANCELLED;
	else
		run->exit_code = EXIT_FAILED;
	if (run->talk->mode == TALK_FINAL && run->exit_code == EXIT_OK && !run->talk->schema)
		show(run, false, STYLE_PLAIN, member(data, "output"));
	close_line(run, false);
	if (run->talk->mode == TALK_EVENTS)
		return;
	if (run->exit_code == EXIT_CANCELLED)
		note_text(STYLE_RED, STR("cancelled\n"));
	else if (run->exit_code == EXIT_FAILED)
		note_printf(STYLE_RED, "the run failed: %s\n", json_get_str(error, "message", "no reason was given"));
}

/* Returns false after the last event, and at one that asks. */
static bool on_event(void *arg, const struct sse_event *ev)
{
	struct run *run = arg;
	struct arena *a = arena_new();
	yyjson_val *event = yyjson_doc_get_root(json_parse(a, ev->data.p, ev->data.n, NULL));
	int64_t seq = json_get_int(event, "seq", 0);
	const char *type = json_get_str(event, "type", "");

	if (event && seq > run->seq) {
		yyjson_val *data = json_get_obj(event, "data");
		run->seq = seq;
		run->is_news = true;
		if (run->talk->mode == TALK_EVENTS)
			out_printf("%s\n", json_val_text(a, event).p);
		else if (run->talk->mode == TALK_STREAM)
			show_stream(run, a, type, data);
		if (strcmp(type, "execution.ended") == 0)
			take_end(run, data);
		else if (strcmp(type, "approval.requested") == 0)
			take_question(run, a, data);
	}
	arena_free(a);
	return !run->has_ended && !run->asked;
}

/* ---- Following a run ---- */

static void cancel(struct run *run)
{
	char path[128];

	snprintf(path, sizeof(path), "/api/executions/%s/cancel", run->id);
	request_start(run->talk->session->client, &run->cancel, "POST", path, (struct str){0});
}

/* The first Ctrl-C cancels and waits for the end, the second does not wait. Before the run has its id it waits for it.
 */
static void on_interrupt(uv_signal_t *handle, int number)
{
	struct run *run = handle->data;

	if (++run->n_interrupts > 1)
		_exit(EXIT_CANCELLED);
	if (*run->id)
		cancel(run);
}

/* The answer was no stream: an error, unless the token has expired meanwhile. */
static int read_refusal(struct run *run)
{
	struct arena *a = arena_new();
	struct request *r = &run->events;
	yyjson_val *problem = yyjson_doc_get_root(json_parse(a, r->body.p, r->body.n, NULL));
	int exit_code = EXIT_OK;

	if (r->status == 401 && !run->talk->session->is_fixed) {
		run->talk->session->expires_us = 0;
	} else if (r->status >= 400 && r->status < 500 && r->status != 429) {
		struct error err = {0};
		error_set(&err, "refused", "%s", json_get_str(problem, "detail", "the run's events are refused"));
		exit_code = session_fail(r->status, &err);
	}
	arena_free(a);
	return exit_code;
}

static int read_stream(struct run *run)
{
	char path[160];
	int exit_code = session_refresh(run->talk->session);

	if (exit_code != EXIT_OK)
		return exit_code;
	snprintf(path, sizeof(path), "/api/executions/%s/events?after=%lld", run->id, (long long)run->seq);
	run->events = (struct request){.on_event = on_event, .arg = run};
	request_start(run->talk->session->client, &run->events, "GET", path, (struct str){0});
	request_wait(&run->events);
	if (run->events.err == 0 && run->events.status != 200)
		exit_code = read_refusal(run);
	request_deinit(&run->events);
	return exit_code;
}

/* Whoever decides elsewhere meanwhile is as good: the events tell. */
static void decide(struct run *run)
{
	struct arena *a = arena_new();
	yyjson_val *asked = yyjson_doc_get_root(json_parse(a, run->asked, strlen(run->asked), NULL));
	int r = decision_ask(run->talk->session, a, asked, json_get_str(asked, "approval_id", ""));

	if (r == -EINTR)
		cancel(run);
	arena_free(a);
	free(run->asked);
	run->asked = NULL;
}

static int follow(struct run *run)
{
	unsigned breaks = 0;

	while (!run->has_ended) {
		run->is_news = false;
		int r = read_stream(run);
		if (r != EXIT_OK)
			return r;
		if (run->has_ended)
			break;
		if (run->asked) {
			decide(run);
			continue;
		}
		breaks = run->is_news ? 1 : breaks + 1;
		if (breaks > MAX_BREAKS) {
			fprintf(stderr,
				"ogent: the platform does not answer any more; the run %s goes on there: see `ogent "
				"history %s` later\n",
				run->id, run->id);
			return EXIT_NOT_RUNNING;
		}
		usleep(MIN(50000u << MIN(breaks, 5), 1000000u));
	}
	return run->exit_code;
}

/* The file is there before the message that names it. */
static int send_file(struct talk *t, struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *message)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT, name = BUF_INIT;
	yyjson_val *answer = NULL;
	int r = local_file_read(t->attach, &bytes);

	if (r != EXIT_OK)
		return r;
	percent_encode(str_of(basename(arena_strdup(a, t->attach))), &name);
	r = session_call(t->session, a, "POST",
			 arena_printf(a, "/api/conversations/%s/attachments?name=%s", t->conversation, name.p),
			 buf_str(&bytes), &answer);
	t->attach = NULL;
	if (r == EXIT_OK)
		yyjson_mut_arr_add_strcpy(doc, yyjson_mut_obj_add_arr(doc, message, "attachments"),
					  json_get_str(answer, "id", ""));
	return r;
}

/* Returns with the run that the message starts. */
static int post_message(struct talk *t, struct run *run, struct str message)
{
	struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	yyjson_val *answer = NULL;

	yyjson_mut_obj_add_strncpy(doc, obj, "content", message.p, message.n);
	if (t->schema)
		json_add_raw(doc, obj, "output_schema", t->schema);
	char *path = arena_printf(a, "/api/conversations/%s/messages", t->conversation);
	int r = t->attach ? send_file(t, a, doc, obj) : EXIT_OK;
	if (r == EXIT_OK)
		r = session_call(t->session, a, "POST", path, json_text(a, doc), &answer);
	if (r == EXIT_OK)
		snprintf(run->id, sizeof(run->id), "%s", json_get_str(answer, "id", ""));
	arena_free(a);
	return r;
}

/* The value that fits, without what the model wrote around it. */
static int print_value(struct talk *t, const char *id)
{
	struct arena *a = arena_new();
	yyjson_val *answer = NULL;
	int r = session_call(t->session, a, "GET", arena_printf(a, "/api/executions/%s", id), (struct str){0}, &answer);

	if (r == EXIT_OK)
		out_json(yyjson_obj_get(answer, "parsed"));
	arena_free(a);
	return r;
}

int talk_send(struct talk *t, struct str message)
{
	struct run run = {.talk = t};
	uv_loop_t *loop = client_loop(t->session->client);

	uv_signal_init(loop, &run.interrupt);
	run.interrupt.data = &run;
	uv_signal_start(&run.interrupt, on_interrupt, SIGINT);
	uv_unref((uv_handle_t *)&run.interrupt);
	int r = post_message(t, &run, message);
	if (r == EXIT_OK) {
		if (run.n_interrupts)
			cancel(&run);
		r = follow(&run);
		if (r == EXIT_OK && t->schema && t->mode == TALK_FINAL)
			r = print_value(t, run.id);
	}
	if (run.cancel.client) {
		request_wait(&run.cancel);
		request_deinit(&run.cancel);
	}
	uv_close((uv_handle_t *)&run.interrupt, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	return r;
}

bool talk_read_stdin(struct buf *ret, int *ret_exit)
{
	char piece[16384];
	ssize_t n;

	while ((n = read(STDIN_FILENO, piece, sizeof(piece))) > 0 && ret->n <= MAX_MESSAGE)
		buf_add(ret, piece, (size_t)n);
	struct str text = str_trim(buf_str(ret));
	*ret_exit = EXIT_USAGE;
	if (n < 0 || ret->n > MAX_MESSAGE)
		fprintf(stderr, "ogent: %s\n",
			n < 0 ? "stdin cannot be read" : "the message on stdin is larger than 1 MiB");
	else if (!text.n)
		fputs("ogent: there is no message: give it as an argument or on stdin\n", stderr);
	else
		return true;
	return false;
}
