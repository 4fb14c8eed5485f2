/* Scripts from anywhere: the lexer, the verdict and the plan. What is not provable is never allowed by a short list. */
#include <stdlib.h>

#include "policy/judge.h"
#include "policy/plan.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct policy *minimal;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct error err;

	for (const struct builtin_policy *b = builtin_policies; b->name; b++)
		if (strcmp(b->name, "minimal") == 0)
			minimal = policy_load("minimal", str_of(b->json), &err);
	return minimal ? 0 : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a = arena_new();
	const struct policy *p = minimal;
	struct str text = arena_str(a, (struct str){(const char *)data, n});
	struct policy_request req = {.script = text, .cwd = "", .is_remote = true};
	struct buf shown = BUF_INIT;
	struct verdict v;

	policy_judge(a, &p, 1, &req, &v);
	if (!v.decider || (v.decision == DECISION_ALLOW && !v.is_provable))
		abort();
	for (unsigned i = 0; v.is_provable && i < v.script.n; i++)
		if (v.script.commands[i].n_words == 0 || v.script.commands[i].n_assignments)
			abort();
	if (v.is_provable && !plan_is(plan_make(a, &v.script, true)))
		abort();
	text_show(&shown, text);
	if (text_find_invisible(buf_str(&shown)) != SIZE_MAX)
		abort();
	buf_deinit(&shown);
	arena_free(a);
	return 0;
}
