/* What the parsers of all dialects share: the forms of a body (server-sent events, lines of JSON, one document, a web
 * page), and what goes into an answer: text, thoughts, calls, within their limits. A provider's own file reads the
 * documents only.
 *
 * It bears what servers are known to send: CRLF, comments, no blank line at the end, an error with status 200, an HTML
 * page instead of an answer, calls without index or id, arguments that are null, empty, an object or broken. */
#pragma once

#include "agent/models/model.h"
#include "base/json.h"
#include "io/sse.h"

struct model_stream {
	const struct model_provider *provider;
	struct model_sink sink;
	enum { STREAM_UNKNOWN, STREAM_SSE, STREAM_JSON, STREAM_LINES, STREAM_HTML } form;
	struct sse_parser sse;
	struct buf body;  /* of the JSON form, or the line under way */
	size_t last_call; /* that a piece without index and id continues */
	bool is_done;     /* what comes behind is not read */
	bool is_finished; /* the dialect's own end came */
	void *own;        /* the provider's own, provider->own_size bytes, zeroed */
};

struct model_stream *model_stream_new(const struct model_provider *p, const struct model_sink *sink);
/* Both: 0, or -EBADMSG with the sink's failure set. */
int model_stream_feed(struct model_stream *s, const char *data, size_t n);
/* The body has ended (is_broken: by a broken connection). */
int model_stream_end(struct model_stream *s, bool is_broken);
void model_stream_free(struct model_stream *s);

/* ---- For providers; all return 0 or -EBADMSG with the failure set ---- */

int model_stream_fail(struct model_stream *s, bool may_retry, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* An error that the server reports inside an answer: its status or -1, its type or code (may be ""), its words. */
int model_stream_error(struct model_stream *s, int status, const char *type, const char *message);
int model_stream_text(struct model_stream *s, yyjson_val *text);
/* Thoughts that are kept to be sent back. */
int model_stream_thought(struct model_stream *s, yyjson_val *text);
/* The call that a piece belongs to, new if need be: by its index (-1 = none), its id ("" = none), or by its place: a
 * name begins a call, anything else goes on with the last one. Returns its place or -EBADMSG. */
int model_stream_call(struct model_stream *s, int64_t index, const char *id, const char *name);
/* Appends a string, or an object as its text; null adds nothing. */
int model_stream_arguments(struct model_stream *s, size_t call, yyjson_val *arguments);
