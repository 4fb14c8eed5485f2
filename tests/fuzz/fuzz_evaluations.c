/* What people send for evaluation sets, and what agents answer: graders as JSON in the first line, an answer and what
 * is expected of it behind it; and all of it as a table of cases. */
#include "agent/batches/table.h"
#include "agent/evaluations/case.h"
#include "agent/evaluations/graders.h"
#include "agent/evaluations/number.h"
#include "base/csv.h"

#include <stdint.h>
#include <stdlib.h>

#define MOST 65536

static void grade(struct arena *a, struct str first, struct str answer)
{
	const struct graded_run run = {.status = "succeeded", .answer = answer};
	yyjson_val *graders = yyjson_doc_get_root(json_parse(a, first.p ? first.p : "", first.n, NULL)), *grades;
	yyjson_val *expected = yyjson_doc_get_root(json_parse(a, answer.p ? answer.p : "", answer.n, NULL));
	const char *text;
	int64_t score;

	if (!graders || graders_check(graders, NULL) < 0)
		return;
	text = graders_grade(a, graders, &run, expected);
	grades = yyjson_doc_get_root(json_parse(a, text, strlen(text), NULL));
	if (yyjson_arr_size(grades) != yyjson_arr_size(graders))
		abort();
	graders_verdict(graders, grades, 1, &score);
	if (score < 0 || score > 1000000)
		abort();
}

static void read_cases(struct arena *a, struct str text)
{
	struct table t;

	if (table_read_csv(a, text, ',', 100, &t, NULL) == 0) {
		for (size_t i = 0; i < t.n_rows; i++) {
			struct evaluation_case k = {0};
			yyjson_val *row = yyjson_doc_get_root(json_parse(a, t.rows[i].p, t.rows[i].n, NULL));

			if (case_read_cells(a, row, &k, NULL) == 0 && (!k.input || !k.tags))
				abort();
		}
	}
	if (table_read_jsonl(a, text, 100, &t, NULL) < 0)
		return;
	for (size_t i = 0; i < t.n_rows; i++) {
		struct evaluation_case k = {0};

		case_read(a, yyjson_doc_get_root(json_parse(a, t.rows[i].p, t.rows[i].n, NULL)), &k, NULL);
	}
}

/* A cell that was written is read as it was. */
static void write_cell(struct arena *a, struct str text)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct str cells[1];
	struct csv c;
	size_t n;

	if (memchr(text.p ? text.p : "", 0, text.n) || text.n == 0)
		return;
	buf_add_str(&out, "x\n");
	case_write_cell(&out, text);
	out.n--;
	csv_init(&c, buf_str(&out), ',');
	if (csv_next(&c, a, cells, 1, &n, NULL) != 1 || csv_next(&c, a, cells, 1, &n, NULL) != 1)
		return;
	if (!str_eq(case_read_cell(a, cells[0]), text))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct str text = {(const char *)data, MIN(n, (size_t)MOST)}, rest = text, first = str_cut(&rest, '\n');
	double number;

	grade(a, first, rest);
	read_cases(a, text);
	write_cell(a, first);
	number_last_in(text, &number);
	return 0;
}
