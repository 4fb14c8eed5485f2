#include "agent/run.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/run_compact.h"
#include "agent/runner.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

const char *const run_state_names[] = {
	[RUN_LOADING] = "loading", [RUN_THINKING] = "thinking", [RUN_TOOLING] = "tooling", [RUN_SAVING] = "saving",
	[RUN_KEEPING] = "keeping", [RUN_PARKING] = "parking",   [RUN_FAILING] = "failing", [RUN_ENDED] = "ended",
};

static bool must_stop(const struct run *run)
{
	return run->stop.status && !run->is_answered && run->state != RUN_FAILING && run->state != RUN_PARKING;
}

/* The whole flow: given what just completed, start what comes next. */
static enum run_state run_next(struct run *run)
{
	if (run->err == -ESTALE || run->is_lost)
		return RUN_ENDED;
	if (must_stop(run))
		return run_fail(run);

	switch (run->state) {
	case RUN_LOADING: return run_has_open_calls(run) ? run_tool(run) : run_think(run);
	case RUN_THINKING: return run_check_output(run);
	case RUN_TOOLING: return run_save(run);
	case RUN_SAVING:
		if (run->is_answered)
			return RUN_ENDED;
		if (run_has_open_calls(run))
			return run_tool(run);
		return run_must_keep(run) ? run_keep(run) : run_think(run);
	case RUN_KEEPING: return run_think(run);
	/* A wish to stop that came meanwhile is in the database and makes it free. */
	case RUN_PARKING: return RUN_ENDED;
	case RUN_FAILING: return RUN_ENDED;
	case RUN_ENDED: break;
	}
	abort();
}

/* Every operation a run starts completes here: later, exactly once, on the loop's thread. */
void run_on_done(struct run *run, int err)
{
	enum run_state from = run->state;
	struct metric **metrics = run->agent->metrics.runs_in;

	run->err = err;
	run->state = run_next(run);
	log_debug("run %s: %s -> %s", run->id, run_state_names[from], run_state_names[run->state]);
	metric_add(metrics[from], -1);
	if (run->state < RUN_STATES)
		metric_add(metrics[run->state], 1);
	/* A write under way ends first; then it comes here from there. */
	if (run->state == RUN_ENDED && !run->write)
		runner_on_ended(run->agent->runner, run);
}

static void on_time_limit(struct deadline *d)
{
	struct run *run = container_of(d, struct run, time_limit);
	char message[160];

	snprintf(message, sizeof(message),
		 "The run was stopped after %lld seconds: raise the agent's limit max_seconds if it needs longer.",
		 (long long)run->max_seconds);
	run_stop(run, "failed", "time_limit", message);
}

void run_start(struct run *run, struct run_preload *preload)
{
	run->arena = arena_new();
	list_init(&run->messages);
	list_init(&run->approvals);
	run_trace(run, NULL);
	run_log_init(&run->log, run->agent, run->id, run->conversation_id, run->user_id, run->traceparent);
	deadline_init(&run->time_limit, on_time_limit);
	run_write_init(run);
	run->state = run_load(run, preload);
	metric_add(run->agent->metrics.runs_in[run->state], 1);
}

void run_stop(struct run *run, const char *status, const char *code, const char *message)
{
	if (run->stop.status || run->is_answered)
		return;
	run->stop.status = status;
	if (code)
		error_set(&run->stop.error, code, "%s", message);
	if (run->state == RUN_THINKING)
		run_think_cancel(run);
	else if (run->state == RUN_TOOLING)
		run_tool_cancel(run);
	else if (run->state == RUN_KEEPING)
		run_keep_cancel(run);
}

void run_drop(struct run *run)
{
	run->is_lost = true;
	if (run->state == RUN_THINKING) {
		run_think_cancel(run);
	} else if (run->state == RUN_KEEPING) {
		run_keep_cancel(run);
	} else if (run->state == RUN_TOOLING) {
		run_tool_leave(run);
		run_on_done(run, -ESTALE);
	}
}

void run_free(struct run *run)
{
	run_log_deinit(&run->log);
	deadline_clear(&run->flush_at);
	deadline_clear(&run->time_limit);
	deadline_clear(&run->write_again);
	run_fit_free(run);
	if (run->call)
		model_call_clear(run->call);
	free(run->call);
	arena_free(run->arena);
	free(run);
}

/* ---- Events ---- */

static void schedule_flush(struct run *run)
{
	if (run->log.unsaved >= 4096)
		run_flush(run);
	else if (!deadline_is_set(&run->flush_at))
		deadline_set(service_wheel(run->agent->service), &run->flush_at, 250);
}

void run_emit(struct run *run, enum event_type type, bool is_held, const char *fmt, ...)
{
	struct buf data = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&data, fmt, ap);
	va_end(ap);
	run_log_add(&run->log, event_new(type, buf_steal(&data, NULL), NULL), is_held);
	if (!is_held)
		schedule_flush(run);
}

void run_emit_piece(struct run *run, enum event_type type, const char *id, const char *stream, uint64_t offset,
		    struct str text)
{
	run_log_add(&run->log, event_new_piece(type, id, stream, offset, text), false);
	schedule_flush(run);
}

void run_show_state(struct run *run, const char *state, int64_t step, bool is_held)
{
	if (run->shown_state == state && run->shown_step == step)
		return;
	run->shown_state = state;
	run->shown_step = step;
	run_emit(run, EVENT_STATE, is_held, "{\"state\":\"%s\",\"step\":%lld}", state, (long long)step);
}

struct str run_error_json(struct arena *a, const struct error *error)
{
	struct buf out = BUF_INIT;

	if (!error->code[0])
		return STR("null");
	buf_printf(&out, "{\"code\":\"%s\",\"message\":", error->code);
	json_quote(&out, str_of(error->message));
	buf_add_char(&out, '}');
	arena_defer(a, free, out.p);
	return buf_str(&out);
}

struct str run_usage_json(struct arena *a, const struct chat_usage *u)
{
	return str_of(arena_printf(a,
				   "{\"input_tokens\":%lld,\"output_tokens\":%lld,\"cached_tokens\":%lld,\"cost_usd\":"
				   "%lld.%09lld,\"estimated\":%s}",
				   (long long)u->input_tokens, (long long)u->output_tokens, (long long)u->cached_tokens,
				   (long long)(u->cost_nano / 1000000000), (long long)(u->cost_nano % 1000000000),
				   u->estimated ? "true" : "false"));
}
