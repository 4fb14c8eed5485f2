/* What the demo model says: sentences built from the real output of its commands. */
#pragma once

#include "base/buf.h"
#include "rules.h"

struct demo_result {
	const char *command;
	struct str output;
	int status;      /* exit status; -1 = not told */
	bool has_failed; /* it was not run to its end: output says why */
};

/* Reads a tool message: text that may begin with "Exit status: N", or an object with output and exit_code. */
void demo_result_read(struct arena *a, const char *command, struct str content, struct demo_result *ret);
void demo_answer(struct buf *out, const struct demo_wish *w, const struct demo_result *results, unsigned n);
/* It would run a command and was given no tool. */
void demo_answer_without_tool(struct buf *out, const struct demo_wish *w);
