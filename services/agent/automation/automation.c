#include "agent/automation/automation.h"

#include <sodium.h>
#include <stdlib.h>

#include "agent/automation/hooks.h"
#include "agent/automation/schedule_sweep.h"
#include "base/alloc.h"

struct automation {
	struct seal_key key;
	struct schedule_sweep *schedules;
	struct hook_sender *hooks;
};

struct automation *automation_new(struct agent *agent, struct error *err)
{
	struct automation *a = xcalloc(1, sizeof(*a));

	if (hook_key_load(agent, &a->key, err) < 0) {
		free(a);
		return NULL;
	}
	a->schedules = schedule_sweep_new(agent);
	a->hooks = hook_sender_new(agent, &a->key);
	return a;
}

void automation_start(struct automation *a)
{
	schedule_sweep_start(a->schedules);
	hook_sender_start(a->hooks);
}

void automation_stop(struct automation *a)
{
	schedule_sweep_stop(a->schedules);
	hook_sender_stop(a->hooks);
}

void automation_free(struct automation *a)
{
	schedule_sweep_free(a->schedules);
	hook_sender_free(a->hooks);
	sodium_memzero(&a->key, sizeof(a->key));
	free(a);
}

const struct seal_key *automation_key(const struct automation *a)
{
	return &a->key;
}

void automation_wake(struct automation *a)
{
	schedule_sweep_wake(a->schedules);
	hook_sender_wake(a->hooks);
}
