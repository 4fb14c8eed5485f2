/* Two runs side by side, and whether the difference says anything. Pure. */
#pragma once

#include "base/util.h"

/* How often a case was graded in a run, and how often it passed. */
struct case_result {
	int64_t graded, passed;
};

enum case_change {
	CASE_OPEN, /* not graded in one of them */
	CASE_BOTH_PASSED,
	CASE_BOTH_FAILED,
	CASE_IMPROVED,
	CASE_WORSE,
};

/* A case passes in a run when more than half of its times did. */
enum case_change compare_case(struct case_result base, struct case_result other);

/* McNemar's exact test: how likely it is that the cases which differ are at least so unevenly divided if both runs are
 * equally good (two-sided; 1 when none differs). */
double compare_p_value(int64_t n_improved, int64_t n_worse);
