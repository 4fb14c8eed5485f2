#include "base/csv.h"

#include <errno.h>

void csv_init(struct csv *c, struct str text, char separator)
{
	*c = (struct csv){.p = text.p, .end = text.p + text.n, .separator = separator, .line = 1};
	if (str_has_prefix(text, STR("\xef\xbb\xbf")))
		c->p += 3;
}

static bool at_line_end(const struct csv *c)
{
	return c->p == c->end || *c->p == '\n' || *c->p == '\r';
}

/* Past one line's end: CRLF, LF or CR. */
static void pass_line_end(struct csv *c)
{
	if (c->p == c->end)
		return;
	if (*c->p == '\r' && c->p + 1 < c->end && c->p[1] == '\n')
		c->p++;
	c->p++;
	c->line++;
}

static int read_quoted(struct csv *c, struct arena *a, struct str *ret, struct error *err)
{
	size_t line = c->line, n = 0;
	const char *p = ++c->p;
	char *out;

	for (; p < c->end && (*p != '"' || (p + 1 < c->end && p[1] == '"')); p++)
		p += *p == '"';
	if (p >= c->end)
		return error_set(err, "csv_invalid", "Line %zu: the quote that opens a cell is not closed.", line);
	out = arena_alloc(a, (size_t)(p - c->p) + 1);
	for (; c->p < p; c->p++) {
		c->p += *c->p == '"';
		c->line += *c->p == '\n' || (*c->p == '\r' && c->p[1] != '\n');
		out[n++] = *c->p;
	}
	c->p++;
	*ret = (struct str){out, n};
	if (!at_line_end(c) && *c->p != c->separator)
		return error_set(
			err, "csv_invalid",
			"Line %zu: behind a closing quote comes the next cell or the line's end. A quote inside "
			"a cell is doubled.",
			c->line);
	return 0;
}

static int read_plain(struct csv *c, struct arena *a, struct str *ret, struct error *err)
{
	const char *from = c->p;

	while (!at_line_end(c) && *c->p != c->separator) {
		if (*c->p++ == '"')
			return error_set(err, "csv_invalid",
					 "Line %zu: a cell with a quote in it stands in quotes, the quote doubled.",
					 c->line);
	}
	*ret = arena_str(a, (struct str){from, (size_t)(c->p - from)});
	return 0;
}

int csv_next(struct csv *c, struct arena *a, struct str *cells, size_t max, size_t *ret_n, struct error *err)
{
	size_t n = 0;

	while (c->p < c->end && at_line_end(c))
		pass_line_end(c);
	c->record = c->line;
	if (c->p == c->end)
		return 0;
	for (;; c->p++) {
		int r;

		if (n == max)
			return error_set(err, "csv_invalid", "Line %zu has more than %zu cells.", c->record, max);
		r = c->p < c->end && *c->p == '"' ? read_quoted(c, a, &cells[n], err)
						  : read_plain(c, a, &cells[n], err);
		if (r < 0)
			return r;
		n++;
		if (at_line_end(c))
			break;
	}
	pass_line_end(c);
	*ret_n = n;
	return 1;
}

static bool is_number(struct str s)
{
	bool has_digit = false, has_point = false;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.' && !has_point)
			has_point = true;
		else if (s.p[i] >= '0' && s.p[i] <= '9')
			has_digit = true;
		else if (i != 0 || (s.p[i] != '-' && s.p[i] != '+'))
			return false;
	}
	return has_digit;
}

/* Blanks in front do not keep a spreadsheet from it, and full-width forms of the signs are signs to some. */
bool csv_is_formula(struct str s)
{
	static const char *const wide[] = {"\uff1d", "\uff0b", "\uff0d", "\uff20"};

	while (s.n > 0 && *s.p == ' ')
		s = (struct str){s.p + 1, s.n - 1};
	if (s.n == 0)
		return false;
	if (*s.p && strchr("=+-@\t\r\n|%", *s.p))
		return !is_number(s);
	for (size_t i = 0; i < ARRAY_SIZE(wide); i++)
		if (str_has_prefix(s, str_of(wide[i])))
			return true;
	return false;
}

void csv_add_cell(struct buf *out, struct str text, bool is_safe)
{
	bool is_guarded = is_safe && csv_is_formula(text);
	bool is_quoted = is_guarded;

	for (size_t i = 0; i < text.n && !is_quoted; i++)
		is_quoted = text.p[i] == '"' || text.p[i] == ',' || text.p[i] == '\n' || text.p[i] == '\r';
	is_quoted = is_quoted || (text.n > 0 && (*text.p == ' ' || text.p[text.n - 1] == ' '));
	if (is_quoted)
		buf_add_char(out, '"');
	if (is_guarded)
		buf_add_char(out, '\'');
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"')
			buf_add_char(out, '"');
		buf_add_char(out, text.p[i]);
	}
	if (is_quoted)
		buf_add_char(out, '"');
}
