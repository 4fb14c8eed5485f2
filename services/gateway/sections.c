#include "sections.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/option_value.h"
#include "io/http.h"

#define NAME_MAX_LEN 32
#define MAX_LINES 2000

static const char *const section_names[SECTION_KINDS] = {"defaults", "upstream", "route", "cors"};

/* The file while it is read. */
struct reading {
	struct sections *s;
	FILE *file;
	unsigned line;
	bool failed;
};

int sections_fail(const struct sections *s, unsigned line, const char *fmt, ...)
{
	char reason[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	return error_set(s->err, "routes_invalid", "%s line %u: %s", s->file, line, reason);
}

/* inih cuts a line that does not fit its buffer in two: this refuses it instead. */
static char *read_line(char *ret, int size, void *arg)
{
	struct reading *r = arg;

	if (r->failed || !fgets(ret, size, r->file))
		return NULL;
	r->line++;
	if (strchr(ret, '\n') || feof(r->file))
		return ret;
	sections_fail(r->s, r->line, "longer than %d bytes: lists can go on in lines of their own", size - 2);
	r->failed = true;
	return NULL;
}

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	return n && n <= NAME_MAX_LEN &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static int read_section(const struct reading *r, const char *section, struct section_line *ret)
{
	struct str rest = str_of(section), kind = str_cut(&rest, ' '), name = str_trim(rest);

	for (ret->kind = 0; ret->kind < SECTION_KINDS; ret->kind++)
		if (str_is(kind, section_names[ret->kind]))
			break;
	if (ret->kind == SECTION_KINDS)
		return sections_fail(r->s, r->line,
				     "[%s]: sections are [defaults], [upstream NAME], [route NAME], [cors NAME]",
				     section);
	ret->section = arena_strndup(r->s->arena, name.p ? name.p : "", name.n);
	if ((ret->kind == SECTION_DEFAULTS) == (*ret->section != 0) || (*ret->section && !is_name(ret->section)))
		return sections_fail(r->s, r->line, "[%s]: a name has 1 to %d letters, digits, '.', '_' or '-'%s",
				     section, NAME_MAX_LEN,
				     ret->kind == SECTION_DEFAULTS ? "; [defaults] has none" : "");
	return 0;
}

static int on_value(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *r = arg;
	struct sections *s = r->s;
	struct section_line e = {.line = r->line};

	if (r->failed)
		return 0;
	r->failed = true;
	if (s->n == MAX_LINES) {
		sections_fail(s, r->line, "more than %d lines with a value", MAX_LINES);
		return 0;
	}
	if (read_section(r, section, &e))
		return 0;
	r->failed = false;
	e.name = arena_strdup(s->arena, name);
	e.value = arena_strdup(s->arena, value);
	if (s->n == s->cap) {
		s->cap = MAX(64, s->cap * 2);
		s->lines = xrealloc(s->lines, s->cap * sizeof(*s->lines));
	}
	s->lines[s->n++] = e;
	return 1;
}

int sections_read(struct sections *s)
{
	struct reading r = {.s = s, .file = fopen(s->file, "re")};
	int line;

	if (!r.file)
		return error_set(s->err, "routes_invalid", "the file of routes %s cannot be read: %s", s->file,
				 strerror(errno));
	line = ini_parse_stream(read_line, &r, on_value, &r);
	fclose(r.file);
	if (r.failed)
		return -EINVAL;
	return line ? sections_fail(s, (unsigned)line, "not of the form name = value, nor a [section]") : 0;
}

void sections_deinit(struct sections *s)
{
	free(s->lines);
}

static const enum option_type option_types[] = {[FIELD_NUMBER] = OPTION_INT,
						[FIELD_SIGNED] = OPTION_INT,
						[FIELD_MS] = OPTION_MS,
						[FIELD_BYTES] = OPTION_BYTES,
						[FIELD_BOOL] = OPTION_BOOL};

static int read_number(const struct sections *s, const struct field *f, const struct section_line *e, int64_t *ret)
{
	struct option_def def = {.name = f->name, .type = option_types[f->type], .min = f->min, .max = f->max};
	_cleanup_(buf_deinit) struct buf place = BUF_INIT;

	buf_printf(&place, "%s line %u: %s", s->file, e->line, e->name);
	return option_value_read(&def, e->value, place.p, ret, s->err);
}

/* Of `text`, at commas and blanks. */
static void add_words(const struct sections *s, struct texts *t, const char *text)
{
	char *copy = arena_strdup(s->arena, text), *rest = copy, *word;

	while ((word = strsep(&rest, ", \t"))) {
		const char **items;

		if (!*word)
			continue;
		items = arena_alloc(s->arena, (t->n + 1) * sizeof(*items));
		if (t->n)
			memcpy(items, t->items, t->n * sizeof(*items));
		items[t->n++] = word;
		t->items = items;
	}
}

static int read_methods(const struct sections *s, const struct section_line *e, unsigned *ret)
{
	struct texts names = {0};

	add_words(s, &names, e->value);
	for (size_t i = 0; i < names.n; i++) {
		unsigned m = HTTP_DELETE_;

		while (m < HTTP_METHODS && strcmp(names.items[i], http_method_name((enum http_method)m)))
			m++;
		if (m == HTTP_METHODS)
			return sections_fail(s, e->line,
					     "methods: \"%s\" is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
					     names.items[i]);
		*ret |= 1u << m;
	}
	return 0;
}

static int set_field(const struct sections *s, const struct field *f, const struct section_line *e, void *object)
{
	void *at = (char *)object + f->offset;
	int64_t number;

	if (f->type == FIELD_TEXT) {
		if (!*e->value)
			return sections_fail(s, e->line, "%s has no value", e->name);
		*(const char **)at = e->value;
		return 0;
	}
	if (f->type == FIELD_LIST) {
		add_words(s, at, e->value);
		return 0;
	}
	if (f->type == FIELD_METHODS)
		return read_methods(s, e, at);
	if (read_number(s, f, e, &number))
		return -EINVAL;
	if (f->type == FIELD_BOOL)
		*(bool *)at = number;
	else if (f->type == FIELD_NUMBER)
		*(unsigned *)at = (unsigned)number;
	else if (f->type == FIELD_SIGNED)
		*(int *)at = (int)number;
	else
		*(uint64_t *)at = (uint64_t)number;
	return 0;
}

static bool is_repeated(const struct sections *s, const struct section_line *e)
{
	for (const struct section_line *before = s->lines; before < e; before++)
		if (before->kind == e->kind && !strcmp(before->section, e->section) && !strcmp(before->name, e->name))
			return true;
	return false;
}

int sections_apply(const struct sections *s, enum section_kind kind, const char *section, const struct field *fields,
		   size_t n, void *object)
{
	for (const struct section_line *e = s->lines; e < s->lines + s->n; e++) {
		size_t i = 0;

		if (e->kind != kind || strcmp(e->section, section))
			continue;
		while (i < n && strcmp(fields[i].name, e->name))
			i++;
		if (i == n)
			return sections_fail(s, e->line, "there is no \"%s\" in a section [%s]", e->name,
					     section_names[kind]);
		if (fields[i].type == FIELD_LIST || fields[i].type == FIELD_METHODS) {
			if (!is_repeated(s, e))
				memset((char *)object + fields[i].offset, 0,
				       fields[i].type == FIELD_LIST ? sizeof(struct texts) : sizeof(unsigned));
		} else if (is_repeated(s, e)) {
			return sections_fail(s, e->line, "%s stands twice in this section: keep one", e->name);
		}
		if (set_field(s, &fields[i], e, object))
			return -EINVAL;
	}
	return 0;
}

unsigned sections_line(const struct sections *s, enum section_kind kind, const char *section)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->lines[i].kind == kind && !strcmp(s->lines[i].section, section))
			return s->lines[i].line;
	return 0;
}

unsigned sections_line_of(const struct sections *s, enum section_kind kind, const char *section, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->lines[i].kind == kind && !strcmp(s->lines[i].section, section) &&
		    !strcmp(s->lines[i].name, name))
			return s->lines[i].line;
	return sections_line(s, kind, section);
}

int sections_each(const struct sections *s, enum section_kind kind, int (*fn)(void *arg, const char *name), void *arg)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct section_line *e = &s->lines[i];

		if (e->kind == kind && sections_line(s, kind, e->section) == e->line && fn(arg, e->section))
			return -EINVAL;
	}
	return 0;
}

size_t sections_count(const struct sections *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += sections_line(s, s->lines[i].kind, s->lines[i].section) == s->lines[i].line;
	return n;
}
