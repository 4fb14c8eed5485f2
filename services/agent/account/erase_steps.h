/* What of a person's goes, in which order. Worker thread, in a write of its own each. */
#pragma once

#include "agent/agent.h"
#include "base/id.h"

struct erase_step {
	const char *name; /* in the job's counts and stage */
	/* Some of them, few enough for one transaction. Returns how many, 0 when there is none left, or -errno. */
	int (*run)(struct db_conn *c, const char *user_id);
};

extern const struct erase_step erase_steps[];
extern const size_t erase_steps_n;
