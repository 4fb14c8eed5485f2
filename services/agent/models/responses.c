/* OpenAI's Responses dialect, without storage at the provider: the whole conversation is sent each time, and reasoning
 * items come encrypted and are sent back in front of the call or text that they led to. */
#include <errno.h>
#include <stdlib.h>

#include "agent/models/stream.h"
#include "agent/models/wire.h"
#include "agent/structured.h"
#include "base/arena.h"

struct own {
	struct buf items; /* of reasoning: {"at": calls before it, "item": …}, one after the other with commas */
};

/* ---- Writing ---- */

static void write_text(struct buf *out, const struct chat_message *m)
{
	buf_printf(out, "{\"role\":\"%s\",\"content\":", m->role == CHAT_USER ? "user" : "assistant");
	json_quote(out, m->content);
	buf_add_char(out, '}');
}

static void write_user(const struct model_target *t, struct buf *out, const struct chat_message *m)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	buf_add_str(out, "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":");
	json_quote(out, wire_user_text(a, t, m));
	buf_add_char(out, '}');
	for (size_t i = 0; i < m->n_images; i++) {
		if (!wire_takes_image(t, &m->images[i]))
			continue;
		buf_printf(out, ",{\"type\":\"input_image\",\"image_url\":\"data:%s;base64,", m->images[i].media_type);
		buf_add(out, m->images[i].base64.p, m->images[i].base64.n);
		buf_add_str(out, "\"}");
	}
	buf_add_str(out, "]}");
}

static void write_call(struct buf *out, const struct chat_call *call)
{
	buf_add_str(out, "{\"type\":\"function_call\",\"call_id\":");
	wire_id(out, call->id);
	buf_add_str(out, ",\"name\":");
	wire_name(out, call->name);
	wire_member(out, "arguments", wire_is_object(call->arguments) ? call->arguments : STR("{}"));
	buf_add_char(out, '}');
}

static void write_result(struct buf *out, const struct chat_message *m)
{
	buf_add_str(out, "{\"type\":\"function_call_output\",\"call_id\":");
	wire_id(out, m->call_id);
	wire_member(out, "output", m->content);
	buf_add_char(out, '}');
}

static void next_item(struct buf *out, bool *is_first)
{
	if (!*is_first)
		buf_add_char(out, ',');
	*is_first = false;
}

/* The reasoning that came in front of call number `at`. */
static void write_reasoning(struct buf *out, yyjson_val *items, size_t at, bool *is_first)
{
	yyjson_val *entry;
	size_t i, max;

	yyjson_arr_foreach(items, i, max, entry)
	{
		char *text;
		if (json_get_int(entry, "at", 0) != (int64_t)at)
			continue;
		text = yyjson_val_write(yyjson_obj_get(entry, "item"), 0, NULL);
		next_item(out, is_first);
		buf_add_str(out, text ? text : "null");
		free(text);
	}
}

static void write_assistant(const struct model_target *t, const struct chat_message *m, struct buf *out, bool *is_first)
{
	_cleanup_(arena_free_p) struct arena *a = m->opaque ? arena_new() : NULL;
	yyjson_val *items = json_get_arr(wire_opaque(a, t, m), "items");

	write_reasoning(out, items, 0, is_first);
	if (m->content.n > 0) {
		next_item(out, is_first);
		write_text(out, m);
	}
	for (size_t i = 0; i < m->n_calls; i++) {
		if (i > 0)
			write_reasoning(out, items, i, is_first);
		next_item(out, is_first);
		write_call(out, &m->calls[i]);
	}
}

static void write_functions(struct buf *out, const struct chat_request *r)
{
	buf_add_str(out, ",\"tools\":[");
	for (size_t i = 0; i < r->n_tools; i++) {
		buf_printf(out, "%s{\"type\":\"function\",\"name\":\"%s\"", i ? "," : "", r->tools[i]->name);
		wire_member(out, "description", str_of(r->tools[i]->description));
		buf_printf(out, ",\"parameters\":%s,\"strict\":false}", r->tools[i]->parameters);
	}
	buf_add_char(out, ']');
}

/* Models that do not reason refuse to be asked for it. */
static bool does_reason(const char *model)
{
	static const char *const names[] = {"o1", "o3", "o4", "gpt-5", "gpt-6", "codex", "gpt-oss"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strncmp(model, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static void write_request(const struct model_target *t, const struct chat_request *r, struct buf *out)
{
	bool is_first = true;
	struct chat_message *m;

	buf_add_str(out, "{\"model\":");
	json_quote(out, str_of(t->model));
	wire_member(out, "instructions", str_of(r->instructions));
	buf_add_str(out, ",\"input\":[");
	list_foreach (m, r->messages, struct chat_message, link) {
		if (m->role == CHAT_ASSISTANT) {
			write_assistant(t, m, out, &is_first);
			continue;
		}
		next_item(out, &is_first);
		if (m->role == CHAT_TOOL)
			write_result(out, m);
		else if (m->n_images > 0)
			write_user(t, out, m);
		else
			write_text(out, m);
	}
	buf_add_char(out, ']');
	if (r->n_tools > 0)
		write_functions(out, r);
	if (r->output_schema)
		buf_printf(out,
			   ",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"answer\",\"strict\":%s,"
			   "\"schema\":%s}}",
			   structured_is_strict(r->output_schema) ? "true" : "false", r->output_schema);
	if (does_reason(t->model))
		buf_add_str(out, ",\"include\":[\"reasoning.encrypted_content\"]");
	/* The API takes no lower limit than 16. */
	buf_printf(out, ",\"max_output_tokens\":%lld,\"store\":false,\"stream\":true}",
		   (long long)MAX(r->max_output_tokens, 16));
}

static size_t write_headers(const struct model_target *t, struct arena *a, struct model_header *ret)
{
	if (!*t->key)
		return 0;
	ret[0] = (struct model_header){"Authorization", arena_printf(a, "Bearer %s", t->key)};
	return 1;
}

/* ---- Reading ---- */

static int begin_call(struct model_stream *s, yyjson_val *item, int64_t index)
{
	return model_stream_call(s, index, json_get_str(item, "call_id", json_get_str(item, "id", "")),
				 json_get_str(item, "name", ""));
}

/* What came in pieces already is not taken again. */
static int end_call(struct model_stream *s, yyjson_val *item, int64_t index)
{
	int i = begin_call(s, item, index);

	if (i < 0 || s->sink.answer->calls[i].arguments.n > 0)
		return MIN(i, 0);
	return model_stream_arguments(s, (size_t)i, yyjson_obj_get(item, "arguments"));
}

static int keep_reasoning(struct model_stream *s, yyjson_val *item)
{
	struct own *own = s->own;
	char *text = yyjson_val_write(item, 0, NULL);
	int r = 0;

	if (own->items.n + strlen(text) > CHAT_MAX_TEXT)
		r = model_stream_fail(s, false, "model_answer_too_long", "The model's reasoning is longer than %d MiB.",
				      CHAT_MAX_TEXT >> 20);
	else
		buf_printf(&own->items, "%s{\"at\":%zu,\"item\":%s}", own->items.n ? "," : "", s->sink.answer->n_calls,
			   text);
	free(text);
	return r;
}

/* The text of a message that came without pieces. */
static int take_message(struct model_stream *s, yyjson_val *item)
{
	yyjson_val *part;
	size_t i, max;
	int r = 0;

	if (s->sink.answer->text.n > 0)
		return 0;
	yyjson_arr_foreach(json_get_arr(item, "content"), i, max, part)
	{
		yyjson_val *refusal = yyjson_obj_get(part, "refusal");
		if (refusal)
			s->sink.answer->stop = CHAT_STOP_REFUSAL;
		if (r == 0)
			r = model_stream_text(s, refusal ? refusal : yyjson_obj_get(part, "text"));
	}
	return r;
}

static int take_item(struct model_stream *s, yyjson_val *item, int64_t index)
{
	const char *type = json_get_str(item, "type", "");

	if (strcmp(type, "function_call") == 0)
		return end_call(s, item, index);
	if (strcmp(type, "reasoning") == 0)
		return keep_reasoning(s, item);
	return strcmp(type, "message") == 0 ? take_message(s, item) : 0;
}

static void take_usage(struct model_stream *s, yyjson_val *usage)
{
	struct chat_usage *u = &s->sink.answer->usage;

	u->input_tokens = MAX(json_get_int(usage, "input_tokens", 0), 0);
	u->output_tokens = MAX(json_get_int(usage, "output_tokens", 0), 0);
	u->cached_tokens = json_get_int(json_get_obj(usage, "input_tokens_details"), "cached_tokens", 0);
	u->reasoning_tokens = json_get_int(json_get_obj(usage, "output_tokens_details"), "reasoning_tokens", 0);
}

static int take_failure(struct model_stream *s, yyjson_val *error)
{
	return model_stream_error(s, -1, json_get_str(error, "code", json_get_str(error, "type", "")),
				  json_get_str(error, "message", ""));
}

/* The whole response, at the end of a stream or alone. */
static int take_response(struct model_stream *s, yyjson_val *response, bool is_alone)
{
	const char *why = json_get_str(json_get_obj(response, "incomplete_details"), "reason", "");
	yyjson_val *error = yyjson_obj_get(response, "error"), *item;
	size_t i, max;

	if (yyjson_is_obj(error) || strcmp(json_get_str(response, "status", ""), "failed") == 0)
		return take_failure(s, error);
	yyjson_arr_foreach(is_alone ? json_get_arr(response, "output") : NULL, i, max, item)
	{
		if (take_item(s, item, (int64_t)i) < 0)
			return -EBADMSG;
	}
	take_usage(s, json_get_obj(response, "usage"));
	s->is_finished = s->is_done = true;
	if (strcmp(why, "max_output_tokens") == 0)
		s->sink.answer->stop = CHAT_STOP_LENGTH;
	else if (strcmp(why, "content_filter") == 0)
		s->sink.answer->stop = CHAT_STOP_FILTER;
	return 0;
}

static int take_arguments(struct model_stream *s, yyjson_val *root, int64_t index)
{
	int i = model_stream_call(s, index, "", "");

	return i < 0 ? i : model_stream_arguments(s, (size_t)i, yyjson_obj_get(root, "delta"));
}

static int take_added(struct model_stream *s, yyjson_val *item, int64_t index)
{
	if (strcmp(json_get_str(item, "type", ""), "function_call") != 0)
		return 0;
	return error_only(begin_call(s, item, index));
}

static bool is(const char *type, const char *name)
{
	return strcmp(type, name) == 0;
}

static int take(struct model_stream *s, const char *event, yyjson_val *root)
{
	const char *type = json_get_str(root, "type", event);
	int64_t index = json_get_int(root, "output_index", -1);

	if (is(type, "response.output_text.delta"))
		return model_stream_text(s, yyjson_obj_get(root, "delta"));
	if (is(type, "response.refusal.delta")) {
		s->sink.answer->stop = CHAT_STOP_REFUSAL;
		return model_stream_text(s, yyjson_obj_get(root, "delta"));
	}
	if (is(type, "response.function_call_arguments.delta"))
		return take_arguments(s, root, index);
	if (is(type, "response.output_item.added"))
		return take_added(s, json_get_obj(root, "item"), index);
	if (is(type, "response.output_item.done"))
		return take_item(s, json_get_obj(root, "item"), index);
	if (is(type, "response.completed") || is(type, "response.incomplete") || is(type, "response.failed"))
		return take_response(s, json_get_obj(root, "response"), false);
	if (is(type, "error") || yyjson_is_obj(yyjson_obj_get(root, "error")))
		return take_failure(s, json_get_obj(root, "error") ? json_get_obj(root, "error") : root);
	return is(json_get_str(root, "object", ""), "response") ? take_response(s, root, true) : 0;
}

static int end(struct model_stream *s)
{
	struct own *own = s->own;
	struct buf *out = &s->sink.answer->opaque;

	if (!s->sink.target || own->items.n == 0)
		return 0;
	wire_opaque_begin(out, s->sink.target);
	buf_printf(out, ",\"items\":[%s]}", own->items.p);
	return 0;
}

static void clear_own(void *own)
{
	buf_deinit(&((struct own *)own)->items);
}

const struct model_provider provider_responses = {
	.name = "responses",
	.path = "/responses",
	.list_path = "/models",
	.address_hint = "it usually ends in /v1",
	.write_request = write_request,
	.write_headers = write_headers,
	.own_size = sizeof(struct own),
	.clear_own = clear_own,
	.take = take,
	.end = end,
};
