#include "agent/batches/table.h"

#include <errno.h>

#include "base/csv.h"
#include "base/json.h"
#include "base/utf8.h"

/* ---- What both have ---- */

static int add_row(struct arena *a, struct table *t, size_t max_rows, struct str row, size_t line, struct error *err)
{
	if (row.n > TABLE_ROW_MAX)
		return error_set(err, "table_too_large", "Line %zu: a row has at most %d KiB.", line,
				 TABLE_ROW_MAX >> 10);
	t->n_bytes += row.n;
	if (t->n_bytes > TABLE_BYTES_MAX)
		return error_set(
			err, "table_too_large",
			"The rows with the names of their columns are more than %d MiB: divide the file, or give the "
			"columns shorter names.",
			TABLE_BYTES_MAX >> 20);
	if (t->n_rows == max_rows)
		return error_set(err, "table_too_large", "There are more than %zu rows (option batch_max_rows).",
				 max_rows);
	if ((t->n_rows & (t->n_rows - 1)) == 0) {
		struct str *more = arena_alloc(a, (t->n_rows ? t->n_rows * 2 : 1) * sizeof(*more));

		if (t->n_rows)
			memcpy(more, t->rows, t->n_rows * sizeof(*more));
		t->rows = more;
	}
	t->rows[t->n_rows++] = row;
	return 0;
}

static bool has_column(const struct table *t, struct str name)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (str_is(name, t->columns[i]))
			return true;
	return false;
}

static bool has_control(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < 0x20)
			return true;
	return false;
}

static int add_column(struct arena *a, struct table *t, struct str name, size_t line, struct error *err)
{
	const char *code = "csv_invalid";

	if (name.n == 0 || name.n > TABLE_COLUMN_NAME_MAX || memmem(name.p, name.n, "}}", 2) || has_control(name))
		return error_set(err, code,
				 "Line %zu: column %zu needs a name of 1 to %d bytes without \"}}\" and control "
				 "characters in it.",
				 line, t->n_columns + 1, TABLE_COLUMN_NAME_MAX);
	if (t->n_columns == TABLE_COLUMNS_MAX)
		return error_set(err, "table_too_large", "Line %zu: there are more than %d columns.", line,
				 TABLE_COLUMNS_MAX);
	t->columns[t->n_columns++] = arena_strndup(a, name.p, name.n);
	return 0;
}

static int check_text(struct str text, struct error *err)
{
	if (!utf8_is_valid(text))
		return error_set(err, "table_not_utf8", "The file is not UTF-8: save it as UTF-8 and send it again.");
	if (memchr(text.p, 0, text.n))
		return error_set(err, "table_not_utf8", "The file has NUL bytes: it is no text.");
	return 0;
}

static int check_rows(const struct table *t, struct error *err)
{
	return t->n_rows ? 0 : error_set(err, "table_empty", "There is no row in the file.");
}

/* ---- CSV ---- */

static int read_header(struct arena *a, struct csv *c, struct table *t, struct error *err)
{
	struct str cells[TABLE_COLUMNS_MAX + 1];
	size_t n;
	int r = csv_next(c, a, cells, ARRAY_SIZE(cells), &n, err);

	if (r == 0)
		return error_set(err, "table_empty", "The file is empty: its first line names the columns.");
	for (size_t i = 0; r == 1 && i < n; i++) {
		struct str name = str_trim(cells[i]);

		if (has_column(t, name))
			return error_set(err, "csv_invalid", "Line %zu: two columns are named \"%.*s\".", c->record,
					 (int)MIN(name.n, 100), name.p);
		if (add_column(a, t, name, c->record, err) < 0)
			return -EINVAL;
	}
	return MIN(r, 0);
}

static struct str row_of_cells(struct arena *a, const struct table *t, const struct str *cells)
{
	_cleanup_(buf_deinit) struct buf row = BUF_INIT;

	for (size_t i = 0; i < t->n_columns; i++) {
		buf_add_char(&row, i ? ',' : '{');
		json_quote(&row, str_of(t->columns[i]));
		buf_add_char(&row, ':');
		json_quote(&row, cells[i]);
	}
	buf_add_char(&row, '}');
	return arena_str(a, buf_str(&row));
}

int table_read_csv(struct arena *a, struct str text, char separator, size_t max_rows, struct table *ret,
		   struct error *err)
{
	_cleanup_(arena_free_p) struct arena *line = arena_new();
	struct str cells[TABLE_COLUMNS_MAX];
	struct csv c;
	size_t n;
	int r = check_text(text, err);

	*ret = (struct table){.columns = arena_alloc(a, TABLE_COLUMNS_MAX * sizeof(char *))};
	csv_init(&c, text, separator);
	if (r == 0)
		r = read_header(a, &c, ret, err);
	while (r == 0 && (r = csv_next(&c, line, cells, ARRAY_SIZE(cells), &n, err)) == 1) {
		if (n != ret->n_columns)
			return error_set(err, "csv_invalid", "Line %zu has %zu cells, the first line %zu.", c.record, n,
					 ret->n_columns);
		r = add_row(a, ret, max_rows, row_of_cells(a, ret, cells), c.record, err);
		arena_reset(line);
	}
	return r < 0 ? r : check_rows(ret, err);
}

/* ---- JSONL ---- */

static int read_line(struct arena *a, struct arena *line_arena, struct str line, size_t number, size_t max_rows,
		     struct table *t, struct error *err)
{
	yyjson_val *root, *key, *value;
	size_t i, max;

	root = yyjson_doc_get_root(json_parse(line_arena, line.p, line.n, err));
	if (!root) {
		error_prefix(err, "Line %zu", number);
		return -EINVAL;
	}
	if (!yyjson_is_obj(root))
		return error_set(err, "jsonl_invalid", "Line %zu is no JSON object: each line has one.", number);
	yyjson_obj_foreach(root, i, max, key, value)
	{
		struct str name = {yyjson_get_str(key), yyjson_get_len(key)};

		if (!has_column(t, name) && add_column(a, t, name, number, err) < 0)
			return -EINVAL;
	}
	return add_row(a, t, max_rows, json_val_text(a, root), number, err);
}

int table_read_jsonl(struct arena *a, struct str text, size_t max_rows, struct table *ret, struct error *err)
{
	_cleanup_(arena_free_p) struct arena *line_arena = arena_new();
	size_t number = 0;
	int r = check_text(text, err);

	*ret = (struct table){.columns = arena_alloc(a, TABLE_COLUMNS_MAX * sizeof(char *))};
	if (str_has_prefix(text, STR("\xef\xbb\xbf")))
		text = (struct str){text.p + 3, text.n - 3};
	while (r == 0 && text.n > 0) {
		struct str line = str_trim(str_cut(&text, '\n'));

		number++;
		if (line.n == 0)
			continue;
		r = read_line(a, line_arena, line, number, max_rows, ret, err);
		arena_reset(line_arena);
	}
	return r < 0 ? r : check_rows(ret, err);
}
