/* The shell tool: a command line in the conversation's workspace, run by the exec service.
 *
 * The call attaches to the command by its key: when the stream breaks (exec was restarted) it is attached again and
 * goes on where it was, so the command runs once and its output comes once. A cancelled call is reported as soon as
 * exec has killed the command, or after a moment; in that case the flow goes on by itself until exec has been told. */
#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/tools/shell_result.h"
#include "agent/tools/tools.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/encode.h"
#include "io/sse.h"

/* What it asks about is what counts as risky, for an agent without a policy of its own. */
#define RISKY_POLICY "guarded"
#define CLIP_HEAD 8192
#define CLIP_TAIL 8192
#define MAX_EVENT (1024 * 1024)
#define MAX_REFUSAL (16 * 1024)
#define MAX_SCRIPT (64 * 1024)
#define WAIT_FIRST_MS 50
#define WAIT_MAX_MS 1000
#define GRACE_MS (30 * 1000)        /* beyond the command's own time-out, for exec to come back */
#define CANCEL_REPORT_MS (3 * 1000) /* a cancelled call is reported then, ended or not */
#define CANCEL_ANSWER_MS 2000       /* no answer by then: asked again */
#define CANCEL_TRY_MS 500
#define CANCEL_GIVE_UP_MS (120 * 1000)

/* What a call waits for. */
enum shell_state {
	SHELL_STREAMING, /* the end of the stream */
	SHELL_PAUSING,   /* the moment to attach again */
	SHELL_ENDED,
};

struct shell_call {
	struct background background; /* goes on after its end was reported */
	struct tool_call *call;       /* NULL once it was */
	struct agent *agent;
	struct arena *arena;
	char *user_id, *actor, *key, *request_id, *traceparent;
	struct str body;
	enum shell_state state;
	uint64_t give_up_at; /* monotonic us */

	/* One attachment. */
	struct arena *attempt;
	struct http_call http;
	struct sse_parser sse;
	int status;
	struct buf refusal; /* the body of an answer that is no stream */
	bool has_piece;     /* output came over this attachment */
	unsigned tries;
	struct deadline pause;

	/* What is known of the command. */
	char *command_id;
	uint64_t seen; /* output before this offset has come */
	struct clip clip;
	bool has_ended;
	char status_text[24], signal_text[32];
	char approval_hash[SHA256_HEX_SIZE]; /* that exec asks a person about; "" = it does not */
	char *approval_reason;
	char *message;
	int exit_code;
	uint64_t output_bytes;
	int64_t started_at, ended_at;

	/* Cancelling. */
	bool is_cancelled, is_left;
	struct http_fetch *cancelling;
	struct arena *cancel_arena;
	struct deadline cancel_again, report;
};

static void attach(struct shell_call *s);
static void send_cancel(struct shell_call *s);

/* ---- The result ---- */

static void report(struct shell_call *s)
{
	_cleanup_(buf_deinit) struct buf output = BUF_INIT, content = BUF_INIT;
	struct tool_call *call = s->call;

	if (!call)
		return;
	s->call = NULL;
	deadline_clear(&s->report);
	clip_write(&s->clip, &output);
	struct tool_result r = {
		.status = s->status_text,
		.exit_code = s->exit_code,
		.signal = s->signal_text[0] ? s->signal_text : NULL,
		.message = s->message,
		.command_id = s->command_id,
		.output_bytes = MAX(s->output_bytes, s->seen),
		.started_at = s->started_at,
		.ended_at = s->ended_at,
		.output = buf_str(&output),
		.tail = clip_tail(&s->clip),
	};
	shell_result_write(&r, &s->clip, &content);
	r.content = buf_str(&content);
	r.approval_hash = s->approval_hash;
	r.approval_reason = s->approval_reason;
	call->on_done(call, &r);
}

static void set_end(struct shell_call *s, const char *status, const char *message)
{
	snprintf(s->status_text, sizeof(s->status_text), "%s", status);
	if (message && !s->message)
		s->message = xstrdup(message);
}

static void shell_free(struct shell_call *s)
{
	list_remove(&s->background.link);
	deadline_clear(&s->pause);
	deadline_clear(&s->cancel_again);
	deadline_clear(&s->report);
	sse_parser_deinit(&s->sse);
	buf_deinit(&s->refusal);
	clip_deinit(&s->clip);
	arena_free(s->attempt);
	arena_free(s->cancel_arena);
	arena_free(s->arena);
	free(s->command_id);
	free(s->message);
	free(s->approval_reason);
	free(s);
}

/* Nothing is under way any more. */
static bool is_quiet(const struct shell_call *s)
{
	return s->state == SHELL_ENDED && !s->cancelling;
}

static void end(struct shell_call *s)
{
	s->state = SHELL_ENDED;
	deadline_clear(&s->cancel_again);
	report(s);
	if (is_quiet(s))
		shell_free(s);
}

/* ---- The stream of a command ---- */

static int64_t get_time(yyjson_val *obj, const char *key)
{
	const char *text = json_get_str(obj, key, NULL);
	int64_t us = 0;

	if (text)
		time_parse(str_of(text), &us);
	return us;
}

static void take_command(struct shell_call *s, yyjson_val *command)
{
	const char *id = json_get_str(command, "id", NULL);
	yyjson_val *signal = yyjson_obj_get(command, "signal");

	if (id && !s->command_id)
		s->command_id = xstrdup(id);
	s->exit_code = (int)json_get_int(command, "exit_code", -1);
	s->output_bytes = (uint64_t)json_get_int(command, "output_bytes", 0);
	s->started_at = get_time(command, "started_at");
	s->ended_at = get_time(command, "ended_at");
	if (yyjson_is_str(signal))
		snprintf(s->signal_text, sizeof(s->signal_text), "%s", yyjson_get_str(signal));
	else if (yyjson_is_int(signal) && yyjson_get_int(signal))
		snprintf(s->signal_text, sizeof(s->signal_text), "%d", yyjson_get_int(signal));
	set_end(s, json_get_str(command, "status", "error"), json_get_str(command, "reason", NULL));
	if (s->is_cancelled && s->command_id && !s->cancelling)
		send_cancel(s);
}

/* What was shown before a restart is left out. */
static void show_output(struct shell_call *s, const char *stream, uint64_t offset, struct str text)
{
	if (!s->call || offset + text.n <= s->call->output_offset)
		return;
	uint64_t known = offset < s->call->output_offset ? s->call->output_offset - offset : 0;
	s->call->on_output(s->call, stream, offset + known, (struct str){text.p + known, text.n - known});
}

/* A NUL has no place in a text that databases and terminals get: U+FFFD, as for other bytes that are no text. */
static struct str without_nul(struct str text, struct buf *room)
{
	if (!memchr(text.p, 0, text.n))
		return text;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i])
			buf_add_char(room, text.p[i]);
		else
			buf_add_str(room, "\xef\xbf\xbd");
	return buf_str(room);
}

static void take_output(struct shell_call *s, yyjson_val *root)
{
	_cleanup_(buf_deinit) struct buf clean = BUF_INIT;
	yyjson_val *data = yyjson_obj_get(root, "data");
	struct str text = {yyjson_get_str(data), yyjson_get_len(data)};
	const char *stream = strcmp(json_get_str(root, "stream", ""), "stderr") == 0 ? "stderr" : "stdout";
	uint64_t offset = (uint64_t)json_get_int(root, "offset", 0);
	/* Cleaned text may be longer than the bytes it stands for. */
	uint64_t end_at = offset + (uint64_t)json_get_int(root, "bytes", (int64_t)text.n);

	if (!text.p || text.n == 0)
		return;
	text = without_nul(text, &clean);
	if (!s->has_piece && offset < s->seen) {
		if (end_at <= s->seen)
			return;
		text.p += MIN(s->seen - offset, text.n);
		text.n -= MIN(s->seen - offset, text.n);
		offset = s->seen;
	}
	s->has_piece = true;
	if (offset > s->seen)
		clip_skip(&s->clip, offset - s->seen); /* exec's spool left it out */
	s->seen = MAX(end_at, s->seen);
	clip_add(&s->clip, text);
	show_output(s, stream, offset, text);
}

static bool on_event(void *owner, const struct sse_event *ev)
{
	struct shell_call *s = owner;
	/* A command may write NULs, so this is not for json_parse. */
	yyjson_doc *doc = yyjson_read(ev->data.p, ev->data.n, 0);
	yyjson_val *root = yyjson_doc_get_root(doc);

	if (str_is(ev->type, "output")) {
		take_output(s, root);
	} else if (str_is(ev->type, "started") || str_is(ev->type, "ended")) {
		s->has_ended = str_is(ev->type, "ended");
		take_command(s, json_get_obj(root, "command"));
	}
	yyjson_doc_free(doc);
	return true;
}

static void on_head(struct http_call *c, int status, const struct http_headers *headers)
{
	struct shell_call *s = c->owner;

	s->status = status;
}

static bool is_stream(const struct shell_call *s)
{
	return s->status == 200 || s->status == 201;
}

static void on_body(struct http_call *c, const char *data, size_t n)
{
	struct shell_call *s = c->owner;

	if (is_stream(s)) {
		if (sse_parser_feed(&s->sse, data, n) < 0)
			http_call_cancel(c);
	} else if (s->refusal.n + n <= MAX_REFUSAL) {
		buf_add(&s->refusal, data, n);
	}
}

/* exec has the command's hash and waits for a person's word on it. */
static void take_approval(struct shell_call *s, yyjson_val *root, const char *detail)
{
	snprintf(s->approval_hash, sizeof(s->approval_hash), "%s",
		 json_get_str(json_get_obj(root, "approval"), "hash", ""));
	free(s->approval_reason);
	s->approval_reason = xstrdup(json_get_str(root, "reason", detail));
	set_end(s, s->approval_hash[0] ? TOOL_ASKS : "error", NULL);
}

/* The sentence of exec's refusal. Returns whether trying again makes no sense. */
static bool take_refusal(struct shell_call *s)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, s->refusal.p, s->refusal.n, NULL));
	const char *code = json_get_str(root, "code", ""), *detail = json_get_str(root, "detail", "");
	bool is_final =
		strcmp(code, "sandbox_unavailable") == 0 || strcmp(code, "target_unavailable") == 0 ||
		(s->status >= 400 && s->status < 500 && s->status != 401 && s->status != 408 && s->status != 429);

	if (s->status == 404 && s->command_id) {
		set_end(s, "lost", "The command service no longer knows the command.");
		return true;
	}
	if (is_final && !s->message && strcmp(code, "policy_denied") == 0)
		s->message =
			xasprintf("Denied by policy, not run: %.700s Do not try to get around it; do without, or say "
				  "what you need it for.",
				  detail);
	else if (is_final && !s->message && strcmp(code, "approval_required") == 0)
		s->message =
			xasprintf("Waits for a person's approval, not run: %.700s Say what it is needed for; it can "
				  "be tried again once it is approved.",
				  detail);
	else if (is_final && !s->message)
		s->message = xasprintf("The command was refused: %.300s", *detail ? detail : code);
	if (is_final && strcmp(code, "approval_required") == 0)
		take_approval(s, root, detail);
	else if (is_final)
		set_end(s, "error", NULL);
	return is_final;
}

/* The whole flow: an attachment has ended; is the command's end known, or is it attached again? */
static void shell_next(struct shell_call *s)
{
	arena_free(s->attempt);
	s->attempt = NULL;
	if (s->has_ended || s->is_left) {
		end(s);
		return;
	}
	if (s->status >= 400 && take_refusal(s)) {
		/* What its user may not see any more does not go on unseen. */
		if (s->status == 403 && s->command_id && !s->cancelling)
			send_cancel(s);
		end(s);
		return;
	}
	if (s->is_cancelled && !s->call && clock_mono_us() > s->give_up_at) {
		end(s);
		return;
	}
	if (clock_mono_us() > s->give_up_at) {
		set_end(s, "lost", "The command service could not be reached any more.");
		end(s);
		return;
	}
	s->state = SHELL_PAUSING;
	deadline_set(service_wheel(s->agent->service), &s->pause,
		     MIN((uint64_t)WAIT_FIRST_MS << MIN(s->tries, 5u), WAIT_MAX_MS));
	s->tries++;
}

static void on_done(struct http_call *c, int err)
{
	struct shell_call *s = c->owner;

	if (s->has_piece)
		s->tries = 0;
	shell_next(s);
}

static void on_pause_over(struct deadline *d)
{
	attach(container_of(d, struct shell_call, pause));
}

static void attach(struct shell_call *s)
{
	struct service *service = s->agent->service;
	struct http_headers *headers;

	s->state = SHELL_STREAMING;
	s->status = 0;
	s->has_piece = false;
	s->attempt = arena_new();
	buf_clear(&s->refusal);
	sse_parser_deinit(&s->sse);
	sse_parser_init(&s->sse, MAX_EVENT, on_event, s);
	headers = service_peer_headers_of(service, "exec", s->user_id, s->actor, s->request_id, s->traceparent,
					  s->attempt);
	http_header_set(headers, "Accept", "text/event-stream");
	s->http = (struct http_call){
		.method = s->command_id ? "GET" : "POST",
		.headers = headers,
		.head_ms = 20 * 1000,
		.idle_ms = 60 * 1000, /* comments come every 15 s */
		.owner = s,
		.on_head = on_head,
		.on_body = on_body,
		.on_done = on_done,
	};
	if (s->command_id) {
		s->http.target = str_of(arena_printf(s->attempt, "/api/commands/%s/stream?offset=%llu", s->command_id,
						     (unsigned long long)s->seen));
	} else {
		http_header_set(headers, "Content-Type", "application/json");
		http_header_set(headers, "Idempotency-Key", s->key);
		s->http.target = STR("/api/commands?stream=1");
		s->http.body = s->body;
		s->http.body_length = (int64_t)s->body.n;
	}
	http_call_start(service_peer(service, "exec"), &s->http);
}

/* ---- Cancelling ---- */

static void on_cancel_answer(void *arg, int err, int status, struct str body)
{
	struct shell_call *s = arg;

	s->cancelling = NULL;
	arena_free(s->cancel_arena);
	s->cancel_arena = NULL;
	if (s->state == SHELL_ENDED)
		shell_free(s);
	else if ((err < 0 || status >= 500) && !s->is_left && clock_mono_us() < s->give_up_at)
		deadline_set(service_wheel(s->agent->service), &s->cancel_again, CANCEL_TRY_MS);
}

static void send_cancel(struct shell_call *s)
{
	struct service *service = s->agent->service;

	deadline_clear(&s->cancel_again);
	s->cancel_arena = arena_new();
	/* By the service itself: it stops what it began, whatever the user may by now. */
	struct http_headers *headers =
		service_peer_headers(service, "exec", "", s->request_id, s->traceparent, s->cancel_arena);
	const char *target = arena_printf(s->cancel_arena, "/api/commands/%s/cancel", s->command_id);
	s->cancelling = http_fetch(service_peer(service, "exec"), "POST", target, headers, NULL, (struct str){0},
				   MAX_REFUSAL, CANCEL_ANSWER_MS, on_cancel_answer, s);
}

static void on_cancel_again(struct deadline *d)
{
	send_cancel(container_of(d, struct shell_call, cancel_again));
}

/* exec has not confirmed yet: the run need not wait for it. */
static void on_report(struct deadline *d)
{
	struct shell_call *s = container_of(d, struct shell_call, report);

	set_end(s, "cancelled", NULL);
	report(s);
}

static void shell_cancel(struct tool_call *c)
{
	struct shell_call *s = c->self;

	if (s->is_cancelled)
		return;
	s->is_cancelled = true;
	s->give_up_at = clock_mono_us() + CANCEL_GIVE_UP_MS * 1000ull;
	deadline_set(service_wheel(s->agent->service), &s->report, CANCEL_REPORT_MS);
	if (s->command_id)
		send_cancel(s);
}

/* The process ends: the command goes on, and the next process attaches to it. */
static void leave(struct background *b)
{
	struct shell_call *s = container_of(b, struct shell_call, background);

	s->is_left = true;
	s->call = NULL;
	deadline_clear(&s->report);
	deadline_clear(&s->cancel_again);
	if (s->cancelling)
		http_fetch_cancel(s->cancelling);
	if (s->state == SHELL_STREAMING) {
		http_call_cancel(&s->http);
	} else {
		deadline_clear(&s->pause);
		end(s);
	}
}

static void shell_leave(struct tool_call *c)
{
	struct shell_call *s = c->self;

	leave(&s->background);
}

/* ---- The start ---- */

static const struct json_field fields[] = {
	{"command", JSON_STRING, true, 1, MAX_SCRIPT},
	{"timeout_seconds", JSON_INT, false, 1, 86400},
};

static int shell_check(const struct tool *t, yyjson_val *arguments, struct error *err)
{
	return json_check(arguments, fields, ARRAY_SIZE(fields), err);
}

static const char *shell_summary(const struct tool *t, yyjson_val *arguments, struct arena *a)
{
	return json_get_str(arguments, "command", NULL);
}

static struct str write_body(struct shell_call *s, struct tool_call *c, uint64_t timeout_ms)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *root = json_new_obj(s->arena, &doc);

	json_add_str(doc, root, "script", json_get_str(c->arguments, "command", ""));
	json_add_str(doc, root, "workspace", c->conversation_id);
	if (strcmp(c->target, "local") != 0)
		json_add_str(doc, root, "target", c->target);
	if (c->policy && c->policy[0])
		json_add_str(doc, root, "policy", c->policy);
	else if (c->is_risky_asked)
		json_add_str(doc, root, "policy", RISKY_POLICY);
	yyjson_mut_obj_add_uint(doc, root, "timeout_ms", timeout_ms);
	return json_text(s->arena, doc);
}

static void shell_start(struct tool_call *c)
{
	const struct options *o = service_options(c->agent->service);
	uint64_t timeout_ms = (uint64_t)json_get_int(c->arguments, "timeout_seconds", 0) * 1000;
	struct shell_call *s = xcalloc(1, sizeof(*s));

	if (timeout_ms == 0)
		timeout_ms = (uint64_t)option_int(o, "command_timeout");
	timeout_ms = MAX(MIN(timeout_ms, c->max_ms), 1u);
	s->background.leave = leave;
	list_append(&c->agent->background, &s->background.link);
	c->self = s;
	s->call = c;
	s->agent = c->agent;
	s->arena = arena_new();
	s->user_id = arena_strdup(s->arena, c->user_id);
	s->actor = arena_strdup(s->arena, c->actor);
	s->key = arena_strdup(s->arena, c->key);
	s->request_id = arena_strdup(s->arena, c->request_id);
	s->traceparent = arena_strdup(s->arena, c->traceparent);
	s->body = write_body(s, c, timeout_ms);
	s->give_up_at = clock_mono_us() + (timeout_ms + GRACE_MS) * 1000;
	s->exit_code = -1;
	clip_init(&s->clip, CLIP_HEAD, CLIP_TAIL);
	deadline_init(&s->pause, on_pause_over);
	deadline_init(&s->cancel_again, on_cancel_again);
	deadline_init(&s->report, on_report);
	set_end(s, "error", NULL);
	attach(s);
}

const struct tool tool_shell = {
	.spec =
		{
			.name = "shell",
			.description =
				"Runs a command line with sh in a sandbox. The working directory is /workspace: a "
				"folder "
				"of this conversation that stays between calls. The result is the exit status and the "
				"output (head and tail when it is long). There is no terminal and no input.",
			.parameters =
				"{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"string\",\"description\":"
				"\"The command line, as for sh -c\"},\"timeout_seconds\":{\"type\":\"integer\","
				"\"minimum\":1,\"maximum\":86400,\"description\":\"Stop it after so many seconds\"}},"
				"\"required\":[\"command\"],\"additionalProperties\":false}",
		},
	.check = shell_check,
	.summary = shell_summary,
	.start = shell_start,
	.cancel = shell_cancel,
	.leave = shell_leave,
	.abandon = shell_abandon,
};
