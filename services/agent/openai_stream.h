/* Parser of a chat-completions answer: server-sent chunks, or one JSON document from servers that do not stream. It
 * bears what compatible servers are known to send: no usage or null, empty choices, tool pieces without index or id,
 * arguments that are null, empty, an object or broken, names after arguments, a doubled finish, no [DONE], CRLF,
 * comments, an error or an HTML page instead of chunks, and a stream that breaks off. */
#pragma once

#include "agent/model.h"
#include "io/sse.h"

struct openai_stream {
	struct model_sink sink;
	enum { OPENAI_UNKNOWN, OPENAI_SSE, OPENAI_JSON, OPENAI_HTML } form;
	struct sse_parser sse;
	struct buf body;  /* of the JSON form */
	size_t last_call; /* that a piece without index and id continues */
	bool is_done;     /* [DONE] */
	bool is_finished; /* a finish_reason came */
};

void *openai_stream_new(const struct model_sink *sink);
int openai_stream_feed(void *stream, const char *data, size_t n);
int openai_stream_end(void *stream, bool is_broken);
void openai_stream_free(void *stream);
