/* Answers in the words of OpenAI's chat completions API, with the faults that a script asks for. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "request.h"

#define DEMO_MODEL "ogent-demo"

struct wire_answer {
	const char *id;       /* chatcmpl-… */
	const char *calls_id; /* beginning of the calls' ids */
	int64_t created;      /* seconds since 1970 */
	const struct demo_request *request;
	struct str text;              /* when there are no calls */
	const struct demo_step *step; /* the calls to make, or NULL */
	const char *finish;           /* "stop", "length", "tool_calls" */
	uint64_t tokens;              /* of the answer */
};

/* The events of a stream one after the other, and where each ends. */
struct wire_events {
	struct buf bytes;
	struct buf ends; /* size_t each */
};

/* The length of the next n pieces of a text: words or parts of them. */
size_t wire_piece(struct str text, int64_t n);
/* About 4 bytes make a token. */
uint64_t wire_tokens(uint64_t bytes);
void wire_stream(struct wire_events *out, const struct wire_answer *a);
size_t wire_events_count(const struct wire_events *e);
/* Where the first n events end. */
size_t wire_events_end(const struct wire_events *e, size_t n);
void wire_events_deinit(struct wire_events *e);
void wire_whole(struct buf *out, const struct wire_answer *a);
/* {"error": {message, type, param, code}}; param and code may be NULL. */
void wire_error(struct buf *out, int status, const char *code, const char *param, const char *message);
/* The arguments of a call as JSON text. */
void wire_arguments(struct buf *out, const struct demo_request *r, const char *command);
