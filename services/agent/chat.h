/* A conversation as a model is told it, in no provider's dialect. */
#pragma once

#include "base/buf.h"
#include "base/list.h"

enum chat_role { CHAT_USER, CHAT_ASSISTANT, CHAT_TOOL };

/* A call of a tool that the model asks for. */
struct chat_call {
	const char *id;
	const char *name;
	struct str arguments; /* as the model wrote them; meant to be a JSON object */
};

struct chat_message {
	struct list link; /* in chat_request.messages */
	enum chat_role role;
	struct str content;
	struct chat_call *calls; /* of the assistant */
	size_t n_calls;
	const char *call_id; /* of a tool's message: the call it answers */
};

/* A tool as the model is told about it. */
struct chat_tool {
	const char *name;
	const char *description;
	const char *parameters; /* JSON Schema */
};

/* Strings belong to whoever asks. */
struct chat_request {
	const char *instructions;
	const struct list *messages; /* of struct chat_message */
	const struct chat_tool *const *tools;
	size_t n_tools;
	int64_t max_output_tokens;
};

struct chat_usage {
	int64_t input_tokens, output_tokens;
	bool estimated; /* counted from the text, because the provider did not say */
};

#define CHAT_MAX_CALLS 16
#define CHAT_MAX_ARGUMENTS (256 * 1024)
#define CHAT_MAX_TEXT (4 * 1024 * 1024)

/* What the model answered, as far as it has come. */
struct chat_answer {
	struct buf text;
	struct {
		char *id, *name; /* NULL until known; both set once the answer is complete */
		int64_t index;   /* -1 = none given */
		struct buf arguments;
	} calls[CHAT_MAX_CALLS];
	size_t n_calls;
	struct chat_usage usage;
	bool is_cut; /* ended by the limit of output tokens */
};

void chat_answer_clear(struct chat_answer *a);
