#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/variables.h"

static yyjson_val *parse(struct arena *a, const char *json)
{
	return json ? yyjson_doc_get_root(json_parse(a, json, strlen(json), NULL)) : NULL;
}

static void each_name_stands_for_its_value(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{"no variable", "no variable"},
		{"Hello {{user.name}}.", "Hello Ada."},
		{"{{ user.name }}{{user.id}}", "Adau1"},
		{"{{date}} is a {{weekday}}, {{time}}", "2026-11-23 is a Monday, 05:26 UTC"},
		{"{{agent.name}} in {{conversation.title}} ({{conversation.id}})", "Helper in A talk (c1)"},
		{"{{city}} and {{country}}", "Bonn and Germany"},
		{"braces \\{{user.name}} stay", "braces {{user.name}} stay"},
		{"{{Not A Name}} {{}} {{ {{user.name}}", "{{Not A Name}} {{}} {{ Ada"},
		{"{{older}} {{user.name}}", "{{older}} Ada"},
		{"{{unclosed", "{{unclosed"},
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct variables v = {
		.user_name = "Ada",
		.user_id = "u1",
		.agent_name = "Helper",
		.conversation_id = "c1",
		.conversation_title = "A talk",
		.now = 1795411560000000ll,
		.declared = parse(a, "[{\"name\":\"city\"},{\"name\":\"country\",\"default\":\"Germany\"}]"),
		.values = parse(a, "{\"city\":\"Bonn\"}"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = {0};
		assert_string_equal(variables_expand(a, cases[i].text, &v, &err), cases[i].want);
	}
}

static void a_value_is_not_looked_into_again(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct variables v = {.user_name = "{{user.id}}", .user_id = "u1"};
	struct error err = {0};

	assert_string_equal(variables_expand(a, "{{user.name}}", &v, &err), "{{user.id}}");
}

static void a_missing_value_is_told_by_name(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct variables v = {.declared = parse(a, "[{\"name\":\"city\"}]")};
	struct error err = {0};

	assert_null(variables_expand(a, "In {{city}}", &v, &err));
	assert_string_equal(err.code, "variable_missing");
	assert_non_null(strstr(err.message, "\"city\""));
}

static void unknown_names_are_refused_when_they_are_saved(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct error err = {0};

	assert_int_equal(variables_check_used("{{user.name}} {{x}}", parse(a, "[{\"name\":\"x\"}]"), &err), 0);
	assert_true(variables_check_used("{{user.nam}}", NULL, &err) < 0);
	assert_string_equal(err.code, "unknown_variable");
	assert_non_null(strstr(err.message, "{{user.nam}}"));
	assert_int_equal(variables_check_used("\\{{user.nam}}", NULL, &err), 0);
}

static void declarations_are_checked(void **state)
{
	static const char *const bad[] = {"[{}]",
					  "[{\"name\":\"A\"}]",
					  "[{\"name\":\"date\"}]",
					  "[{\"name\":\"a.b\"}]",
					  "[{\"name\":\"a\"},{\"name\":\"a\"}]",
					  "[{\"name\":\"a\",\"default\":1}]",
					  "[1]"};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct error err = {0};

	assert_int_equal(
		variables_check_declared(parse(a, "[{\"name\":\"a\"},{\"name\":\"b_2\",\"default\":null}]"), &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(variables_check_declared(parse(a, bad[i]), &err) < 0);
}

static void values_of_a_conversation_are_checked(void **state)
{
	static const char config[] = "{\"variables\":[{\"name\":\"city\"},{\"name\":\"land\",\"default\":\"x\"}]}";
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct error err = {0};

	assert_int_equal(variables_check_values(a, config, parse(a, "{\"city\":\"Bonn\"}"), &err), 0);
	assert_true(variables_check_values(a, config, parse(a, "{\"land\":\"y\"}"), &err) < 0);
	assert_string_equal(err.code, "variable_missing");
	assert_true(variables_check_values(a, config, parse(a, "{\"city\":\"B\",\"other\":\"y\"}"), &err) < 0);
	assert_string_equal(err.code, "unknown_variable");
	assert_true(variables_check_values(a, config, parse(a, "{\"city\":7}"), &err) < 0);
	assert_true(variables_check_values(a, config, NULL, &err) < 0);
	assert_int_equal(variables_check_values(a, "{}", NULL, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_stands_for_its_value),
		cmocka_unit_test(a_value_is_not_looked_into_again),
		cmocka_unit_test(a_missing_value_is_told_by_name),
		cmocka_unit_test(unknown_names_are_refused_when_they_are_saved),
		cmocka_unit_test(declarations_are_checked),
		cmocka_unit_test(values_of_a_conversation_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
