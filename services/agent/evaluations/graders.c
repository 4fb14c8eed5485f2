#include "agent/evaluations/graders.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "agent/evaluations/number.h"
#include "agent/evaluations/same_json.h"
#include "agent/structured.h"
#include "io/json_schema.h"
#include "io/pattern.h"

#define SCORE_UNIT 1000000
#define VALUE_MAX (64 * 1024)
#define RUBRIC_MAX 8000

/* One grader at work. */
struct judging {
	struct arena *a;
	yyjson_val *grader;
	const struct graded_run *run;
	yyjson_val *expected; /* of the case, or NULL */
	struct buf reason;
};

static bool no(struct judging *j, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool no(struct judging *j, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&j->reason, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- What an answer is compared with ---- */

static yyjson_val *wanted(struct judging *j)
{
	yyjson_val *value = yyjson_obj_get(j->grader, "value");

	value = value ? value : j->expected;
	if (!value)
		no(j, "Neither the case nor the grader says what is expected.");
	return value;
}

static struct str text_of(struct arena *a, yyjson_val *value)
{
	return yyjson_is_str(value) ? (struct str){yyjson_get_str(value), yyjson_get_len(value)}
				    : json_val_text(a, value);
}

/* As Unicode compares without case; what is no UTF-8 stays as it is. */
static struct str folded(struct arena *a, struct str text)
{
	utf8proc_uint8_t *to = NULL;
	utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text.p, (utf8proc_ssize_t)text.n, &to,
					  UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);

	if (n < 0 || text.n == 0)
		return text;
	text = arena_str(a, (struct str){(const char *)to, (size_t)n});
	free(to);
	return text;
}

static struct str prepared(struct judging *j, struct str text)
{
	return json_get_bool(j->grader, "ignore_case", false) ? folded(j->a, text) : text;
}

/* The answer's value: a text that a fence or words stand around counts too. */
static yyjson_val *answer_value(struct judging *j)
{
	_cleanup_(buf_deinit) struct buf problems = BUF_INIT;
	yyjson_val *any = yyjson_doc_get_root(json_parse(j->a, "{}", 2, NULL)), *value = j->run->parsed;

	if (!value)
		value = structured_read(any, j->run->answer, j->a, &problems);
	if (!value)
		no(j, "The answer is no JSON.");
	return value;
}

static yyjson_val *wanted_value(struct judging *j)
{
	yyjson_val *value = wanted(j), *read;

	if (!yyjson_is_str(value))
		return value;
	read = yyjson_doc_get_root(json_parse(j->a, yyjson_get_str(value), yyjson_get_len(value), NULL));
	return read ? read : value;
}

/* ---- Texts ---- */

static bool exact(struct judging *j)
{
	yyjson_val *value = wanted(j);
	struct str want, have = j->run->answer;

	if (!value)
		return false;
	want = text_of(j->a, value);
	if (json_get_bool(j->grader, "trim", true)) {
		want = str_trim(want);
		have = str_trim(have);
	}
	return str_eq(prepared(j, want), prepared(j, have)) || no(j, "The answer is another text.");
}

static bool contains(struct judging *j)
{
	yyjson_val *value = wanted(j);
	struct str want, have;

	if (!value)
		return false;
	want = prepared(j, str_trim(text_of(j->a, value)));
	have = prepared(j, j->run->answer);
	if (want.n == 0)
		return no(j, "The text to look for is empty.");
	return (have.n >= want.n && memmem(have.p, have.n, want.p, want.n)) || no(j, "The answer does not have it.");
}

static bool regex(struct judging *j)
{
	yyjson_val *value = wanted(j);
	const char *pattern;

	if (!value)
		return false;
	pattern = yyjson_get_str(value);
	if (!pattern || !pattern_is_good(pattern))
		return no(j, "What is expected is no regular expression.");
	return pattern_matches(pattern, j->run->answer) ||
	       no(j, "The answer does not match, or the expression takes too long.");
}

/* ---- JSON ---- */

static bool compare_json(struct judging *j, bool is_subset)
{
	yyjson_val *want = wanted_value(j), *have = want ? answer_value(j) : NULL;

	if (!have)
		return false;
	switch (same_json(want, have, is_subset)) {
	case SAME_JSON_YES: return true;
	case SAME_JSON_TOO_MUCH: return no(j, "The answer is too large to be compared.");
	case SAME_JSON_NO: break;
	}
	return no(j, is_subset ? "The answer has not all that is expected." : "The answer is another value.");
}

static bool json_equals(struct judging *j)
{
	return compare_json(j, false);
}

static bool json_subset(struct judging *j)
{
	return compare_json(j, true);
}

static bool json_schema(struct judging *j)
{
	yyjson_val *have = answer_value(j);

	return have && json_schema_fits(yyjson_obj_get(j->grader, "schema"), have, &j->reason);
}

static bool numeric(struct judging *j)
{
	yyjson_val *value = wanted(j);
	double want, have, room = fabs(json_get_num(j->grader, "tolerance", 0));

	if (!value)
		return false;
	if (!number_last_in(text_of(j->a, value), &want))
		return no(j, "What is expected is no number.");
	if (!number_last_in(j->run->answer, &have))
		return no(j, "There is no number in the answer.");
	if (json_get_bool(j->grader, "is_relative", false))
		room *= fabs(want);
	/* A hair for what decimals lose as doubles. */
	return fabs(want - have) <= room + 1e-12 * fmax(fabs(want), fabs(have)) ||
	       no(j, "The answer says %.12g, expected is %.12g.", have, want);
}

/* ---- What it did ---- */

static int64_t count_calls(struct judging *j)
{
	const char *tool = json_get_str(j->grader, "tool", "");
	yyjson_val *asked = json_get_obj(j->grader, "arguments"), *call;
	size_t i, max;
	int64_t n = 0;

	yyjson_arr_foreach(j->run->calls, i, max, call)
	{
		yyjson_val *given = yyjson_obj_get(call, "arguments");

		if (strcmp(json_get_str(call, "name", ""), tool) != 0)
			continue;
		if (asked && yyjson_is_str(given))
			given = yyjson_doc_get_root(
				json_parse(j->a, yyjson_get_str(given), yyjson_get_len(given), NULL));
		n += !asked || (given && same_json(asked, given, true) == SAME_JSON_YES);
	}
	return n;
}

static bool tool_called(struct judging *j)
{
	int64_t n = count_calls(j), least = json_get_int(j->grader, "min", 1),
		most = json_get_int(j->grader, "max", INT64_MAX);

	return (n >= least && n <= most) || no(j, "It was called %lld times.", (long long)n);
}

static bool tool_not_called(struct judging *j)
{
	int64_t n = count_calls(j);

	return n == 0 || no(j, "It was called %lld times.", (long long)n);
}

static bool has_status(struct judging *j)
{
	const struct graded_run *run = j->run;

	return strcmp(run->status, json_get_str(j->grader, "value", "succeeded")) == 0 ||
	       no(j, "The run is %s%s%s.", run->status, run->error_code ? ": " : "",
		  run->error_code ? run->error_code : "");
}

static bool at_most(struct judging *j, double have)
{
	return have <= json_get_num(j->grader, "value", 0) || no(j, "It is %.9g.", have);
}

static bool max_steps(struct judging *j)
{
	return at_most(j, (double)j->run->steps);
}

static bool max_tokens(struct judging *j)
{
	return at_most(j, (double)j->run->tokens);
}

static bool max_cost(struct judging *j)
{
	return at_most(j, (double)j->run->cost_nano / 1e9);
}

static bool max_latency(struct judging *j)
{
	return at_most(j, (double)j->run->latency_ms);
}

/* ---- The table ---- */

static int check_pattern(yyjson_val *grader, struct error *err)
{
	const char *pattern = json_get_str(grader, "value", NULL);

	return !pattern || pattern_is_good(pattern)
		       ? 0
		       : error_set(err, "invalid_field", "\"value\" is no regular expression (PCRE2).");
}

static int check_schema(yyjson_val *grader, struct error *err)
{
	return json_schema_check(yyjson_obj_get(grader, "schema"), err);
}

static int check_not_negative(yyjson_val *grader, struct error *err)
{
	return json_get_num(grader, "value", 0) >= 0 && json_get_num(grader, "tolerance", 0) >= 0
		       ? 0
		       : error_set(err, "invalid_field", "\"value\" and \"tolerance\" are not negative.");
}

static int check_tolerance(yyjson_val *grader, struct error *err)
{
	return json_get_num(grader, "tolerance", 0) >= 0
		       ? 0
		       : error_set(err, "invalid_field", "\"tolerance\" is not negative.");
}

static int check_status(yyjson_val *grader, struct error *err)
{
	const char *status = json_get_str(grader, "value", "succeeded");

	return strcmp(status, "succeeded") == 0 || strcmp(status, "failed") == 0
		       ? 0
		       : error_set(err, "invalid_field", "\"value\" is succeeded or failed.");
}

#define COMMON                                                                                             \
	{"type", JSON_STRING, true, 1, 32}, {"name", JSON_STRING, false, 1, 100}, {"weight", JSON_NUMBER}, \
	{                                                                                                  \
		"required", JSON_BOOL                                                                      \
	}

static const struct json_field text_fields[] = {
	COMMON, {"value", JSON_STRING, false, 1, VALUE_MAX}, {"ignore_case", JSON_BOOL}, {"trim", JSON_BOOL}};
static const struct json_field contains_fields[] = {
	COMMON, {"value", JSON_STRING, false, 1, VALUE_MAX}, {"ignore_case", JSON_BOOL}};
static const struct json_field regex_fields[] = {COMMON, {"value", JSON_STRING, false, 1, PATTERN_MAX}};
static const struct json_field object_fields[] = {COMMON, {"value", JSON_OBJECT}};
static const struct json_field schema_fields[] = {COMMON, {"schema", JSON_OBJECT, true}};
static const struct json_field numeric_fields[] = {
	COMMON, {"value", JSON_NUMBER}, {"tolerance", JSON_NUMBER}, {"is_relative", JSON_BOOL}};
static const struct json_field called_fields[] = {COMMON,
						  {"tool", JSON_STRING, true, 1, 128},
						  {"arguments", JSON_OBJECT},
						  {"min", JSON_INT, false, 1, 1000},
						  {"max", JSON_INT, false, 1, 1000}};
static const struct json_field not_called_fields[] = {
	COMMON, {"tool", JSON_STRING, true, 1, 128}, {"arguments", JSON_OBJECT}};
static const struct json_field status_fields[] = {COMMON, {"value", JSON_STRING, false, 1, 16}};
static const struct json_field model_fields[] = {
	COMMON, {"rubric", JSON_STRING, true, 1, RUBRIC_MAX}, {"model", JSON_STRING, false, 1, 200}};
static const struct json_field limit_fields[] = {COMMON, {"value", JSON_NUMBER, true}};

/* needs_answer: a run without one does not pass. judge: NULL = a model judges, later. */
static const struct rule {
	const char *type;
	const struct json_field *fields;
	size_t n_fields;
	int (*check)(yyjson_val *grader, struct error *err);
	bool needs_answer;
	bool (*judge)(struct judging *j);
} rules[] = {
	{"exact", text_fields, ARRAY_SIZE(text_fields), NULL, true, exact},
	{"contains", contains_fields, ARRAY_SIZE(contains_fields), NULL, true, contains},
	{"regex", regex_fields, ARRAY_SIZE(regex_fields), check_pattern, true, regex},
	{"json_equals", object_fields, ARRAY_SIZE(object_fields), NULL, true, json_equals},
	{"json_subset", object_fields, ARRAY_SIZE(object_fields), NULL, true, json_subset},
	{"json_schema", schema_fields, ARRAY_SIZE(schema_fields), check_schema, true, json_schema},
	{"numeric", numeric_fields, ARRAY_SIZE(numeric_fields), check_tolerance, true, numeric},
	{"tool_called", called_fields, ARRAY_SIZE(called_fields), NULL, false, tool_called},
	{"tool_not_called", not_called_fields, ARRAY_SIZE(not_called_fields), NULL, false, tool_not_called},
	{"status", status_fields, ARRAY_SIZE(status_fields), check_status, false, has_status},
	{"max_steps", limit_fields, ARRAY_SIZE(limit_fields), check_not_negative, false, max_steps},
	{"max_tokens", limit_fields, ARRAY_SIZE(limit_fields), check_not_negative, false, max_tokens},
	{"max_cost_usd", limit_fields, ARRAY_SIZE(limit_fields), check_not_negative, false, max_cost},
	{"max_latency_ms", limit_fields, ARRAY_SIZE(limit_fields), check_not_negative, false, max_latency},
	{"model", model_fields, ARRAY_SIZE(model_fields), NULL, true, NULL},
};

static const struct rule *rule_find(yyjson_val *grader)
{
	const char *type = json_get_str(grader, "type", "");

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (strcmp(rules[i].type, type) == 0)
			return &rules[i];
	return NULL;
}

static int check_one(yyjson_val *grader, struct error *err)
{
	const struct rule *rule = rule_find(grader);
	double weight = json_get_num(grader, "weight", 1);
	int r;

	if (!rule)
		return error_set(err, "invalid_field", "there is no type \"%.40s\".", json_get_str(grader, "type", ""));
	r = json_check(grader, rule->fields, rule->n_fields, err);
	if (r == 0 && !(weight >= 0 && weight <= 1000))
		return error_set(err, "invalid_field", "\"weight\" is 0 to 1000.");
	return r == 0 && rule->check ? rule->check(grader, err) : r;
}

int graders_check(yyjson_val *graders, struct error *err)
{
	yyjson_val *grader;
	size_t i, max, models = 0;

	if (!yyjson_is_arr(graders) || yyjson_arr_size(graders) > GRADERS_MAX)
		return error_set(err, "invalid_field", "\"graders\" is a list of at most %d.", GRADERS_MAX);
	yyjson_arr_foreach(graders, i, max, grader)
	{
		if (check_one(grader, err) < 0) {
			error_prefix(err, "Grader %zu", i + 1);
			return -EINVAL;
		}
		models += strcmp(json_get_str(grader, "type", ""), "model") == 0;
	}
	if (models > GRADERS_MODELS_MAX)
		return error_set(err, "invalid_field", "At most %d graders are models.", GRADERS_MODELS_MAX);
	return 0;
}

/* ---- Grading ---- */

static bool judge(struct judging *j)
{
	const struct rule *rule = rule_find(j->grader);

	if (rule->needs_answer && strcmp(j->run->status, "succeeded") != 0)
		return no(j, "The run is %s%s%s.", j->run->status, j->run->error_code ? ": " : "",
			  j->run->error_code ? j->run->error_code : "");
	return rule->judge(j);
}

struct str grade_reason_cut(struct str text)
{
	text.n = MIN(text.n, (size_t)GRADE_REASON_MAX);
	while (text.n > 0 && text.n == GRADE_REASON_MAX && ((unsigned char)text.p[text.n - 1] & 0x80))
		text.n--;
	return str_trim(text);
}

static void add_grade(yyjson_mut_doc *doc, yyjson_mut_val *list, struct judging *j, bool is_open, bool has_passed)
{
	yyjson_mut_val *obj = yyjson_mut_arr_add_obj(doc, list);
	const char *type = json_get_str(j->grader, "type", "");
	struct str reason = grade_reason_cut(buf_str(&j->reason));

	json_add_str(doc, obj, "name", json_get_str(j->grader, "name", type));
	json_add_str(doc, obj, "type", type);
	if (is_open) {
		yyjson_mut_obj_add_null(doc, obj, "passed");
		yyjson_mut_obj_add_null(doc, obj, "score");
	} else {
		yyjson_mut_obj_add_bool(doc, obj, "passed", has_passed);
		yyjson_mut_obj_add_real(doc, obj, "score", has_passed ? 1 : 0);
	}
	yyjson_mut_obj_add_strncpy(doc, obj, "reason", reason.p ? reason.p : "", reason.n);
}

const char *graders_grade(struct arena *a, yyjson_val *graders, const struct graded_run *run, yyjson_val *expected)
{
	yyjson_mut_doc *doc = json_new(a);
	yyjson_mut_val *list = yyjson_mut_arr(doc);
	yyjson_val *grader;
	size_t i, max;

	yyjson_mut_doc_set_root(doc, list);
	yyjson_arr_foreach(graders, i, max, grader)
	{
		struct judging j = {.a = a, .grader = grader, .run = run, .expected = expected};
		bool is_open = !rule_find(grader)->judge && strcmp(run->status, "succeeded") == 0;

		add_grade(doc, list, &j, is_open, !is_open && judge(&j));
		buf_deinit(&j.reason);
	}
	return json_text(a, doc).p;
}

enum verdict graders_verdict(yyjson_val *graders, yyjson_val *grades, double pass_score, int64_t *ret_score)
{
	double sum = 0, weights = 0, score;
	bool needed = true;
	yyjson_val *grader;
	size_t i, max;

	*ret_score = 0;
	yyjson_arr_foreach(graders, i, max, grader)
	{
		yyjson_val *grade = yyjson_arr_get(grades, i), *passed = yyjson_obj_get(grade, "passed");
		double weight = json_get_num(grader, "weight", 1);

		if (!yyjson_is_bool(passed))
			return VERDICT_OPEN;
		sum += weight * json_get_num(grade, "score", 0);
		weights += weight;
		if (json_get_bool(grader, "required", false) && !yyjson_get_bool(passed))
			needed = false;
	}
	score = weights > 0 ? sum / weights : needed;
	*ret_score = llround(score * SCORE_UNIT);
	return needed && score >= pass_score - 1e-9 ? VERDICT_PASSED : VERDICT_NOT_PASSED;
}
