#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/knowledge/multipart.h"

#define TYPE "multipart/form-data; boundary=\"b-1\""
#define PART(head, body) "--b-1\r\n" head "\r\n\r\n" body "\r\n"
#define FILE_HEAD \
	"Content-Disposition: form-data; name=\"file\"; filename=\"../dir/a b.txt\"\r\nContent-Type: text/plain"

static int read_it(struct arena *a, const char *type, const char *body, struct multipart_file *f)
{
	struct error err = {0};

	*f = (struct multipart_file){0};
	return multipart_read(a, str_of(type), str_of(body), f, &err);
}

static void the_one_file_is_found_with_its_name_and_type(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct multipart_file f;

	assert_int_equal(read_it(a, TYPE,
				 PART("Content-Disposition: form-data; name=\"x\"", "1")
					 PART(FILE_HEAD, "he\r\nllo\r\n--b-2") "--b-1--\r\n",
				 &f),
			 0);
	assert_true(str_is(f.bytes, "he\r\nllo\r\n--b-2"));
	assert_string_equal(f.name, "a b.txt");
	assert_string_equal(f.type, "text/plain");
	assert_int_equal(
		read_it(a, "multipart/form-data;boundary=b-1", "preamble\r\n" PART(FILE_HEAD, "") "--b-1--", &f), 0);
	assert_int_equal(f.bytes.n, 0);
}

static void what_is_broken_is_refused(void **state)
{
	static const struct {
		const char *type, *body;
	} rows[] = {
		{"multipart/form-data", PART(FILE_HEAD, "x") "--b-1--"},
		{"multipart/form-data; boundary=", PART(FILE_HEAD, "x") "--b-1--"},
		{TYPE, ""},
		{TYPE, "no boundary in it"},
		{TYPE, PART(FILE_HEAD, "x")},
		{TYPE, "--b-1\r\n" FILE_HEAD},
		{TYPE, PART("Content-Disposition: form-data; name=\"x\"", "1") "--b-1--"},
		{TYPE, PART(FILE_HEAD, "x") PART(FILE_HEAD, "y") "--b-1--"},
		{TYPE, "--b-1--"},
		{TYPE, "--b-1"},
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct multipart_file f;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_true(read_it(a, rows[i].type, rows[i].body, &f) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_one_file_is_found_with_its_name_and_type),
		cmocka_unit_test(what_is_broken_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
