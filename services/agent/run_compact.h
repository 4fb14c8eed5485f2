/* Keeping a conversation within its model's context: estimated before each call, results of calls cut first, then the
 * older part summed up by the model. A summary is asked for with a request that fits by its making, and where none is
 * to be had one is made without a model, so this never fails and never goes round in circles. */
#pragma once

#include "agent/run.h"

struct run_mark {
	char id[ID_SIZE];
	int64_t up_to_seq, tokens_before, tokens_after;
	struct str summary;
};

/* Returns whether a summary is under way: on_fit comes later, or run_on_done when it was cancelled. When not, the
 * conversation is as short as it gets. is_overflow: the provider said that it is too long. */
bool run_fit(struct run *run, bool is_overflow, void (*on_fit)(struct run *run));
void run_fit_cancel(struct run *run);
void run_fit_free(struct run *run);
/* Worker thread: stores the mark; 0 or -errno. mark may be NULL. */
int run_mark_store(struct db_conn *c, const struct run *run, const struct run_mark *mark, int64_t now);
/* Worker thread: the newest mark of a conversation. 1 found, 0 none, or -errno. Strings are in the arena. */
int run_mark_load(struct db_conn *c, struct arena *a, const char *conversation_id, struct run_mark *ret);
