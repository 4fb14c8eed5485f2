/* The end of thinking, where the answer is to be JSON of a schema: one that does not fit is told to the model, which
 * answers again, a few times at most. What it said wrongly is not kept. */
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/run.h"
#include "agent/structured.h"

#define REPAIRS_MAX 2

void run_take_output_schema(struct run *run, const char *of_message, yyjson_val *of_agent)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	const char *schema = of_message;

	if (!schema && yyjson_obj_size(of_agent) > 0)
		schema = json_val_text(run->arena, of_agent).p;
	if (!schema)
		return;
	run->output_schema = schema;
	structured_tell(&text, schema);
	run->instructions =
		arena_printf(run->arena, "%s%s%s", run->instructions, *run->instructions ? "\n\n" : "", text.p);
}

/* For this run alone, and only as long as it is in memory. */
static void say(struct run *run, enum chat_role role, struct str text)
{
	struct chat_message *m = arena_new_of(run->arena, struct chat_message);

	m->role = role;
	m->content = arena_str(run->arena, text);
	list_append(&run->messages, &m->link);
}

static void emit_invalid(struct run *run, struct str problems)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	json_quote(&text, (struct str){problems.p, MIN(problems.n, (size_t)1000)});
	run_emit(run, EVENT_TEXT_RESET, false, "{\"message_id\":\"%s\"}", run->draft_id);
	run_emit(run, EVENT_MODEL_WARNING, false, "{\"code\":\"output_invalid\",\"message\":%s}", text.p);
}

static enum run_state ask_again(struct run *run, struct str problems)
{
	struct str answer = buf_str(&run->call->answer.text);

	run->n_repairs++;
	emit_invalid(run, problems);
	say(run, CHAT_ASSISTANT, answer.n > 0 ? answer : STR("(nothing)"));
	say(run, CHAT_USER, structured_complaint(run->arena, problems));
	run_end_thinking(run);
	return run_think(run);
}

enum run_state run_check_output(struct run *run)
{
	_cleanup_(buf_deinit) struct buf problems = BUF_INIT;
	yyjson_val *schema, *value;

	if (!run->output_schema || run->call->answer.n_calls > 0)
		return run_save(run);
	schema = yyjson_doc_get_root(json_parse(run->arena, run->output_schema, strlen(run->output_schema), NULL));
	value = structured_read(schema, buf_str(&run->call->answer.text), run->arena, &problems);
	if (value) {
		run->parsed = json_val_text(run->arena, value).p;
		return run_save(run);
	}
	if (run->n_repairs < REPAIRS_MAX)
		return ask_again(run, buf_str(&problems));
	run->stop.status = "failed";
	error_set(&run->stop.error, "output_invalid",
		  "The model's answer does not fit the schema after %d tries. The last one: %.250s", REPAIRS_MAX + 1,
		  problems.p);
	return run_fail(run);
}
