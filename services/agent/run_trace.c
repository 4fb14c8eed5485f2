/* A run in traces and in the log. Names follow OpenTelemetry's conventions for generative AI where they exist. What
 * people, models and commands say is in neither. */
#include <errno.h>

#include "agent/agent.h"
#include "agent/run.h"
#include "base/clock.h"
#include "base/log.h"

void run_trace(struct run *run, const char *traceparent)
{
	trace_begin(&run->trace, traceparent, run->id);
	trace_write(&run->trace, run->traceparent);
	run->trace_from = clock_now_us();
}

void run_trace_step(struct run *run)
{
	trace_child(&run->step_trace, &run->trace);
	trace_write(&run->step_trace, run->step_traceparent);
	run->step_from = clock_now_us();
}

void run_trace_call(struct run *run, struct run_call *call)
{
	trace_child(&call->trace, &run->trace);
	trace_write(&call->trace, call->traceparent);
	call->trace_from = clock_now_us();
}

void run_trace_thought(struct run *run, const struct model_call *c, int err)
{
	struct otlp *otlp = service_otlp(run->agent->service);
	const struct chat_usage *u = &c->answer.usage;
	char name[120];

	if (!otlp_wants(otlp, &run->step_trace))
		return;
	snprintf(name, sizeof(name), "chat %.100s", c->target->model);
	otlp_add(otlp, &(struct span){
			       .trace = &run->step_trace,
			       .name = name,
			       .kind = SPAN_CLIENT,
			       .start_us = run->step_from,
			       .end_us = clock_now_us(),
			       .error = err == -ECANCELED ? "cancelled"
					: err             ? c->failure.error.code
							  : NULL,
			       .attributes = {{"gen_ai.operation.name", "chat"},
					      {"gen_ai.provider.name", c->target->kind},
					      {"gen_ai.request.model", c->target->model},
					      {"gen_ai.conversation.id", run->conversation_id},
					      {"gen_ai.usage.input_tokens", NULL, u->input_tokens},
					      {"gen_ai.usage.output_tokens", NULL, u->output_tokens},
					      {"ogent.execution.id", run->id},
					      {"ogent.attempts", NULL, c->attempt}},
		       });
}

void run_trace_called(struct run *run, const struct run_call *call, const struct tool_result *r)
{
	struct otlp *otlp = service_otlp(run->agent->service);
	char name[120];

	if (!otlp_wants(otlp, &call->trace))
		return;
	snprintf(name, sizeof(name), "execute_tool %.100s", call->spec.name);
	otlp_add(otlp,
		 &(struct span){
			 .trace = &call->trace,
			 .name = name,
			 .kind = SPAN_CLIENT,
			 .start_us = call->trace_from,
			 .end_us = clock_now_us(),
			 .error = strcmp(r->status, "exited") == 0 || strcmp(r->status, "done") == 0 ? NULL : r->status,
			 .attributes = {{"gen_ai.operation.name", "execute_tool"},
					{"gen_ai.tool.name", call->spec.name},
					{"gen_ai.tool.type", "function"},
					{"gen_ai.tool.call.id", call->spec.id},
					{"ogent.command.id", r->command_id ? r->command_id : ""},
					{"ogent.command.exit_code", NULL, r->exit_code},
					{"ogent.execution.id", run->id}},
		 });
}

static const char *status_of(const struct run *run)
{
	return run->stop.status ? run->stop.status : "succeeded";
}

static void write_log(const struct run *run, int64_t now)
{
	char steps[24], commands[24], in[24], out[24], ms[24];

	if (!log_enabled(LOG_INFO))
		return;
	snprintf(steps, sizeof(steps), "%lld", (long long)run->steps);
	snprintf(commands, sizeof(commands), "%lld", (long long)run->commands);
	snprintf(in, sizeof(in), "%lld", (long long)run->usage.input_tokens);
	snprintf(out, sizeof(out), "%lld", (long long)run->usage.output_tokens);
	snprintf(ms, sizeof(ms), "%lld", (long long)(now - run->trace_from) / 1000);
	log_event(LOG_INFO, "run ended", "execution_id", run->id, "trace_id", run->trace.trace_id, "span_id",
		  run->trace.span_id, "request_id", run->request_id, "status", status_of(run), "code",
		  run->stop.error.code, "steps", steps, "commands", commands, "input_tokens", in, "output_tokens", out,
		  "ms", ms, "user", run->user_id, NULL);
}

void run_trace_end(const struct run *run)
{
	struct otlp *otlp = service_otlp(run->agent->service);
	int64_t now = clock_now_us();
	const char *failure = run->stop.error.code[0] ? run->stop.error.code : run->stop.status;

	if (!run->ended_at || run->is_lost || run->err == -ESTALE)
		return;
	write_log(run, now);
	if (!otlp_wants(otlp, &run->trace))
		return;
	otlp_add(otlp, &(struct span){
			       .trace = &run->trace,
			       .name = "invoke_agent",
			       .kind = SPAN_INTERNAL,
			       .start_us = run->trace_from,
			       .end_us = now,
			       .error = failure,
			       .attributes = {{"gen_ai.operation.name", "invoke_agent"},
					      {"gen_ai.agent.id", run->agent_id ? run->agent_id : ""},
					      {"gen_ai.conversation.id", run->conversation_id},
					      {"gen_ai.usage.input_tokens", NULL, run->usage.input_tokens},
					      {"gen_ai.usage.output_tokens", NULL, run->usage.output_tokens},
					      {"ogent.execution.id", run->id},
					      {"ogent.execution.status", status_of(run)},
					      {"ogent.steps", NULL, run->steps},
					      {"ogent.request_id", run->request_id}},
		       });
}
