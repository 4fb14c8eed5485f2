/* Calls that must not be made twice although nobody can say after a crash whether they were: a mark is on disk before
 * the call is made, and where there is one the call is not made again. */
#pragma once

#include "agent/agent.h"

struct tool_once {
	struct db_job db;
	const char *key; /* of the call: EXECUTION:… */
	/* first: it may be made. -errno: the database failed, and it was not made. */
	void (*on_done)(struct tool_once *o, int err, bool first);
	bool is_first;
};

/* on_done comes later, once. */
void tool_once_mark(struct agent *agent, struct tool_once *o);
