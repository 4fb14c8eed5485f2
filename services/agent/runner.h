/* The runs of this process: taking them, finding them, keeping the lease.
 *
 * An execution is stored with its owner, the name of the process that works on it. A process has one lease for all its
 * executions, in agent_processes, and renews it. One that is accepted when there is no room is stored with lease_until
 * 0; the sweep of any process finds it, as it finds those whose owner's lease has run out. Taking one raises its claim:
 * whoever had it before can no longer write. */
#pragma once

#include "base/str.h"
#include "data/db.h"

struct agent;
struct run;
struct runner;
struct log_listener;

#define RUNNER_LEASE_US (5 * 1000000ll)
/* lease_until of an execution that its owner works on; 0 when it waits for any process. */
#define RUNNER_TAKEN 1
/* Owner of an execution that waits for a person: nobody, until lease_until. */
#define RUNNER_PARKED "parked"

struct runner *runner_new(struct agent *agent);
void runner_free(struct runner *r);
/* Makes the process known and sets free what it had before a restart. Blocking, at start. Returns 0 or -errno. */
int runner_register(struct runner *r);
/* Takes the unfinished executions that nobody works on, now and from time to time. */
void runner_start(struct runner *r);
/* Lets go of all runs: they go on in the next process. */
void runner_stop(struct runner *r);

/* The name under which this process holds executions: the same after a restart. */
const char *runner_owner(const struct runner *r);
struct run_preload;
/* Begins with an execution that has just been stored as this process's own (claim 1, one event), for a request. With
 * what was read for it, or NULL. */
void runner_take(struct runner *r, const char *execution_id, const char *conversation_id, const char *user_id,
		 const char *traceparent, const char *request_id, struct run_preload *preload);
/* Whether a new run would be begun at once. */
bool runner_has_room(const struct runner *r);
/* Looks for work now. */
void runner_wake(struct runner *r);
/* Somebody elsewhere follows its events: for a while, each write of it is told to the other processes. Returns whether
 * it is here. */
bool runner_tell_events(struct runner *r, const char *execution_id);
/* Cancels it if it is here. */
void runner_cancel(struct runner *r, const char *execution_id);
/* Follows its events if it is here (see run_log_follow). Returns whether it is. */
bool runner_follow(struct runner *r, const char *execution_id, struct log_listener *listener, uint64_t after);
/* The greatest number that is on disk for a run that is here, otherwise 0. */
uint64_t runner_stored_seq(struct runner *r, const char *execution_id);
/* From run.c: it has ended or is left. */
void runner_on_ended(struct runner *r, struct run *run);
unsigned runner_n_live(const struct runner *r);
/* Executions that nobody worked on when the last sweep looked. */
size_t runner_n_queued(const struct runner *r);
