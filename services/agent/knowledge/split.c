#include "agent/knowledge/split.h"

#include <ctype.h>
#include <stdlib.h>

#include "agent/models/estimate.h"
#include "base/alloc.h"
#include "base/buf.h"

#define LEVELS 6
#define COUNTED_AT_ONCE 48 /* bytes */

/* What may not be divided for want of a better place: a sentence or a line. */
struct unit {
	size_t start, end;
	int64_t tokens;
};

struct splitter {
	struct str text;
	const struct split_options *o;
	void (*fn)(void *arg, const struct split_piece *p);
	void *arg;
	struct str path[LEVELS]; /* the headings above */

	/* The piece being made: whole units, one behind the other. */
	struct unit *units;
	size_t n, cap;
	int64_t tokens;
	bool has_body;   /* more than headings and what overlaps */
	int title_level; /* it is a heading of that level and nothing else; 0 = it is not */
	char heading[SPLIT_HEADING_MAX + 8];
	uint32_t number;
	size_t page;
};

/* ---- Pieces ---- */

static void write_heading(struct splitter *s)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;

	for (size_t i = 0; i < LEVELS; i++)
		if (s->path[i].n)
			buf_printf(&b, "%s%.*s", b.n ? " › " : "", STR_ARG(s->path[i]));
	size_t n = MIN(b.n, (size_t)SPLIT_HEADING_MAX);
	while (n < b.n && n > 0 && ((unsigned char)b.p[n] & 0xc0) == 0x80)
		n--;
	if (n)
		memcpy(s->heading, b.p, n);
	s->heading[n] = '\0';
}

static uint32_t page_of(struct splitter *s, size_t at)
{
	if (!s->o->n_pages)
		return 0;
	while (s->page + 1 < s->o->n_pages && s->o->pages[s->page + 1] <= at)
		s->page++;
	return (uint32_t)s->page + 1;
}

static void emit(struct splitter *s)
{
	struct split_piece p = {
		.start = s->units[0].start,
		.end = s->units[s->n - 1].end,
		.number = s->number,
		.tokens = s->tokens,
		.heading = s->heading,
	};

	p.page = page_of(s, p.start);
	if (s->number++ < s->o->max_pieces)
		s->fn(s->arg, &p);
}

static void clear(struct splitter *s)
{
	s->n = 0;
	s->tokens = 0;
	s->has_body = false;
	s->title_level = 0;
}

/* Ends the piece; the next one begins with its last units, as far as they go into the overlap. */
static void cut(struct splitter *s, bool overlaps)
{
	int64_t kept = 0;
	size_t from = s->n;

	if (!s->has_body) {
		if (!overlaps)
			clear(s);
		return;
	}
	emit(s);
	while (overlaps && from > 1 && kept + s->units[from - 1].tokens <= s->o->overlap_tokens)
		kept += s->units[--from].tokens;
	memmove(s->units, s->units + from, (s->n - from) * sizeof(*s->units));
	s->n -= from;
	s->tokens = kept;
	s->has_body = false;
	s->title_level = 0;
}

static void append(struct splitter *s, struct unit u, bool is_body)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->units = xrealloc(s->units, s->cap * sizeof(*s->units));
	}
	if (s->n == 0)
		write_heading(s);
	s->units[s->n++] = u;
	s->tokens += u.tokens;
	s->has_body = s->has_body || is_body;
	s->title_level = is_body ? 0 : s->title_level;
}

/* ---- Units ---- */

static bool is_blank(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isspace((unsigned char)s.p[i]))
			return false;
	return true;
}

static size_t character_end(struct str s, size_t at)
{
	at++;
	while (at < s.n && ((unsigned char)s.p[at] & 0xc0) == 0x80)
		at++;
	return at;
}

/* Full stops of scripts without blanks (U+3002, U+FF01, U+FF1F) end a sentence wherever they stand. */
static bool is_wide_stop(struct str s, size_t at)
{
	return at + 3 <= s.n && (memcmp(s.p + at, "\xe3\x80\x82", 3) == 0 || memcmp(s.p + at, "\xef\xbc\x81", 3) == 0 ||
				 memcmp(s.p + at, "\xef\xbc\x9f", 3) == 0);
}

/* Where the sentence or line that begins at `at` ends, with the blanks behind it. */
static size_t sentence_end(struct str s, size_t at, size_t end)
{
	while (at < end) {
		char c = s.p[at];
		bool is_end = c == '\n' || is_wide_stop(s, at);
		if ((c == '.' || c == '!' || c == '?') && at + 1 < end && isspace((unsigned char)s.p[at + 1]))
			is_end = true;
		at = character_end(s, at);
		if (!is_end)
			continue;
		while (at < end && isspace((unsigned char)s.p[at]))
			at++;
		return at;
	}
	return end;
}

static int64_t count(const struct splitter *s, size_t from, size_t to)
{
	return estimate_text((struct str){s->text.p + from, to - from});
}

/* The longest beginning that is about a piece, up to a blank where there is one. */
static size_t fitting_end(const struct splitter *s, size_t from, size_t end)
{
	size_t at = from, blank = from, counted = from;
	int64_t tokens = 0;

	while (at < end) {
		size_t next = character_end(s->text, at);
		if (isspace((unsigned char)s->text.p[at]))
			blank = next;
		if (next - counted >= COUNTED_AT_ONCE) {
			tokens += count(s, counted, next);
			counted = next;
		}
		if (tokens >= s->o->max_tokens)
			break;
		at = next;
	}
	if (at >= end)
		return end;
	return blank > from + (at - from) / 2 ? blank : at > from ? at : character_end(s->text, from);
}

static void add_unit(struct splitter *s, size_t start, size_t end)
{
	int64_t tokens = count(s, start, end);

	if (tokens > s->o->max_tokens) {
		while (start < end) {
			size_t to = fitting_end(s, start, end);
			cut(s, true);
			append(s, (struct unit){start, to, count(s, start, to)}, true);
			start = to;
		}
		return;
	}
	if (s->tokens + tokens > s->o->max_tokens)
		cut(s, true);
	if (s->tokens + tokens > s->o->max_tokens && !s->has_body)
		clear(s); /* what overlaps would leave no room for it */
	append(s, (struct unit){start, end, tokens}, true);
}

static void add_paragraph(struct splitter *s, size_t start, size_t end)
{
	if (is_blank((struct str){s->text.p + start, end - start}))
		return;
	int64_t tokens = count(s, start, end);
	/* One that would be divided begins a piece where that leaves it whole. */
	if (s->tokens + tokens > s->o->max_tokens && tokens <= s->o->max_tokens && s->tokens * 2 > s->o->max_tokens)
		cut(s, true);
	while (start < end) {
		size_t to = sentence_end(s->text, start, end);
		add_unit(s, start, to);
		start = to;
	}
}

/* ---- Structure ---- */

static struct str line_at(struct str text, size_t at)
{
	const char *nl = memchr(text.p + at, '\n', text.n - at);

	return (struct str){text.p + at, nl ? (size_t)(nl - text.p) - at : text.n - at};
}

/* "## Title ##" gives 2 and the title; 0 = it is no heading. */
static int heading_of(struct str line, struct str *ret)
{
	int level = 0;
	struct str s = line;

	while (s.n > 0 && *s.p == ' ' && s.p - line.p < 3)
		s = (struct str){s.p + 1, s.n - 1};
	while (level < LEVELS && (size_t)level < s.n && s.p[level] == '#')
		level++;
	if (!level || ((size_t)level < s.n && s.p[level] != ' ' && s.p[level] != '\t'))
		return 0;
	s = str_trim((struct str){s.p + level, s.n - (size_t)level});
	while (s.n > 0 && s.p[s.n - 1] == '#')
		s.n--;
	*ret = str_trim(s);
	return ret->n > 0 ? level : 0;
}

/* A line of = or - below a title: 1 or 2. */
static int underline_of(struct str line)
{
	struct str s = str_trim(line);
	size_t n = 0;

	if (s.n < 3 || (*s.p != '=' && *s.p != '-'))
		return 0;
	while (n < s.n && s.p[n] == *s.p)
		n++;
	return n == s.n ? *s.p == '=' ? 1 : 2 : 0;
}

static void end_section(struct splitter *s, int level)
{
	/* A heading above another one stands in its path. */
	s->has_body = s->has_body || s->title_level >= level;
	cut(s, false);
}

static void begin_section(struct splitter *s, int level, struct str title, size_t start, size_t end)
{
	end_section(s, level);
	s->path[level - 1] = title;
	for (size_t i = (size_t)level; i < LEVELS; i++)
		s->path[i] = (struct str){0};
	append(s, (struct unit){start, end, count(s, start, end)}, false);
	s->title_level = level;
	write_heading(s);
}

static bool is_fence(struct str line, char *mark)
{
	struct str s = str_trim(line);

	if (s.n < 3 || (*s.p != '`' && *s.p != '~') || s.p[1] != *s.p || s.p[2] != *s.p || (*mark && *mark != *s.p))
		return false;
	*mark = *mark ? '\0' : *s.p;
	return true;
}

static void walk(struct splitter *s)
{
	size_t at = 0, paragraph = 0;
	char fence = '\0';

	while (at < s->text.n) {
		struct str line = line_at(s->text, at), title;
		size_t next = MIN(at + line.n + 1, s->text.n);
		bool is_marked = s->o->is_markdown;
		bool is_edge = is_marked && is_fence(line, &fence);
		int level = is_marked && !fence && !is_edge ? heading_of(line, &title) : 0;
		struct str below = next < s->text.n ? line_at(s->text, next) : (struct str){0};
		int under = is_marked && !fence && !is_edge && !level && paragraph == at && !is_blank(line)
				    ? underline_of(below)
				    : 0;
		if (under) {
			next = MIN(next + below.n + 1, s->text.n);
			level = under;
			title = str_trim(line);
		}
		if (level) {
			add_paragraph(s, paragraph, at);
			begin_section(s, level, title, at, next);
			paragraph = next;
		} else if (!fence && is_blank(line)) {
			add_paragraph(s, paragraph, next);
			paragraph = next;
		}
		at = next;
	}
	add_paragraph(s, paragraph, s->text.n);
	end_section(s, 1);
}

size_t split_text(struct str text, const struct split_options *o, void (*fn)(void *arg, const struct split_piece *p),
		  void *arg)
{
	struct splitter s = {.text = text, .o = o, .fn = fn, .arg = arg};

	walk(&s);
	free(s.units);
	return s.number;
}
