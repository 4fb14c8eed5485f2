/* A batch: the rows of a file, each of which becomes a run. All functions run in jobs; those that change it hold the
 * batch's row, so that every step is taken once, by whichever process: a row becomes 'running' in the transaction that
 * stores its execution, and its end is taken from the execution. */
#pragma once

#include "agent/automation/rights.h"
#include "agent/post.h"

#define BATCH_CONCURRENCY_MAX 50
#define BATCH_STARTS_MAX 16 /* runs that one visit begins */

struct batch {
	const char *id, *user_id, *agent_id, *agent_name, *name, *message, *columns, *status, *reason;
	int64_t n_rows, concurrency, max_failures, failures, created_at, updated_at, ended_at;
};

struct batch_counts {
	int64_t waiting, running, succeeded, failed, cancelled;
};

/* 1 found, 0 none, or -errno. Strings are in the arena. */
int batch_find(struct db_conn *c, struct arena *a, const char *id, bool to_change, struct batch *ret);
int batch_count(struct db_conn *c, const char *id, struct batch_counts *ret);
/* The message of a row (the text of a JSON object). Returns 0 or -EINVAL with err set. */
int batch_message(struct arena *a, const char *template, struct str row, const char **ret, struct error *err);
/* Nothing more of it begins; what runs is cancelled. Returns how many executions `ret` has, or -errno. */
int batch_cancel_runs(struct db_conn *c, struct arena *a, const char *id, const char ***ret);

/* What one visit of a batch has brought. */
struct batch_visit {
	struct agent *agent;
	struct arena *arena;
	const char *id;
	enum rights rights;                  /* of its owner */
	const struct identity *who;          /* he, with RIGHTS_GIVEN */
	struct post posts[BATCH_STARTS_MAX]; /* prepared */
	size_t n_posts;                      /* of them, those to be begun */
	const char *stopped;                 /* why it has stopped itself, or NULL */
	bool has_ended;
};
/* Everything that is to be done for it now. Returns 0 or -errno. */
int batch_visit(struct db_conn *c, struct batch_visit *v);
