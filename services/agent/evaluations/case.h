/* A case of an evaluation set: what the agent is asked, and what may be expected of its answer. Pure. */
#pragma once

#include "base/json.h"

#define CASE_INPUT_MAX (64 * 1024)
#define CASE_EXPECTED_MAX (64 * 1024)
#define CASE_VARIABLES_MAX (16 * 1024)
#define CASE_TAGS_MAX 20
#define CASE_TAG_MAX 50

struct evaluation_case {
	const char *id; /* NULL = a new one */
	const char *input;
	const char *expected;  /* a JSON value, or NULL = nothing */
	const char *variables; /* a JSON object of texts, or NULL = none */
	const char *tags;      /* a JSON array of texts */
};

/* {id, input, expected, variables, tags}, of which a new one needs the input; what is not there stays as it is in
 * `ret`. In the arena. Returns 0 or -EINVAL with err. */
int case_read(struct arena *a, yyjson_val *obj, struct evaluation_case *ret, struct error *err);
/* The same of a row of a table whose cells are texts: the columns id, input, expected (a text), expected_json,
 * variables (a JSON object), variables.NAME, and tags between commas or semicolons. */
int case_read_cells(struct arena *a, yyjson_val *row, struct evaluation_case *ret, struct error *err);
/* A cell that case_write_cell wrote. In the arena. */
struct str case_read_cell(struct arena *a, struct str cell);
/* Appends a cell and a comma. A text that a spreadsheet would take for a formula gets an apostrophe in front, and so
 * does one that looks as if it had got one. */
void case_write_cell(struct buf *out, struct str text);
/* Appends "a; b". */
void case_join_tags(yyjson_val *tags, struct buf *out);
