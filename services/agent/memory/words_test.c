#include "agent/memory/words.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void words_become_a_query_that_nothing_in_them_can_change(void **state)
{
	static const struct {
		const char *text, *sqlite, *postgres;
	} cases[] = {
		{"", "", ""},
		{" .,; ", "", ""},
		{"Blue", "\"Blue\"*", "'Blue':*"},
		{"blue car", "\"blue\"* OR \"car\"*", "'blue':* | 'car':*"},
		{"a\" OR name:b*", "\"a\"* OR \"OR\"* OR \"name\"* OR \"b\"*", "'a':* | 'OR':* | 'name':* | 'b':*"},
		{"o'neil & !x", "\"o\"* OR \"neil\"* OR \"x\"*", "'o':* | 'neil':* | 'x':*"},
		{"Gr\xc3\xbc\xc3\x9f"
		 "e",
		 "\"Gr\xc3\xbc\xc3\x9f"
		 "e\"*",
		 "'Gr\xc3\xbc\xc3\x9f"
		 "e':*"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(buf_deinit) struct buf lite = BUF_INIT, pg = BUF_INIT;
		memory_words_query(str_of(cases[i].text), false, &lite);
		memory_words_query(str_of(cases[i].text), true, &pg);
		assert_true(str_is(buf_str(&lite), cases[i].sqlite));
		assert_true(str_is(buf_str(&pg), cases[i].postgres));
	}
}

static void many_and_long_words_are_bounded(void **state)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, out = BUF_INIT;

	for (int i = 0; i < 10000; i++)
		buf_add_char(&text, 'x');
	for (int i = 0; i < 100; i++)
		buf_printf(&text, " w%d", i);
	memory_words_query(buf_str(&text), false, &out);
	assert_true(out.n < 200);
	assert_non_null(strstr(out.p, "\"w15\"*"));
	assert_null(strstr(out.p, "\"w16\"*"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_a_query_that_nothing_in_them_can_change),
		cmocka_unit_test(many_and_long_words_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
