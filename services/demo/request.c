#include "request.h"

#include <errno.h>
#include <string.h>

#include "wire.h"

static int refuse(struct demo_refusal *r, int status, const char *code, const char *param, const char *text)
{
	r->status = status;
	r->param = param;
	return error_set(&r->error, code, "%s", text);
}

/* The text of a message's content: a string, or the text parts of a list. */
static struct str content_text(struct arena *a, yyjson_val *content)
{
	struct buf all = BUF_INIT;
	size_t i, max;
	yyjson_val *part;

	if (yyjson_is_str(content))
		return (struct str){yyjson_get_str(content), yyjson_get_len(content)};
	yyjson_arr_foreach(content, i, max, part) buf_add_str(&all, json_get_str(part, "text", ""));

	struct str copy = arena_str(a, buf_str(&all));

	buf_deinit(&all);
	return copy;
}

static const char *role_of(yyjson_val *message)
{
	return json_get_str(message, "role", "");
}

static int check_messages(yyjson_val *messages, struct demo_refusal *refusal)
{
	static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", "function"};
	size_t i, max;
	yyjson_val *m;

	if (yyjson_arr_size(messages) == 0)
		return refuse(refusal, 400, "invalid_value", "messages",
			      "messages must be a list with at least one message.");
	yyjson_arr_foreach(messages, i, max, m)
	{
		bool known = false;

		for (size_t k = 0; k < ARRAY_SIZE(roles); k++)
			known = known || strcmp(role_of(m), roles[k]) == 0;
		if (!known)
			return refuse(refusal, 400, "invalid_value", "messages",
				      "each message needs a role: system, developer, user, assistant or tool.");
	}
	return 0;
}

/* The parameter of the tool `shell` that takes the command. */
static const char *find_shell(yyjson_val *root)
{
	yyjson_val *tools = json_get_arr(root, "tools"), *tool, *key, *val;
	size_t i, max, k, n;

	if (strcmp(json_get_str(root, "tool_choice", ""), "none") == 0)
		return NULL;
	yyjson_arr_foreach(tools, i, max, tool)
	{
		yyjson_val *function = json_get_obj(tool, "function");
		yyjson_val *properties = json_get_obj(json_get_obj(function, "parameters"), "properties");

		if (strcmp(json_get_str(function, "name", ""), "shell") != 0)
			continue;
		if (!properties || yyjson_obj_get(properties, "command"))
			return "command";
		yyjson_obj_foreach(properties, k, n, key, val) if (strcmp(json_get_str(val, "type", ""), "string") ==
								   0) return yyjson_get_str(key);
		return "command";
	}
	return NULL;
}

/* Takes the line "demo: {json}" out of the text and applies it. */
static int take_script_line(struct arena *a, struct str *text, struct demo_script *script, struct error *err)
{
	struct str rest = *text, kept = STR("");

	while (rest.p) {
		struct str line = str_cut(&rest, '\n'), json = str_trim(line);

		if (!str_has_prefix(json, STR("demo:"))) {
			kept = str_of(arena_printf(a, "%.*s%.*s\n", STR_ARG(kept), STR_ARG(line)));
			continue;
		}
		json = str_trim((struct str){json.p + 5, json.n - 5});
		if (demo_script_parse(script, a, json, err) < 0)
			return -EINVAL;
	}
	*text = kept;
	return 0;
}

/* FNV-1a: this only tells conversations apart. */
static uint64_t hash(uint64_t h, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3;
	return h;
}

static struct str find_result(struct arena *a, yyjson_val *messages, size_t from, const char *id, unsigned nth)
{
	size_t i, max;
	yyjson_val *m, *by_place = NULL;
	unsigned n = 0;

	yyjson_arr_foreach(messages, i, max, m)
	{
		if (i <= from || strcmp(role_of(m), "tool") != 0)
			continue;
		if (id && strcmp(json_get_str(m, "tool_call_id", ""), id) == 0)
			return content_text(a, yyjson_obj_get(m, "content"));
		if (n++ == nth)
			by_place = m;
	}
	return by_place ? content_text(a, yyjson_obj_get(by_place, "content")) : STR("");
}

static const char *nth_command(const struct demo_wish *w, unsigned nth)
{
	for (unsigned i = 0; i < w->n_steps; nth -= w->steps[i++].n)
		if (nth < w->steps[i].n)
			return w->steps[i].commands[nth];
	return "the command";
}

/* The calls since the last user message, and what came of them. */
static void read_results(struct arena *a, yyjson_val *messages, size_t user, struct demo_request *r)
{
	size_t i, max, k, n;
	yyjson_val *m, *call;

	yyjson_arr_foreach(messages, i, max, m)
	{
		yyjson_val *calls = json_get_arr(m, "tool_calls");

		if (i <= user || strcmp(role_of(m), "assistant") != 0 || yyjson_arr_size(calls) == 0)
			continue;
		r->rounds++;
		r->n_thoughts += *json_get_str(m, "reasoning_content", "") != '\0';
		yyjson_arr_foreach(calls, k, n, call)
		{
			const char *id = json_get_str(call, "id", NULL);

			if (r->n_results == ARRAY_SIZE(r->results))
				return;
			demo_result_read(a, nth_command(&r->wish, r->n_results),
					 find_result(a, messages, user, id, r->n_results), &r->results[r->n_results]);
			r->n_results++;
		}
	}
}

static int read_messages(struct arena *a, yyjson_val *messages, struct demo_request *r, struct demo_refusal *refusal)
{
	struct str text = STR("");
	size_t i, max, user = 0;
	yyjson_val *m;

	r->key = 0xcbf29ce484222325;
	yyjson_arr_foreach(messages, i, max, m)
	{
		struct str content = content_text(a, yyjson_obj_get(m, "content"));

		r->prompt_tokens += wire_tokens(content.n) + 4;
		if (strcmp(role_of(m), "user") != 0)
			continue;
		r->key = hash(r->key, content);
		text = content;
		user = i;
	}
	if (take_script_line(a, &text, &r->script, &refusal->error) < 0) {
		refusal->status = 400;
		refusal->param = "messages";
		return -EINVAL;
	}
	demo_wish_read(a, text, &r->wish);
	read_results(a, messages, user, r);
	return 0;
}

int demo_request_read(struct arena *a, struct str body, const struct demo_script *script, struct demo_request *r,
		      struct demo_refusal *refusal)
{
	yyjson_doc *doc = json_parse(a, body.p, body.n, &refusal->error);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL, *messages = json_get_arr(root, "messages");

	refusal->status = 400;
	if (!doc)
		return -EINVAL;
	*r = (struct demo_request){.script = *script};
	r->model = json_get_str(root, "model", NULL);
	r->stream = json_get_bool(root, "stream", false);
	r->include_usage = json_get_bool(json_get_obj(root, "stream_options"), "include_usage", false);
	r->max_tokens = json_get_int(root, "max_completion_tokens", json_get_int(root, "max_tokens", 0));
	if (!r->model)
		return refuse(refusal, 400, "missing_required_parameter", "model",
			      "you must provide a model parameter.");
	if (strcmp(r->model, DEMO_MODEL) != 0)
		return refuse(refusal, 404, "model_not_found", "model",
			      "this model does not exist here; the one there is, is " DEMO_MODEL ".");
	if (json_get_int(root, "n", 1) != 1)
		return refuse(refusal, 400, "unsupported_value", "n", "only one choice is made: n must be 1.");
	if (check_messages(messages, refusal) < 0)
		return -EINVAL;
	r->shell_argument = find_shell(root);
	if (read_messages(a, messages, r, refusal) < 0)
		return -EINVAL;
	if (r->script.context > 0 && r->prompt_tokens > (uint64_t)r->script.context)
		return refuse(refusal, 400, "context_length_exceeded", "messages",
			      "This model's maximum context length is smaller than what was sent.");
	if (r->script.thoughts && r->n_thoughts < r->rounds)
		return refuse(refusal, 400, "invalid_value", "messages",
			      "the thoughts of an answer that calls tools must be sent back with it.");
	return 0;
}
