/* Graders by rule: what an answer must be like, and whether it is. A set of cases has an array of them:
 *
 *   {"type": "exact" | "contains" | "regex" | "json_equals" | "json_subset" | "json_schema" | "numeric" | "tool_called"
 * | "tool_not_called" | "status" | "max_steps" | "max_tokens" | "max_cost_usd" | "max_latency_ms" | "model", "name":
 * "…", "weight": 1, "required": false, and what the type has besides (graders.c)}
 *
 * What an answer is compared with is the grader's "value", or else what its case expects. A case passes when every
 * required grader passed and the mean of the scores by weight is at least the set's "pass_score". To add a type: its
 * fields, its function and a line in the table of graders.c. Pure; the work that an answer or an expression from
 * outside can cause is bounded. Any thread. */
#pragma once

#include "base/json.h"

#define GRADERS_MAX 20
#define GRADERS_MODELS_MAX 3 /* of them, those that are models (judge.h) */
#define GRADERS_BYTES_MAX (128 * 1024)
#define GRADE_REASON_MAX 400 /* bytes */

/* Whether it is a list of graders. Returns 0, or -EINVAL with the grader's number and what is wrong. */
int graders_check(yyjson_val *graders, struct error *err);

/* What a run has come to. */
struct graded_run {
	const char *status;     /* of the execution: "succeeded", "failed" … */
	const char *error_code; /* or NULL */
	struct str answer;
	yyjson_val *parsed; /* of an agent with an output_schema, or NULL */
	yyjson_val *calls;  /* [{name, arguments}] or NULL */
	int64_t steps, tokens, cost_nano, latency_ms;
};

/* The grades by rule, in the order of the graders: [{name, type, passed, score, reason}]. The grades of models are
 * still to come, with null for passed and score. In the arena. */
const char *graders_grade(struct arena *a, yyjson_val *graders, const struct graded_run *run, yyjson_val *expected);

/* As much of a reason as is kept, cut between characters. */
struct str grade_reason_cut(struct str text);

enum verdict { VERDICT_OPEN, VERDICT_PASSED, VERDICT_NOT_PASSED };
/* What the grades are together. score: in millionths; 0 as long as it is open. */
enum verdict graders_verdict(yyjson_val *graders, yyjson_val *grades, double pass_score, int64_t *ret_score);
