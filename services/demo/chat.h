/* POST /v1/chat/completions: reads the request, decides, and sends the answer at its pace. */
#pragma once

#include "script.h"
#include "service/service.h"

#define DEMO_FAILURES 1024

/* How often a conversation was made to fail. */
struct demo_failure {
	uint64_t key;
	int64_t count;
};

struct demo {
	struct demo_script script; /* of the whole server */
	struct demo_failure failures[DEMO_FAILURES];
	uint64_t n_answers; /* for ids */
	char seed[17];
	struct metric *answers;
};

void demo_chat(struct exchange *x);
/* Answers with OpenAI's error body. */
void demo_reply_error(struct exchange *x, int status, const char *code, const char *param, const char *message);
