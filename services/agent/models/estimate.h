/* How many tokens a text will be, without a tokenizer: by the kinds of its characters, a little too high rather than
 * too low. What providers count afterwards corrects it (model_place_learn). */
#pragma once

#include "agent/chat.h"

int64_t estimate_text(struct str text);
int64_t estimate_message(const struct chat_message *m);
/* Instructions, tools and messages. */
int64_t estimate_request(const struct chat_request *r);
