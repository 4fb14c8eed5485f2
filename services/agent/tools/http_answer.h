/* An answer from the outside as text for a model. */
#pragma once

#include "base/buf.h"
#include "io/safe_fetch.h"

/* Bytes of a body that are read. */
#define HTTP_ANSWER_MAX (4 * 1024 * 1024)

/* As `from`: the text from its beginning; a call cannot go on in it. */
#define HTTP_ANSWER_WHOLE UINT64_MAX

/* Appends the status, what the body is, and its text from the byte `from` on, as much as a model is told at once. HTML
 * is made readable unless is_raw; what is no text is only named. */
void http_answer_write(const struct safe_fetch_answer *answer, struct arena *a, bool is_raw, uint64_t from,
		       struct buf *out);
