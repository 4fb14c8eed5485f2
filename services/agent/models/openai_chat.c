/* The chat-completions dialect, which OpenAI, the demo model, vLLM, SGLang, llama.cpp, Gemini, DeepSeek and many others
 * speak. Thoughts (reasoning_content, or reasoning) are sent back within a loop of calls, which is what those who send
 * them ask for; what a server puts beside a call (extra_content) is sent back with it. */
#include <errno.h>
#include <stdlib.h>

#include "agent/models/stream.h"
#include "agent/models/wire.h"
#include "agent/structured.h"
#include "base/arena.h"

struct own {
	const char *thoughts; /* the member that thoughts came in */
	struct buf extras;    /* [id, extra_content] pairs as members of an object */
};

/* ---- Writing ---- */

static const char *const roles[] = {[CHAT_USER] = "user", [CHAT_ASSISTANT] = "assistant", [CHAT_TOOL] = "tool"};

static void write_calls(struct buf *out, const struct chat_message *m, yyjson_val *extras)
{
	buf_add_str(out, ",\"tool_calls\":[");
	for (size_t i = 0; i < m->n_calls; i++) {
		const struct chat_call *call = &m->calls[i];
		yyjson_val *extra = yyjson_obj_get(extras, call->id);
		buf_add_str(out, i ? ",{\"id\":" : "{\"id\":");
		wire_id(out, call->id);
		buf_add_str(out, ",\"type\":\"function\",\"function\":{\"name\":");
		wire_name(out, call->name);
		buf_add_str(out, ",\"arguments\":");
		/* Some servers refuse a whole conversation for one call whose arguments do not parse. */
		json_quote(out, wire_is_object(call->arguments) ? call->arguments : STR("{}"));
		buf_add_char(out, '}');
		if (extra) {
			char *text = yyjson_val_write(extra, 0, NULL);
			buf_printf(out, ",\"extra_content\":%s", text);
			free(text);
		}
		buf_add_char(out, '}');
	}
	buf_add_char(out, ']');
}

static void write_thoughts(const struct model_target *t, const struct chat_request *r, const struct chat_message *m,
			   yyjson_val *opaque, struct buf *out)
{
	const char *text = json_get_str(opaque, "thoughts", NULL);

	if (!text || t->echo == ECHO_NEVER || (t->echo == ECHO_LOOP && !wire_is_in_loop(r, m)))
		return;
	wire_member(out, json_get_str(opaque, "member", "reasoning_content"), str_of(text));
}

static void write_parts(const struct model_target *t, const struct chat_message *m, struct buf *out)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	buf_add_str(out, "[{\"type\":\"text\",\"text\":");
	json_quote(out, wire_user_text(a, t, m));
	buf_add_char(out, '}');
	for (size_t i = 0; i < m->n_images; i++) {
		if (!wire_takes_image(t, &m->images[i]))
			continue;
		buf_printf(out, ",{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:%s;base64,",
			   m->images[i].media_type);
		buf_add(out, m->images[i].base64.p, m->images[i].base64.n);
		buf_add_str(out, "\"}}");
	}
	buf_add_char(out, ']');
}

static void write_message(const struct model_target *t, const struct chat_request *r, const struct chat_message *m,
			  struct buf *out)
{
	_cleanup_(arena_free_p) struct arena *a = m->opaque || m->n_images ? arena_new() : NULL;
	yyjson_val *opaque = wire_opaque(a, t, m);

	buf_printf(out, ",{\"role\":\"%s\",\"content\":", roles[m->role]);
	if (m->role == CHAT_ASSISTANT && m->n_calls > 0 && m->content.n == 0)
		buf_add_str(out, "null");
	else if (wire_n_images(t, m) > 0)
		write_parts(t, m, out);
	else
		json_quote(out, wire_user_text(a, t, m));
	if (m->role == CHAT_TOOL) {
		buf_add_str(out, ",\"tool_call_id\":");
		wire_id(out, m->call_id);
	}
	if (opaque)
		write_thoughts(t, r, m, opaque, out);
	if (m->n_calls > 0)
		write_calls(out, m, json_get_obj(opaque, "extras"));
	buf_add_char(out, '}');
}

static bool is_openai(const struct model_target *t)
{
	return strstr(t->base_url, "//api.openai.com");
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
	/* Compatible servers may refuse it: they have the instructions alone. */
	if (r->output_schema && strcmp(t->kind, "compatible") != 0)
		buf_printf(out,
			   ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\","
			   "\"strict\":%s,"
			   "\"schema\":%s}}",
			   structured_is_strict(r->output_schema) ? "true" : "false", r->output_schema);
	/* OpenAI's own newer models refuse the older name of the limit, and other servers do not know the newer one. */
	buf_printf(out, ",\"%s\":%lld,\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
		   is_openai(t) ? "max_completion_tokens" : "max_tokens", (long long)r->max_output_tokens);
}

static size_t write_headers(const struct model_target *t, struct arena *a, struct model_header *ret)
{
	if (!*t->key)
		return 0;
	ret[0] = (struct model_header){"Authorization", arena_printf(a, "Bearer %s", t->key)};
	return 1;
}

/* ---- Reading ---- */

/* Content is a string, or an array of parts with a text each. */
static int take_content(struct model_stream *s, yyjson_val *content)
{
	yyjson_val *part;
	size_t i, max;
	int r = 0;

	if (!yyjson_is_arr(content))
		return model_stream_text(s, content);
	yyjson_arr_foreach(content, i, max, part)
	{
		if (r == 0)
			r = model_stream_text(s, yyjson_obj_get(part, "text"));
	}
	return r;
}

static int take_thoughts(struct model_stream *s, yyjson_val *delta)
{
	static const char *const members[] = {"reasoning_content", "reasoning"};
	struct own *own = s->own;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		yyjson_val *text = yyjson_obj_get(delta, members[i]);
		if (!yyjson_is_str(text) || yyjson_get_len(text) == 0)
			continue;
		own->thoughts = own->thoughts ? own->thoughts : members[i];
		return model_stream_thought(s, text);
	}
	return 0;
}

static void take_extra(struct model_stream *s, int call, yyjson_val *extra)
{
	struct own *own = s->own;
	const char *id = s->sink.answer->calls[call].id;
	char *text;

	if (!yyjson_is_obj(extra) || !id || own->extras.n > CHAT_MAX_ARGUMENTS)
		return;
	text = yyjson_val_write(extra, 0, NULL);
	if (own->extras.n)
		buf_add_char(&own->extras, ',');
	json_quote(&own->extras, str_of(id));
	buf_printf(&own->extras, ":%s", text);
	free(text);
}

static int take_call(struct model_stream *s, yyjson_val *piece)
{
	yyjson_val *function = yyjson_obj_get(piece, "function"), *index = yyjson_obj_get(piece, "index");
	int i = model_stream_call(s, yyjson_is_int(index) ? yyjson_get_sint(index) : -1, json_get_str(piece, "id", ""),
				  json_get_str(function, "name", ""));

	if (i < 0)
		return i;
	take_extra(s, i, yyjson_obj_get(piece, "extra_content"));
	return model_stream_arguments(s, (size_t)i, yyjson_obj_get(function, "arguments"));
}

static int take_calls(struct model_stream *s, yyjson_val *calls)
{
	yyjson_val *piece;
	size_t i, max;
	int r = 0;

	yyjson_arr_foreach(calls, i, max, piece)
	{
		if (r == 0 && yyjson_is_obj(piece))
			r = take_call(s, piece);
	}
	return r < 0 ? r : 0;
}

static void take_usage(struct model_stream *s, yyjson_val *usage)
{
	struct chat_usage *u = &s->sink.answer->usage;
	int64_t in = json_get_int(usage, "prompt_tokens", 0), out = json_get_int(usage, "completion_tokens", 0);
	yyjson_val *of_in = json_get_obj(usage, "prompt_tokens_details");
	yyjson_val *of_out = json_get_obj(usage, "completion_tokens_details");

	if (in > 0)
		u->input_tokens = in;
	if (out > 0)
		u->output_tokens = out;
	u->cached_tokens = MAX(u->cached_tokens,
			       json_get_int(of_in, "cached_tokens", json_get_int(usage, "prompt_cache_hit_tokens", 0)));
	u->reasoning_tokens = MAX(u->reasoning_tokens, json_get_int(of_out, "reasoning_tokens", 0));
}

static int take_error(struct model_stream *s, yyjson_val *error)
{
	const char *message = yyjson_is_str(error) ? yyjson_get_str(error) : json_get_str(error, "message", "");
	const char *code = json_get_str(error, "code", json_get_str(error, "type", ""));

	return model_stream_error(s, (int)json_get_int(error, "code", -1), code, message);
}

static int take_finish(struct model_stream *s, const char *reason)
{
	struct chat_answer *a = s->sink.answer;

	s->is_finished = true;
	if (strcmp(reason, "length") == 0 || strcasecmp(reason, "max_tokens") == 0)
		a->stop = CHAT_STOP_LENGTH;
	else if (strcmp(reason, "content_filter") == 0 || strcasecmp(reason, "safety") == 0)
		a->stop = CHAT_STOP_FILTER;
	else if (strcmp(reason, "error") == 0 || strcmp(reason, "insufficient_system_resource") == 0)
		return model_stream_fail(s, true, "model_error", "The model's server ended the answer with \"%s\".",
					 reason);
	return 0;
}

static int take_choice(struct model_stream *s, yyjson_val *choice)
{
	/* A whole completion has "message" where a chunk has "delta". */
	yyjson_val *delta = json_get_obj(choice, "delta"), *refusal;
	const char *finish = json_get_str(choice, "finish_reason", "");
	int r;

	if (!delta)
		delta = json_get_obj(choice, "message");
	refusal = yyjson_obj_get(delta, "refusal");
	r = take_thoughts(s, delta);
	if (r == 0)
		r = take_content(s, yyjson_obj_get(delta, "content"));
	if (r == 0 && yyjson_get_len(refusal) > 0)
		s->sink.answer->stop = CHAT_STOP_REFUSAL;
	if (r == 0)
		r = take_content(s, refusal);
	if (r == 0)
		r = take_calls(s, json_get_arr(delta, "tool_calls"));
	return r == 0 && *finish ? take_finish(s, finish) : r;
}

static int take(struct model_stream *s, const char *type, yyjson_val *root)
{
	yyjson_val *error = yyjson_obj_get(root, "error");
	yyjson_val *choice = yyjson_arr_get_first(json_get_arr(root, "choices"));

	if (error && !yyjson_is_null(error))
		return take_error(s, error);
	if (strcmp(type, "error") == 0 && !choice)
		return take_error(s, root);
	yyjson_val *usage = json_get_obj(root, "usage");
	if (usage)
		take_usage(s, usage);
	return choice && json_get_int(choice, "index", 0) == 0 ? take_choice(s, choice) : 0;
}

static int end(struct model_stream *s)
{
	struct chat_answer *a = s->sink.answer;
	struct own *own = s->own;

	if (!s->sink.target || (a->thoughts.n == 0 && own->extras.n == 0))
		return 0;
	wire_opaque_begin(&a->opaque, s->sink.target);
	if (a->thoughts.n) {
		wire_member(&a->opaque, "member", str_of(own->thoughts));
		wire_member(&a->opaque, "thoughts", buf_str(&a->thoughts));
	}
	if (own->extras.n)
		buf_printf(&a->opaque, ",\"extras\":{%s}", own->extras.p);
	buf_add_char(&a->opaque, '}');
	return 0;
}

static void clear_own(void *own)
{
	buf_deinit(&((struct own *)own)->extras);
}

const struct model_provider provider_openai = {
	.name = "openai",
	.path = "/chat/completions",
	.list_path = "/models",
	.address_hint = "it usually ends in /v1",
	.write_request = write_request,
	.write_headers = write_headers,
	.own_size = sizeof(struct own),
	.clear_own = clear_own,
	.take = take,
	.end = end,
};
