/* base/csv: whatever comes in, reading ends; and what was read is the same after it is written. */
#include <stdlib.h>

#include "base/csv.h"

#define MAX_CELLS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void read_again(struct arena *a, const struct str *cells, size_t n)
{
	_cleanup_(buf_deinit) struct buf line = BUF_INIT;
	struct str again[MAX_CELLS];
	struct csv c;
	size_t m;

	for (size_t i = 0; i < n; i++) {
		buf_add_str(&line, i ? "," : "");
		csv_add_cell(&line, cells[i], false);
	}
	if (n == 1 && cells[0].n == 0) /* an empty line */
		return;
	/* What looks like a byte order mark at the start of a text is one. */
	if (str_has_prefix(buf_str(&line), STR("\xef\xbb\xbf")))
		return;
	csv_init(&c, buf_str(&line), ',');
	check(csv_next(&c, a, again, MAX_CELLS, &m, NULL) == 1 && m == n);
	for (size_t i = 0; i < n; i++)
		check(str_eq(cells[i], again[i]));
	check(csv_next(&c, a, again, MAX_CELLS, &m, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a = arena_new();
	struct str cells[MAX_CELLS];
	struct error err = {0};
	struct csv c;
	size_t n_cells;
	int r;

	csv_init(&c, (struct str){(const char *)data, n}, ',');
	while ((r = csv_next(&c, a, cells, MAX_CELLS, &n_cells, &err)) == 1)
		read_again(a, cells, n_cells);
	check(r == 0 || (*err.code && *err.message));
	arena_free(a);
	return 0;
}
