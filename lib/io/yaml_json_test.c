#include "io/yaml_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"

static void scalars_mean_what_the_core_schema_says(void **state)
{
	static const struct {
		const char *yaml, *json;
	} cases[] = {
		{"a: no", "{\"a\":\"no\"}"},
		{"a: true", "{\"a\":true}"},
		{"a: 'true'", "{\"a\":\"true\"}"},
		{"a:", "{\"a\":null}"},
		{"a: ~", "{\"a\":null}"},
		{"a: 007", "{\"a\":7}"},
		{"a: -0", "{\"a\":0}"},
		{"a: +12", "{\"a\":12}"},
		{"a: 1.50", "{\"a\":1.5}"},
		{"a: .5", "{\"a\":0.5}"},
		{"a: 1e3", "{\"a\":1000}"},
		{"a: 1.2.3", "{\"a\":\"1.2.3\"}"},
		{"a: .inf", "{\"a\":\".inf\"}"},
		{"a: 1e999", "{\"a\":\"1e999\"}"},
		{"a: 2020-01-02", "{\"a\":\"2020-01-02\"}"},
		{"200: {description: ok}", "{\"200\":{\"description\":\"ok\"}}"},
		{"- 1\n- [a, {b: c}]\n", "[1,[\"a\",{\"b\":\"c\"}]]"},
		{"a: |\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\"}"},
		{"a: >\n  one\n  two\n", "{\"a\":\"one two\\n\"}"},
		{"x: &x {b: 1}\ny: *x", "{\"x\":{\"b\":1},\"y\":{\"b\":1}}"},
		{"# only\na: \"q\\\"\\u00e9\"", "{\"a\":\"q\\\"\u00e9\"}"},
		{"{\"a\": [1, 2.5]}", "{\"a\":[1,2.5]}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(buf_deinit) struct buf out = BUF_INIT;
		struct error err = {0};

		assert_int_equal(yaml_to_json(str_of(cases[i].yaml), 1000, &out, &err), 0);
		assert_string_equal(out.p, cases[i].json);
	}
}

static void refuses(const char *yaml, const char *why)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct error err = {0};

	assert_true(yaml_to_json(str_of(yaml), 100000, &out, &err) < 0);
	assert_string_equal(err.code, "yaml_invalid");
	if (!strstr(err.message, why))
		fail_msg("%s", err.message);
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
	refuses("", "empty");
	refuses("a: b\n c: [", "line 2");
	refuses("a: *nowhere", "line 1");
	refuses("? [a]\n: b", "no text");
	refuses("a: \"\x01\"", "line");
	refuses("a: \xff", "");
	refuses("a: &a [*a]", "within itself");
}

static void an_alias_does_not_make_it_large(void **state)
{
	_cleanup_(buf_deinit) struct buf yaml = BUF_INIT;

	buf_add_str(&yaml, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 12; i++)
		buf_printf(&yaml, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
			   i - 1, i - 1, i - 1, i - 1, i - 1);
	refuses(yaml.p, "too large");
}

static void nesting_is_bounded(void **state)
{
	_cleanup_(buf_deinit) struct buf yaml = BUF_INIT;

	for (int i = 0; i < 500000; i++)
		buf_add_char(&yaml, '[');
	refuses(yaml.p, "too deeply");
	buf_clear(&yaml);
	for (int i = 0; i < 500000; i++)
		buf_add_str(&yaml, "- ");
	refuses(yaml.p, "too deeply");
	buf_clear(&yaml);
	for (int i = 0; i < 200000; i++)
		buf_printf(&yaml, "- &a%d x\n", i);
	refuses(yaml.p, "too many anchors");
	buf_clear(&yaml);
	for (int i = 0; i < 500000; i++)
		buf_add_str(&yaml, "? ");
	refuses(yaml.p, "too deeply");
	buf_clear(&yaml);
	for (int i = 0; i < 300; i++)
		buf_printf(&yaml, "%*sa:\n", i, "");
	refuses(yaml.p, "too deeply");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_mean_what_the_core_schema_says),
		cmocka_unit_test(what_is_wrong_is_told_with_its_line),
		cmocka_unit_test(an_alias_does_not_make_it_large),
		cmocka_unit_test(nesting_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
