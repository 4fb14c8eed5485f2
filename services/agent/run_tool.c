/* Tooling: the calls of an answer, one after the other. A call that cannot be made is answered at once, in words the
 * model can act on. */
#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/run.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/encode.h"

/* Output shown and stored as events, for each call; what is beyond is kept by exec, and its end is shown. */
#define OUTPUT_SHOWN_MAX (256 * 1024)
#define REPEATS_WARN 3
#define REPEATS_MAX 4

int run_count_repeats(struct run *run, const char *name, struct str arguments)
{
	struct str call = str_of(arena_printf(run->arena, "%s %.*s", name, STR_ARG(arguments)));

	run->repeats = str_eq(call, run->last_call) ? run->repeats + 1 : 1;
	run->last_call = call;
	return run->repeats;
}

static struct run_call *current(struct run *run)
{
	return &run->calls[run->current];
}

static const struct tool *find_tool(const struct run *run, const char *name)
{
	for (size_t i = 0; i < run->n_tools; i++)
		if (strcmp(run->tools[i]->name, name) == 0)
			return run->tool_table[i];
	return NULL;
}

/* ---- The end of a call ---- */

static void add_nullable(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int64_t value, bool is_set)
{
	if (is_set)
		yyjson_mut_obj_add_int(doc, obj, key, value);
	else
		yyjson_mut_obj_add_null(doc, obj, key);
}

/* When the call ran: as the tool's service saw it, which also holds for a call that was attached to again after a
 * restart. */
static int64_t started_at(const struct run *run, const struct tool_result *r)
{
	return r->started_at ? r->started_at : run->call_started_at;
}

static int64_t ended_at(const struct tool_result *r)
{
	return r->ended_at ? r->ended_at : clock_now_us();
}

static void add_outcome(struct run *run, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct tool_result *r)
{
	int64_t from = started_at(run, r);

	json_add_str(doc, obj, "status", r->status);
	add_nullable(doc, obj, "exit_code", r->exit_code, r->exit_code >= 0);
	json_add_str(doc, obj, "signal", r->signal);
	yyjson_mut_obj_add_uint(doc, obj, "output_bytes", r->output_bytes);
	add_nullable(doc, obj, "duration_ms", (ended_at(r) - from) / 1000, from != 0);
	json_add_str(doc, obj, "message", r->message);
}

/* The structured result, which is stored with the tool's message. */
static const char *write_result(struct run *run, const struct tool_result *r)
{
	char started[TIME_TEXT_SIZE], ended[TIME_TEXT_SIZE];
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(run->arena, &doc);

	add_outcome(run, doc, obj, r);
	time_format(started_at(run, r) ? started_at(run, r) : clock_now_us(), started);
	time_format(ended_at(r), ended);
	json_add_str(doc, obj, "started_at", started);
	json_add_str(doc, obj, "ended_at", ended);
	json_add_str(doc, obj, "command_id", r->command_id);
	yyjson_mut_obj_add_val(doc, obj, "output",
			       yyjson_mut_strncpy(doc, r->output.p ? r->output.p : "", r->output.n));
	return json_text(run->arena, doc).p;
}

static void emit_done(struct run *run, const char *call_id, const struct tool_result *r)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	json_add_str(doc, obj, "call_id", call_id);
	add_outcome(run, doc, obj, r);
	run_emit(run, EVENT_CALL_DONE, true, "%s", json_text(a, doc).p);
}

/* The name is the model's: one that is no tool's is not told, or it could make series without end. */
static void count_call(struct run *run, const struct run_call *call, const struct tool_result *r)
{
	_cleanup_(buf_deinit) struct buf labels = BUF_INIT;

	metric_label(&labels, "tool", find_tool(run, call->spec.name) ? call->spec.name : "unknown");
	metric_label(&labels, "status", r->status);
	metric_add(metric_family_get(run->agent->metrics.tool_calls, buf_str(&labels)), 1);
}

static void end_call(struct run *run, struct run_call *call, const struct tool_result *r)
{
	count_call(run, call, r);
	struct run_message *m = run_add_message(run, CHAT_TOOL, r->content);

	m->call_id = call->spec.id;
	m->result = write_result(run, r);
	container_of(run->messages.prev, struct chat_message, link)->call_id = call->spec.id;
	emit_done(run, call->spec.id, r);
	call->has_result = true;
	run->call_started_at = 0;
}

/* ---- A call that is not made ---- */

static void show_start(struct run *run, struct run_call *call, const char *command)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	yyjson_doc *arguments = json_parse(a, call->spec.arguments.p, call->spec.arguments.n, NULL);

	if (call->is_shown)
		return;
	call->is_shown = true;
	json_add_str(doc, obj, "call_id", call->spec.id);
	json_add_str(doc, obj, "name", call->spec.name);
	if (yyjson_is_obj(yyjson_doc_get_root(arguments)))
		json_add_raw(doc, obj, "arguments", json_val_text(a, yyjson_doc_get_root(arguments)).p);
	else
		yyjson_mut_obj_add_strn(doc, obj, "arguments", call->spec.arguments.p ? call->spec.arguments.p : "",
					call->spec.arguments.n);
	json_add_str(doc, obj, "command", command);
	run_emit(run, EVENT_CALL_STARTED, false, "%s", json_text(a, doc).p);
}

static void refuse(struct run *run, struct run_call *call, const char *status, const char *message)
{
	struct tool_result r = {.status = status, .exit_code = -1, .message = message, .content = str_of(message)};

	show_start(run, call, NULL);
	end_call(run, call, &r);
}

static void refuse_unknown(struct run *run, struct run_call *call)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	buf_printf(&text, "There is no tool \"%.100s\". ", call->spec.name);
	buf_add_str(&text, run->n_tools ? "The tools are: " : "There are no tools: answer without one.");
	for (size_t i = 0; i < run->n_tools; i++)
		buf_printf(&text, "%s%s", i ? ", " : "", run->tools[i]->name);
	if (run->n_tools)
		buf_add_char(&text, '.');
	refuse(run, call, "error", text.p);
}

/* The arguments as an object, or NULL after the call was answered with what is wrong with them. */
static yyjson_val *read_arguments(struct run *run, struct run_call *call, const struct tool *tool)
{
	struct error err = {0};
	struct str text = call->spec.arguments;
	yyjson_val *root = yyjson_doc_get_root(json_parse(run->arena, text.p, text.n, &err));
	char message[700];

	if (root && tool->check(root, &err) == 0)
		return root;
	snprintf(message, sizeof(message),
		 "The arguments of the tool %s are wrong: %s. Call it again with arguments that fit its schema.",
		 tool->spec.name, err.message);
	refuse(run, call, "error", message);
	return NULL;
}

/* ---- A call under way ---- */

static void on_output(struct tool_call *c, const char *stream, uint64_t offset, struct str text)
{
	struct run *run = c->owner;

	if (run->output_shown + text.n > OUTPUT_SHOWN_MAX)
		run->is_output_cut = true;
	if (run->is_output_cut)
		return;
	run->output_shown += text.n;
	run->output_end = offset + text.n;
	run_emit_piece(run, EVENT_CALL_OUTPUT, current(run)->spec.id, stream, offset, text);
}

/* The tail without what was shown before it; a character is not cut. */
static struct str unseen_tail(const struct run *run, const struct tool_result *r, uint64_t *at)
{
	struct str tail = r->tail;

	*at = r->output_bytes - MIN(tail.n, r->output_bytes);
	while (tail.n > 0 && (*at < run->output_end || ((unsigned char)*tail.p & 0xc0) == 0x80)) {
		tail.p++;
		tail.n--;
		++*at;
	}
	*at = MAX(*at, run->output_end);
	return tail;
}

/* Of a long output the end is shown too, behind a gap. */
static void show_tail(struct run *run, const struct tool_result *r)
{
	_cleanup_(buf_deinit) struct buf id = BUF_INIT;
	uint64_t at;
	struct str tail = unseen_tail(run, r, &at);

	if (at > run->output_end) {
		json_quote(&id, str_of(current(run)->spec.id));
		run_emit(run, EVENT_CALL_OUTPUT_SKIPPED, false, "{\"call_id\":%s,\"bytes\":%llu}", id.p,
			 (unsigned long long)(at - run->output_end));
	}
	if (tail.n > 0)
		run_emit_piece(run, EVENT_CALL_OUTPUT, current(run)->spec.id, "stdout", at, tail);
}

static void on_done(struct tool_call *c, const struct tool_result *result)
{
	struct run *run = c->owner;
	struct tool_result r = *result;
	_cleanup_(buf_deinit) struct buf content = BUF_INIT;

	run->active_tool = NULL;
	run_trace_called(run, current(run), &r);
	if (run->is_output_cut)
		show_tail(run, &r);
	if (run->repeats >= REPEATS_WARN) {
		buf_add(&content, r.content.p, r.content.n);
		buf_printf(&content,
			   "\nWarning: this was the same call for the %drd time in a row. Do something else: the run "
			   "is stopped "
			   "at the next.",
			   run->repeats);
		r.content = buf_str(&content);
	}
	end_call(run, current(run), &r);
	run_on_done(run, 0);
}

/* The id is the model's: one that is not plain goes in as its hash, because the key becomes a header. */
static const char *call_key(struct run *run, const struct run_call *call)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-";
	const char *id = call->spec.id;
	char hash[SHA256_HEX_SIZE];

	if (id[strspn(id, plain)]) {
		sha256_hex(id, strlen(id), hash);
		id = hash;
	}
	return arena_printf(run->arena, "%s:%s:%lld", run->id, id, (long long)run->steps);
}

static void start(struct run *run, struct run_call *call, const struct tool *tool, yyjson_val *arguments)
{
	run->active_tool = tool;
	run->output_shown = run->output_end = call->output_offset;
	run->is_output_cut = false;
	run->call_started_at = clock_now_us();
	run_trace_step(run);
	run->tool = (struct tool_call){
		.agent = run->agent,
		.request_id = run->request_id,
		.traceparent = run->step_traceparent,
		.user_id = run->user_id,
		.conversation_id = run->conversation_id,
		.target = run->command_target,
		.policy = run->command_policy,
		.key = call_key(run, call),
		.arguments = arguments,
		/* Not what is left of it: a call that is begun again after a restart must be the same. */
		.max_ms = (uint64_t)run->max_seconds * 1000,
		.output_offset = call->output_offset,
		.owner = run,
		.on_output = on_output,
		.on_done = on_done,
	};
	tool->start(&run->tool);
}

void run_tool_refuse_open_calls(struct run *run, const char *why)
{
	for (size_t i = 0; i < run->n_calls; i++) {
		struct run_call *call = &run->calls[i];
		const struct tool *tool = find_tool(run, call->spec.name);
		if (call->has_result)
			continue;
		if (run->is_resumed && tool && tool->abandon)
			tool->abandon(run->agent, run->user_id, call_key(run, call));
		refuse(run, call, "cancelled", why);
	}
}

/* Begins the current call. Returns false when it was answered without one. */
static bool begin(struct run *run)
{
	struct run_call *call = current(run);
	const struct tool *tool = find_tool(run, call->spec.name);
	yyjson_val *arguments;

	if (!tool) {
		refuse_unknown(run, call);
		return false;
	}
	arguments = read_arguments(run, call, tool);
	if (!arguments)
		return false;
	if (!call->is_shown)
		run->commands++;
	show_start(run, call, tool->summary ? tool->summary(arguments) : NULL);
	start(run, call, tool, arguments);
	return true;
}

/* Start the next call that has no result. */
enum run_state run_tool(struct run *run)
{
	run->current = 0;
	while (current(run)->has_result)
		run->current++;
	run_show_state(run, "tooling", run->steps, false);
	if (run_count_repeats(run, current(run)->spec.name, current(run)->spec.arguments) >= REPEATS_MAX) {
		run_stop(run, "failed", "loop_detected",
			 "The run was stopped because the model asked for the same call four times in a row: say what "
			 "else it "
			 "should do, or choose another model.");
		return run_fail(run);
	}
	return begin(run) ? RUN_TOOLING : run_save(run);
}

void run_tool_cancel(struct run *run)
{
	run->active_tool->cancel(&run->tool);
}
