#include "data/statements.h"

/* Behind the quoted text that begins at `at`; a doubled quote is two texts side by side. */
static size_t skip_quoted(struct str s, size_t at)
{
	const char *end = memchr(s.p + at + 1, s.p[at], s.n - at - 1);

	return end ? (size_t)(end - s.p) + 1 : s.n;
}

/* Behind the comment that begins at `at`, or `at` when none does. */
static size_t skip_comment(struct str s, size_t at)
{
	struct str here = {s.p + at, s.n - at};
	const char *end;

	if (str_has_prefix(here, STR("--"))) {
		end = memchr(here.p, '\n', here.n);
		return end ? (size_t)(end - s.p) + 1 : s.n;
	}
	if (str_has_prefix(here, STR("/*"))) {
		end = memmem(here.p + 2, here.n - 2, "*/", 2);
		return end ? (size_t)(end - s.p) + 2 : s.n;
	}
	return at;
}

static void skip_blanks(struct str *s)
{
	size_t at = 0, next;

	for (;; at = next) {
		next = at;
		while (next < s->n && strchr(" \t\r\n;", s->p[next]))
			next++;
		next = skip_comment(*s, next);
		if (next == at)
			break;
	}
	*s = (struct str){s->p + at, s->n - at};
}

struct str sql_cut(struct str *rest)
{
	size_t at = 0, next;

	skip_blanks(rest);
	if (rest->n == 0)
		return (struct str){0};
	while (at < rest->n && rest->p[at] != ';') {
		next = skip_comment(*rest, at);
		if (next > at)
			at = next;
		else
			at = strchr("'\"`", rest->p[at]) ? skip_quoted(*rest, at) : at + 1;
	}
	struct str statement = str_trim((struct str){rest->p, at});
	*rest = (struct str){rest->p + at, rest->n - at};
	return statement;
}
