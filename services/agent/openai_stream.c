#include "agent/openai_stream.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/id.h"
#include "base/json.h"

#define MAX_EVENT (1024 * 1024)
#define MAX_NAME 100
#define MAX_BODY (8 * 1024 * 1024)

static int fail(struct openai_stream *s, bool may_retry, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);

static int fail(struct openai_stream *s, bool may_retry, const char *code, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(&s->sink.failure->error, code, "%s", text);
	s->sink.failure->may_retry = may_retry;
	return -EBADMSG;
}

/* ---- Text ---- */

static int add_text(struct openai_stream *s, const char *p, size_t n)
{
	struct chat_answer *a = s->sink.answer;

	if (n == 0)
		return 0;
	if (a->text.n + n > CHAT_MAX_TEXT)
		return fail(s, false, "model_answer_too_long", "The model's answer is longer than %d MiB.",
			    CHAT_MAX_TEXT >> 20);
	size_t at = a->text.n;
	/* A NUL has no place in a text that databases and terminals get. */
	for (const char *nul; (nul = memchr(p, 0, n)); n -= (size_t)(nul + 1 - p), p = nul + 1) {
		buf_add(&a->text, p, (size_t)(nul - p));
		buf_add_str(&a->text, "\xef\xbf\xbd");
	}
	buf_add(&a->text, p, n);
	if (s->sink.on_text)
		s->sink.on_text(s->sink.owner, (struct str){a->text.p + at, a->text.n - at});
	return 0;
}

/* Content is a string, or an array of parts with a text each. */
static int take_content(struct openai_stream *s, yyjson_val *content)
{
	yyjson_val *part;
	size_t i, max;
	int r = 0;

	if (yyjson_is_str(content))
		return add_text(s, yyjson_get_str(content), yyjson_get_len(content));
	yyjson_arr_foreach(content, i, max, part)
	{
		yyjson_val *text = yyjson_obj_get(part, "text");
		if (yyjson_is_str(text) && r == 0)
			r = add_text(s, yyjson_get_str(text), yyjson_get_len(text));
	}
	return r;
}

/* ---- Tool calls ---- */

/* At most MAX_NAME bytes, whole characters. */
static char *dup_short(const char *text)
{
	size_t n = strlen(text);

	if (n > MAX_NAME)
		for (n = MAX_NAME; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
			n--;
	return xstrndup(text, n);
}

static int new_call(struct openai_stream *s, int64_t index, const char *id)
{
	struct chat_answer *a = s->sink.answer;

	if (a->n_calls == CHAT_MAX_CALLS)
		return fail(s, false, "model_too_many_calls", "The model asked for more than %d calls at once.",
			    CHAT_MAX_CALLS);
	a->calls[a->n_calls].index = index;
	if (id && *id)
		a->calls[a->n_calls].id = dup_short(id);
	return (int)a->n_calls++;
}

static int find_by_id(const struct chat_answer *a, const char *id)
{
	for (size_t i = 0; i < a->n_calls; i++)
		if (a->calls[i].id && strcmp(a->calls[i].id, id) == 0)
			return (int)i;
	return -1;
}

/* The last with that index: some servers give every call the index 0 and tell them apart by id. */
static int find_by_index(const struct chat_answer *a, int64_t index)
{
	for (size_t i = a->n_calls; i-- > 0;)
		if (a->calls[i].index == index)
			return (int)i;
	return -1;
}

/* Which call a piece belongs to; makes it when it is new. */
static int choose_call(struct openai_stream *s, yyjson_val *piece, const char *name)
{
	struct chat_answer *a = s->sink.answer;
	yyjson_val *index = yyjson_obj_get(piece, "index");
	const char *id = json_get_str(piece, "id", "");
	int i;

	if (yyjson_is_int(index)) {
		i = find_by_index(a, yyjson_get_sint(index));
		bool is_other = i >= 0 && *id && a->calls[i].id && strcmp(a->calls[i].id, id) != 0;
		return i < 0 || is_other ? new_call(s, yyjson_get_sint(index), id) : i;
	}
	if (*id) {
		i = find_by_id(a, id);
		return i < 0 ? new_call(s, -1, id) : i;
	}
	/* Neither: a name starts a call, anything else goes on with the last one. */
	if (a->n_calls == 0 || (*name && a->calls[s->last_call].name))
		return new_call(s, -1, NULL);
	return (int)s->last_call;
}

static int add_arguments(struct openai_stream *s, struct buf *to, yyjson_val *arguments)
{
	size_t n = yyjson_get_len(arguments);
	const char *p = yyjson_get_str(arguments);
	char *text = NULL;

	if (yyjson_is_obj(arguments) || yyjson_is_arr(arguments))
		p = text = yyjson_val_write(arguments, 0, &n);
	if (!p)
		return 0; /* null, or not there */
	int r = to->n + n <= CHAT_MAX_ARGUMENTS
			? 0
			: fail(s, false, "model_answer_too_long",
			       "The model's arguments of a call are longer than %d KiB.", CHAT_MAX_ARGUMENTS >> 10);
	if (r == 0)
		buf_add(to, p, n);
	free(text);
	return r;
}

static int take_call(struct openai_stream *s, yyjson_val *piece)
{
	yyjson_val *function = yyjson_obj_get(piece, "function");
	const char *name = json_get_str(function, "name", ""), *id = json_get_str(piece, "id", "");
	struct chat_answer *a = s->sink.answer;
	int i = choose_call(s, piece, name);

	if (i < 0)
		return i;
	s->last_call = (size_t)i;
	if (*id && !a->calls[i].id)
		a->calls[i].id = dup_short(id);
	if (*name && !a->calls[i].name)
		a->calls[i].name = dup_short(name);
	return add_arguments(s, &a->calls[i].arguments, yyjson_obj_get(function, "arguments"));
}

static int take_calls(struct openai_stream *s, yyjson_val *calls)
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

/* ---- A document: a chunk, or a whole completion ---- */

static void take_usage(struct openai_stream *s, yyjson_val *usage)
{
	struct chat_usage *u = &s->sink.answer->usage;
	int64_t in = json_get_int(usage, "prompt_tokens", 0), out = json_get_int(usage, "completion_tokens", 0);

	if (in > 0)
		u->input_tokens = in;
	if (out > 0)
		u->output_tokens = out;
}

static int take_error(struct openai_stream *s, yyjson_val *error)
{
	const char *message = yyjson_is_str(error) ? yyjson_get_str(error) : json_get_str(error, "message", "");
	int64_t code = json_get_int(error, "code", 0);
	bool is_final = code >= 400 && code < 500 && code != 408 && code != 429;

	return fail(s, !is_final, "model_error", "The model's server reported an error in its answer: %.200s",
		    *message ? message : "it gives no reason");
}

static int take_choice(struct openai_stream *s, yyjson_val *choice)
{
	/* A whole completion has "message" where a chunk has "delta". */
	yyjson_val *delta = json_get_obj(choice, "delta");
	const char *finish = json_get_str(choice, "finish_reason", "");
	int r;

	if (!delta)
		delta = json_get_obj(choice, "message");
	r = take_content(s, yyjson_obj_get(delta, "content"));
	if (r == 0)
		r = take_content(s, yyjson_obj_get(delta, "refusal"));
	if (r == 0)
		r = take_calls(s, json_get_arr(delta, "tool_calls"));
	if (*finish) {
		s->is_finished = true;
		s->sink.answer->is_cut = strcmp(finish, "length") == 0;
	}
	return r;
}

static int take_document(struct openai_stream *s, yyjson_val *root)
{
	yyjson_val *error = yyjson_obj_get(root, "error");
	yyjson_val *choice = yyjson_arr_get_first(json_get_arr(root, "choices"));

	if (error && !yyjson_is_null(error))
		return take_error(s, error);
	take_usage(s, json_get_obj(root, "usage"));
	return choice && json_get_int(choice, "index", 0) == 0 ? take_choice(s, choice) : 0;
}

/* Chunks are small: most are read without any allocation. */
static int take_text_of_document(struct openai_stream *s, struct str text)
{
	char room[16 * 1024];
	yyjson_alc alc;
	yyjson_doc *doc = NULL;

	if (text.n <= sizeof(room) / 16 && yyjson_alc_pool_init(&alc, room, sizeof(room)))
		doc = yyjson_read_opts((char *)(uintptr_t)text.p, text.n, 0, &alc, NULL);
	if (!doc)
		doc = yyjson_read(text.p, text.n, 0);
	if (!doc)
		return fail(s, true, "model_answer_broken", "The model's server sent a piece that is not JSON.");
	int r = take_document(s, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return r;
}

static bool on_event(void *owner, const struct sse_event *ev)
{
	struct openai_stream *s = owner;
	struct str data = str_trim(ev->data);

	if (s->is_done || data.n == 0)
		return true;
	if (str_is(data, "[DONE]")) {
		s->is_done = true;
		return true;
	}
	return take_text_of_document(s, data) == 0;
}

/* ---- The body ---- */

/* The first byte that is not blank tells the form of the body. */
static void detect(struct openai_stream *s, char c)
{
	if (c == '{')
		s->form = OPENAI_JSON;
	else if (c == '<')
		s->form = OPENAI_HTML;
	else
		s->form = OPENAI_SSE;
}

void *openai_stream_new(const struct model_sink *sink)
{
	struct openai_stream *s = xcalloc(1, sizeof(*s));

	s->sink = *sink;
	sse_parser_init(&s->sse, MAX_EVENT, on_event, s);
	return s;
}

int openai_stream_feed(void *stream, const char *data, size_t n)
{
	struct openai_stream *s = stream;

	while (s->form == OPENAI_UNKNOWN && n > 0) {
		if (!isspace((unsigned char)*data)) {
			detect(s, *data);
			break;
		}
		data++;
		n--;
	}
	if (s->form == OPENAI_HTML || n == 0)
		return 0;
	if (s->form == OPENAI_SSE) {
		if (sse_parser_feed(&s->sse, data, n) < 0)
			return fail(s, true, "model_answer_broken", "The model's server sent a piece of over %d MiB.",
				    MAX_EVENT >> 20);
		return s->sink.failure->error.code[0] ? -EBADMSG : 0;
	}
	if (s->body.n + n > MAX_BODY)
		return fail(s, false, "model_answer_too_long", "The model's answer is longer than %d MiB.",
			    MAX_BODY >> 20);
	buf_add(&s->body, data, n);
	return 0;
}

/* Every call has a name, and an id that no other call of the answer has. */
static void complete_calls(struct chat_answer *a)
{
	char id[ID_SIZE];

	for (size_t i = 0; i < a->n_calls; i++) {
		if (!a->calls[i].name)
			a->calls[i].name = xstrdup("");
		if (a->calls[i].id && find_by_id(a, a->calls[i].id) == (int)i)
			continue;
		free(a->calls[i].id);
		id_new(id);
		a->calls[i].id = xasprintf("call_%s", id);
	}
}

int openai_stream_end(void *stream, bool is_broken)
{
	struct openai_stream *s = stream;
	struct chat_answer *a = s->sink.answer;

	if (s->form == OPENAI_HTML)
		return fail(s, false, "model_not_an_api",
			    "The model's address answered with a web page, not with a model's answer: check "
			    "openai_base_url, it usually ends in /v1.");
	if (s->form == OPENAI_JSON && !is_broken && take_text_of_document(s, buf_str(&s->body)) < 0)
		return -EBADMSG;
	if (s->form == OPENAI_SSE && !is_broken && !s->is_finished && !s->is_done &&
	    sse_parser_feed(&s->sse, "\n\n", 2) < 0) /* a last event without its blank line */
		return -EBADMSG;
	if (s->sink.failure->error.code[0])
		return -EBADMSG;
	if (!s->is_finished && !s->is_done)
		return fail(s, true, "model_answer_broken", "The model's answer broke off before its end.");
	if (a->text.n == 0 && a->n_calls == 0)
		return fail(s, true, "model_answer_empty", "The model's answer was empty.");
	complete_calls(a);
	return 0;
}

void openai_stream_free(void *stream)
{
	struct openai_stream *s = stream;

	if (!s)
		return;
	sse_parser_deinit(&s->sse);
	buf_deinit(&s->body);
	free(s);
}
