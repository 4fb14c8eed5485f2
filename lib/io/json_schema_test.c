#include "io/json_schema.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "io/pattern.h"

static yyjson_val *parse(struct arena *a, const char *json)
{
	yyjson_doc *doc = json_parse(a, json, strlen(json), NULL);

	assert_non_null(doc);
	return yyjson_doc_get_root(doc);
}

static void what_does_not_fit_is_named_with_its_place(void **state)
{
	static const struct {
		const char *schema, *value, *problems; /* NULL: it fits */
	} cases[] = {
		{"true", "1", NULL},
		{"false", "1", "/: is not allowed here\n"},
		{"{}", "[1]", NULL},
		{"{\"type\":\"integer\"}", "1.0", NULL},
		{"{\"type\":\"integer\"}", "1.5", "/: must be of the type integer\n"},
		{"{\"type\":[\"string\",\"null\"]}", "1", "/: is of another type than those allowed\n"},
		{"{\"enum\":[\"a\",1]}", "1.0", NULL},
		{"{\"enum\":[\"a\",1]}", "\"b\"", "/: must be one of [\"a\",1]\n"},
		{"{\"const\":{\"a\":[1,2]}}", "{\"a\":[1,2.0]}", NULL},
		{"{\"const\":\"x\"}", "\"y\"", "/: must be \"x\"\n"},
		{"{\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"b\"],\"additionalProperties\":false}",
		 "{\"a\":1,\"c\":2}",
		 "/: must have the member \"b\"\n/a: must be of the type string\n/c: is not allowed here\n"},
		{"{\"items\":{\"minimum\":2}}", "[3,1]", "/1: must not be less than 2\n"},
		{"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"integer\"}}", "[1,\"a\"]",
		 "/0: must be of the type string\n/1: must be of the type integer\n"},
		{"{\"minLength\":2,\"maxLength\":3}", "\"\xe2\x82\xac\"", "/: must have at least 2 characters\n"},
		{"{\"minLength\":2,\"maxLength\":3}", "\"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\"", NULL},
		{"{\"pattern\":\"^a+$\"}", "\"aab\"", "/: must match the pattern ^a+$\n"},
		{"{\"pattern\":\"^a$\"}", "\"a\\n\"", "/: must match the pattern ^a$\n"},
		{"{\"exclusiveMinimum\":0,\"multipleOf\":0.01}", "0.07", NULL},
		{"{\"exclusiveMinimum\":0}", "0", "/: must be more than 0\n"},
		{"{\"multipleOf\":0.1}", "0.25", "/: must be a multiple of 0.1\n"},
		{"{\"uniqueItems\":true}", "[1,2,1.0]", "/: must have no two items that are the same: 0 and 2 are\n"},
		{"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "1",
		 "/: fits none of the 2 forms that it may have (anyOf)\n"},
		{"{\"oneOf\":[{\"minimum\":1},{\"minimum\":2}]}", "3",
		 "/: fits 2 of the forms of which it must have exactly one (oneOf)\n"},
		{"{\"not\":{\"type\":\"null\"}}", "null", "/: has the form that it must not have (not)\n"},
		{"{\"if\":{\"type\":\"string\"},\"then\":{\"minLength\":1},\"else\":{\"minimum\":1}}", "0",
		 "/: must not be less than 1\n"},
		{"{\"$ref\":\"#/$defs/a~1b\",\"$defs\":{\"a/b\":{\"type\":\"string\"}}}", "1",
		 "/: must be of the type string\n"},
		{"{\"properties\":{\"n\":{\"$ref\":\"#\"}},\"additionalProperties\":false}",
		 "{\"n\":{\"n\":{\"a/~\":1}}}", "/n/n/a~1~0: is not allowed here\n"},
		{"{\"propertyNames\":{\"pattern\":\"^x\"}}", "{\"y\":1}", "/y: must match the pattern ^x\n"},
		{"{\"contains\":{\"const\":1},\"maxContains\":1}", "[1,1]",
		 "/: has 2 of the items that it must contain\n"},
		{"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", "/: must have the member \"b\"\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_free_p) struct arena *a = arena_new();
		_cleanup_(buf_deinit) struct buf problems = BUF_INIT;
		yyjson_val *schema = parse(a, cases[i].schema);
		assert_int_equal(json_schema_check(schema, NULL), 0);
		bool fits = json_schema_fits(schema, parse(a, cases[i].value), &problems);
		if (fits != !cases[i].problems)
			fail_msg("%s for %s", cases[i].schema, cases[i].value);
		if (!fits)
			assert_string_equal(problems.p, cases[i].problems);
		else
			assert_int_equal(problems.n, 0);
	}
}

static void what_is_no_schema_of_ours_is_refused(void **state)
{
	static const char *const bad[] = {
		"1",
		"[]",
		"{\"type\":\"text\"}",
		"{\"type\":[]}",
		"{\"properties\":[]}",
		"{\"properties\":{\"a\":1}}",
		"{\"required\":\"a\"}",
		"{\"minLength\":-1}",
		"{\"minLength\":1.5}",
		"{\"multipleOf\":0}",
		"{\"pattern\":\"(\"}",
		"{\"anyOf\":[]}",
		"{\"$ref\":\"#/$defs/none\"}",
		"{\"$ref\":\"https://example.org/schema\"}",
		"{\"$ref\":\"other.json\"}",
		"{\"unevaluatedProperties\":false}",
		"{\"items\":{\"not\":{\"enum\":1}}}",
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = {0};
		if (json_schema_check(parse(a, bad[i]), &err) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_string_equal(err.code, "schema_invalid");
	}
}

static void work_without_end_is_cut_off(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, problems = BUF_INIT;

	/* A loop of references, a tree that doubles with each level, and a pattern that goes back and forth. */
	assert_false(json_schema_fits(parse(a, "{\"$ref\":\"#\"}"), parse(a, "1"), &problems));
	assert_non_null(strstr(problems.p, "too much"));
	buf_add_str(&text, "{\"$defs\":{\"l0\":{\"type\":\"string\"}");
	for (int i = 1; i < 40; i++)
		buf_printf(&text, ",\"l%d\":{\"allOf\":[{\"$ref\":\"#/$defs/l%d\"},{\"$ref\":\"#/$defs/l%d\"}]}", i,
			   i - 1, i - 1);
	buf_add_str(&text, "},\"$ref\":\"#/$defs/l39\"}");
	assert_false(json_schema_fits(parse(a, text.p), parse(a, "\"x\""), NULL));
	assert_false(pattern_matches("^(a+)+$", STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab")));
	/* The many wrong ones are told in part. */
	buf_clear(&problems);
	assert_false(json_schema_fits(parse(a, "{\"items\":{\"type\":\"string\"}}"),
				      parse(a, "[1,2,3,4,5,6,7,8,9,10,11,12]"), &problems));
	assert_null(strstr(problems.p, "/8:"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_fit_is_named_with_its_place),
		cmocka_unit_test(what_is_no_schema_of_ours_is_refused),
		cmocka_unit_test(work_without_end_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
