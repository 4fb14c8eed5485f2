/* Evaluation sets: cases with which agents are tried, graders (graders.h) that say what an answer must be like, and
 * runs of a set against a version of an agent, which are batches (batches/batch.h). What the handlers share. */
#pragma once

#include "agent/batches/batch.h"
#include "agent/handlers.h"

#define EVALUATION_CASES_MAX 2000
#define EVALUATION_BYTES_MAX (32 << 20) /* of a set's cases */
#define EVALUATION_SETS_MAX 500         /* of a user */
#define EVALUATION_RUNS_MAX 1000        /* of a user */
#define EVALUATION_REPEATS_MAX 20
#define EVALUATION_SCORE_UNIT 1000000

struct evaluation_set {
	const char *id, *user_id, *name, *description, *graders;
	int64_t pass_score; /* in millionths */
	int64_t next_number, n_cases, created_at, updated_at;
};

/* The set of the path if it is the user's, or he may see everybody's: 0, 1 after setting a 404, or -errno. */
int evaluation_set_find(struct db_conn *c, struct answer *a, bool to_change, struct evaluation_set *ret);
/* The set has changed. Returns 0 or -errno. */
int evaluation_set_touch(struct db_conn *c, const char *id);
bool evaluation_sees_all(const struct exchange *x);
/* 422 with what is wrong. Returns 1. */
int evaluation_refuse(struct answer *a, const struct error *err);

/* The run of the path, if it is the user's, or he may see everybody's: for reading also the answers. As above. */
int evaluation_run_find(struct db_conn *c, struct answer *a, const char *id, struct batch *ret);
/* The members of a run: how far it is, and what has come of it. Returns 0 or -errno. */
int evaluation_run_add(struct db_conn *c, struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj,
		       const struct batch *b);
