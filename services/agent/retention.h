/* Takes away what is not kept any longer (retention_rules.h), and what exec keeps of what was deleted. Of several
 * processes on a database one does it, under a lease. It looks for what is to go by reads, and takes each thing away
 * in a write of its own, so that nobody waits. It looks at start and every hour. */
#pragma once

#include "agent/retention_erase.h"

struct agent;
struct retention;

struct retention *retention_new(struct agent *agent);
void retention_start(struct retention *r);
/* Something was deleted: exec's part is removed now. */
void retention_wake(struct retention *r);
void retention_stop(struct retention *r);
void retention_free(struct retention *r);
