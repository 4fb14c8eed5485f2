#include "agent/evaluations/number.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#define DIGITS_MAX 400

static size_t count_digits(struct str s, size_t at)
{
	size_t n = 0;

	while (at + n < s.n && isdigit((unsigned char)s.p[at + n]))
		n++;
	return n;
}

/* Copies digits from `at` on, without the commas between groups of three. Returns where they end. */
static size_t copy_whole(struct str s, size_t at, char *out, size_t *n)
{
	size_t count = count_digits(s, at);
	bool may_group = count <= 3;

	while (count > 0) {
		for (size_t i = 0; i < count; i++)
			if (*n < DIGITS_MAX)
				out[(*n)++] = s.p[at + i];
		at += count;
		count = may_group && at < s.n && s.p[at] == ',' && count_digits(s, at + 1) == 3 ? 3 : 0;
		at += count > 0;
	}
	return at;
}

static size_t copy_digits(struct str s, size_t at, size_t count, char *out, size_t *n)
{
	for (size_t i = 0; i < count; i++)
		if (*n < DIGITS_MAX)
			out[(*n)++] = s.p[at + i];
	return at + count;
}

static bool ends_a_word(struct str s, size_t at)
{
	return at > 0 &&
	       (isalnum((unsigned char)s.p[at - 1]) || s.p[at - 1] == ')' || s.p[at - 1] == ']' || s.p[at - 1] == '_');
}

/* The number whose digits begin here. Returns where it ends. */
static size_t read_number(struct str s, size_t from, double *ret)
{
	char text[DIGITS_MAX + 1];
	size_t n = 0, at = from, count;
	bool has_point = from > 0 && s.p[from - 1] == '.' && !ends_a_word(s, from - 1);

	from -= has_point;
	if (from > 0 && s.p[from - 1] == '-' && !ends_a_word(s, from - 1))
		text[n++] = '-';
	if (has_point)
		text[n++] = '.';
	at = has_point ? copy_digits(s, at, count_digits(s, at), text, &n) : copy_whole(s, at, text, &n);
	if (!has_point && at + 1 < s.n && s.p[at] == '.' && (count = count_digits(s, at + 1)) > 0)
		at = copy_digits(s, at, count + 1, text, &n);
	if (at + 1 < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
		size_t sign = s.p[at + 1] == '-' || s.p[at + 1] == '+';
		count = count_digits(s, at + 1 + sign);
		if (count > 0)
			at = copy_digits(s, at, 1 + sign + count, text, &n);
	}
	text[n] = '\0';
	*ret = strtod(text, NULL);
	return at;
}

bool number_last_in(struct str text, double *ret)
{
	bool has_one = false;

	for (size_t at = 0; at < text.n;) {
		double value;

		if (!isdigit((unsigned char)text.p[at])) {
			at++;
			continue;
		}
		at = read_number(text, at, &value);
		if (isfinite(value)) {
			*ret = value;
			has_one = true;
		}
	}
	return has_one;
}
