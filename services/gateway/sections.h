/* A file of named sections with typed settings, in the form of ogent.conf (INI): [KIND NAME] with lines "setting =
 * value". All lines are collected first; then a section is written into a struct by a table of what may stand in it.
 * Every error names the file and the line. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

/* Those of the gateway's file of routes. */
enum section_kind { SECTION_DEFAULTS, SECTION_UPSTREAM, SECTION_ROUTE, SECTION_CORS, SECTION_KINDS };

struct section_line {
	enum section_kind kind;
	const char *section, *name, *value; /* section: "" for [defaults] */
	unsigned line;
};

struct sections {
	const char *file;
	struct arena *arena; /* has all texts; the caller's */
	struct error *err;
	struct section_line *lines;
	size_t n, cap;
};

enum field_type {
	FIELD_TEXT,   /* const char * */
	FIELD_LIST,   /* struct texts */
	FIELD_NUMBER, /* unsigned */
	FIELD_SIGNED, /* int */
	FIELD_MS,     /* uint64_t */
	FIELD_BYTES,  /* uint64_t */
	FIELD_BOOL,
	FIELD_METHODS, /* unsigned: one bit per http_method */
};

struct texts {
	const char **items;
	size_t n;
};

/* A setting: where its value goes in the section's struct. */
struct field {
	const char *name;
	enum field_type type;
	size_t offset;
	int64_t min, max; /* of numbers, ms and bytes; max 0 = no limit */
};

/* Collects the lines of s->file. Returns 0 or -EINVAL, as all below. */
int sections_read(struct sections *s);
void sections_deinit(struct sections *s);
/* Sets the error for a line, and returns -EINVAL. */
int sections_fail(const struct sections *s, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Writes the lines of one section into `object`. A list's first line replaces what was there. */
int sections_apply(const struct sections *s, enum section_kind kind, const char *section, const struct field *fields,
		   size_t n, void *object);
/* The first line of a section, 0 = there is none. */
unsigned sections_line(const struct sections *s, enum section_kind kind, const char *section);
/* Of a section's setting; where it is not, its section. */
unsigned sections_line_of(const struct sections *s, enum section_kind kind, const char *section, const char *name);
/* Calls fn for each section of a kind, in the order of the file, until one fails. */
int sections_each(const struct sections *s, enum section_kind kind, int (*fn)(void *arg, const char *name), void *arg);
size_t sections_count(const struct sections *s);
