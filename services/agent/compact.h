/* Making a conversation shorter: what is cut, and where. Pure; run_compact.c is the flow around it. The messages in the
 * database stay as they are. */
#pragma once

#include "agent/chat.h"
#include "base/arena.h"

/* Cuts results of calls, oldest first, to their head and tail until the conversation has about `budget` tokens, the
 * last two only when that is not enough. Copies are in the arena. Returns the tokens that are left by the estimate. */
int64_t compact_cut_results(struct arena *a, struct list *messages, int64_t budget);
/* Cuts the longest texts from the message `from` on (NULL: from the first) to their head and tail until what stands
 * from there on has about `budget` tokens; of each at least some 2,000 bytes stay. Returns the bytes that were left
 * out. */
size_t compact_cut_texts(struct arena *a, struct list *messages, struct chat_message *from, int64_t budget);
/* The first message to keep when the newest of at most `budget` tokens are kept: never a result of a call whose answer
 * goes, and at least the last group of them. NULL: nothing can go. */
struct chat_message *compact_find_cut(struct list *messages, int64_t budget);
/* What goes as a text to sum up, of at most max_bytes; long messages lose their middle. */
struct str compact_transcript(struct arena *a, struct list *messages, const struct chat_message *cut, size_t max_bytes);
/* A summary without a model: what the user asked for, in order. */
struct str compact_plain_summary(struct arena *a, struct list *messages, const struct chat_message *cut,
				 size_t max_bytes);
/* Puts a message with the summary in the place of all before `cut`. Returns the place in the conversation up to
 * which it stands for all. */
int64_t compact_replace(struct arena *a, struct list *messages, struct chat_message *cut, struct str summary);
/* The message that tells a summary. */
struct chat_message *compact_message(struct arena *a, struct str summary);
