#include "dialects.h"

#include "base/json.h"

/* ---- Requests ---- */

struct reader {
	struct arena *a;
	yyjson_mut_doc *doc;
	yyjson_mut_val *messages;
	yyjson_mut_val *calls; /* of the assistant's message under way */
	yyjson_mut_val *last;  /* that message */
};

static yyjson_mut_val *say(struct reader *r, const char *role, const char *text)
{
	yyjson_mut_val *m = yyjson_mut_arr_add_obj(r->doc, r->messages);

	json_add_str(r->doc, m, "role", role);
	json_add_str(r->doc, m, "content", text);
	r->calls = NULL;
	r->last = m;
	return m;
}

static void add_call(struct reader *r, const char *id, const char *name, const char *arguments)
{
	yyjson_mut_val *call, *function;

	if (!r->last)
		say(r, "assistant", "");
	if (!r->calls)
		r->calls = yyjson_mut_obj_add_arr(r->doc, r->last, "tool_calls");
	call = yyjson_mut_arr_add_obj(r->doc, r->calls);
	json_add_str(r->doc, call, "id", id);
	function = yyjson_mut_obj_add_obj(r->doc, call, "function");
	json_add_str(r->doc, function, "name", name);
	json_add_str(r->doc, function, "arguments", arguments);
}

static void add_result(struct reader *r, const char *id, yyjson_val *content)
{
	yyjson_mut_val *m = say(r, "tool", NULL);

	yyjson_mut_obj_remove_key(m, "content");
	json_add_str(r->doc, m, "tool_call_id", id);
	yyjson_mut_obj_add_val(r->doc, m, "content", yyjson_val_mut_copy(r->doc, content));
	r->last = NULL;
}

static void add_thoughts(struct reader *r, const char *text)
{
	if (!r->last)
		say(r, "assistant", "");
	json_add_str(r->doc, r->last, "reasoning_content", text);
}

static void read_block(struct reader *r, const char *role, yyjson_val *block)
{
	const char *type = json_get_str(block, "type", "");

	if (strcmp(type, "text") == 0 && strcmp(role, "user") == 0)
		say(r, role, json_get_str(block, "text", ""));
	else if (strcmp(type, "tool_result") == 0)
		add_result(r, json_get_str(block, "tool_use_id", ""), yyjson_obj_get(block, "content"));
	else if (strcmp(type, "tool_use") == 0)
		add_call(r, json_get_str(block, "id", ""), json_get_str(block, "name", ""),
			 json_val_text(r->a, yyjson_obj_get(block, "input")).p);
	else if (strcmp(type, "thinking") == 0 && strcmp(json_get_str(block, "signature", ""), DEMO_SIGNATURE) == 0)
		add_thoughts(r, json_get_str(block, "thinking", ""));
}

static void read_anthropic(struct reader *r, yyjson_val *root)
{
	yyjson_val *message, *block, *system = yyjson_obj_get(root, "system");
	size_t i, n, k, m;

	say(r, "system", json_get_str(yyjson_arr_get_first(system), "text", ""));
	yyjson_arr_foreach(json_get_arr(root, "messages"), i, n, message)
	{
		const char *role = json_get_str(message, "role", "");
		yyjson_val *content = yyjson_obj_get(message, "content");

		if (strcmp(role, "assistant") == 0)
			say(r, role, yyjson_is_str(content) ? yyjson_get_str(content) : "");
		else if (yyjson_is_str(content))
			say(r, role, yyjson_get_str(content));
		yyjson_arr_foreach(content, k, m, block) read_block(r, role, block);
	}
}

static void read_item(struct reader *r, yyjson_val *item)
{
	const char *type = json_get_str(item, "type", "message");

	if (strcmp(type, "function_call") == 0)
		add_call(r, json_get_str(item, "call_id", ""), json_get_str(item, "name", ""),
			 json_get_str(item, "arguments", "{}"));
	else if (strcmp(type, "function_call_output") == 0)
		add_result(r, json_get_str(item, "call_id", ""), yyjson_obj_get(item, "output"));
	else if (strcmp(type, "reasoning") == 0 &&
		 strcmp(json_get_str(item, "encrypted_content", ""), DEMO_SIGNATURE) == 0) {
		r->last = NULL;
		add_thoughts(r, "encrypted");
	} else if (strcmp(type, "message") == 0) {
		say(r, json_get_str(item, "role", ""), json_get_str(item, "content", ""));
		if (strcmp(json_get_str(item, "role", ""), "assistant") != 0)
			r->last = NULL;
	}
}

static void read_responses(struct reader *r, yyjson_val *root)
{
	yyjson_val *item;
	size_t i, n;

	say(r, "system", json_get_str(root, "instructions", ""));
	r->last = NULL;
	yyjson_arr_foreach(json_get_arr(root, "input"), i, n, item) read_item(r, item);
}

static void read_ollama(struct reader *r, yyjson_val *root)
{
	yyjson_val *message;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(root, "messages"), i, n, message)
	{
		yyjson_mut_val *m = yyjson_val_mut_copy(r->doc, message);
		const char *thoughts = json_get_str(message, "thinking", NULL);

		if (thoughts)
			json_add_str(r->doc, m, "reasoning_content", thoughts);
		yyjson_mut_arr_append(r->messages, m);
	}
}

/* Tools of Anthropic and of Responses have their members one level higher. */
static void read_tools(struct reader *r, yyjson_mut_val *out, yyjson_val *tools)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(r->doc, out, "tools"), *function;
	yyjson_val *tool, *schema;
	size_t i, n;

	yyjson_arr_foreach(tools, i, n, tool)
	{
		schema = yyjson_obj_get(tool, "input_schema");
		if (!schema)
			schema = yyjson_obj_get(tool, "parameters");
		function = yyjson_mut_obj_add_obj(r->doc, yyjson_mut_arr_add_obj(r->doc, list), "function");
		json_add_str(r->doc, function, "name", json_get_str(tool, "name", ""));
		if (schema)
			yyjson_mut_obj_add_val(r->doc, function, "parameters", yyjson_val_mut_copy(r->doc, schema));
	}
}

struct str dialect_to_chat(enum demo_dialect d, struct arena *a, struct str body)
{
	struct reader r = {.a = a};
	yyjson_doc *doc = json_parse(a, body.p, body.n, NULL);
	yyjson_val *root = yyjson_doc_get_root(doc), *tools = json_get_arr(root, "tools");
	yyjson_mut_val *out = json_new_obj(a, &r.doc);
	int64_t most = json_get_int(root, "max_tokens", json_get_int(root, "max_output_tokens", 0));

	if (d == DEMO_CHAT || !yyjson_is_obj(root))
		return body;
	json_add_str(r.doc, out, "model", json_get_str(root, "model", NULL));
	yyjson_mut_obj_add_bool(r.doc, out, "stream", json_get_bool(root, "stream", d == DEMO_OLLAMA));
	yyjson_mut_obj_add_bool(r.doc, yyjson_mut_obj_add_obj(r.doc, out, "stream_options"), "include_usage", true);
	yyjson_mut_obj_add_int(r.doc, out, "max_tokens",
			       d == DEMO_OLLAMA ? json_get_int(json_get_obj(root, "options"), "num_predict", 0) : most);
	r.messages = yyjson_mut_obj_add_arr(r.doc, out, "messages");
	if (d == DEMO_ANTHROPIC)
		read_anthropic(&r, root);
	else if (d == DEMO_RESPONSES)
		read_responses(&r, root);
	else
		read_ollama(&r, root);
	if (d == DEMO_OLLAMA && tools)
		yyjson_mut_obj_add_val(r.doc, out, "tools", yyjson_val_mut_copy(r.doc, tools));
	else if (tools)
		read_tools(&r, out, tools);
	return json_text(a, r.doc);
}

/* ---- Answers ---- */

struct writer {
	enum demo_dialect d;
	struct wire_events *e;
	const struct wire_answer *a;
};

static const char *eol(const struct writer *w)
{
	return w->a->request->script.crlf ? "\r\n" : "\n";
}

static void begin(struct writer *w, const char *type)
{
	struct buf *out = &w->e->bytes;

	if (w->d == DEMO_OLLAMA) {
		buf_add_str(out, "{\"model\":\"" DEMO_MODEL "\"");
		return;
	}
	if (w->a->request->script.comments)
		buf_printf(out, ": ping%s%s", eol(w), eol(w));
	buf_printf(out, "event: %s%sdata: {\"type\":\"%s\"", type, eol(w), type);
}

static void end(struct writer *w)
{
	buf_add_char(&w->e->bytes, '}');
	buf_add_str(&w->e->bytes, eol(w));
	if (w->d != DEMO_OLLAMA)
		buf_add_str(&w->e->bytes, eol(w));
	buf_add(&w->e->ends, &w->e->bytes.n, sizeof(w->e->bytes.n));
}

static void event(struct writer *w, const char *type, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void event(struct writer *w, const char *type, const char *fmt, ...)
{
	va_list ap;

	begin(w, type);
	va_start(ap, fmt);
	buf_vprintf(&w->e->bytes, fmt, ap);
	va_end(ap);
	end(w);
}

static uint64_t counted(const struct writer *w, uint64_t n)
{
	return w->a->request->script.zero_usage || w->a->request->script.no_usage ? 0 : n;
}

/* A piece of JSON text: the string quoted. */
static const char *quoted(struct buf *room, struct str text)
{
	buf_clear(room);
	json_quote(room, text);
	return room->p;
}

static void write_text_piece(struct writer *w, struct str text)
{
	_cleanup_(buf_deinit) struct buf room = BUF_INIT;
	const char *q = quoted(&room, text);

	if (w->d == DEMO_ANTHROPIC)
		event(w, "content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":%s}", q);
	else if (w->d == DEMO_RESPONSES)
		event(w, "response.output_text.delta", ",\"output_index\":0,\"content_index\":0,\"delta\":%s", q);
	else
		event(w, "", ",\"message\":{\"role\":\"assistant\",\"content\":%s},\"done\":false", q);
}

static void write_text(struct writer *w)
{
	struct str rest = w->a->text;

	if (w->d == DEMO_ANTHROPIC)
		event(w, "content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}");
	while (rest.n > 0) {
		size_t n = wire_piece((struct str){rest.p, rest.n}, w->a->request->script.chunk);
		write_text_piece(w, (struct str){rest.p, n});
		rest = (struct str){rest.p + n, rest.n - n};
	}
	if (w->d == DEMO_ANTHROPIC)
		event(w, "content_block_stop", ",\"index\":0");
}

static void write_call(struct writer *w, unsigned nth)
{
	_cleanup_(buf_deinit) struct buf arguments = BUF_INIT, room = BUF_INIT;
	const struct wire_answer *a = w->a;
	const char *name = a->request->script.unknown_tool ? "no_such_tool" : "shell", *id = a->calls_id;

	wire_arguments(&arguments, a->request, a->step->commands[nth]);
	if (w->d == DEMO_OLLAMA) {
		event(w, "",
		      ",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":"
		      "\"%s\",\"arguments\":%s}}]},\"done\":false",
		      name,
		      a->request->script.malformed_arguments ? quoted(&room, buf_str(&arguments))
		      : arguments.n                          ? arguments.p
							     : "\"\"");
		return;
	}
	quoted(&room, buf_str(&arguments));
	if (w->d == DEMO_ANTHROPIC) {
		event(w, "content_block_start",
		      ",\"index\":%u,\"content_block\":{\"type\":\"tool_use\",\"id\":\"%s%02u\",\"name\":\"%s\","
		      "\"input\":{}}",
		      nth + 1, id, nth, name);
		event(w, "content_block_delta",
		      ",\"index\":%u,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":%s}", nth + 1, room.p);
		event(w, "content_block_stop", ",\"index\":%u", nth + 1);
		return;
	}
	event(w, "response.output_item.added",
	      ",\"output_index\":%u,\"item\":{\"type\":\"function_call\",\"id\":\"fc_%u\",\"call_id\":\"%s%02u\","
	      "\"name\":\"%s\",\"arguments\":\"\"}",
	      nth + 1, nth, id, nth, name);
	event(w, "response.function_call_arguments.delta", ",\"output_index\":%u,\"delta\":%s", nth + 1, room.p);
	event(w, "response.output_item.done",
	      ",\"output_index\":%u,\"item\":{\"type\":\"function_call\",\"id\":\"fc_%u\",\"call_id\":\"%s%02u\","
	      "\"name\":"
	      "\"%s\",\"arguments\":%s}",
	      nth + 1, nth, id, nth, name, room.p);
}

static void write_thoughts(struct writer *w)
{
	if (w->d == DEMO_OLLAMA) {
		event(w, "",
		      ",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"Hm.\"},\"done\":false");
	} else if (w->d == DEMO_RESPONSES) {
		event(w, "response.output_item.done",
		      ",\"output_index\":0,\"item\":{\"type\":\"reasoning\",\"id\":\"rs\",\"summary\":[],"
		      "\"encrypted_content\":\"" DEMO_SIGNATURE "\"}");
	} else {
		event(w, "content_block_start",
		      ",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}");
		event(w, "content_block_delta",
		      ",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm.\"}");
		event(w, "content_block_delta",
		      ",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"" DEMO_SIGNATURE "\"}");
		event(w, "content_block_stop", ",\"index\":0");
	}
}

static void write_begin(struct writer *w)
{
	if (w->d == DEMO_ANTHROPIC)
		event(w, "message_start",
		      ",\"message\":{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"usage\":{\"input_"
		      "tokens\":"
		      "%llu,\"output_tokens\":0}}",
		      w->a->id, (unsigned long long)counted(w, w->a->request->prompt_tokens));
	else if (w->d == DEMO_RESPONSES)
		event(w, "response.created",
		      ",\"response\":{\"id\":\"%s\",\"object\":\"response\",\"status\":\"in_progress\",\"error\":null}",
		      w->a->id);
}

static void write_stop(struct writer *w, const char *finish)
{
	unsigned long long in = counted(w, w->a->request->prompt_tokens), made = counted(w, w->a->tokens);
	bool is_cut = strcmp(finish, "length") == 0, is_filtered = strcmp(finish, "content_filter") == 0;

	if (w->d == DEMO_OLLAMA) {
		event(w, "",
		      ",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"%s\","
		      "\"prompt_eval_count\":%llu,\"eval_count\":%llu",
		      is_cut ? "length" : "stop", in, made);
	} else if (w->d == DEMO_ANTHROPIC) {
		event(w, "message_delta", ",\"delta\":{\"stop_reason\":\"%s\"},\"usage\":{\"output_tokens\":%llu}",
		      w->a->step    ? "tool_use"
		      : is_cut      ? "max_tokens"
		      : is_filtered ? "refusal"
				    : "end_turn",
		      made);
		if (!w->a->request->script.no_done)
			event(w, "message_stop", "%s", "");
	} else {
		bool is_whole = !is_cut && !is_filtered;
		event(w, is_whole ? "response.completed" : "response.incomplete",
		      ",\"response\":{\"id\":\"%s\",\"object\":\"response\",\"status\":\"%s\",\"error\":null,"
		      "\"incomplete_details\":%s,\"output\":[],\"usage\":{\"input_tokens\":%llu,\"output_tokens\":%llu}"
		      "}",
		      w->a->id, is_whole ? "completed" : "incomplete",
		      is_cut        ? "{\"reason\":\"max_output_tokens\"}"
		      : is_filtered ? "{\"reason\":\"content_filter\"}"
				    : "null",
		      in, made);
	}
}

void dialect_stream(enum demo_dialect d, struct wire_events *e, const struct wire_answer *a)
{
	struct writer w = {d, e, a};
	const struct demo_script *s = &a->request->script;

	write_begin(&w);
	if (s->thoughts)
		write_thoughts(&w);
	if (a->step)
		for (unsigned i = 0; i < a->step->n; i++)
			write_call(&w, i);
	else
		write_text(&w);
	write_stop(&w, a->finish);
	if (s->double_finish)
		write_stop(&w, a->finish);
}

void dialect_error(enum demo_dialect d, bool in_stream, struct buf *out, int status, const char *code,
		   const char *message)
{
	const char *type = status == 529                   ? "overloaded_error"
			   : status == 429                 ? "rate_limit_error"
			   : status >= 500 || status < 400 ? "api_error"
							   : "invalid_request_error";

	if (d == DEMO_OLLAMA) {
		buf_add_str(out, "{\"error\":");
		json_quote(out, str_of(message));
		buf_add_str(out, in_stream ? "}\n" : "}");
		return;
	}
	if (in_stream)
		buf_add_str(out, d == DEMO_CHAT ? "data: " : "event: error\ndata: ");
	if (d == DEMO_ANTHROPIC) {
		buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", type);
		json_quote(out, str_of(message));
		buf_add_str(out, "}}");
	} else if (d == DEMO_RESPONSES && in_stream) {
		buf_printf(out, "{\"type\":\"error\",\"code\":\"%s\",\"message\":", code ? code : type);
		json_quote(out, str_of(message));
		buf_add_char(out, '}');
	} else {
		wire_error(out, status, code, NULL, message);
	}
	if (in_stream)
		buf_add_str(out, "\n\n");
}
