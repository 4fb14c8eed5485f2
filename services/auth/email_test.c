#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "email.h"

/* The canonical form, or "" when it is no address. */
static const char *canonical(const char *given)
{
	static char key[EMAIL_SIZE];

	return email_canonical(str_of(given), key) == 0 ? key : "";
}

static void spellings_of_one_address_are_one(void **state)
{
	assert_string_equal(canonical("  Ada@Example.ORG\t"), "ada@example.org");
	assert_string_equal(canonical("ａｄａ＠example.org"), "ada@example.org");
	assert_string_equal(canonical("stra\xc3\x9f"
				      "e@example.org"),
			    "strasse@example.org");
	assert_string_equal(canonical("e\xcc\x81ric@example.org"), "\xc3\xa9ric@example.org");
	assert_string_equal(canonical("a\xc2\xad"
				      "da@example.org"),
			    "ada@example.org");
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = {"",
					  "   ",
					  "ada",
					  "@example.org",
					  "ada@",
					  "a@b@c",
					  "a da@example.org",
					  "ada@exa\nmple.org",
					  "ada@ex\xffmple.org",
					  "ada\xef\xbc\xa0x@example.org"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_string_equal(canonical(bad[i]), "");
	assert_int_equal(email_canonical(STR("ada\0@example.org"), (char[EMAIL_SIZE]){0}), -EINVAL);
}

static void the_length_is_limited_before_and_after_folding(void **state)
{
	char text[400];

	memset(text, 'a', sizeof(text));
	memcpy(text + EMAIL_MAX - 10, "@12345.org", 11);
	assert_string_equal(canonical(text), text);
	memset(text, 'a', sizeof(text));
	memcpy(text + EMAIL_MAX - 9, "@12345.org", 11);
	assert_string_equal(canonical(text), "");
	/* One character of three bytes that unfolds to eighteen. */
	text[0] = '\0';
	for (int i = 0; i < 70; i++)
		strcat(text, "\xef\xb7\xba");
	strcat(text, "@x.org");
	assert_string_equal(canonical(text), "");
}

static void the_local_part_ends_at_the_at_sign(void **state)
{
	assert_true(str_is(email_local_part("ada@example.org"), "ada"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spellings_of_one_address_are_one),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(the_length_is_limited_before_and_after_folding),
		cmocka_unit_test(the_local_part_ends_at_the_at_sign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
