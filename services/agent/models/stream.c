#include "agent/models/stream.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/id.h"

#define MAX_EVENT (1024 * 1024)
#define MAX_NAME 100
#define MAX_BODY (8 * 1024 * 1024)

int model_stream_fail(struct model_stream *s, bool may_retry, const char *code, const char *fmt, ...)
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

static bool is_final(int status, const char *type)
{
	static const char *const finals[] = {"invalid_request_error", "authentication_error", "permission_error",
					     "not_found_error",       "invalid_prompt",       "insufficient_quota",
					     "billing_error"};

	for (size_t i = 0; i < ARRAY_SIZE(finals); i++)
		if (strcmp(type, finals[i]) == 0)
			return true;
	return status >= 400 && status < 500 && status != 408 && status != 409 && status != 429;
}

int model_stream_error(struct model_stream *s, int status, const char *type, const char *message)
{
	if (!*message)
		message = "it gives no reason";
	if (model_is_overflow(status, type, message))
		return model_stream_fail(s, false, "model_context_overflow",
					 "The conversation is longer than the model takes: %.200s", message);
	return model_stream_fail(s, !is_final(status, type), "model_error",
				 "The model's server reported an error in its answer: %.200s", message);
}

/* ---- Text ---- */

static int too_long(struct model_stream *s)
{
	return model_stream_fail(s, false, "model_answer_too_long", "The model's answer is longer than %d MiB.",
				 CHAT_MAX_TEXT >> 20);
}

/* A NUL has no place in a text that databases and terminals get. */
static void add_clean(struct buf *to, const char *p, size_t n)
{
	for (const char *nul; (nul = memchr(p, 0, n)); n -= (size_t)(nul + 1 - p), p = nul + 1) {
		buf_add(to, p, (size_t)(nul - p));
		buf_add_str(to, "\xef\xbf\xbd");
	}
	buf_add(to, p, n);
}

int model_stream_text(struct model_stream *s, yyjson_val *text)
{
	struct chat_answer *a = s->sink.answer;
	size_t n = yyjson_get_len(text), at = a->text.n;

	if (!yyjson_is_str(text) || n == 0)
		return 0;
	if (at + n > CHAT_MAX_TEXT)
		return too_long(s);
	add_clean(&a->text, yyjson_get_str(text), n);
	if (s->sink.on_text)
		s->sink.on_text(s->sink.owner, (struct str){a->text.p + at, a->text.n - at});
	return 0;
}

int model_stream_thought(struct model_stream *s, yyjson_val *text)
{
	struct chat_answer *a = s->sink.answer;
	size_t n = yyjson_get_len(text);

	if (!yyjson_is_str(text) || n == 0)
		return 0;
	if (a->thoughts.n + n > CHAT_MAX_TEXT)
		return too_long(s);
	add_clean(&a->thoughts, yyjson_get_str(text), n);
	return 0;
}

/* ---- Calls ---- */

/* At most MAX_NAME bytes, whole characters. */
static char *dup_short(const char *text)
{
	size_t n = strlen(text);

	if (n > MAX_NAME)
		for (n = MAX_NAME; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
			n--;
	return xstrndup(text, n);
}

static int new_call(struct model_stream *s, int64_t index)
{
	struct chat_answer *a = s->sink.answer;

	if (a->n_calls == CHAT_MAX_CALLS)
		return model_stream_fail(s, false, "model_too_many_calls",
					 "The model asked for more than %d calls at once.", CHAT_MAX_CALLS);
	a->calls[a->n_calls].index = index;
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

static int choose_call(struct model_stream *s, int64_t index, const char *id, const char *name)
{
	struct chat_answer *a = s->sink.answer;
	int i;

	if (index >= 0) {
		i = find_by_index(a, index);
		bool is_other = i >= 0 && *id && a->calls[i].id && strcmp(a->calls[i].id, id) != 0;
		return i < 0 || is_other ? new_call(s, index) : i;
	}
	if (*id) {
		i = find_by_id(a, id);
		return i < 0 ? new_call(s, -1) : i;
	}
	/* Neither: a name starts a call, anything else goes on with the last one. */
	if (a->n_calls == 0 || (*name && a->calls[s->last_call].name))
		return new_call(s, -1);
	return (int)s->last_call;
}

int model_stream_call(struct model_stream *s, int64_t index, const char *id, const char *name)
{
	struct chat_answer *a = s->sink.answer;
	int i = choose_call(s, index, id, name);

	if (i < 0)
		return i;
	s->last_call = (size_t)i;
	if (*id && !a->calls[i].id)
		a->calls[i].id = dup_short(id);
	if (*name && !a->calls[i].name)
		a->calls[i].name = dup_short(name);
	return i;
}

int model_stream_arguments(struct model_stream *s, size_t call, yyjson_val *arguments)
{
	struct buf *to = &s->sink.answer->calls[call].arguments;
	size_t n = yyjson_get_len(arguments);
	const char *p = yyjson_get_str(arguments);
	char *text = NULL;

	if (yyjson_is_obj(arguments) || yyjson_is_arr(arguments))
		p = text = yyjson_val_write(arguments, 0, &n);
	if (!p)
		return 0; /* null, or not there */
	int r = to->n + n <= CHAT_MAX_ARGUMENTS
			? 0
			: model_stream_fail(s, false, "model_answer_too_long",
					    "The model's arguments of a call are longer than %d KiB.",
					    CHAT_MAX_ARGUMENTS >> 10);
	if (r == 0)
		buf_add(to, p, n);
	free(text);
	return r;
}

/* Every call has a name, and an id that no other call of the answer has. */
static void complete_calls(struct chat_answer *a)
{
	char id[ID_SIZE];

	/* OpenAI takes ids of up to 40 characters. */
	for (size_t i = 0; i < a->n_calls; i++) {
		if (!a->calls[i].name)
			a->calls[i].name = xstrdup("");
		if (a->calls[i].id && find_by_id(a, a->calls[i].id) == (int)i)
			continue;
		free(a->calls[i].id);
		id_new(id);
		a->calls[i].id = xasprintf("call_%.8s%.4s%.4s%.4s%s", id, id + 9, id + 14, id + 19, id + 24);
	}
}

/* ---- Documents ---- */

/* Most are small and read without any allocation. */
static int take_text(struct model_stream *s, const char *type, struct str text)
{
	char room[16 * 1024];
	yyjson_alc alc;
	yyjson_doc *doc = NULL;

	if (text.n <= sizeof(room) / 16 && yyjson_alc_pool_init(&alc, room, sizeof(room)))
		doc = yyjson_read_opts((char *)(uintptr_t)text.p, text.n, 0, &alc, NULL);
	if (!doc)
		doc = yyjson_read(text.p, text.n, 0);
	if (!doc)
		return model_stream_fail(s, true, "model_answer_broken",
					 "The model's server sent a piece that is not JSON.");
	int r = s->provider->take(s, type, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return r;
}

static bool on_event(void *owner, const struct sse_event *ev)
{
	struct model_stream *s = owner;
	struct str data = str_trim(ev->data);
	char type[64];
	size_t n = MIN(ev->type.n, sizeof(type) - 1);

	if (s->is_done || data.n == 0)
		return true;
	if (str_is(data, "[DONE]")) {
		s->is_done = true;
		return true;
	}
	memcpy(type, ev->type.n ? ev->type.p : "", n);
	type[n] = '\0';
	return take_text(s, type, data) == 0;
}

/* The first byte that is not blank tells the form of the body. */
static void detect(struct model_stream *s, char c)
{
	if (c == '{')
		s->form = s->provider->is_lines ? STREAM_LINES : STREAM_JSON;
	else if (c == '<')
		s->form = STREAM_HTML;
	else
		s->form = STREAM_SSE;
}

struct model_stream *model_stream_new(const struct model_provider *p, const struct model_sink *sink)
{
	struct model_stream *s = xcalloc(1, sizeof(*s));

	s->provider = p;
	s->sink = *sink;
	s->own = p->own_size ? xcalloc(1, p->own_size) : NULL;
	sse_parser_init(&s->sse, MAX_EVENT, on_event, s);
	return s;
}

static int feed_events(struct model_stream *s, const char *data, size_t n)
{
	if (sse_parser_feed(&s->sse, data, n) < 0)
		return model_stream_fail(s, true, "model_answer_broken",
					 "The model's server sent a piece of over %d MiB.", MAX_EVENT >> 20);
	return s->sink.failure->error.code[0] ? -EBADMSG : 0;
}

static int take_line(struct model_stream *s)
{
	struct str line = str_trim(buf_str(&s->body));
	int r = line.n && !s->is_done ? take_text(s, "", line) : 0;

	buf_clear(&s->body);
	return r;
}

static int feed_lines(struct model_stream *s, const char *data, size_t n)
{
	int r = 0;

	for (const char *end; r == 0 && (end = memchr(data, '\n', n)); n -= (size_t)(end + 1 - data), data = end + 1) {
		buf_add(&s->body, data, (size_t)(end - data));
		r = take_line(s);
	}
	if (r == 0 && s->body.n + n > MAX_EVENT)
		return model_stream_fail(s, true, "model_answer_broken",
					 "The model's server sent a piece of over %d MiB.", MAX_EVENT >> 20);
	if (r == 0)
		buf_add(&s->body, data, n);
	return r;
}

int model_stream_feed(struct model_stream *s, const char *data, size_t n)
{
	while (s->form == STREAM_UNKNOWN && n > 0) {
		if (!isspace((unsigned char)*data)) {
			detect(s, *data);
			break;
		}
		data++;
		n--;
	}
	if (s->form == STREAM_HTML || n == 0)
		return 0;
	if (s->form == STREAM_SSE)
		return feed_events(s, data, n);
	if (s->form == STREAM_LINES)
		return feed_lines(s, data, n);
	if (s->body.n + n > MAX_BODY)
		return too_long(s);
	buf_add(&s->body, data, n);
	return 0;
}

/* What stands at the end without its line end or blank line. */
static int take_rest(struct model_stream *s)
{
	if (s->form == STREAM_JSON)
		return take_text(s, "", buf_str(&s->body));
	if (s->form == STREAM_LINES)
		return take_line(s);
	if (s->form == STREAM_SSE && !s->is_finished && !s->is_done)
		return feed_events(s, "\n\n", 2);
	return 0;
}

int model_stream_end(struct model_stream *s, bool is_broken)
{
	struct chat_answer *a = s->sink.answer;

	if (s->form == STREAM_HTML)
		return model_stream_fail(s, false, "model_not_an_api",
					 "The model's address answered with a web page, not with a model's answer: "
					 "check its base URL, %s.",
					 s->provider->address_hint);
	if (!is_broken && take_rest(s) < 0)
		return -EBADMSG;
	if (s->sink.failure->error.code[0])
		return -EBADMSG;
	if (!s->is_finished && !s->is_done)
		return model_stream_fail(s, true, "model_answer_broken",
					 "The model's answer broke off before its end.");
	if (s->provider->end && s->provider->end(s) < 0)
		return -EBADMSG;
	if (a->text.n == 0 && a->n_calls == 0 && a->stop == CHAT_STOP_FILTER)
		return model_stream_fail(s, false, "model_content_filter",
					 "The model's provider withheld the answer by its content filter.");
	if (a->text.n == 0 && a->n_calls == 0 && a->stop == CHAT_STOP_LENGTH)
		return model_stream_fail(s, false, "model_answer_cut",
					 "The model used up its limit of output tokens before it said anything: raise "
					 "the agent's limit max_output_tokens.");
	if (a->text.n == 0 && a->n_calls == 0)
		return model_stream_fail(s, true, "model_answer_empty", "The model's answer was empty.");
	complete_calls(a);
	return 0;
}

void model_stream_free(struct model_stream *s)
{
	if (!s)
		return;
	if (s->provider->clear_own)
		s->provider->clear_own(s->own);
	sse_parser_deinit(&s->sse);
	buf_deinit(&s->body);
	free(s->own);
	free(s);
}
