/* Answers that wait for a command, for up to wait_ms: until it has ended or waits for input; and its output in short,
 * for one who reads it as text. */
#pragma once

#include "command.h"

#define WAIT_MS_MAX 600000
#define OUTPUT_SHORT_DEFAULT (16 << 10)
#define OUTPUT_SHORT_MAX (1 << 20)

/* What the query asks for: wait_ms, and output: bytes of output to show (0 = none; with wait_ms the default). */
struct wait_query {
	uint64_t wait_ms, output;
};
/* Returns false after answering 400. body (may be NULL) may have wait_ms too. */
bool wait_query_read(struct exchange *x, yyjson_val *body, struct wait_query *ret);

/* Answers with the command: at once if it has ended, otherwise when it has, waits for input, or the time is over.
 * status_ended, status_running: of the answer. */
void wait_reply(struct exchange *x, struct command *c, const struct wait_query *q, int status_ended,
		int status_running);
/* "output": {head, tail, omitted_bytes, bytes}: at most `max` bytes of the start and of the end, as clean text. */
void wait_add_output(struct exec *e, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *id, uint64_t max);
