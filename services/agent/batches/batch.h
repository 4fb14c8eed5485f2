/* A batch: the rows of a file, each of which becomes a run. All functions run in jobs; those that change it hold the
 * batch's row, so that every step is taken once, by whichever process: a row becomes 'running' in the transaction that
 * stores its execution, and its end is taken from the execution. */
#pragma once

#include "agent/automation/rights.h"
#include "agent/evaluations/grade.h"
#include "agent/handlers.h"
#include "agent/post.h"

#define BATCH_CONCURRENCY_MAX 50
#define BATCH_STARTS_MAX 16 /* runs that one visit begins */

struct batch {
	const char *id, *user_id, *agent_id, *agent_name, *name, *message, *columns, *status, *reason;
	int64_t n_rows, concurrency, max_failures, failures, created_at, updated_at, ended_at;
	int64_t agent_version; /* of its runs; 0 = the newest one at each */
	/* Of a run of an evaluation set; otherwise NULL. */
	const char *evaluation_id, *graders; /* evaluations/grade.h */
	int64_t repeats;
};

struct batch_counts {
	int64_t waiting, running, succeeded, failed, cancelled;
};

/* A new one, running; its rows follow. Return 0 or -errno. */
int batch_insert(struct db_conn *c, const struct batch *b);
int batch_row_insert(struct db_conn *c, const struct batch *b, int64_t number, int part, struct str data);
/* Whether the agent has that version: 0, 1 after setting 404 `version_not_found`, or -errno. */
int batch_check_version(struct db_conn *c, struct answer *a, const char *agent_id, int64_t version);
/* 1 found, 0 none, or -errno. Strings are in the arena. */
int batch_find(struct db_conn *c, struct arena *a, const char *id, bool to_change, struct batch *ret);
/* All rows, also those that grade others. */
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
	struct graded_row *graded;           /* of an evaluation: by evaluation_grade, before the visit */
	size_t n_graded;
	const char *stopped; /* why it has stopped itself, or NULL */
	bool has_ended;
};
/* Everything that is to be done for it now. Returns 0 or -errno. */
int batch_visit(struct db_conn *c, struct batch_visit *v);
