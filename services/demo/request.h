/* One chat completion request, read into what the answer needs. */
#pragma once

#include "answers.h"
#include "script.h"

struct demo_request {
	const char *model;
	bool stream, include_usage;
	int64_t max_tokens;         /* 0 = no limit */
	struct demo_script script;  /* of the server, the header, the message, in rising order */
	struct demo_wish wish;      /* of the last user message */
	const char *shell_argument; /* NULL: no tool named shell is offered; otherwise its parameter for the command */
	unsigned n_thoughts;        /* of those messages, with the thoughts that came with them */
	unsigned rounds;            /* messages with tool calls since the last user message */
	struct demo_result results[DEMO_MAX_STEPS * DEMO_MAX_CALLS];
	unsigned n_results;
	uint64_t prompt_tokens;
	uint64_t key; /* of the conversation up to the last user message, to count failures by */
};

/* What OpenAI calls a request that is wrong: `param` names the place, may be NULL. */
struct demo_refusal {
	struct error error;
	const char *param;
	int status;
};

/* `script` is what holds so far. Strings live in the arena. Returns 0 or -EINVAL with *ret_refusal set. */
int demo_request_read(struct arena *a, struct str body, const struct demo_script *script, struct demo_request *ret,
		      struct demo_refusal *ret_refusal);
