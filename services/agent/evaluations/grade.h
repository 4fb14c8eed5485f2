/* Grading the rows of a batch that is a run of an evaluation set. batches.graders has what the set was when the run
 * began: {"pass_score": 0.8, "graders": [… graders.h …]}; a row's data is {"input", "expected", "variables", "tags",
 * "case_id", "case", "repeat"}, and of a row in which a model judges another {"agent_id", "input"}. The grades are made
 * in a job that only reads, since that is work, and kept by the visit that takes the row's end, once. */
#pragma once

#include "agent/evaluations/graders.h"
#include "data/db.h"

struct batch;
struct conversation_row;

/* A row whose run has ended, by itself. */
struct graded_row {
	int64_t number;
	const char *execution_id, *grades;
	bool is_open, has_passed;
	int64_t score; /* in millionths */
	int64_t tokens, cost_nano, latency_ms;
	int part;                                  /* 0 = of the agent; n = the n-th model's of another row */
	struct str judgements[GRADERS_MODELS_MAX]; /* the data of rows that follow from it */
	int n_judgements;
};

/* Grades the rows that have ended, some at the most. Read job; all in the arena. Returns 0 or -errno. */
int evaluation_grade(struct db_conn *c, struct arena *a, const char *batch_id, struct graded_row **ret, size_t *ret_n);
/* Keeps it. Write job that holds the batch. Returns 0 or -errno. */
int evaluation_keep_grade(struct db_conn *c, struct arena *a, const struct batch *b, const struct graded_row *row);
/* Sets what a row's conversation has of its case, or of its judge. */
void evaluation_begin_row(struct arena *a, struct str data, int part, struct conversation_row *made);
