#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/knowledge/cite.h"

static void ids_are_looked_up_and_those_made_up_told_apart(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct cite_sources s = {0};

	cite_sources_add(&s, a,
			 "[{\"id\":\"k-00000001\",\"document\":\"a\"},{\"id\":\"k-00000002\",\"document\":\"b\"}]");
	cite_sources_add(&s, a, "[{\"id\":\"k-00000003\",\"document\":\"c\",\"page\":4}]");
	assert_string_equal(
		citations_make(a, STR("x [k-00000003] y [k-00000001, k-zzzzzzzz; k-00000003]. [k-00000003](x)"), &s),
		"[{\"id\":\"k-00000003\",\"number\":1,\"found\":true,\"document\":\"c\",\"page\":4},"
		"{\"id\":\"k-00000001\",\"number\":2,\"found\":true,\"document\":\"a\"},"
		"{\"id\":\"k-zzzzzzzz\",\"number\":null,\"found\":false}]");
}

static void what_is_no_citation_is_none(void **state)
{
	static const char *const texts[] = {"",
					    "[",
					    "[]",
					    "k-00000001",
					    "[k-0000001]",
					    "[K-00000001]",
					    "[k-00000001",
					    "[see k-00000001]",
					    "[k-00000001 and more]",
					    "[1]"};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct cite_sources s = {0};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_null(citations_make(a, str_of(texts[i]), &s));
}

static void of_many_results_the_newest_are_kept(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct cite_sources s = {0};

	for (int i = 0; i < CITE_SOURCES_MAX + 5; i++)
		cite_sources_add(&s, a, arena_printf(a, "[{\"id\":\"k-%08d\"}]", i));
	assert_non_null(strstr(citations_make(a, STR("[k-00000204]"), &s), "\"found\":true"));
	assert_non_null(strstr(citations_make(a, STR("[k-00000004]"), &s), "\"found\":false"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_looked_up_and_those_made_up_told_apart),
		cmocka_unit_test(what_is_no_citation_is_none),
		cmocka_unit_test(of_many_results_the_newest_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
