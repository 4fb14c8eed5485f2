/* Workspaces of targets that nobody has any more: their user or their conversation was deleted. Each has a mark on the
 * disk (journal_give_up) until its target has removed it; a target that is away is asked again later. On the loop. */
#pragma once

#include "exec.h"

struct removals;

/* Begins with what is marked already. */
struct removals *removals_new(struct exec *e);
/* Something was marked. */
void removals_wake(struct removals *r);
/* exec ends: nothing more is begun. What is under way ends with targets_end_errands and the lanes. */
void removals_stop(struct removals *r);
void removals_free(struct removals *r);
