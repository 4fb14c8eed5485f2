/* What a model's server sends: the parser must bear anything, and what it makes must be fit to be stored. */
#include <stdlib.h>

#include "agent/openai_stream.h"
#include "base/utf8.h"

static void on_text(void *owner, struct str text)
{
	if (!utf8_is_valid(text) || memchr(text.p, 0, text.n))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The first byte says in which steps the rest comes, and whether the connection breaks at the end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct chat_answer answer = {0};
	struct model_failure failure = {0};
	struct model_sink sink = {&answer, &failure, on_text, NULL};
	void *s = openai_stream_new(&sink);
	size_t step = n ? (data[0] >> 1) + 1u : 1;
	int r = 0;

	for (size_t at = 1; at < n && r == 0; at += step)
		r = openai_stream_feed(s, (const char *)data + at, MIN(step, n - at));
	if (r == 0)
		r = openai_stream_end(s, n && (data[0] & 1));
	if ((r < 0) != (failure.error.code[0] != '\0'))
		abort();
	for (size_t i = 0; r == 0 && i < answer.n_calls; i++)
		if (!answer.calls[i].id || !answer.calls[i].name)
			abort();
	openai_stream_free(s);
	chat_answer_clear(&answer);
	return 0;
}
