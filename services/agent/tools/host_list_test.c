#include "agent/tools/host_list.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static yyjson_val *parse(struct arena *a, const char *json)
{
	return yyjson_doc_get_root(json_parse(a, json, strlen(json), NULL));
}

static void a_pattern_covers_what_is_below_it_only(void **state)
{
	static const struct {
		const char *host;
		bool is_in;
	} cases[] = {
		{"example.org", true},         {"www.example.org", false}, {"a.example.net", true},
		{"a.b.example.net", true},     {"example.net", false},     {"evilexample.net", false},
		{"a.example.net.evil", false}, {"127.0.0.1", true},        {"", false},
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *list = parse(a, "[\"example.org\",\"*.example.net\",\"127.0.0.1\"]");

	assert_int_equal(host_list_check(list, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(host_list_has(list, cases[i].host), cases[i].is_in);
}

static void what_is_no_name_is_refused(void **state)
{
	static const char *const bad[] = {"[\"\"]",          "[1]",         "[\"*\"]",      "[\"a/b\"]",
					  "[\"https://a\"]", "[\"A.org\"]", "[\"a.*.org\"]"};
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (host_list_check(parse(a, bad[i]), NULL) == 0)
			fail_msg("%s was taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pattern_covers_what_is_below_it_only),
		cmocka_unit_test(what_is_no_name_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
