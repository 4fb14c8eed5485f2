/* Thinking: asking the model for its next message. */
#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/models/choice.h"
#include "agent/models/estimate.h"
#include "agent/run.h"
#include "agent/run_compact.h"
#include "base/alloc.h"
#include "base/clock.h"

static void on_text(struct model_call *c, struct str text)
{
	struct run *run = c->owner;

	run_emit_piece(run, EVENT_TEXT_DELTA, run->draft_id, NULL, c->answer.text.n - text.n, text);
}

static void take_text_back(struct run *run, const struct model_call *c)
{
	if (c->answer.text.n > 0)
		run_emit(run, EVENT_TEXT_RESET, false, "{\"message_id\":\"%s\"}", run->draft_id);
}

static void on_retry(struct model_call *c, unsigned attempt, uint64_t wait_ms, const char *reason)
{
	struct run *run = c->owner;
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	metric_add(run->agent->metrics.model_retries, 1);
	take_text_back(run, c);
	json_quote(&text, str_of(reason));
	run_emit(run, EVENT_MODEL_RETRY, false, "{\"attempt\":%u,\"wait_ms\":%llu,\"reason\":%s}", attempt,
		 (unsigned long long)wait_ms, text.p);
}

static void on_fallback(struct model_call *c, const struct model_target *from, const struct model_target *to,
			const char *reason)
{
	struct run *run = c->owner;
	_cleanup_(buf_deinit) struct buf data = BUF_INIT;

	take_text_back(run, c);
	buf_add_str(&data, "{\"from\":");
	json_quote(&data, str_of(from->id));
	buf_add_str(&data, ",\"to\":");
	json_quote(&data, str_of(to->id));
	buf_add_str(&data, ",\"reason\":");
	json_quote(&data, str_of(reason));
	run_emit(run, EVENT_MODEL_FALLBACK, false, "%s}", data.p);
}

static void on_waiting(struct model_call *c, enum model_hold why)
{
	_cleanup_(buf_deinit) struct buf model = BUF_INIT;

	json_quote(&model, str_of(c->target->id));
	run_emit(c->owner, EVENT_MODEL_WAITING, false, "{\"model\":%s,\"reason\":\"%s\"}", model.p,
		 model_hold_names[why]);
}

static void on_warning(struct model_call *c, const char *code, const char *message)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	json_quote(&text, str_of(message));
	run_emit(c->owner, EVENT_MODEL_WARNING, false, "{\"code\":\"%s\",\"message\":%s}", code, text.p);
}

static void count_tokens(struct agent *a, const char *model, const char *direction, int64_t n)
{
	_cleanup_(buf_deinit) struct buf labels = BUF_INIT;

	metric_label(&labels, "model", model);
	metric_label(&labels, "direction", direction);
	metric_add(metric_family_get(a->metrics.tokens, buf_str(&labels)), (double)n);
}

static void count_call(struct agent *a, const struct model_call *c, int err)
{
	_cleanup_(buf_deinit) struct buf labels = BUF_INIT;

	metric_label(&labels, "provider", c->target->kind);
	metric_label(&labels, "model", c->target->model);
	metric_label(&labels, "outcome", !err ? "ok" : err == -ECANCELED ? "cancelled" : c->failure.error.code);
	metric_add(metric_family_get(a->metrics.model_calls, buf_str(&labels)), 1);
	metric_observe(a->metrics.model_seconds, (double)(clock_mono_us() - c->started_us) / 1e6);
}

static void count(struct run *run, const struct model_call *c)
{
	const struct chat_usage *u = &c->answer.usage;
	struct agent *a = run->agent;

	run->usage.input_tokens += u->input_tokens;
	run->usage.output_tokens += u->output_tokens;
	run->usage.estimated = run->usage.estimated || u->estimated;
	run->usage.cached_tokens += u->cached_tokens;
	run->usage.cost_nano += u->cost_nano;
	count_tokens(a, c->target->model, "input", u->input_tokens);
	count_tokens(a, c->target->model, "output", u->output_tokens);
	if (c->first_text_us)
		metric_observe(a->metrics.first_text_seconds, (double)(c->first_text_us - c->started_us) / 1e6);
}

static void think(struct run *run);

/* The provider says that the conversation is too long, whatever the estimate was. */
static bool is_overflow(const struct model_call *c, int err)
{
	return err == -EIO && strcmp(c->failure.error.code, "model_context_overflow") == 0;
}

static void drop_call(struct run *run)
{
	model_call_clear(run->call);
	free(run->call);
	run->call = NULL;
}

static void on_done(struct model_call *c, int err)
{
	struct run *run = c->owner;

	run->target = c->target;
	count_call(run->agent, c, err);
	run_trace_thought(run, c, err);
	if (is_overflow(c, err) && !run->stop.status && !run->is_lost) {
		int fits = run->n_fits;
		if (c->answer.text.n > 0)
			take_text_back(run, c);
		if (run_fit(run, true, think)) {
			drop_call(run);
			return;
		}
		/* Results were cut: that may be enough, but is tried once only. */
		if (fits == run->n_fits && fits == 0) {
			run->n_fits++;
			drop_call(run);
			think(run);
			return;
		}
	}
	if (err == 0)
		count(run, c);
	else if (err != -ECANCELED && !run->stop.status)
		run_stop(run, "failed", c->failure.error.code, c->failure.error.message);
	run_on_done(run, err);
}

static enum run_state refuse(struct run *run, const char *code, const char *message)
{
	run_stop(run, "failed", code, message);
	return run_fail(run);
}

/* Input and output share the context. */
static int64_t output_limit(const struct run *run, const struct chat_request *r)
{
	const struct model_target *t = run->target;
	int64_t most = MAX(MIN(run->max_output_tokens, run->tokens_left), 1);

	if (t->max_output > 0)
		most = MIN(most, t->max_output);
	if (t->context > 0)
		most = MIN(most, MAX(t->context - (int64_t)((double)estimate_request(r) * model_place_factor(t->place)),
				     256));
	return most;
}

static void ask(struct run *run)
{
	run->call = xcalloc(1, sizeof(*run->call));
	*run->call = (struct model_call){
		.agent = run->agent,
		.targets = run->targets,
		.n_targets = run->n_targets,
		.user_id = run->user_id,
		.request =
			{
				.instructions = run->instructions,
				.messages = &run->messages,
				.tools = run->tools,
				.n_tools = run->n_tools,
				.output_schema = run->output_schema,
			},
		.traceparent = run->step_traceparent,
		.owner = run,
		.on_text = on_text,
		.on_retry = on_retry,
		.on_fallback = on_fallback,
		.on_waiting = on_waiting,
		.on_warning = on_warning,
		.on_done = on_done,
	};
	run->call->request.max_output_tokens = output_limit(run, &run->call->request);
	model_call_start(run->call);
}

/* Asks once the conversation fits. */
static void think(struct run *run)
{
	if (!run_fit(run, false, think))
		ask(run);
}

/* Ask the model for its next message. */
enum run_state run_think(struct run *run)
{
	struct error err = {0};
	enum run_state paused;
	char text[200];

	if (run->steps >= run->max_steps) {
		snprintf(text, sizeof(text),
			 "The run was stopped after %lld steps without an answer: raise the agent's limit max_steps if "
			 "it "
			 "needs more.",
			 (long long)run->steps);
		return refuse(run, "step_limit", text);
	}
	if (!run_check_budgets(run, &run->tokens_left, &paused))
		return paused;
	run->targets = arena_alloc(run->arena, MODEL_CHAIN_MAX * sizeof(*run->targets));
	run->n_targets = models_chain(run->agent->models, run->model_id, run->fallback_models, run->user_id, run->arena,
				      run->targets, &err);
	if (run->n_targets == 0)
		return refuse(run, err.code, err.message);
	run->target = run->targets[0];
	run->n_fits = 0;
	run_repair(run->arena, &run->messages);
	run->steps++;
	run_show_state(run, "thinking", run->steps, false);
	run_trace_step(run);
	think(run);
	return RUN_THINKING;
}

void run_think_cancel(struct run *run)
{
	if (run->fitting)
		run_fit_cancel(run);
	else
		model_call_cancel(run->call);
}
