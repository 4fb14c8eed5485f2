#include "agent/automation/automation.h"

#include <stdlib.h>

#include "agent/automation/schedule_sweep.h"
#include "base/alloc.h"

struct automation {
	struct schedule_sweep *schedules;
};

struct automation *automation_new(struct agent *agent)
{
	struct automation *a = xcalloc(1, sizeof(*a));

	a->schedules = schedule_sweep_new(agent);
	return a;
}

void automation_start(struct automation *a)
{
	schedule_sweep_start(a->schedules);
}

void automation_stop(struct automation *a)
{
	schedule_sweep_stop(a->schedules);
}

void automation_free(struct automation *a)
{
	schedule_sweep_free(a->schedules);
	free(a);
}

void automation_wake(struct automation *a)
{
	schedule_sweep_wake(a->schedules);
}
