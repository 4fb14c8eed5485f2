/* Ollama's own dialect. Only here the size of the context can be set: its compatible dialect cuts the conversation
 * silently at 4,096 tokens. A call's arguments are an object and have no id; the tool's answer names the tool. */
#include <errno.h>
#include <stdlib.h>

#include "agent/models/stream.h"
#include "agent/models/wire.h"
#include "base/arena.h"

/* ---- Writing ---- */

static void write_calls(struct buf *out, const struct chat_message *m)
{
	buf_add_str(out, ",\"tool_calls\":[");
	for (size_t i = 0; i < m->n_calls; i++) {
		const struct chat_call *call = &m->calls[i];
		buf_add_str(out, i ? ",{\"function\":{\"name\":" : "{\"function\":{\"name\":");
		wire_name(out, call->name);
		buf_add_str(out, ",\"arguments\":");
		if (wire_is_object(call->arguments))
			buf_add(out, call->arguments.p, call->arguments.n);
		else
			buf_add_str(out, "{}");
		buf_add_str(out, "}}");
	}
	buf_add_char(out, ']');
}

static void write_thoughts(const struct model_target *t, const struct chat_request *r, const struct chat_message *m,
			   struct buf *out)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const char *text = json_get_str(wire_opaque(a, t, m), "thoughts", NULL);

	if (text && wire_is_in_loop(r, m))
		wire_member(out, "thinking", str_of(text));
}

static void write_images(struct buf *out, const struct chat_message *m)
{
	buf_add_str(out, ",\"images\":[");
	for (size_t i = 0; i < m->n_images; i++) {
		buf_add_str(out, i ? ",\"" : "\"");
		buf_add(out, m->images[i].base64.p, m->images[i].base64.n);
		buf_add_char(out, '"');
	}
	buf_add_char(out, ']');
}

static void write_message(const struct model_target *t, const struct chat_request *r, const struct chat_message *m,
			  struct buf *out)
{
	static const char *const roles[] = {[CHAT_USER] = "user", [CHAT_ASSISTANT] = "assistant", [CHAT_TOOL] = "tool"};

	_cleanup_(arena_free_p) struct arena *a = m->n_images ? arena_new() : NULL;

	buf_printf(out, ",{\"role\":\"%s\"", roles[m->role]);
	wire_member(out, "content", wire_user_text(a, t, m));
	if (wire_n_images(t, m) > 0)
		write_images(out, m);
	if (m->role == CHAT_TOOL) {
		buf_add_str(out, ",\"tool_name\":");
		wire_name(out, wire_called_name(r, m));
	}
	if (m->opaque)
		write_thoughts(t, r, m, out);
	if (m->n_calls > 0)
		write_calls(out, m);
	buf_add_char(out, '}');
}

static void write_request(const struct model_target *t, const struct chat_request *r, struct buf *out)
{
	struct chat_message *m;

	buf_add_str(out, "{\"model\":");
	json_quote(out, str_of(t->model));
	buf_add_str(out, ",\"messages\":[{\"role\":\"system\",\"content\":");
	json_quote(out, str_of(r->instructions));
	buf_add_char(out, '}');
	list_foreach (m, r->messages, struct chat_message, link)
		write_message(t, r, m, out);
	buf_add_char(out, ']');
	if (r->n_tools > 0)
		wire_tools(out, r);
	/* With a format Ollama calls no tools. */
	if (r->output_schema && r->n_tools == 0)
		buf_printf(out, ",\"format\":%s", r->output_schema);
	buf_printf(out, ",\"stream\":true,\"options\":{\"num_predict\":%lld", (long long)r->max_output_tokens);
	if (t->context > 0)
		buf_printf(out, ",\"num_ctx\":%lld", (long long)t->context);
	buf_add_str(out, "}}");
}

static size_t write_headers(const struct model_target *t, struct arena *a, struct model_header *ret)
{
	if (!*t->key)
		return 0;
	ret[0] = (struct model_header){"Authorization", arena_printf(a, "Bearer %s", t->key)};
	return 1;
}

/* ---- Reading ---- */

static int take_calls(struct model_stream *s, yyjson_val *calls)
{
	yyjson_val *call;
	size_t i, max;

	yyjson_arr_foreach(calls, i, max, call)
	{
		yyjson_val *function = yyjson_obj_get(call, "function");
		int at = model_stream_call(s, (int64_t)s->sink.answer->n_calls, json_get_str(call, "id", ""),
					   json_get_str(function, "name", ""));

		if (at < 0 || model_stream_arguments(s, (size_t)at, yyjson_obj_get(function, "arguments")) < 0)
			return -EBADMSG;
	}
	return 0;
}

static int take_end(struct model_stream *s, yyjson_val *root)
{
	struct chat_answer *a = s->sink.answer;
	const char *reason = json_get_str(root, "done_reason", "stop");

	s->is_finished = s->is_done = true;
	a->usage.input_tokens = MAX(json_get_int(root, "prompt_eval_count", 0), 0);
	a->usage.output_tokens = MAX(json_get_int(root, "eval_count", 0), 0);
	if (strcmp(reason, "length") == 0)
		a->stop = CHAT_STOP_LENGTH;
	/* The model was only loaded, which an empty question does. */
	if (strcmp(reason, "load") == 0)
		return model_stream_fail(s, true, "model_answer_empty", "Ollama loaded the model and did not answer.");
	return 0;
}

static int take(struct model_stream *s, const char *event, yyjson_val *root)
{
	yyjson_val *message = json_get_obj(root, "message"), *error = yyjson_obj_get(root, "error");
	int r;

	(void)event;
	if (yyjson_is_str(error))
		return model_stream_error(s, -1, "", yyjson_get_str(error));
	if (yyjson_is_obj(error))
		return model_stream_error(s, (int)json_get_int(error, "code", -1), json_get_str(error, "type", ""),
					  json_get_str(error, "message", ""));
	r = model_stream_thought(s, yyjson_obj_get(message, "thinking"));
	if (r == 0)
		r = model_stream_text(s, yyjson_obj_get(message, "content"));
	if (r == 0)
		r = take_calls(s, json_get_arr(message, "tool_calls"));
	return r == 0 && json_get_bool(root, "done", false) ? take_end(s, root) : r;
}

static int end(struct model_stream *s)
{
	struct chat_answer *a = s->sink.answer;

	if (!s->sink.target || a->thoughts.n == 0)
		return 0;
	wire_opaque_begin(&a->opaque, s->sink.target);
	wire_member(&a->opaque, "thoughts", buf_str(&a->thoughts));
	buf_add_char(&a->opaque, '}');
	return 0;
}

const struct model_provider provider_ollama = {
	.name = "ollama",
	.path = "/api/chat",
	.list_path = "/api/tags",
	.address_hint = "it is the address of Ollama itself, without a path",
	.write_request = write_request,
	.write_headers = write_headers,
	.is_lines = true,
	.take = take,
	.end = end,
};
