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

/* An image that came with a message of the user. */
struct chat_image {
	const char *media_type, *name;
	struct str base64;
	uint32_t width, height; /* pixels */
};

struct chat_message {
	struct list link; /* in chat_request.messages */
	enum chat_role role;
	int64_t seq; /* its place in the conversation; 0 = none, or a tool's of this run */
	struct str content;
	struct chat_call *calls; /* of the assistant */
	size_t n_calls;
	const char *call_id; /* of a tool's message: the call it answers */
	/* What the provider that made this answer wants to see again with it (thoughts, signatures, encrypted items): a
	 * JSON object {dialect, …} that only the provider's own file understands; NULL = nothing. */
	const char *opaque;
	struct chat_image *images; /* of the user */
	size_t n_images;
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
	struct list *messages; /* of struct chat_message */
	const struct chat_tool *const *tools;
	size_t n_tools;
	int64_t max_output_tokens;
	/* JSON Schema of the final answer, for providers that know a mode for it; the instructions tell it anyway.
	 * NULL = text. */
	const char *output_schema;
};

/* Cached and cache-writing tokens are part of the input, reasoning tokens of the output. */
struct chat_usage {
	int64_t input_tokens, output_tokens;
	bool estimated; /* counted from the text, because the provider did not say */
	int64_t cached_tokens, cache_write_tokens, reasoning_tokens;
	int64_t cost_nano; /* 1e-9 US dollars, by the list of prices; 0 where it has none */
};

/* Why an answer ended. */
enum chat_stop {
	CHAT_STOP_END,    /* of itself, also by a call of tools */
	CHAT_STOP_LENGTH, /* the limit of output tokens */
	CHAT_STOP_WINDOW, /* the model's context is full */
	CHAT_STOP_FILTER, /* the provider's content filter withheld the rest */
	CHAT_STOP_REFUSAL,
	CHAT_STOP_PAUSE, /* the provider wants the answer sent back to go on */
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
	enum chat_stop stop;
	struct buf thoughts; /* for the way back only */
	struct buf opaque;   /* of the message to be, see chat_message; empty = none */
};

void chat_answer_clear(struct chat_answer *a);
