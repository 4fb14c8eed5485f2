/* Graders that are models: {"type": "model", "rubric": "…", "model": "…"}. The judge is an agent that nobody sees in
 * lists: archived from the beginning, without tools, with the rubric as its instructions and a schema for its answer.
 * It judges in a run of its own, a further row of the batch (batch_rows.part), begun when the agent's run has ended.
 * What the agent was asked and has answered is data to it: it stands between marks with a key that nobody can know
 * before. */
#pragma once

#include "agent/evaluations/graders.h"
#include "data/db.h"

struct agent;

/* What the judge is told of its task and the rubric; in the arena. Pure. */
const char *judge_instructions(struct arena *a, const char *rubric);
/* The message to it. key: letters and digits that were not known before. In the arena. Pure. */
const char *judge_message(struct arena *a, const char *key, const char *input, yyjson_val *expected, struct str answer);
/* Its grade by what its run has come to. In the arena. Pure. */
const char *judge_grade(struct arena *a, yyjson_val *grader, const struct graded_run *run, const char *execution_id);
/* The grades with that of the n-th model (from 1) in its place. In the arena. Pure. */
const char *judge_join(struct arena *a, yyjson_val *graders, yyjson_val *grades, int n, const char *grade);

/* The data of the row in which a judge judges. In the arena. */
struct str judge_row(struct arena *a, const char *agent_id, yyjson_val *case_data, struct str answer);
/* The judges of these graders for the user, made where they are not there yet: a JSON array of their ids, in order.
 * Write job. Returns 0 or -errno. */
int judges_make(struct db_conn *c, const struct agent *agent, struct arena *a, const char *user_id, yyjson_val *graders,
		const char **ret);
