/* The frame of a call whose result is a text: what most tools need around the few requests or jobs they make. */
#pragma once

#include "agent/agent.h"
#include "agent/tools/tools.h"

/* Embed first, in memory of malloc; freed by tool_task_end. */
struct tool_task {
	struct background background;
	struct tool_call *call; /* NULL: nobody waits any more, and all that it holds is gone */
	struct agent *agent;
	struct arena *arena;
	int64_t started_at;
	bool is_cancelled;                      /* what is under way is to end */
	int64_t children_tokens, children_nano; /* see tool_result */
	/* Cancels what is under way, whose end comes later and calls tool_task_end. May do nothing. */
	void (*stop)(struct tool_task *t);
};

/* Zeroed memory of `size` bytes, begun. */
struct tool_task *tool_task_new(struct tool_call *c, size_t size, void (*stop)(struct tool_task *t));
/* Reports and frees. status: "done" or "error"; a cancelled one reports that instead. The text is UTF-8. */
void tool_task_end(struct tool_task *t, const char *status, struct str text);
/* The same with a sentence of what went wrong. */
void tool_task_fail(struct tool_task *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* For struct tool. */
void tool_task_cancel(struct tool_call *c);
void tool_task_leave(struct tool_call *c);

/* Appends bytes as text for a model: at most `max` of them, cut between characters; what is no UTF-8 becomes U+FFFD,
 * NUL a space. Returns how many of them it took. */
size_t tool_text_add(struct buf *out, struct str bytes, size_t max);
/* Whether it is text at all. */
bool tool_is_text(struct str bytes);
