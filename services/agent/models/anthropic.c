/* Anthropic's Messages dialect. Thoughts come as blocks with a signature; they are sent back unchanged, before the text
 * or call that they led to, to the model that made them. */
#include <errno.h>
#include <stdlib.h>

#include "agent/models/stream.h"
#include "agent/models/wire.h"
#include "agent/structured.h"
#include "base/arena.h"

#define VERSION "2023-06-01"
#define ANSWER_TOOL "ogent_answer"
#define CACHE ",\"cache_control\":{\"type\":\"ephemeral\"}"

enum block_kind { BLOCK_OTHER, BLOCK_TEXT, BLOCK_CALL, BLOCK_THOUGHT, BLOCK_ANSWER };

struct own {
	enum block_kind kind; /* of the block under way */
	int64_t index;
	int call;                      /* of a call's block */
	struct buf thought, signature; /* of a thought's block */
	struct buf blocks;             /* done: {"at": calls before it, "block": …}, with commas */
};

/* ---- Writing ---- */

/* Messages of one side that follow each other are one: results of calls and what the user says behind them. */
struct writer {
	const struct model_target *target;
	const struct chat_request *request;
	struct buf *out;
	const char *role; /* of the message under way, NULL before the first */
	bool is_first_block;
};

static void begin_block(struct writer *w, const char *role)
{
	if (!w->role || strcmp(w->role, role) != 0) {
		buf_printf(w->out, "%s{\"role\":\"%s\",\"content\":[", w->role ? "]}," : "", role);
		w->is_first_block = true;
	}
	if (!w->is_first_block)
		buf_add_char(w->out, ',');
	w->role = role;
	w->is_first_block = false;
}

static bool is_blank(struct str s)
{
	return str_trim(s).n == 0;
}

/* The API refuses empty texts. */
static void write_text(struct writer *w, const char *role, struct str text, bool is_last)
{
	if (is_blank(text))
		return;
	begin_block(w, role);
	buf_add_str(w->out, "{\"type\":\"text\",\"text\":");
	json_quote(w->out, text);
	buf_add_str(w->out, is_last ? CACHE "}" : "}");
}

static void write_result(struct writer *w, const struct chat_message *m, bool is_last)
{
	begin_block(w, "user");
	buf_add_str(w->out, "{\"type\":\"tool_result\",\"tool_use_id\":");
	wire_id(w->out, m->call_id);
	wire_member(w->out, "content", m->content);
	buf_add_str(w->out, is_last ? CACHE "}" : "}");
}

static void write_call(struct writer *w, const struct chat_call *call)
{
	begin_block(w, "assistant");
	buf_add_str(w->out, "{\"type\":\"tool_use\",\"id\":");
	wire_id(w->out, call->id);
	buf_add_str(w->out, ",\"name\":");
	wire_name(w->out, call->name);
	buf_add_str(w->out, ",\"input\":");
	if (wire_is_object(call->arguments))
		buf_add(w->out, call->arguments.p, call->arguments.n);
	else
		buf_add_str(w->out, "{}");
	buf_add_char(w->out, '}');
}

/* The thoughts that came in front of call number `at`. */
static void write_thoughts(struct writer *w, yyjson_val *blocks, size_t at)
{
	yyjson_val *entry;
	size_t i, max;

	yyjson_arr_foreach(blocks, i, max, entry)
	{
		char *text;
		if (json_get_int(entry, "at", 0) != (int64_t)at)
			continue;
		text = yyjson_val_write(yyjson_obj_get(entry, "block"), 0, NULL);
		if (text) {
			begin_block(w, "assistant");
			buf_add_str(w->out, text);
		}
		free(text);
	}
}

static void write_assistant(struct writer *w, const struct chat_message *m)
{
	_cleanup_(arena_free_p) struct arena *a = m->opaque ? arena_new() : NULL;
	yyjson_val *blocks = json_get_arr(wire_opaque(a, w->target, m), "blocks");

	/* Thoughts alone are no message. */
	if (!is_blank(m->content) || m->n_calls > 0)
		write_thoughts(w, blocks, 0);
	write_text(w, "assistant", m->content, false);
	for (size_t i = 0; i < m->n_calls; i++) {
		if (i > 0)
			write_thoughts(w, blocks, i);
		write_call(w, &m->calls[i]);
	}
}

/* Images stand best in front of what is asked about them. */
static void write_user(struct writer *w, const struct chat_message *m, bool is_last)
{
	_cleanup_(arena_free_p) struct arena *a = m->n_images ? arena_new() : NULL;

	for (size_t i = 0; i < m->n_images; i++) {
		if (!wire_takes_image(w->target, &m->images[i]))
			continue;
		begin_block(w, "user");
		buf_printf(w->out,
			   "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"%s\",\"data\":\"",
			   m->images[i].media_type);
		buf_add(w->out, m->images[i].base64.p, m->images[i].base64.n);
		buf_add_str(w->out, "\"}}");
	}
	write_text(w, "user", wire_user_text(a, w->target, m), is_last);
}

static void write_messages(struct writer *w)
{
	const struct list *last = w->request->messages->prev;
	struct chat_message *m;

	buf_add_str(w->out, ",\"messages\":[");
	list_foreach (m, w->request->messages, struct chat_message, link) {
		if (m->role == CHAT_ASSISTANT)
			write_assistant(w, m);
		else if (m->role == CHAT_TOOL)
			write_result(w, m, &m->link == last);
		else
			write_user(w, m, &m->link == last);
	}
	buf_add_str(w->out, w->role ? "]}]" : "]");
}

/* An answer by a schema is the arguments of a call that the model must make. */
static void write_answer_tool(struct buf *out, const struct chat_request *r)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	buf_printf(out,
		   "%s{\"name\":\"" ANSWER_TOOL
		   "\",\"description\":\"Gives the final answer. Call it once, when you are "
		   "done, and nothing else with it.\",\"input_schema\":%s}",
		   r->n_tools ? "," : "", structured_as_object(a, r->output_schema));
}

static void write_functions(struct buf *out, const struct chat_request *r)
{
	buf_add_str(out, ",\"tools\":[");
	for (size_t i = 0; i < r->n_tools; i++) {
		buf_printf(out, "%s{\"name\":\"%s\"", i ? "," : "", r->tools[i]->name);
		wire_member(out, "description", str_of(r->tools[i]->description));
		buf_printf(out, ",\"input_schema\":%s}", r->tools[i]->parameters);
	}
	if (r->output_schema)
		write_answer_tool(out, r);
	buf_add_char(out, ']');
	if (r->output_schema && r->n_tools == 0)
		buf_add_str(out, ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"" ANSWER_TOOL "\"}");
	else if (r->output_schema)
		buf_add_str(out, ",\"tool_choice\":{\"type\":\"any\"}");
}

static void write_request(const struct model_target *t, const struct chat_request *r, struct buf *out)
{
	struct writer w = {t, r, out, NULL, true};

	buf_add_str(out, "{\"model\":");
	json_quote(out, str_of(t->model));
	buf_printf(out, ",\"max_tokens\":%lld,\"stream\":true", (long long)r->max_output_tokens);
	if (!is_blank(str_of(r->instructions))) {
		buf_add_str(out, ",\"system\":[{\"type\":\"text\",\"text\":");
		json_quote(out, str_of(r->instructions));
		buf_add_str(out, CACHE "}]");
	}
	write_messages(&w);
	if (r->n_tools > 0 || r->output_schema)
		write_functions(out, r);
	buf_add_char(out, '}');
}

static size_t write_headers(const struct model_target *t, struct arena *a, struct model_header *ret)
{
	ret[0] = (struct model_header){"anthropic-version", VERSION};
	if (!*t->key)
		return 1;
	ret[1] = (struct model_header){"x-api-key", arena_strdup(a, t->key)};
	return 2;
}

/* ---- Reading ---- */

static bool is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static void keep_block(struct model_stream *s, const char *json)
{
	struct own *own = s->own;

	if (own->blocks.n + strlen(json) <= CHAT_MAX_TEXT)
		buf_printf(&own->blocks, "%s{\"at\":%zu,\"block\":%s}", own->blocks.n ? "," : "",
			   s->sink.answer->n_calls, json);
}

/* Some servers send it at once; a stream begins with {}. */
static int take_whole_answer(struct model_stream *s, yyjson_val *input)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_mut_doc *doc = json_new(a);

	if (yyjson_obj_size(input) == 0)
		return 0;
	yyjson_mut_val *text = yyjson_mut_strcpy(doc, json_val_text(a, input).p);
	yyjson_mut_doc_set_root(doc, text);
	struct str quoted = json_text(a, doc);
	return model_stream_text(s, yyjson_doc_get_root(json_parse(a, quoted.p, quoted.n, NULL)));
}

static int begin(struct model_stream *s, yyjson_val *root)
{
	struct own *own = s->own;
	yyjson_val *block = json_get_obj(root, "content_block");
	const char *type = json_get_str(block, "type", "");

	own->index = json_get_int(root, "index", -1);
	own->kind = BLOCK_OTHER;
	if (is(type, "text")) {
		own->kind = BLOCK_TEXT;
		return model_stream_text(s, yyjson_obj_get(block, "text"));
	}
	if (is(type, "tool_use") && is(json_get_str(block, "name", ""), ANSWER_TOOL)) {
		own->kind = BLOCK_ANSWER;
		return take_whole_answer(s, yyjson_obj_get(block, "input"));
	}
	if (is(type, "tool_use")) {
		own->kind = BLOCK_CALL;
		own->call = model_stream_call(s, own->index, json_get_str(block, "id", ""),
					      json_get_str(block, "name", ""));
		/* Some servers send the whole input at once; a stream begins with {}. */
		if (own->call >= 0 && yyjson_obj_size(yyjson_obj_get(block, "input")) > 0)
			return model_stream_arguments(s, (size_t)own->call, yyjson_obj_get(block, "input"));
		return MIN(own->call, 0);
	}
	if (is(type, "thinking")) {
		own->kind = BLOCK_THOUGHT;
		buf_clear(&own->thought);
		buf_clear(&own->signature);
		buf_add_str(&own->thought, json_get_str(block, "thinking", ""));
		buf_add_str(&own->signature, json_get_str(block, "signature", ""));
	} else if (is(type, "redacted_thinking")) {
		char *text = yyjson_val_write(block, 0, NULL);
		keep_block(s, text);
		free(text);
	}
	return 0;
}

static int add_thought(struct model_stream *s, struct buf *to, const char *text)
{
	size_t n = strlen(text);

	if (to->n + n > CHAT_MAX_TEXT)
		return model_stream_fail(s, false, "model_answer_too_long",
					 "The model's thoughts are longer than %d "
					 "MiB.",
					 CHAT_MAX_TEXT >> 20);
	buf_add(to, text, n);
	return 0;
}

static int add_delta(struct model_stream *s, yyjson_val *root)
{
	struct own *own = s->own;
	yyjson_val *delta = json_get_obj(root, "delta");
	const char *type = json_get_str(delta, "type", "");

	if (is(type, "text_delta"))
		return model_stream_text(s, yyjson_obj_get(delta, "text"));
	if (is(type, "input_json_delta") && own->kind == BLOCK_CALL)
		return model_stream_arguments(s, (size_t)own->call, yyjson_obj_get(delta, "partial_json"));
	if (is(type, "input_json_delta") && own->kind == BLOCK_ANSWER)
		return model_stream_text(s, yyjson_obj_get(delta, "partial_json"));
	if (is(type, "thinking_delta") && own->kind == BLOCK_THOUGHT)
		return add_thought(s, &own->thought, json_get_str(delta, "thinking", ""));
	if (is(type, "signature_delta") && own->kind == BLOCK_THOUGHT)
		return add_thought(s, &own->signature, json_get_str(delta, "signature", ""));
	return 0; /* citations, and what is to come */
}

/* Only signed thoughts are taken back by the API. */
static void end_block(struct model_stream *s)
{
	struct own *own = s->own;
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	if (own->kind == BLOCK_THOUGHT && own->signature.n > 0) {
		buf_add_str(&out, "{\"type\":\"thinking\"");
		wire_member(&out, "thinking", buf_str(&own->thought));
		wire_member(&out, "signature", buf_str(&own->signature));
		buf_add_char(&out, '}');
		keep_block(s, out.p);
	}
	own->kind = BLOCK_OTHER;
}

/* The numbers are cumulative; what is not told stays. */
static void take_usage(struct model_stream *s, yyjson_val *usage)
{
	struct chat_usage *u = &s->sink.answer->usage;
	int64_t plain = u->input_tokens - u->cached_tokens - u->cache_write_tokens;

	if (json_get_int(usage, "input_tokens", 0) > 0)
		plain = json_get_int(usage, "input_tokens", 0);
	u->cached_tokens = MAX(json_get_int(usage, "cache_read_input_tokens", u->cached_tokens), 0);
	u->cache_write_tokens = MAX(json_get_int(usage, "cache_creation_input_tokens", u->cache_write_tokens), 0);
	u->input_tokens = plain + u->cached_tokens + u->cache_write_tokens;
	if (json_get_int(usage, "output_tokens", 0) > 0)
		u->output_tokens = json_get_int(usage, "output_tokens", 0);
}

static int take_stop(struct model_stream *s, const char *reason)
{
	static const struct {
		const char *name;
		enum chat_stop stop;
	} reasons[] = {
		{"max_tokens", CHAT_STOP_LENGTH},
		{"model_context_window_exceeded", CHAT_STOP_WINDOW},
		{"refusal", CHAT_STOP_REFUSAL},
		{"pause_turn", CHAT_STOP_PAUSE},
	};

	if (!*reason)
		return 0;
	s->is_finished = true;
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (is(reason, reasons[i].name))
			s->sink.answer->stop = reasons[i].stop;
	return 0;
}

static int take_error(struct model_stream *s, yyjson_val *error)
{
	return model_stream_error(s, -1, json_get_str(error, "type", ""), json_get_str(error, "message", ""));
}

/* A whole message without a stream. */
static int take_message(struct model_stream *s, yyjson_val *message)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *block;
	size_t i, max;

	yyjson_arr_foreach(json_get_arr(message, "content"), i, max, block)
	{
		yyjson_mut_doc *doc;
		yyjson_mut_val *root = json_new_obj(a, &doc);
		struct str text;

		yyjson_mut_obj_add_uint(doc, root, "index", i);
		yyjson_mut_obj_add_val(doc, root, "content_block", yyjson_val_mut_copy(doc, block));
		text = json_text(a, doc);
		if (begin(s, yyjson_doc_get_root(json_parse_depth(a, text.p, text.n, JSON_MAX_DEPTH + 1, NULL))) < 0)
			return -EBADMSG;
		end_block(s);
	}
	take_usage(s, json_get_obj(message, "usage"));
	return take_stop(s, json_get_str(message, "stop_reason", ""));
}

static int take(struct model_stream *s, const char *event, yyjson_val *root)
{
	const char *type = json_get_str(root, "type", event);

	if (is(type, "content_block_delta"))
		return add_delta(s, root);
	if (is(type, "content_block_start"))
		return begin(s, root);
	if (is(type, "content_block_stop")) {
		end_block(s);
		return 0;
	}
	if (is(type, "message_start")) {
		take_usage(s, json_get_obj(json_get_obj(root, "message"), "usage"));
		return 0;
	}
	if (is(type, "message_delta")) {
		take_usage(s, json_get_obj(root, "usage"));
		return take_stop(s, json_get_str(json_get_obj(root, "delta"), "stop_reason", ""));
	}
	if (is(type, "message_stop")) {
		s->is_finished = s->is_done = true;
		return 0;
	}
	if (is(type, "error") || json_get_obj(root, "error"))
		return take_error(s, json_get_obj(root, "error"));
	return is(type, "message") ? take_message(s, root) : 0;
}

static int end(struct model_stream *s)
{
	struct own *own = s->own;
	struct chat_answer *a = s->sink.answer;

	if (s->sink.target && own->blocks.n > 0) {
		wire_opaque_begin(&a->opaque, s->sink.target);
		buf_printf(&a->opaque, ",\"blocks\":[%s]}", own->blocks.p);
	}
	if (a->stop == CHAT_STOP_REFUSAL && a->text.n == 0 && a->n_calls == 0)
		return model_stream_fail(s, false, "model_refused_answer", "The model refused to answer this.");
	return 0;
}

static void clear_own(void *p)
{
	struct own *own = p;

	buf_deinit(&own->thought);
	buf_deinit(&own->signature);
	buf_deinit(&own->blocks);
}

const struct model_provider provider_anthropic = {
	.name = "anthropic",
	.path = "/messages",
	.list_path = "/models?limit=1000",
	.address_hint = "it usually ends in /v1",
	.write_request = write_request,
	.write_headers = write_headers,
	.own_size = sizeof(struct own),
	.clear_own = clear_own,
	.take = take,
	.end = end,
};
