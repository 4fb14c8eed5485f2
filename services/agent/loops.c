#include "agent/loops.h"

#include <string.h>

#define SAME_WARN 3
#define SAME_STOP 4
#define ERRORS_WARN 3
#define ERRORS_STOP 5

/* FNV-1a; never 0. */
static uint64_t hash(uint64_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3ull;
	return h ? h : 1;
}

static uint64_t hash_call(const char *name, struct str arguments)
{
	return hash(hash(0xcbf29ce484222325ull, name, strlen(name) + 1), arguments.p ? arguments.p : "", arguments.n);
}

static int count_same(const struct loops *l)
{
	int n = 1;

	while (n < LOOPS_KEPT && l->calls[n] == l->calls[0])
		n++;
	return n;
}

/* How many of the last calls are two in turn. */
static int count_alternating(const struct loops *l)
{
	int n = 2;

	if (l->calls[1] == 0 || l->calls[0] == l->calls[1])
		return 0;
	while (n < LOOPS_KEPT && l->calls[n] == l->calls[n - 2])
		n++;
	return n;
}

enum loop_kind loops_call(struct loops *l, const char *name, struct str arguments, const char **ret_why)
{
	memmove(l->calls + 1, l->calls, sizeof(l->calls) - sizeof(l->calls[0]));
	l->calls[0] = hash_call(name, arguments);
	int same = count_same(l), alternating = count_alternating(l);

	if (same >= SAME_STOP)
		*ret_why = "the same call four times in a row";
	else if (alternating >= LOOPS_KEPT)
		*ret_why = "the same two calls in turn, three times each";
	else if (same == SAME_WARN)
		*ret_why = "the same call for the 3rd time in a row";
	else if (alternating == LOOPS_KEPT - 1)
		*ret_why = "the same two calls in turn for the third time";
	else
		return LOOP_NONE;
	return same >= SAME_STOP || alternating >= LOOPS_KEPT ? LOOP_STOP : LOOP_WARN;
}

enum loop_kind loops_result(struct loops *l, struct str error, const char **ret_why)
{
	uint64_t h = error.p ? hash(0xcbf29ce484222325ull, error.p, error.n) : 0;

	l->n_errors = h && h == l->error ? l->n_errors + 1 : h != 0;
	l->error = h;
	if (l->n_errors >= ERRORS_STOP)
		*ret_why = "the same error five times in a row";
	else if (l->n_errors >= ERRORS_WARN)
		*ret_why = "the same error again and again";
	return l->n_errors >= ERRORS_STOP ? LOOP_STOP : l->n_errors >= ERRORS_WARN ? LOOP_WARN : LOOP_NONE;
}
