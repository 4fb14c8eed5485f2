#include "policy/plan.h"

static char op_letter(enum script_op op)
{
	static const char letters[] = {'.', ';', '&', '|', 'p'};

	return letters[op];
}

static char kind_letter(const struct script_redirect *r, bool confined)
{
	switch (r->kind) {
	case REDIRECT_READ: return '<';
	case REDIRECT_APPEND: return confined ? 'A' : 'a';
	case REDIRECT_DUP: return '&';
	default: return confined ? '}' : '>';
	}
}

static char *add_redirect(struct arena *a, const struct script_redirect *r, bool confined)
{
	bool is_null = str_is(r->target.text, "/dev/null");

	return arena_printf(a, "R%d%c%s", r->fd, kind_letter(r, confined && !is_null), r->target.text.p);
}

char **plan_make(struct arena *a, const struct script *s, bool confined)
{
	size_t n = 3, k = 0;
	char **plan;

	for (unsigned i = 0; i < s->n; i++)
		n += 1 + s->commands[i].n_words + s->commands[i].n_redirects;
	plan = arena_alloc(a, n * sizeof(*plan));
	plan[k++] = arena_strdup(a, "");
	plan[k++] = arena_strdup(a, "");
	for (unsigned i = 0; i < s->n; i++) {
		const struct script_command *c = &s->commands[i];
		enum script_op op = i + 1 == s->n ? SCRIPT_END : c->op;

		if (str_is(c->words[0].text, "cd")) {
			plan[k++] = arena_printf(a, "D%c%s", op_letter(op), c->words[1].text.p);
			continue;
		}
		plan[k++] = arena_printf(a, "C%c", op_letter(op));
		for (unsigned r = 0; r < c->n_redirects; r++)
			plan[k++] = add_redirect(a, &c->redirects[r], confined);
		for (unsigned w = 0; w < c->n_words; w++)
			plan[k++] = arena_printf(a, "W%s", c->words[w].text.p);
	}
	return plan;
}
