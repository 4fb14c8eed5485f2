#include "agent/evaluations/compare.h"

#include <math.h>

static bool is_passed(struct case_result r)
{
	return r.passed * 2 > r.graded;
}

enum case_change compare_case(struct case_result base, struct case_result other)
{
	if (base.graded == 0 || other.graded == 0)
		return CASE_OPEN;
	if (is_passed(base))
		return is_passed(other) ? CASE_BOTH_PASSED : CASE_WORSE;
	return is_passed(other) ? CASE_IMPROVED : CASE_BOTH_FAILED;
}

/* The logarithm of n over k. */
static double log_choose(int64_t n, int64_t k)
{
	return lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1);
}

double compare_p_value(int64_t n_improved, int64_t n_worse)
{
	int64_t n = n_improved + n_worse, fewer = MIN(n_improved, n_worse);
	double sum = 0;

	if (n_improved == n_worse)
		return 1;
	for (int64_t k = 0; k <= fewer; k++)
		sum += exp(log_choose(n, k) - (double)n * M_LN2);
	return fmin(1, 2 * sum);
}
