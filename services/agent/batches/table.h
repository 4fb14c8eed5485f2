/* The file of a batch: a table as CSV (RFC 4180, the first record names the columns) or as JSONL (an object a line, its
 * members are the columns). A row becomes the text of a JSON object with a member for each of its cells. Pure. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#define TABLE_COLUMNS_MAX 200
#define TABLE_COLUMN_NAME_MAX 200
#define TABLE_ROW_MAX (256 * 1024)         /* bytes of a row as JSON */
#define TABLE_BYTES_MAX (64 * 1024 * 1024) /* of all rows, each of which has the names of the columns */

struct table {
	const char **columns;
	size_t n_columns;
	struct str *rows;
	size_t n_rows, n_bytes;
};

/* In the arena. separator: of CSV. Returns 0 or -EINVAL with err (code "csv_invalid", "jsonl_invalid", "table_empty",
 * "table_too_large") that names the line. */
int table_read_csv(struct arena *a, struct str text, char separator, size_t max_rows, struct table *ret,
		   struct error *err);
int table_read_jsonl(struct arena *a, struct str text, size_t max_rows, struct table *ret, struct error *err);
