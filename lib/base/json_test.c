#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"

static struct arena *arena;

static int setup(void **state)
{
	arena = arena_new();
	return 0;
}

static int teardown(void **state)
{
	arena_free(arena);
	return 0;
}

static yyjson_val *parse(const char *s)
{
	struct error err = {0};
	yyjson_doc *doc = json_parse(arena, s, strlen(s), &err);

	if (!doc)
		fail_msg("%s: %s", s, err.message);
	return yyjson_doc_get_root(doc);
}

static void refuses(const char *s, size_t n, const char *code)
{
	struct error err = {0};

	assert_null(json_parse(arena, s, n, &err));
	assert_string_equal(err.code, code);
	assert_true(strlen(err.message) > 10);
}

#define REFUSES(s, code) refuses("" s, sizeof(s) - 1, code)

static void what_is_not_json_is_refused_with_its_place(void **state)
{
	struct error err = {0};
	const char *text = "{\n \"a\": tru }";

	REFUSES("", "json_invalid");
	REFUSES("{} x", "json_invalid");
	REFUSES("{'a':1}", "json_invalid");
	REFUSES("[1,]", "json_invalid");
	REFUSES("\"\xff\"", "json_invalid");
	REFUSES("\"\\ud800\"", "json_invalid");
	REFUSES("\"a\nb\"", "json_invalid");
	REFUSES("1e999", "json_invalid");
	REFUSES("NaN", "json_invalid");
	REFUSES("\"open", "json_invalid");
	REFUSES("\"open\\", "json_invalid");
	assert_null(json_parse(arena, text, strlen(text), &err));
	assert_non_null(strstr(err.message, "line 2, column"));
}

static void a_nul_is_refused_raw_and_escaped_in_values_and_keys(void **state)
{
	REFUSES("\"a\\u0000b\"", "json_nul");
	REFUSES("{\"a\":[\"\\u0000\"]}", "json_nul");
	REFUSES("{\"a\\u0000\":1}", "json_nul");
	REFUSES("\"a\0b\"", "json_invalid");
	REFUSES("{}\0", "json_invalid");
}

static void duplicate_keys_are_refused_however_they_are_written(void **state)
{
	REFUSES("{\"a\":1,\"b\":2,\"a\":3}", "json_duplicate_key");
	REFUSES("{\"a\":1,\"\\u0061\":2}", "json_duplicate_key");
	REFUSES("[{\"x\":{\"a\":1,\"a\":1}}]", "json_duplicate_key");
	parse("{\"a\":1,\"A\":1,\"aa\":{\"a\":1}}");
}

static void duplicates_in_a_large_object_are_found_fast(void **state)
{
	struct buf b = BUF_INIT;

	buf_add_char(&b, '{');
	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "\"key%d\":%d,", i, i);
	size_t n = b.n;
	buf_add_str(&b, "\"last\":0}");
	parse(b.p);
	b.n = n;
	buf_add_str(&b, "\"key500\":0}");
	refuses(b.p, b.n, "json_duplicate_key");
	buf_deinit(&b);
}

static void nesting_stops_at_the_limit_and_a_million_levels_do_no_harm(void **state)
{
	char ok[2 * JSON_MAX_DEPTH + 1], deep[2 * JSON_MAX_DEPTH + 3];
	size_t n = 1000000;
	char *million = xmalloc(n);

	memset(ok, '[', JSON_MAX_DEPTH);
	memset(ok + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
	ok[2 * JSON_MAX_DEPTH] = 0;
	parse(ok);
	snprintf(deep, sizeof(deep), "[%s]", ok);
	refuses(deep, strlen(deep), "json_too_deep");
	memset(million, '[', n);
	refuses(million, n, "json_too_deep");
	for (size_t i = 0; i + 5 <= n; i += 5)
		memcpy(million + i, "{\"a\":", 5);
	refuses(million, n, "json_too_deep");
	free(million);
	parse("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"");
	assert_null(json_parse_depth(arena, "[[1]]", 5, 1, NULL));
}

static void members_are_read_with_their_type_or_the_default(void **state)
{
	yyjson_val *o =
		parse("{\"s\":\"x\",\"i\":-5,\"u\":18446744073709551615,\"d\":1.5,\"b\":true,\"o\":{},\"a\":[]}");

	assert_string_equal(json_get_str(o, "s", "def"), "x");
	assert_string_equal(json_get_str(o, "i", "def"), "def");
	assert_null(json_get_str(NULL, "i", NULL));
	assert_int_equal(json_get_int(o, "i", 1), -5);
	assert_int_equal(json_get_int(o, "u", 1), 1);
	assert_int_equal(json_get_int(o, "d", 1), 1);
	assert_true(json_get_num(o, "i", 0) == -5.0 && json_get_num(o, "d", 0) == 1.5);
	assert_true(json_get_bool(o, "b", false));
	assert_true(json_get_bool(o, "s", true));
	assert_non_null(json_get_obj(o, "o"));
	assert_null(json_get_obj(o, "a"));
	assert_non_null(json_get_arr(o, "a"));
}

static const struct json_field fields[] = {
	{"name", JSON_STRING, true, 1, 5},
	{"steps", JSON_INT, false, 1, 25},
	{"tools", JSON_ARRAY, false, 0, 2},
	{"model", JSON_STRING_OR_NULL, false, 0, 0},
};

static void check_fails(const char *body, const char *message)
{
	struct error err = {0};

	assert_int_equal(json_check(parse(body), fields, ARRAY_SIZE(fields), &err), -EINVAL);
	assert_string_equal(err.code, "invalid_field");
	assert_string_equal(err.message, message);
}

static void a_body_is_checked_against_its_fields(void **state)
{
	const char *good = "{\"name\":\"abcde\",\"steps\":25,\"tools\":[1,2],\"model\":null}";

	assert_int_equal(json_check(parse(good), fields, ARRAY_SIZE(fields), NULL), 0);
	check_fails("[]", "the body must be a JSON object");
	check_fails("{}", "\"name\" is missing");
	check_fails("{\"name\":1}", "\"name\" must be a string");
	check_fails("{\"name\":null}", "\"name\" must be a string");
	check_fails("{\"name\":\"\"}", "\"name\" must not be empty");
	check_fails("{\"name\":\"abcdef\"}", "\"name\" must be at most 5 bytes long");
	check_fails("{\"name\":\"a\",\"steps\":0}", "\"steps\" must be at least 1");
	check_fails("{\"name\":\"a\",\"steps\":26}", "\"steps\" must be at most 25");
	check_fails("{\"name\":\"a\",\"steps\":1.0}", "\"steps\" must be an integer");
	check_fails("{\"name\":\"a\",\"tools\":[1,2,3]}", "\"tools\" must be at most 2 items long");
	check_fails("{\"name\":\"a\",\"model\":1}", "\"model\" must be a string or null");
	check_fails("{\"name\":\"a\",\"nome\":1}", "\"nome\" is not a known field: leave it out");
}

static void what_is_written_is_always_valid(void **state)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *o = json_new_obj(arena, &doc);

	json_add_str(doc, o, "bad", "a\xff\"");
	json_add_str(doc, o, "none", NULL);
	json_add_raw(doc, o, "raw", "{\"x\":1}");
	json_add_raw(doc, o, "empty", "");
	yyjson_mut_obj_add_real(doc, o, "nan", 0.0 / 0.0);
	struct str s = json_text(arena, doc);
	assert_string_equal(
		s.p, "{\"bad\":\"a\xef\xbf\xbd\\\"\",\"none\":null,\"raw\":{\"x\":1},\"empty\":null,\"nan\":null}");
	assert_int_equal(s.n, strlen(s.p));
	yyjson_val *v = parse(s.p);
	assert_string_equal(json_val_text(arena, json_get_obj(v, "raw")).p, "{\"x\":1}");
}

static void what_needs_an_escape_is_found_at_every_place(void **state)
{
	struct buf b = BUF_INIT;

	for (size_t n = 1; n <= 40; n++) {
		char text[48];

		memset(text, 'a', sizeof(text));
		buf_clear(&b);
		json_quote(&b, (struct str){text, n});
		assert_int_equal(b.n, n + 2);
		for (size_t i = 0; i < n; i++) {
			text[i] = '"';
			buf_clear(&b);
			json_quote(&b, (struct str){text, n});
			assert_int_equal(b.n, n + 3);
			assert_memory_equal(b.p + 1 + i, "\\\"", 2);
			text[i] = 'a';
		}
	}
	buf_deinit(&b);
}

static void a_quoted_string_reads_back_as_it_was(void **state)
{
	struct buf b = BUF_INIT;

	json_quote(&b, STR("a\"\\\n\t\x01\x7f\xc3\xa9/"));
	assert_string_equal(b.p, "\"a\\\"\\\\\\n\\t\\u0001\\u007f\xc3\xa9/\"");
	assert_string_equal(yyjson_get_str(parse(b.p)), "a\"\\\n\t\x01\x7f\xc3\xa9/");
	buf_clear(&b);
	json_quote(&b, STR("\0\xff"));
	assert_string_equal(b.p, "\"\\u0000\xef\xbf\xbd\"");
	buf_clear(&b);
	json_quote(&b, (struct str){0});
	assert_string_equal(b.p, "\"\"");
	buf_deinit(&b);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_json_is_refused_with_its_place),
		TEST(a_nul_is_refused_raw_and_escaped_in_values_and_keys),
		TEST(duplicate_keys_are_refused_however_they_are_written),
		TEST(duplicates_in_a_large_object_are_found_fast),
		TEST(nesting_stops_at_the_limit_and_a_million_levels_do_no_harm),
		TEST(members_are_read_with_their_type_or_the_default),
		TEST(a_body_is_checked_against_its_fields),
		TEST(what_is_written_is_always_valid),
		TEST(a_quoted_string_reads_back_as_it_was),
		TEST(what_needs_an_escape_is_found_at_every_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
