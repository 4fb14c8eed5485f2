/* Two runs of a set beside each other: which cases improved, which got worse, and whether that says anything. */
#include <stdlib.h>

#include "agent/evaluations/case.h"
#include "agent/evaluations/compare.h"
#include "agent/evaluations/evaluations.h"
#include "base/encode.h"

#define INPUT_SHOWN 300 /* bytes */

/* A case in both runs; of a set's 2,000 the two runs can have that many each. */
struct compared {
	const char *id, *input;
	int64_t number;
	struct {
		struct case_result result;
		uint8_t hash[SHA256_SIZE]; /* of what was asked and expected */
		bool is_there;
	} side[2];
};

struct comparison {
	struct answer answer;
	const char *with; /* the other run's id */
	struct batch runs[2];
	struct compared *cases;
	size_t n;
	int format; /* 0 = JSON */
	struct buf out;
	int64_t changes[CASE_WORSE + 1], n_left_out;
};

enum { AS_JSON, AS_CSV, AS_JSONL };

/* ---- Reading ---- */

/* Cut between characters. */
static const char *shorten(struct arena *a, const char *text)
{
	size_t n = strlen(text);

	if (n <= INPUT_SHOWN)
		return arena_strdup(a, text);
	n = INPUT_SHOWN;
	while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return arena_printf(a, "%.*s…", (int)n, text);
}

/* Both are in the order of the cases' numbers, so a case is at its place or behind it. */
static struct compared *find_case(struct comparison *p, const char *id)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->cases[i].id, id) == 0)
			return &p->cases[i];
	return NULL;
}

static void hash_case(struct arena *work, yyjson_val *data, uint8_t ret[static SHA256_SIZE])
{
	static const char *const members[] = {"input", "expected", "variables"};
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		yyjson_val *value = yyjson_obj_get(data, members[i]);
		struct str one = value ? json_val_text(work, value) : STR("");

		buf_add(&text, one.p, one.n);
		buf_add_char(&text, '\n');
	}
	sha256(text.p, text.n, ret);
}

static void take_row(struct comparison *p, int side, struct arena *work, struct db_stmt *st, struct compared **last)
{
	struct arena *arena = p->answer.job.x->arena;
	struct str text = db_col_str(st, 0);
	yyjson_val *data = yyjson_doc_get_root(json_parse(work, text.p, text.n, NULL));
	const char *id = json_get_str(data, "case_id", "");
	struct compared *k = *last && strcmp((*last)->id, id) == 0 ? *last : find_case(p, id);

	if (!k) {
		k = &p->cases[p->n++];
		k->id = arena_strdup(arena, id);
		k->input = shorten(arena, json_get_str(data, "input", ""));
		k->number = json_get_int(data, "case", 0);
	}
	if (!k->side[side].is_there)
		hash_case(work, data, k->side[side].hash);
	k->side[side].is_there = true;
	k->side[side].result.graded += !db_col_is_null(st, 1);
	k->side[side].result.passed += !db_col_is_null(st, 1) && db_col_int(st, 1);
	*last = k;
}

static int read_side(struct db_conn *c, struct comparison *p, int side)
{
	_cleanup_(arena_free_p) struct arena *work = arena_new();
	struct compared *last = NULL;
	struct db_stmt *st =
		db_query(c, "select data, passed from batch_rows where batch_id = ? and part = 0 order by number",
			 DB_TEXT(p->runs[side].id));
	int r;

	while ((r = db_step(c, st)) == 1 && p->n < 2 * EVALUATION_CASES_MAX) {
		take_row(p, side, work, st, &last);
		arena_reset(work);
	}
	db_done(st);
	return MIN(r, 0);
}

/* ---- Out ---- */

static const char *change_of(const struct compared *k)
{
	static const char *const names[] = {[CASE_OPEN] = "open",
					    [CASE_BOTH_PASSED] = "both_passed",
					    [CASE_BOTH_FAILED] = "both_failed",
					    [CASE_IMPROVED] = "improved",
					    [CASE_WORSE] = "worse"};

	if (!k->side[0].is_there || !k->side[1].is_there)
		return k->side[0].is_there ? "removed" : "added";
	if (memcmp(k->side[0].hash, k->side[1].hash, SHA256_SIZE) != 0)
		return "changed";
	return names[compare_case(k->side[0].result, k->side[1].result)];
}

/* Only cases that are the same in both are counted. */
static void count(struct comparison *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct compared *k = &p->cases[i];
		bool is_same = k->side[0].is_there && k->side[1].is_there &&
			       memcmp(k->side[0].hash, k->side[1].hash, SHA256_SIZE) == 0;
		enum case_change change = compare_case(k->side[0].result, k->side[1].result);

		if (is_same && change != CASE_OPEN)
			p->changes[change]++;
		else
			p->n_left_out++;
	}
}

static void add_side(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, const struct compared *k, int side)
{
	yyjson_mut_val *ret;

	if (!k->side[side].is_there) {
		yyjson_mut_obj_add_null(doc, obj, name);
		return;
	}
	ret = yyjson_mut_obj_add_obj(doc, obj, name);
	yyjson_mut_obj_add_int(doc, ret, "graded", k->side[side].result.graded);
	yyjson_mut_obj_add_int(doc, ret, "passed", k->side[side].result.passed);
}

static void add_case(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct compared *k)
{
	json_add_str(doc, obj, "case_id", k->id);
	yyjson_mut_obj_add_int(doc, obj, "case", k->number);
	json_add_str(doc, obj, "input", k->input);
	json_add_str(doc, obj, "change", change_of(k));
	add_side(doc, obj, "base", k, 0);
	add_side(doc, obj, "other", k, 1);
}

static int answer_with(struct db_conn *c, struct comparison *p)
{
	struct arena *arena = p->answer.job.x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc), *list, *counts;
	const int64_t *n = p->changes;
	int r = evaluation_run_add(c, arena, doc, yyjson_mut_obj_add_obj(doc, obj, "base"), &p->runs[0]);

	if (r == 0)
		r = evaluation_run_add(c, arena, doc, yyjson_mut_obj_add_obj(doc, obj, "other"), &p->runs[1]);
	counts = yyjson_mut_obj_add_obj(doc, obj, "counts");
	yyjson_mut_obj_add_int(doc, counts, "improved", n[CASE_IMPROVED]);
	yyjson_mut_obj_add_int(doc, counts, "worse", n[CASE_WORSE]);
	yyjson_mut_obj_add_int(doc, counts, "both_passed", n[CASE_BOTH_PASSED]);
	yyjson_mut_obj_add_int(doc, counts, "both_failed", n[CASE_BOTH_FAILED]);
	yyjson_mut_obj_add_int(doc, counts, "left_out", p->n_left_out);
	yyjson_mut_obj_add_real(doc, obj, "p_value", compare_p_value(n[CASE_IMPROVED], n[CASE_WORSE]));
	list = yyjson_mut_obj_add_arr(doc, obj, "cases");
	for (size_t i = 0; i < p->n; i++)
		add_case(doc, yyjson_mut_arr_add_obj(doc, list), &p->cases[i]);
	return r < 0 ? r : answer_json(&p->answer, 200, doc);
}

static void csv_side(struct buf *out, const struct compared *k, int side)
{
	if (k->side[side].is_there)
		buf_printf(out, ",%lld,%lld", (long long)k->side[side].result.passed,
			   (long long)k->side[side].result.graded);
	else
		buf_add_str(out, ",,");
}

static void write_file(struct comparison *p)
{
	buf_clear(&p->out);
	if (p->format == AS_CSV)
		buf_add_str(&p->out, "case_id,case,input,change,base_passed,base_graded,other_passed,other_graded\r\n");
	for (size_t i = 0; i < p->n; i++) {
		const struct compared *k = &p->cases[i];
		yyjson_mut_doc *doc;
		yyjson_mut_val *obj = json_new_obj(p->answer.job.x->arena, &doc);

		if (p->format == AS_CSV) {
			buf_printf(&p->out, "%s,%lld,", k->id, (long long)k->number);
			case_write_cell(&p->out, str_of(k->input));
			buf_add_str(&p->out, change_of(k));
			csv_side(&p->out, k, 0);
			csv_side(&p->out, k, 1);
			buf_add_str(&p->out, "\r\n");
			continue;
		}
		add_case(doc, obj, k);
		buf_add_str(&p->out, json_text(p->answer.job.x->arena, doc).p);
		buf_add_char(&p->out, '\n');
	}
}

static int find_runs(struct db_conn *c, struct comparison *p)
{
	struct exchange *x = p->answer.job.x;
	int r = evaluation_run_find(c, &p->answer, path_id(x), &p->runs[0]);

	if (r == 0)
		r = evaluation_run_find(c, &p->answer, p->with, &p->runs[1]);
	if (r == 0 && strcmp(p->runs[0].evaluation_id, p->runs[1].evaluation_id) != 0)
		return answer_problem(&p->answer, 422, "invalid_field", "Both runs must be of the same set.");
	return r;
}

static int compare_run(struct db_conn *c, struct exchange_job *job)
{
	struct comparison *p = (struct comparison *)job;
	int r = find_runs(c, p);

	p->cases = arena_alloc(job->x->arena, 2 * EVALUATION_CASES_MAX * sizeof(*p->cases));
	p->n = 0;
	p->n_left_out = 0;
	memset(p->changes, 0, sizeof(p->changes));
	if (r == 0)
		r = read_side(c, p, 0);
	if (r == 0)
		r = read_side(c, p, 1);
	if (r)
		return r;
	count(p);
	if (p->format == AS_JSON)
		return answer_with(c, p);
	write_file(p);
	return 0;
}

static void compare_done(struct exchange_job *job, int result)
{
	struct comparison *p = (struct comparison *)job;
	struct exchange *x = job->x;

	if (result < 0 || p->answer.code || p->format == AS_JSON)
		answer_send(job, result);
	else if (x->req)
		reply_download(x, p->format == AS_CSV ? "text/csv; charset=utf-8" : "application/jsonl",
			       p->format == AS_CSV ? "comparison.csv" : "comparison.jsonl", buf_str(&p->out));
	buf_deinit(&p->out);
}

void evaluation_runs_compare(struct exchange *x)
{
	static const char *const formats[] = {[AS_JSON] = "json", [AS_CSV] = "csv", [AS_JSONL] = "jsonl"};
	struct comparison *p = arena_new_of(x->arena, struct comparison);
	const char *format = http_query_get(x->arena, x->req->query, "format");
	const char *with = http_query_get(x->arena, x->req->query, "with");
	int i = 0;

	while (format && i < (int)ARRAY_SIZE(formats) && strcmp(formats[i], format) != 0)
		i++;
	if (i == (int)ARRAY_SIZE(formats)) {
		reply_problem(x, 422, "invalid_field", "\"format\" is json, csv or jsonl.");
		return;
	}
	p->format = i;
	p->with = with && id_is_valid(str_of(with)) ? with : "";
	p->answer.job.done = compare_done;
	answer_read(x, &p->answer, compare_run);
}
