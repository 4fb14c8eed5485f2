/* A schedule: when it is due, and what is done then. All but the first two functions run in a write job that holds the
 * schedule's row, so that every step is taken once, by whichever process.
 *
 * A time that is due becomes a row of schedule_firings in the transaction that moves next_at on; the row becomes
 * 'started' in the transaction that stores the execution; its end is taken from the execution. So a process can be
 * killed anywhere in between. */
#pragma once

#include "agent/automation/rights.h"
#include "agent/post.h"
#include "base/cron.h"

#define SCHEDULE_MISSED_MAX 100
#define SCHEDULE_WAITING_MAX 20            /* firings that wait for the one before */
#define SCHEDULE_GRACE_US (60 * 1000000ll) /* later than that is missed */

struct schedule {
	const char *id, *user_id, *agent_id, *agent_name, *name, *message;
	const char *cron, *timezone; /* cron NULL: one of the next two is not 0 */
	int64_t every_us, at_us, starts_at, ends_at;
	const char *conversation, *conversation_id;
	const char *missed, *overlap;
	int64_t missed_max, max_failures, failures;
	const char *status, *reason;
	int64_t next_at; /* 0 = none */
	const char *active_execution_id;
	int64_t version, created_at, updated_at;
};

/* When it happens; made of a schedule's settings. */
struct schedule_times {
	struct cron cron;
	struct zone *zone; /* NULL: no cron */
	int64_t every_us, at_us, starts_at, ends_at;
};

/* Returns 0 or -EINVAL with err. Loads the zone. */
int schedule_times_init(struct schedule_times *t, const struct schedule *s, struct error *err);
void schedule_times_deinit(struct schedule_times *t);
/* The first time after `after` (us), 0 = none. */
int64_t schedule_times_next(const struct schedule_times *t, int64_t after);

/* 1 found, 0 none, or -errno. Strings are in the arena. */
int schedule_find(struct db_conn *c, struct arena *a, const char *id, bool to_change, struct schedule *ret);

/* What one visit of a schedule has brought. */
struct schedule_visit {
	struct agent *agent;
	struct arena *arena;
	const char *id;
	enum rights rights;         /* of its owner */
	const struct identity *who; /* he, with RIGHTS_GIVEN */
	struct post post;           /* prepared; begun when did_post */
	bool did_post;
	const char *cancelled; /* an execution that is to be stopped, or NULL */
	const char *stopped;   /* why it has stopped itself, or NULL */
};
/* Everything that is to be done for it now. Returns 0 or -errno. */
int schedule_visit(struct db_conn *c, struct schedule_visit *v);
/* A firing that a person asks for; *ret_id is its id. Returns 0 or -errno. */
int schedule_add_firing(struct db_conn *c, const char *schedule_id, int64_t now, char ret_id[static ID_SIZE]);
