/* Tooling: the calls of an answer, side by side. A call that cannot be made is answered at once, in words the model can
 * act on; one that waits for a person is held until the run was parked and woken. */
#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/run.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/encode.h"

/* Output shown and stored as events, for each call; what is beyond is kept by exec, and its end is shown. */
#define OUTPUT_SHOWN_MAX (256 * 1024)

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
static int64_t started_at(const struct run_call *call, const struct tool_result *r)
{
	return r->started_at ? r->started_at : call->started_at;
}

static int64_t ended_at(const struct tool_result *r)
{
	return r->ended_at ? r->ended_at : clock_now_us();
}

static void add_outcome(const struct run_call *call, yyjson_mut_doc *doc, yyjson_mut_val *obj,
			const struct tool_result *r)
{
	int64_t from = started_at(call, r);

	json_add_str(doc, obj, "status", r->status);
	add_nullable(doc, obj, "exit_code", r->exit_code, r->exit_code >= 0);
	json_add_str(doc, obj, "signal", r->signal);
	yyjson_mut_obj_add_uint(doc, obj, "output_bytes", r->output_bytes);
	add_nullable(doc, obj, "duration_ms", (ended_at(r) - from) / 1000, from != 0);
	json_add_str(doc, obj, "message", r->message);
}

/* The structured result, which is stored with the tool's message. */
static const char *write_result(const struct run_call *call, const struct tool_result *r)
{
	char started[TIME_TEXT_SIZE], ended[TIME_TEXT_SIZE];
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(call->run->arena, &doc);

	add_outcome(call, doc, obj, r);
	time_format(started_at(call, r) ? started_at(call, r) : clock_now_us(), started);
	time_format(ended_at(r), ended);
	json_add_str(doc, obj, "started_at", started);
	json_add_str(doc, obj, "ended_at", ended);
	json_add_str(doc, obj, "command_id", r->command_id);
	yyjson_mut_obj_add_val(doc, obj, "output",
			       yyjson_mut_strncpy(doc, r->output.p ? r->output.p : "", r->output.n));
	if (r->passages)
		json_add_raw(doc, obj, "passages", r->passages);
	return json_text(call->run->arena, doc).p;
}

static void emit_done(const struct run_call *call, const struct tool_result *r)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	json_add_str(doc, obj, "call_id", call->spec.id);
	add_outcome(call, doc, obj, r);
	run_emit(call->run, EVENT_CALL_DONE, true, "%s", json_text(a, doc).p);
}

/* The name is the model's: one that is no tool's is not told, or it could make series without end. */
static void count_call(struct run *run, const struct run_call *call, const struct tool_result *r)
{
	_cleanup_(buf_deinit) struct buf labels = BUF_INIT;

	metric_label(&labels, "tool", find_tool(run, call->spec.name) ? call->spec.name : "unknown");
	metric_label(&labels, "status", r->status);
	metric_add(metric_family_get(run->agent->metrics.tool_calls, buf_str(&labels)), 1);
}

/* What the model is told: a person's change in front, a warning behind. */
static struct str write_content(const struct run_call *call, struct str content, struct buf *room)
{
	if (!call->note && !call->warning)
		return content;
	buf_add_str(room, call->note ? call->note : "");
	buf_add(room, content.p ? content.p : "", content.n);
	if (call->warning)
		buf_printf(room, "\nWarning: this was %s. Do something else: the run is stopped at the next.",
			   call->warning);
	return buf_str(room);
}

/* Going in circles is a failure like others; what is under way is stopped. */
static void stop_for_loop(struct run *run, const char *why)
{
	char text[300];

	snprintf(text, sizeof(text),
		 "The run was stopped because the model went in circles: %s. Say what else it should do, or choose "
		 "another "
		 "model.",
		 why);
	run_stop(run, "failed", "loop_detected", text);
}

static void count_error(struct run_call *call, const struct tool_result *r)
{
	bool is_error = strcmp(r->status, "error") == 0;
	const char *why = NULL;

	switch (loops_result(&call->run->loops, is_error ? r->content : (struct str){0}, &why)) {
	case LOOP_NONE: break;
	case LOOP_WARN: call->warning = call->warning ? call->warning : why; break;
	case LOOP_STOP: stop_for_loop(call->run, why); break;
	}
}

static void end_call(struct run *run, struct run_call *call, const struct tool_result *r)
{
	_cleanup_(buf_deinit) struct buf room = BUF_INIT;

	count_call(run, call, r);
	call->has_result = true;
	count_error(call, r);
	struct run_message *m = run_add_message(run, CHAT_TOOL, write_content(call, r->content, &room));

	m->seq = run->calls_seq + 1 + (call - run->calls);
	m->call_id = call->spec.id;
	m->result = write_result(call, r);
	if (r->passages)
		cite_sources_add(&run->sources, run->arena, arena_strdup(run->arena, r->passages));
	container_of(run->messages.prev, struct chat_message, link)->call_id = call->spec.id;
	emit_done(call, r);
	call->started_at = 0;
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

static void answer(struct run *run, struct run_call *call, const char *status, const char *message)
{
	struct str text = str_of(message);
	struct tool_result r = {.status = status, .exit_code = -1, .output = text, .content = text};

	r.output_bytes = text.n;
	show_start(run, call, NULL);
	end_call(run, call, &r);
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

	if (root && tool->check(tool, root, &err) == 0)
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
	struct run_call *call = c->owner;

	if (call->output_shown + text.n > OUTPUT_SHOWN_MAX)
		call->is_output_cut = true;
	if (call->is_output_cut)
		return;
	call->output_shown += text.n;
	call->output_end = offset + text.n;
	run_emit_piece(call->run, EVENT_CALL_OUTPUT, call->spec.id, stream, offset, text);
}

/* The tail without what was shown before it; a character is not cut. */
static struct str unseen_tail(const struct run_call *call, const struct tool_result *r, uint64_t *at)
{
	struct str tail = r->tail;

	*at = r->output_bytes - MIN(tail.n, r->output_bytes);
	while (tail.n > 0 && (*at < call->output_end || ((unsigned char)*tail.p & 0xc0) == 0x80)) {
		tail.p++;
		tail.n--;
		++*at;
	}
	*at = MAX(*at, call->output_end);
	return tail;
}

/* Of a long output the end is shown too, behind a gap. */
static void show_tail(const struct run_call *call, const struct tool_result *r)
{
	_cleanup_(buf_deinit) struct buf id = BUF_INIT;
	uint64_t at;
	struct str tail = unseen_tail(call, r, &at);

	if (at > call->output_end) {
		json_quote(&id, str_of(call->spec.id));
		run_emit(call->run, EVENT_CALL_OUTPUT_SKIPPED, false, "{\"call_id\":%s,\"bytes\":%llu}", id.p,
			 (unsigned long long)(at - call->output_end));
	}
	if (tail.n > 0)
		run_emit_piece(call->run, EVENT_CALL_OUTPUT, call->spec.id, "stdout", at, tail);
}

static bool start_calls(struct run *run);

/* The last call under way ends the waiting; the results of the others are stored meanwhile. */
static void on_done(struct tool_call *c, const struct tool_result *result)
{
	struct run_call *call = c->owner;
	struct run *run = call->run;
	struct tool_result r = *result;

	const struct tool *tool = call->active;

	call->active = NULL;
	run->n_running--;
	deadline_clear(&call->limit);
	run_trace_called(run, call, &r);
	if (call->is_output_cut)
		show_tail(call, &r);
	if (call->is_late) {
		r.status = "timeout";
		r.message = "The call was stopped: it took longer than its tool may take.";
		r.content = str_of(r.message);
	}
	bool asks = strcmp(r.status, TOOL_ASKS) == 0;

	run->children.tokens = MAX(run->children.tokens, r.children_tokens);
	run->children.cost_nano = MAX(run->children.cost_nano, r.children_nano);

	if (asks && run->stop.status)
		r.status = "cancelled";
	if (asks && !run->stop.status)
		run_hold_command(run, call, tool, &r);
	else
		end_call(run, call, &r);
	if (!run->stop.status)
		start_calls(run);
	if (run->n_running == 0)
		run_on_done(run, 0);
	else
		run_flush(run);
}

static void on_limit(struct deadline *d)
{
	struct run_call *call = container_of(d, struct run_call, limit);

	call->is_late = true;
	call->active->cancel(&call->tool);
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

static enum approval_mode mode_of(const struct run *run, const struct tool *tool)
{
	for (size_t i = 0; i < run->n_tools; i++)
		if (run->tool_table[i] == tool)
			return run->approval_modes[i];
	return APPROVAL_NEVER;
}

static void start(struct run *run, struct run_call *call, const struct tool *tool, yyjson_val *arguments)
{
	call->active = tool;
	call->output_shown = call->output_end = call->output_offset;
	call->is_output_cut = call->is_late = false;
	call->started_at = clock_now_us();
	run->n_running++;
	run_trace_call(run, call);
	call->tool = (struct tool_call){
		.tool = tool,
		.agent = run->agent,
		.request_id = run->request_id,
		.traceparent = call->traceparent,
		.user_id = run->user_id,
		.actor = arena_printf(run->arena, "agent:%s", run->agent_id),
		.conversation_id = run->conversation_id,
		.agent_id = run->agent_id,
		.target = run->command_target,
		.policy = run->command_policy,
		.is_risky_asked = mode_of(run, tool) == APPROVAL_RISKY,
		.key = call_key(run, call),
		.arguments = arguments,
		.options = json_get_obj(run->tool_options, tool->spec.name),
		.is_repeated = run->is_resumed,
		.tokens_left = run->tokens_left,
		/* Not what is left of it: a call that is begun again after a restart must be the same. */
		.max_ms = (uint64_t)run->max_seconds * 1000,
		.output_offset = call->output_offset,
		.owner = call,
		.on_output = on_output,
		.on_done = on_done,
	};
	deadline_init(&call->limit, on_limit);
	if (tool->deadline_ms)
		deadline_set(service_wheel(run->agent->service), &call->limit, tool->deadline_ms);
	tool->start(&call->tool);
}

void run_tool_refuse_open_calls(struct run *run, const char *why)
{
	for (size_t i = 0; i < run->n_calls; i++) {
		struct run_call *call = &run->calls[i];
		const struct tool *tool = find_tool(run, call->spec.name);
		if (call->has_result)
			continue;
		if (run->is_resumed && tool && tool->abandon)
			tool->abandon(tool, run->agent, run->user_id, call_key(run, call));
		refuse(run, call, "cancelled", why);
	}
}

/* Whether a loop lets the call go on. */
static bool check_loop(struct run *run, struct run_call *call)
{
	const char *why = NULL;

	switch (loops_call(&run->loops, call->spec.name, call->spec.arguments, &why)) {
	case LOOP_NONE: return true;
	case LOOP_WARN: call->warning = why; return true;
	case LOOP_STOP: stop_for_loop(run, why); return false;
	}
	return true;
}

/* It is shown again with the arguments that a person has put in place of the model's. */
static void show_changed(struct run_call *call, const struct tool *tool, yyjson_val *arguments)
{
	struct run_call shown = *call;

	shown.spec.arguments = json_val_text(call->run->arena, arguments);
	shown.is_shown = false;
	show_start(call->run, &shown, tool->summary ? tool->summary(tool, arguments, call->run->arena) : NULL);
}

/* Begins a call, or answers it without one, or holds it. */
static void begin(struct run *run, struct run_call *call)
{
	const struct tool *tool = find_tool(run, call->spec.name);
	const char *message = NULL;
	yyjson_val *arguments;

	if (!check_loop(run, call))
		return;
	if (!tool) {
		refuse_unknown(run, call);
		return;
	}
	arguments = read_arguments(run, call, tool);
	if (!arguments)
		return;
	if (!call->is_shown)
		run->commands++;
	show_start(run, call, tool->summary ? tool->summary(tool, arguments, run->arena) : NULL);
	switch (run_ask_leave(run, call, tool, &arguments, &message)) {
	case LEAVE_GIVEN:
		if (call->note)
			show_changed(call, tool, arguments);
		start(run, call, tool, arguments);
		break;
	case LEAVE_AWAITED: call->is_held = true; break;
	case LEAVE_REFUSED: refuse(run, call, "rejected", message); break;
	case LEAVE_ANSWERED: answer(run, call, "done", message); break;
	}
}

/* Begins what can be begun, in order, so many at once as may be. */
static bool start_calls(struct run *run)
{
	size_t most = (size_t)option_int(service_options(run->agent->service), "run_parallel_calls");

	for (size_t i = 0; i < run->n_calls && run->n_running < most && !run->stop.status; i++) {
		struct run_call *call = &run->calls[i];
		if (!call->has_result && !call->active && !call->is_held)
			begin(run, call);
	}
	return run->n_running > 0;
}

/* Start the calls that have no result. */
enum run_state run_tool(struct run *run)
{
	run_show_state(run, "tooling", run->steps, false);
	if (start_calls(run)) {
		if (run->stop.status)
			run_tool_cancel(run);
		return RUN_TOOLING;
	}
	if (run->stop.status)
		return run_fail(run);
	return run->n_fresh > 0 ? run_save(run) : run_park(run, "waiting", "approving", run_approvals_expire_at(run));
}

void run_tool_cancel(struct run *run)
{
	for (size_t i = 0; i < run->n_calls; i++)
		if (run->calls[i].active)
			run->calls[i].active->cancel(&run->calls[i].tool);
}

void run_tool_leave(struct run *run)
{
	for (size_t i = 0; i < run->n_calls; i++) {
		struct run_call *call = &run->calls[i];
		if (!call->active)
			continue;
		deadline_clear(&call->limit);
		call->active->leave(&call->tool);
		call->active = NULL;
	}
	run->n_running = 0;
}
