/* Tables as text, by RFC 4180: cells between commas, quoted where they hold one, a quote or a line's end. What the RFC
 * leaves open is taken: LF and CR alone end a line too, a byte order mark is passed over, empty lines are none. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

struct csv {
	const char *p, *end;
	char separator;
	size_t line;   /* the one that is read, from 1 */
	size_t record; /* where the last record began: its line */
};

/* separator: ',' ';' or a tab. */
void csv_init(struct csv *c, struct str text, char separator);
/* The next record: 1, its cells in the arena (each with a NUL behind it); 0 at the end; -EINVAL with err (code
 * "csv_invalid") that names the line. Not more than `max` cells. */
int csv_next(struct csv *c, struct arena *a, struct str *cells, size_t max, size_t *ret_n, struct error *err);

/* Whether a spreadsheet would take the text for a formula. */
bool csv_is_formula(struct str text);
/* Appends a cell, quoted where that is needed. is_safe: a text that a spreadsheet would take for a formula gets an
 * apostrophe in front (OWASP, CSV injection); plain numbers stay as they are. */
void csv_add_cell(struct buf *out, struct str text, bool is_safe);
