/* The agent service's state, one per process; everything in it belongs to the loop's thread. */
#pragma once

#include "base/networks.h"
#include "io/outbound.h"
#include "service/service.h"

#define RUN_STATES 7 /* those before the end */

struct agent {
	struct service *service;
	struct db *db;
	struct outbound *outbound; /* made at first use, see agent_outbound */
	struct networks outbound_allow;
	struct models *models;
	struct runner *runner;
	struct retention *retention;
	struct account_jobs *account_jobs;
	struct publisher *publisher;
	struct automation *automation;
	struct bus *bus;
	struct knowledge *knowledge;
	struct attachment_room *attachment_room;
	int runs_without_room;      /* for what is attached: they wait */
	struct list remote_streams; /* struct event_stream by remote: of executions that another process works on */
	bool is_migrated;
	struct list background; /* struct background */
	struct {
		struct metric *runs_in[RUN_STATES]; /* by enum run_state */
		struct metric *runs_succeeded, *runs_failed, *runs_cancelled;
		struct metric *run_seconds;
		struct metric *model_seconds, *first_text_seconds, *model_retries;
		struct metric_family *model_calls, *tokens, *tool_calls;
		struct metric *events_published, *events_dropped;
	} metrics;
};

/* Work that outlives its run. */
struct background {
	struct list link; /* in agent.background */
	/* The process ends: stops, soon. */
	void (*leave)(struct background *b);
};

extern const struct migration agent_migrations[];
extern const size_t agent_migrations_n;
extern const struct route agent_routes[];
extern const size_t agent_n_routes;

struct outbound *agent_outbound(struct agent *a);
/* agents.c: the first agent, if there is none. Blocking, at start. Returns 0 or -errno. */
int agents_seed(struct agent *agent);
