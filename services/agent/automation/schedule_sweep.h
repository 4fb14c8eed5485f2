/* Visits every schedule for which there is something to do. */
#pragma once

#include "agent/agent.h"

struct schedule_sweep;

struct schedule_sweep *schedule_sweep_new(struct agent *agent);
void schedule_sweep_start(struct schedule_sweep *s);
void schedule_sweep_stop(struct schedule_sweep *s);
void schedule_sweep_free(struct schedule_sweep *s);
void schedule_sweep_wake(struct schedule_sweep *s);
