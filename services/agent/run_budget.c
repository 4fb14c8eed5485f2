/* Budgets of a run, looked at before each call of a model: warnings, and the pause before a call that would be too
 * much. */
#include "agent/agent.h"
#include "agent/run.h"
#include "base/clock.h"

/* What the next call takes at least: the conversation as it is. */
static int64_t estimate_input(const struct run *run)
{
	struct chat_message *m;
	size_t n = strlen(run->instructions);

	list_foreach (m, &run->messages, struct chat_message, link) {
		n += m->content.n;
		for (size_t i = 0; i < m->n_calls; i++)
			n += m->calls[i].arguments.n;
	}
	return (int64_t)(n / 4);
}

static void emit_budget(struct run *run, enum event_type type, int percent, const struct budget_verdict *v,
			int64_t until)
{
	_cleanup_(arena_free_p) struct arena *arena = arena_new();
	char text[TIME_TEXT_SIZE];
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc);

	json_add_str(doc, obj, "scope", budget_scope_names[v->scope]);
	json_add_str(doc, obj, "unit", v->is_money ? "usd" : "tokens");
	yyjson_mut_obj_add_real(doc, obj, "limit", v->is_money ? (double)v->limit / 1e9 : (double)v->limit);
	yyjson_mut_obj_add_real(doc, obj, "used", v->is_money ? (double)v->used / 1e9 : (double)v->used);
	if (type == EVENT_BUDGET_WARNING)
		yyjson_mut_obj_add_int(doc, obj, "percent", percent);
	else if (until == INT64_MAX)
		yyjson_mut_obj_add_null(doc, obj, "until");
	else
		json_add_str(doc, obj, "until", (time_format(until, text), text));
	run_emit(run, type, true, "%s", json_text(arena, doc).p);
}

bool run_check_budgets(struct run *run, int64_t *ret_tokens, enum run_state *ret_state)
{
	struct budgets *b = &run->budgets;
	struct budget_verdict v;
	int64_t until;
	int percent;

	*ret_tokens = INT64_MAX;
	if (!budgets_has_limits(b))
		return true;
	b->used[BUDGET_RUN].tokens =
		run->usage.input_tokens + run->usage.output_tokens + run->children.tokens - run->budget_from.tokens;
	b->used[BUDGET_RUN].cost_nano = run->usage.cost_nano + run->children.cost_nano - run->budget_from.cost_nano;
	while ((percent = budgets_warning(b, &v)))
		emit_budget(run, EVENT_BUDGET_WARNING, percent, &v, 0);
	v = budgets_check(b, estimate_input(run), ret_tokens);
	if (v.scope < 0)
		return true;
	until = v.scope == BUDGET_RUN ? INT64_MAX : budget_day_end(clock_now_us());
	emit_budget(run, EVENT_BUDGET_PAUSED, 0, &v, until);
	*ret_state = run_park(run, "paused", "paused", until);
	return false;
}
