#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/evaluations/graders.h"
#include "agent/evaluations/number.h"
#include "agent/evaluations/same_json.h"
#include "base/clock.h"

static yyjson_val *json(struct arena *a, const char *text)
{
	yyjson_val *root = text ? yyjson_doc_get_root(json_parse(a, text, strlen(text), NULL)) : NULL;

	assert_true(!text || root);
	return root;
}

/* What one grader says of an answer. */
static bool passes(struct arena *a, const char *grader, const char *answer, const char *expected)
{
	const struct graded_run run = {.status = "succeeded", .answer = str_of(answer)};
	yyjson_val *graders = json(a, arena_printf(a, "[%s]", grader)), *grades;
	struct error err = {0};

	if (graders_check(graders, &err) < 0)
		fail_msg("%s: %s", grader, err.message);
	grades = json(a, graders_grade(a, graders, &run, json(a, expected)));
	assert_int_equal(yyjson_arr_size(grades), 1);
	assert_true(yyjson_is_bool(yyjson_obj_get(yyjson_arr_get_first(grades), "passed")));
	return json_get_bool(yyjson_arr_get_first(grades), "passed", false);
}

static void rules_judge_answers(void **state)
{
	static const struct {
		const char *grader, *answer, *expected;
		bool passes;
	} examples[] = {
		{"{\"type\":\"exact\"}", " Paris\n", "\"Paris\"", true},
		{"{\"type\":\"exact\",\"trim\":false}", " Paris\n", "\"Paris\"", false},
		{"{\"type\":\"exact\"}", "paris", "\"Paris\"", false},
		{"{\"type\":\"exact\",\"ignore_case\":true}", "STRASSE Ä", "\"straße a\xcc\x88\"", true},
		{"{\"type\":\"exact\"}", "x", NULL, false},
		{"{\"type\":\"exact\"}", "7", "7", true},
		{"{\"type\":\"exact\",\"value\":\"y\"}", "y", "\"x\"", true},
		{"{\"type\":\"contains\"}", "It is Paris.", "\"Paris\"", true},
		{"{\"type\":\"contains\"}", "It is Rome.", "\"Paris\"", false},
		{"{\"type\":\"contains\",\"ignore_case\":true}", "PARIS", "\"paris\"", true},
		{"{\"type\":\"contains\"}", "", "\"paris\"", false},
		{"{\"type\":\"contains\"}", "x", "\" \"", false},
		{"{\"type\":\"regex\",\"value\":\"^\\\\d+$\"}", "123", NULL, true},
		{"{\"type\":\"regex\",\"value\":\"^\\\\d+$\"}", "12a", NULL, false},
		{"{\"type\":\"regex\"}", "abc", "\"b\"", true},
		{"{\"type\":\"regex\"}", "abc", "\"(\"", false},
		{"{\"type\":\"regex\"}", "abc", "7", false},
		{"{\"type\":\"json_equals\"}", "{\"b\":1.0,\"a\":[1,2]}", "{\"a\":[1,2],\"b\":1}", true},
		{"{\"type\":\"json_equals\"}", "Here:\n```json\n{\"a\":1}\n```", "{\"a\":1}", true},
		{"{\"type\":\"json_equals\"}", "{\"a\":1,\"b\":2}", "{\"a\":1}", false},
		{"{\"type\":\"json_equals\"}", "{\"a\":1}", "\"{\\\"a\\\":1}\"", true},
		{"{\"type\":\"json_equals\"}", "no", "{\"a\":1}", false},
		{"{\"type\":\"json_subset\"}", "{\"a\":1,\"b\":[1,2,3]}", "{\"b\":[1,3]}", true},
		{"{\"type\":\"json_subset\"}", "{\"a\":1,\"b\":[1,2,3]}", "{\"b\":[3,1]}", false},
		{"{\"type\":\"json_subset\",\"value\":{\"c\":null}}", "{\"a\":1}", NULL, false},
		{"{\"type\":\"json_schema\",\"schema\":{\"required\":[\"a\"]}}", "{\"a\":1}", NULL, true},
		{"{\"type\":\"json_schema\",\"schema\":{\"required\":[\"a\"]}}", "{\"b\":1}", NULL, false},
		{"{\"type\":\"numeric\"}", "It is 1,234.50 in all.", "1234.5", true},
		{"{\"type\":\"numeric\"}", "0.3", "\"0.30000000000000001\"", true},
		{"{\"type\":\"numeric\",\"tolerance\":0.1}", "about 3.2", "3.14", true},
		{"{\"type\":\"numeric\",\"tolerance\":0.01}", "about 3.2", "3.14", false},
		{"{\"type\":\"numeric\",\"tolerance\":0.1,\"is_relative\":true}", "109", "100", true},
		{"{\"type\":\"numeric\",\"value\":-5}", "-5", "7", true},
		{"{\"type\":\"numeric\"}", "none", "7", false},
		{"{\"type\":\"status\"}", "", NULL, true},
		{"{\"type\":\"status\",\"value\":\"failed\"}", "", NULL, false},
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++)
		if (passes(a, examples[i].grader, examples[i].answer, examples[i].expected) != examples[i].passes)
			fail_msg("%s of %s", examples[i].grader, examples[i].answer);
}

static void what_it_did_is_judged_too(void **state)
{
	static const struct {
		const char *grader;
		bool passes;
	} examples[] = {
		{"{\"type\":\"tool_called\",\"tool\":\"shell\"}", true},
		{"{\"type\":\"tool_called\",\"tool\":\"shell\",\"min\":3}", false},
		{"{\"type\":\"tool_called\",\"tool\":\"shell\",\"max\":1}", false},
		{"{\"type\":\"tool_called\",\"tool\":\"shell\",\"arguments\":{\"command\":\"ls\"}}", true},
		{"{\"type\":\"tool_called\",\"tool\":\"shell\",\"arguments\":{\"command\":\"rm\"}}", false},
		{"{\"type\":\"tool_called\",\"tool\":\"http_fetch\"}", false},
		{"{\"type\":\"tool_not_called\",\"tool\":\"http_fetch\"}", true},
		{"{\"type\":\"tool_not_called\",\"tool\":\"shell\"}", false},
		{"{\"type\":\"max_steps\",\"value\":3}", true},
		{"{\"type\":\"max_steps\",\"value\":2}", false},
		{"{\"type\":\"max_tokens\",\"value\":99}", false},
		{"{\"type\":\"max_cost_usd\",\"value\":0.002}", true},
		{"{\"type\":\"max_cost_usd\",\"value\":0.001}", false},
		{"{\"type\":\"max_latency_ms\",\"value\":1500}", true},
		{"{\"type\":\"status\",\"value\":\"failed\"}", true},
		{"{\"type\":\"contains\",\"value\":\"x\"}", false},
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const struct graded_run run = {
		.status = "failed",
		.error_code = "model_refused",
		.answer = STR("x"),
		.calls = json(a, "[{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\",\"cwd\":\"/\"}},"
				 "{\"name\":\"shell\",\"arguments\":\"{\\\"command\\\":\\\"pwd\\\"}\"}]"),
		.steps = 3,
		.tokens = 100,
		.cost_nano = 1500000,
		.latency_ms = 1500};

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		yyjson_val *graders = json(a, arena_printf(a, "[%s]", examples[i].grader));
		yyjson_val *grades = json(a, graders_grade(a, graders, &run, NULL));
		assert_int_equal(graders_check(graders, NULL), 0);
		if (json_get_bool(yyjson_arr_get_first(grades), "passed", false) != examples[i].passes)
			fail_msg("%s", examples[i].grader);
	}
}

static void what_is_no_grader_is_refused_by_its_number(void **state)
{
	static const char *const bad[] = {
		"{\"type\":\"guess\"}",
		"{\"type\":\"exact\",\"tool\":\"x\"}",
		"{\"type\":\"exact\",\"weight\":-1}",
		"{\"type\":\"exact\",\"weight\":1e400}",
		"{\"type\":\"regex\",\"value\":\"(\"}",
		"{\"type\":\"json_schema\",\"schema\":{\"type\":\"thing\"}}",
		"{\"type\":\"json_schema\"}",
		"{\"type\":\"tool_called\"}",
		"{\"type\":\"status\",\"value\":\"great\"}",
		"{\"type\":\"max_steps\"}",
		"{\"type\":\"max_steps\",\"value\":-1}",
		"{\"type\":\"numeric\",\"tolerance\":-1}",
		"[]",
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		yyjson_doc *doc;
		const char *text = arena_printf(a, "[{\"type\":\"exact\"},%s]", bad[i]);

		err = (struct error){0};
		doc = json_parse(a, text, strlen(text), NULL);
		if (!doc)
			continue;
		if (graders_check(yyjson_doc_get_root(doc), &err) == 0)
			fail_msg("%s", bad[i]);
		assert_memory_equal(err.message, "Grader 2", 8);
	}
}

static void weights_and_what_is_required_make_the_verdict(void **state)
{
	static const struct {
		const char *graders, *grades;
		double pass_score;
		enum verdict verdict;
		int64_t score;
	} examples[] = {
		{"[]", "[]", 1, VERDICT_PASSED, 1000000},
		{"[{}]", "[{\"passed\":true,\"score\":1}]", 1, VERDICT_PASSED, 1000000},
		{"[{},{}]", "[{\"passed\":true,\"score\":1},{\"passed\":false,\"score\":0}]", 1, VERDICT_NOT_PASSED,
		 500000},
		{"[{},{}]", "[{\"passed\":true,\"score\":1},{\"passed\":false,\"score\":0}]", 0.5, VERDICT_PASSED,
		 500000},
		{"[{\"weight\":3},{}]", "[{\"passed\":true,\"score\":1},{\"passed\":false,\"score\":0}]", 0.75,
		 VERDICT_PASSED, 750000},
		{"[{},{\"required\":true}]", "[{\"passed\":true,\"score\":1},{\"passed\":false,\"score\":0}]", 0.5,
		 VERDICT_NOT_PASSED, 500000},
		{"[{\"weight\":0,\"required\":true}]", "[{\"passed\":false,\"score\":0}]", 0, VERDICT_NOT_PASSED, 0},
		{"[{},{}]", "[{\"passed\":true,\"score\":1},{\"passed\":null,\"score\":null}]", 0.1, VERDICT_OPEN, 0},
		{"[{},{}]", "[{\"passed\":true,\"score\":1}]", 0.1, VERDICT_OPEN, 0},
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		int64_t score = -1;
		enum verdict v = graders_verdict(json(a, examples[i].graders), json(a, examples[i].grades),
						 examples[i].pass_score, &score);
		if (v != examples[i].verdict || score != examples[i].score)
			fail_msg("%zu: %d %lld", i, (int)v, (long long)score);
	}
}

/* A megabyte that an expression backtracks on, and JSON made to be compared for ever: each ends soon. */
static void hostile_and_huge_answers_cost_little(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, asked = BUF_INIT, given = BUF_INIT;
	int64_t began;

	for (int i = 0; i < 1000000; i++)
		buf_add_char(&text, 'a');
	buf_add_str(&text, "!");
	for (int i = 0; i < 20000; i++) {
		buf_printf(&asked, "%s\"k%d\":1", i ? "," : "{", 20000 - i);
		buf_printf(&given, "%s\"k%d\":1", i ? "," : "{", i + 1);
	}
	buf_add_str(&asked, "}");
	buf_add_str(&given, "}");
	began = clock_now_us();
	assert_false(passes(a, "{\"type\":\"regex\",\"value\":\"^(a+)+$\"}", text.p, NULL));
	assert_false(passes(a, "{\"type\":\"regex\",\"value\":\"(a|aa)*?b\"}", text.p, NULL));
	assert_int_equal(same_json(json(a, asked.p), json(a, given.p), true), SAME_JSON_TOO_MUCH);
	assert_false(passes(a, "{\"type\":\"json_subset\"}", given.p, asked.p));
	assert_false(passes(a, "{\"type\":\"contains\",\"value\":\"b\",\"ignore_case\":true}", text.p, NULL));
	assert_true(clock_now_us() - began < 60 * 1000000);
}

static void the_last_number_of_a_text_is_found(void **state)
{
	static const struct {
		const char *text;
		double number;
	} examples[] = {
		{"7", 7},     {"a 7 b 8.", 8},   {"-3.5e2", -350}, {"x-3", 3},
		{"(3)-4", 4}, {"is .5", 0.5},    {"-.5", -0.5},    {"1,234,567.25", 1234567.25},
		{"1,2", 2},   {"1234,567", 567}, {"12e", 12},      {"2024-05-03", 3},
		{"1.2.3", 3},
	};
	double number;

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		assert_true(number_last_in(str_of(examples[i].text), &number));
		if (number != examples[i].number)
			fail_msg("%s: %g", examples[i].text, number);
	}
	assert_false(number_last_in(STR("none"), &number));
	assert_false(number_last_in(STR(""), &number));
	assert_false(number_last_in(STR("1e999"), &number));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_judge_answers),
		cmocka_unit_test(what_it_did_is_judged_too),
		cmocka_unit_test(what_is_no_grader_is_refused_by_its_number),
		cmocka_unit_test(weights_and_what_is_required_make_the_verdict),
		cmocka_unit_test(hostile_and_huge_answers_cost_little),
		cmocka_unit_test(the_last_number_of_a_text_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
