/* What a model's server sends, in each dialect: the parser must bear anything, and what it makes must be fit to be
 * stored and to be sent back. */
#include <stdlib.h>

#include "agent/models/stream.h"
#include "agent/models/wire.h"
#include "base/utf8.h"

static const struct model_provider *const providers[] = {&provider_openai, &provider_responses, &provider_anthropic,
							 &provider_ollama};

static void on_text(void *owner, struct str text)
{
	if (!utf8_is_valid(text) || memchr(text.p, 0, text.n))
		abort();
}

/* What goes back is JSON in JSON. */
static void check_way_back(const struct model_target *t, const struct chat_answer *answer)
{
	struct chat_call calls[CHAT_MAX_CALLS];
	struct chat_message m = {.role = CHAT_ASSISTANT,
				 .content = buf_str(&answer->text),
				 .calls = calls,
				 .n_calls = answer->n_calls,
				 .opaque = answer->opaque.p};
	struct buf out = BUF_INIT;
	struct list messages;
	struct chat_request r = {"", &messages, NULL, 0, 100};

	for (size_t i = 0; i < answer->n_calls; i++)
		calls[i] = (struct chat_call){answer->calls[i].id, answer->calls[i].name,
					      buf_str(&answer->calls[i].arguments)};
	list_init(&messages);
	list_append(&messages, &m.link);
	t->provider->write_request(t, &r, &out);
	yyjson_doc *doc = yyjson_read(out.p, out.n, 0);
	if (!doc)
		abort();
	yyjson_doc_free(doc);
	buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The first byte says in which dialect and steps the rest comes, and whether the connection breaks at the end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct model_target t = {.provider = providers[n ? data[0] >> 6 : 0], .model = "m", .base_url = "", .key = ""};
	struct chat_answer answer = {0};
	struct model_failure failure = {0};
	struct model_sink sink = {&answer, &failure, on_text, NULL, &t};
	struct model_stream *s = model_stream_new(t.provider, &sink);
	size_t step = n ? ((data[0] & 0x3f) >> 1) * 4 + 1u : 1;
	int r = 0;

	for (size_t at = 1; at < n && r == 0; at += step)
		r = model_stream_feed(s, (const char *)data + at, MIN(step, n - at));
	if (r == 0)
		r = model_stream_end(s, n && (data[0] & 1));
	if ((r < 0) != (failure.error.code[0] != '\0'))
		abort();
	for (size_t i = 0; r == 0 && i < answer.n_calls; i++)
		if (!answer.calls[i].id || !answer.calls[i].name)
			abort();
	if (r == 0)
		check_way_back(&t, &answer);
	model_stream_free(s);
	chat_answer_clear(&answer);
	return 0;
}
