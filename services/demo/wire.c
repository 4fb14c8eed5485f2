#include "wire.h"

#include "base/json.h"

#define PIECE 8          /* most bytes of a piece of text, without the blanks in front */
#define ARGUMENTS_CUT 12 /* bytes of a piece of arguments */

uint64_t wire_tokens(uint64_t bytes)
{
	return (bytes + 3) / 4;
}

size_t wire_events_count(const struct wire_events *e)
{
	return e->ends.n / sizeof(size_t);
}

size_t wire_events_end(const struct wire_events *e, size_t n)
{
	size_t end = 0;

	if (n > 0)
		memcpy(&end, e->ends.p + (MIN(n, wire_events_count(e)) - 1) * sizeof(end), sizeof(end));
	return end;
}

void wire_events_deinit(struct wire_events *e)
{
	buf_deinit(&e->bytes);
	buf_deinit(&e->ends);
}

static const char *eol(const struct wire_answer *a)
{
	return a->request->script.crlf ? "\r\n" : "\n";
}

static void event_begin(struct wire_events *e, const struct wire_answer *a)
{
	if (a->request->script.comments)
		buf_printf(&e->bytes, ": ping%s%s", eol(a), eol(a));
	buf_add_str(&e->bytes, "data: ");
}

static void event_end(struct wire_events *e, const struct wire_answer *a)
{
	buf_add_str(&e->bytes, eol(a));
	buf_add_str(&e->bytes, eol(a));
	buf_add(&e->ends, &e->bytes.n, sizeof(e->bytes.n));
}

static void add_usage(struct buf *out, const struct wire_answer *a)
{
	uint64_t in = a->request->prompt_tokens, made = a->tokens;

	if (a->request->script.zero_usage)
		in = made = 0;
	buf_printf(out,
		   "{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,"
		   "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
		   "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"
		   "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
		   (unsigned long long)in, (unsigned long long)made, (unsigned long long)(in + made));
}

static bool tells_usage(const struct wire_answer *a)
{
	return a->request->include_usage && !a->request->script.no_usage;
}

static void chunk_begin(struct wire_events *e, const struct wire_answer *a)
{
	event_begin(e, a);
	buf_add_str(&e->bytes, "{\"id\":\"");
	buf_add_str(&e->bytes, a->id);
	buf_printf(&e->bytes,
		   "\",\"object\":\"chat.completion.chunk\",\"created\":%lld,\"model\":\"" DEMO_MODEL
		   "\",\"system_fingerprint\":\"fp_ogent_demo\",\"choices\":[",
		   (long long)a->created);
}

static void chunk_end(struct wire_events *e, const struct wire_answer *a)
{
	buf_add_str(&e->bytes, tells_usage(a) ? "],\"usage\":null}" : "]}");
	event_end(e, a);
}

static void delta_begin(struct wire_events *e, const struct wire_answer *a)
{
	chunk_begin(e, a);
	buf_add_str(&e->bytes, "{\"index\":0,\"delta\":{");
}

static void delta_end(struct wire_events *e, const struct wire_answer *a)
{
	buf_add_str(&e->bytes, "},\"logprobs\":null,\"finish_reason\":null}");
	chunk_end(e, a);
}

static void add_finish(struct wire_events *e, const struct wire_answer *a)
{
	chunk_begin(e, a);
	buf_printf(&e->bytes, "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}", a->finish);
	chunk_end(e, a);
}

static bool is_char_start(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

/* The length of the next piece: blanks, then a word or a part of one. */
static size_t piece_length(struct str s)
{
	size_t i = 0, word;

	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\n'))
		i++;
	word = i;
	while (i < s.n && s.p[i] != ' ' && s.p[i] != '\n' && (i - word < PIECE || !is_char_start(s.p[i])))
		i++;
	return i;
}

size_t wire_piece(struct str text, int64_t pieces)
{
	size_t n = 0;

	for (int64_t i = 0; i < pieces && n < text.n; i++)
		n += piece_length((struct str){text.p + n, text.n - n});
	return n;
}

static void stream_text(struct wire_events *e, const struct wire_answer *a)
{
	struct str rest = a->text;

	delta_begin(e, a);
	buf_add_str(&e->bytes, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
	delta_end(e, a);
	while (rest.n > 0) {
		size_t n = wire_piece(rest, a->request->script.chunk);

		delta_begin(e, a);
		buf_add_str(&e->bytes, a->request->script.refusal ? "\"refusal\":" : "\"content\":");
		json_quote(&e->bytes, (struct str){rest.p, n});
		delta_end(e, a);
		rest = (struct str){rest.p + n, rest.n - n};
	}
}

void wire_arguments(struct buf *out, const struct demo_request *r, const char *command)
{
	buf_add_char(out, '{');
	json_quote(out, str_of(r->shell_argument ? r->shell_argument : "command"));
	buf_add_char(out, ':');
	json_quote(out, str_of(command));
	buf_add_char(out, '}');
	if (r->script.malformed_arguments)
		out->n -= 2; /* the string is never closed */
	if (r->script.empty_arguments)
		out->n = 0;
}

static void add_name(struct buf *out, const struct demo_script *s)
{
	buf_printf(out, "\"name\":\"%s\",", s->unknown_tool ? "no_such_tool" : "shell");
}

/* The name behind the arguments. */
static void stream_name(struct wire_events *e, const struct wire_answer *a, unsigned nth)
{
	delta_begin(e, a);
	buf_printf(&e->bytes, "\"tool_calls\":[{\"index\":%u,\"function\":{", nth);
	add_name(&e->bytes, &a->request->script);
	buf_add_str(&e->bytes, "\"arguments\":\"\"}}]");
	delta_end(e, a);
}

/* {index, id, type, function{name, arguments}}; `arguments` is JSON. */
static void add_call(struct buf *out, const struct wire_answer *a, unsigned nth, struct str arguments)
{
	const struct demo_script *s = &a->request->script;

	buf_add_char(out, '{');
	if (!s->no_index && a->request->stream)
		buf_printf(out, "\"index\":%u,", nth);
	if (!s->no_id)
		buf_printf(out, "\"id\":\"%s%02u\",", a->calls_id, nth);
	buf_add_str(out, "\"type\":\"function\",\"function\":{");
	if (!s->name_late || !a->request->stream)
		add_name(out, s);
	buf_add_str(out, "\"arguments\":");
	buf_add(out, arguments.p, arguments.n);
	buf_add_str(out, "}}");
}

static void stream_arguments(struct wire_events *e, const struct wire_answer *a, unsigned nth, struct str text)
{
	while (text.n > 0) {
		size_t n = MIN(text.n, ARGUMENTS_CUT);

		while (n < text.n && !is_char_start(text.p[n]))
			n++;
		delta_begin(e, a);
		buf_add_str(&e->bytes, "\"tool_calls\":[{");
		if (!a->request->script.no_index)
			buf_printf(&e->bytes, "\"index\":%u,", nth);
		buf_add_str(&e->bytes, "\"function\":{\"arguments\":");
		json_quote(&e->bytes, (struct str){text.p, n});
		buf_add_str(&e->bytes, "}}]");
		delta_end(e, a);
		text = (struct str){text.p + n, text.n - n};
	}
}

static void stream_call(struct wire_events *e, const struct wire_answer *a, unsigned nth)
{
	const struct demo_script *s = &a->request->script;
	_cleanup_(buf_deinit) struct buf arguments = BUF_INIT;
	struct str first = STR("\"\"");

	wire_arguments(&arguments, a->request, a->step->commands[nth]);
	if (s->null_arguments)
		first = STR("null");
	else if (s->object_arguments)
		first = buf_str(&arguments);
	delta_begin(e, a);
	if (nth == 0)
		buf_add_str(&e->bytes, "\"role\":\"assistant\",\"content\":null,");
	buf_add_str(&e->bytes, "\"tool_calls\":[");
	add_call(&e->bytes, a, nth, first);
	buf_add_str(&e->bytes, nth == 0 ? "],\"refusal\":null" : "]");
	delta_end(e, a);
	if (!s->null_arguments && !s->object_arguments)
		stream_arguments(e, a, nth, buf_str(&arguments));
	if (s->name_late)
		stream_name(e, a, nth);
}

static void add_empty_chunk(struct wire_events *e, const struct wire_answer *a)
{
	chunk_begin(e, a);
	chunk_end(e, a);
}

static void add_usage_chunk(struct wire_events *e, const struct wire_answer *a)
{
	chunk_begin(e, a);
	buf_add_str(&e->bytes, "],\"usage\":");
	add_usage(&e->bytes, a);
	buf_add_char(&e->bytes, '}');
	event_end(e, a);
}

static void add_choice(struct wire_events *e, const struct wire_answer *a)
{
	if (a->request->script.thoughts) {
		delta_begin(e, a);
		buf_add_str(&e->bytes, "\"reasoning_content\":\"Hm.\"");
		delta_end(e, a);
	}
	if (a->step) {
		for (unsigned i = 0; i < a->step->n; i++)
			stream_call(e, a, i);
	} else {
		stream_text(e, a);
	}
	add_finish(e, a);
	if (a->request->script.double_finish)
		add_finish(e, a);
}

void wire_stream(struct wire_events *e, const struct wire_answer *a)
{
	const struct demo_script *s = &a->request->script;

	if (s->empty_choices || s->no_choices)
		add_empty_chunk(e, a);
	if (!s->no_choices)
		add_choice(e, a);
	if (tells_usage(a))
		add_usage_chunk(e, a);
	if (s->no_done)
		return;
	event_begin(e, a);
	buf_add_str(&e->bytes, "[DONE]");
	event_end(e, a);
}

static void add_whole_calls(struct buf *out, const struct wire_answer *a)
{
	const struct demo_script *s = &a->request->script;

	buf_add_str(out, ",\"tool_calls\":[");
	for (unsigned i = 0; i < a->step->n; i++) {
		_cleanup_(buf_deinit) struct buf arguments = BUF_INIT, quoted = BUF_INIT;

		wire_arguments(&arguments, a->request, a->step->commands[i]);
		json_quote(&quoted, buf_str(&arguments));
		if (i > 0)
			buf_add_char(out, ',');
		add_call(out, a, i,
			 s->null_arguments     ? STR("null")
			 : s->object_arguments ? buf_str(&arguments)
					       : buf_str(&quoted));
	}
	buf_add_char(out, ']');
}

void wire_whole(struct buf *out, const struct wire_answer *a)
{
	const struct demo_script *s = &a->request->script;

	buf_printf(out,
		   "{\"id\":\"%s\",\"object\":\"chat.completion\",\"created\":%lld,\"model\":\"" DEMO_MODEL
		   "\",\"choices\":[",
		   a->id, (long long)a->created);
	if (!s->empty_choices && !s->no_choices) {
		buf_add_str(out, "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
		if (a->step)
			buf_add_str(out, "null");
		else
			json_quote(out, a->text);
		buf_add_str(out, ",\"refusal\":null");
		if (a->step)
			add_whole_calls(out, a);
		buf_printf(out, "},\"logprobs\":null,\"finish_reason\":\"%s\"}", a->finish);
	}
	buf_add_char(out, ']');
	if (!s->no_usage) {
		buf_add_str(out, ",\"usage\":");
		add_usage(out, a);
	}
	buf_add_str(out, ",\"system_fingerprint\":\"fp_ogent_demo\"}");
}

static const char *type_of(int status)
{
	switch (status) {
	case 401: return "authentication_error";
	case 403: return "permission_error";
	case 429: return "rate_limit_error";
	default: return status >= 500 || status < 400 ? "server_error" : "invalid_request_error";
	}
}

static void add_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, ",\"%s\":", name);
	if (value)
		json_quote(out, str_of(value));
	else
		buf_add_str(out, "null");
}

void wire_error(struct buf *out, int status, const char *code, const char *param, const char *message)
{
	buf_add_str(out, "{\"error\":{\"message\":");
	json_quote(out, str_of(message));
	add_member(out, "type", type_of(status));
	add_member(out, "param", param);
	add_member(out, "code", code);
	buf_add_str(out, "}}");
}
