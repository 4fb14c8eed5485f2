#include "base/text_diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define AROUND 3
#define CELLS_MAX (1024 * 1024)

struct lines {
	struct str *list;
	size_t n;
	bool ends_open; /* the last one has no line's end */
};

/* A run of lines that both have (from == to in number), or that differ. */
struct side {
	size_t at, n;
};

struct diff {
	struct lines a, b;
	uint8_t *is_gone, *is_new; /* by line of a, of b */
};

static void split(struct str text, struct lines *ret)
{
	size_t cap = 1;

	for (size_t i = 0; i < text.n; i++)
		cap += text.p[i] == '\n';
	*ret = (struct lines){.list = xcalloc(cap, sizeof(struct str))};
	while (text.n > 0) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;

		ret->list[ret->n++] = (struct str){text.p, n};
		ret->ends_open = !end;
		n += end != NULL;
		text = (struct str){text.p + n, text.n - n};
	}
}

/* Whether two lines are the same; the last one without an end is not the same as one with it. */
static bool same(const struct diff *d, size_t i, size_t j)
{
	bool open_a = d->a.ends_open && i + 1 == d->a.n, open_b = d->b.ends_open && j + 1 == d->b.n;

	return open_a == open_b && str_eq(d->a.list[i], d->b.list[j]);
}

/* The longest common run of lines between the equal beginning and end, by the classic table of lengths. */
static void mark_between(struct diff *d, struct side a, struct side b)
{
	size_t width = b.n + 1, i = 0, j = 0;

	if (a.n == 0 || b.n == 0 || (a.n + 1) * width > CELLS_MAX) {
		memset(d->is_gone + a.at, 1, a.n);
		memset(d->is_new + b.at, 1, b.n);
		return;
	}
	uint32_t *length = xcalloc((a.n + 1) * width, sizeof(*length));
	for (i = a.n; i-- > 0;)
		for (j = b.n; j-- > 0;)
			length[i * width + j] = same(d, a.at + i, b.at + j)
							? length[(i + 1) * width + j + 1] + 1
							: MAX(length[(i + 1) * width + j], length[i * width + j + 1]);
	for (i = 0, j = 0; i < a.n || j < b.n;) {
		if (i < a.n && j < b.n && same(d, a.at + i, b.at + j))
			i++, j++;
		else if (j == b.n || (i < a.n && length[(i + 1) * width + j] >= length[i * width + j + 1]))
			d->is_gone[a.at + i++] = 1;
		else
			d->is_new[b.at + j++] = 1;
	}
	free(length);
}

static void mark(struct diff *d)
{
	size_t head = 0, tail = 0, n = MIN(d->a.n, d->b.n);

	while (head < n && same(d, head, head))
		head++;
	while (tail < n - head && same(d, d->a.n - 1 - tail, d->b.n - 1 - tail))
		tail++;
	mark_between(d, (struct side){head, d->a.n - head - tail}, (struct side){head, d->b.n - head - tail});
}

static void add_line(struct buf *out, char sign, const struct lines *l, size_t at)
{
	buf_add_char(out, sign);
	buf_add(out, l->list[at].p, l->list[at].n);
	buf_add_char(out, '\n');
	if (l->ends_open && at + 1 == l->n)
		buf_add_str(out, "\\ No newline at end of file\n");
}

static void add_range(struct buf *out, char sign, struct side s)
{
	/* An empty range is told by the line before it. */
	buf_printf(out, s.n == 1 ? "%c%zu" : "%c%zu,%zu", sign, s.at + (s.n > 0), s.n);
}

/* Lines of both from i and j on that end where more than twice AROUND equal ones follow. */
static void measure(const struct diff *d, size_t i, size_t j, struct side *a, struct side *b)
{
	size_t equal = 0;

	*a = (struct side){i, 0};
	*b = (struct side){j, 0};
	while ((i < d->a.n || j < d->b.n) && equal <= 2 * AROUND) {
		if (i < d->a.n && d->is_gone[i])
			i++, equal = 0;
		else if (j < d->b.n && d->is_new[j])
			j++, equal = 0;
		else
			i++, j++, equal++;
	}
	size_t cut = equal > AROUND ? equal - AROUND : 0;
	a->n = i - cut - a->at;
	b->n = j - cut - b->at;
}

static void add_hunk(const struct diff *d, struct buf *out, struct side a, struct side b)
{
	size_t i = a.at, j = b.at;

	buf_add_str(out, "@@ ");
	add_range(out, '-', a);
	buf_add_char(out, ' ');
	add_range(out, '+', b);
	buf_add_str(out, " @@\n");
	while (i < a.at + a.n || j < b.at + b.n) {
		if (i < a.at + a.n && d->is_gone[i])
			add_line(out, '-', &d->a, i++);
		else if (j < b.at + b.n && d->is_new[j])
			add_line(out, '+', &d->b, j++);
		else
			add_line(out, ' ', &d->a, i++), j++;
	}
}

static void write_hunks(const struct diff *d, struct buf *out)
{
	size_t i = 0, j = 0;
	struct side a, b;

	while (i < d->a.n || j < d->b.n) {
		if ((i < d->a.n && d->is_gone[i]) || (j < d->b.n && d->is_new[j])) {
			size_t before = MIN(MIN(i, j), (size_t)AROUND);

			measure(d, i - before, j - before, &a, &b);
			add_hunk(d, out, a, b);
			i = a.at + a.n;
			j = b.at + b.n;
		} else {
			i++;
			j++;
		}
	}
}

void text_diff(struct str from, struct str to, struct buf *out)
{
	struct diff d;

	if (str_eq(from, to))
		return;
	split(from, &d.a);
	split(to, &d.b);
	d.is_gone = xcalloc(d.a.n + 1, 1);
	d.is_new = xcalloc(d.b.n + 1, 1);
	mark(&d);
	write_hunks(&d, out);
	free(d.a.list);
	free(d.b.list);
	free(d.is_gone);
	free(d.is_new);
}
