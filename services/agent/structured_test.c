#include "agent/structured.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const person =
	"{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"],"
	"\"additionalProperties\":false}";

static void json_is_found_where_models_put_it(void **state)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{"{\"name\":\"a\"}", "{\"name\":\"a\"}"},
		{"  {\"name\":\"a\"}\n", "{\"name\":\"a\"}"},
		{"Here it is:\n```json\n{\"name\":\"a\"}\n```\nAnything else?", "{\"name\":\"a\"}"},
		{"The answer is {\"name\":\"a\"}.", "{\"name\":\"a\"}"},
		{"{\"value\":{\"name\":\"a\"}}", "{\"name\":\"a\"}"},
		{"{\"name\":1}", NULL},
		{"{\"name\":\"a\"", NULL},
		{"I cannot.", NULL},
		{"", NULL},
		{"```", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_free_p) struct arena *a = arena_new();
		_cleanup_(buf_deinit) struct buf problems = BUF_INIT;
		yyjson_val *schema = yyjson_doc_get_root(json_parse(a, person, strlen(person), NULL));
		yyjson_val *v = structured_read(schema, str_of(cases[i].text), a, &problems);
		assert_int_equal(v != NULL, cases[i].json != NULL);
		if (v)
			assert_string_equal(json_val_text(a, v).p, cases[i].json);
		else
			assert_true(problems.n > 0);
	}
}

static void strict_is_what_openai_takes(void **state)
{
	static const struct {
		const char *schema;
		bool is_strict;
	} cases[] = {
		{"{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}", true},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"],"
		 "\"additionalProperties\":false}",
		 true},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"additionalProperties\":false}",
		 false},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}", false},
		{"{\"type\":\"array\",\"items\":{\"type\":\"string\"}}", false},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"items\":{\"type\":\"object\"}}},\"required\":[\"a\"],"
		 "\"additionalProperties\":false}",
		 false},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"oneOf\":[{}]}},\"required\":[\"a\"],"
		 "\"additionalProperties\":false}",
		 false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (structured_is_strict(cases[i].schema) != cases[i].is_strict)
			fail_msg("%s", cases[i].schema);
}

static void a_tool_wants_an_object(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	assert_string_equal(structured_as_object(a, person), person);
	assert_string_equal(
		structured_as_object(a, "{\"type\":\"string\"}"),
		"{\"type\":\"object\",\"properties\":{\"value\":{\"type\":\"string\"}},\"required\":[\"value\"]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_is_found_where_models_put_it),
		cmocka_unit_test(strict_is_what_openai_takes),
		cmocka_unit_test(a_tool_wants_an_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
