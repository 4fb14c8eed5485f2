#include "agent/chat.h"

#include <stdlib.h>

void chat_answer_clear(struct chat_answer *a)
{
	buf_deinit(&a->text);
	for (size_t i = 0; i < a->n_calls; i++) {
		free(a->calls[i].id);
		free(a->calls[i].name);
		buf_deinit(&a->calls[i].arguments);
	}
	buf_deinit(&a->thoughts);
	buf_deinit(&a->opaque);
	*a = (struct chat_answer){0};
}
