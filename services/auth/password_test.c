#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "hasher.h"
#include "password.h"

#define MIN_CHARS 15
#define EMAIL "ada.lovelace@example.org"

/* The code of the refusal, "" when the password may be chosen. */
static const char *judge(struct str password)
{
	static struct error err;
	struct buf normal = BUF_INIT;

	err = (struct error){0};
	if (password_normalise(password, &normal, &err) == 0)
		password_check(buf_str(&normal), &(struct password_rules){MIN_CHARS, EMAIL, ""}, &err);
	buf_wipe(&normal);
	return err.code;
}

static void characters_count_not_bytes(void **state)
{
	assert_string_equal(judge(STR("😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀")), "");
	assert_string_equal(judge(STR("😀😀😀😀😀😀😀😀😀😀😀😀😀😀")), "password_too_short");
	assert_string_equal(judge(STR("fourteen chars")), "password_too_short");
	assert_string_equal(judge(STR("fifteen charss!")), "");
}

static void common_ones_and_names_are_refused(void **state)
{
	const struct password_rules rules = {8, EMAIL, "Blüten & Co"};
	struct error err = {0};

	assert_string_equal(judge(STR("Password")), "password_breached");
	assert_string_equal(judge(STR("PASSWORDpassword")), "password_breached");
	assert_int_equal(password_check(STR("we grow BLÜTEN & co"), &rules, &err), -EINVAL);
	assert_string_equal(err.code, "password_guessable");
	assert_int_equal(password_check(STR("we grow tulips"), &rules, &err), 0);
}

static void there_are_no_rules_of_composition(void **state)
{
	assert_string_equal(judge(STR("correct horse battery staple")), "");
	assert_string_equal(judge(STR("                ")), "");
}

static void up_to_1024_bytes_are_taken(void **state)
{
	char text[PASSWORD_MAX_BYTES + 1];

	memset(text, 'x', sizeof(text));
	assert_string_equal(judge((struct str){text, PASSWORD_MAX_BYTES}), "");
	assert_string_equal(judge((struct str){text, PASSWORD_MAX_BYTES + 1}), "password_too_long");
}

static void one_spelling_of_unicode_is_hashed(void **state)
{
	struct buf nfc = BUF_INIT, nfd = BUF_INIT;

	assert_int_equal(password_normalise(STR("\xc3\xa9t\xc3\xa9 \xc2\xa0"), &nfc, NULL), 0);
	assert_int_equal(password_normalise(STR("e\xcc\x81te\xcc\x81  "), &nfd, NULL), 0);
	assert_true(str_eq(buf_str(&nfc), buf_str(&nfd)));
	buf_wipe(&nfc);
	buf_wipe(&nfd);
}

static void nul_control_and_broken_text_are_refused(void **state)
{
	assert_string_equal(judge(STR("abc\0defghijklmnopq")), "password_invalid");
	assert_string_equal(judge(STR("abcdefghijk\nlmnopq")), "password_invalid");
	assert_string_equal(judge(STR("abcdefghijk\xfflmnopq")), "password_invalid");
	assert_string_equal(judge(STR("unassigned \xcd\xb8 abcdefg")), "password_undefined");
}

static void what_is_easy_to_guess_is_refused(void **state)
{
	assert_string_equal(judge(STR("my name is Ada.Lovelace ok")), "password_guessable");
	assert_string_equal(judge(STR("I run OGENT at home now")), "password_guessable");
	assert_string_equal(judge(STR("i run ｏｇｅｎｔ at home now")), "password_guessable");
	assert_string_equal(judge(STR("ada.lovelace@example.org")), "password_guessable");
}

static void hashes_that_cost_too_much_are_not_computed(void **state)
{
	char stored[crypto_pwhash_STRBYTES];

	assert_int_equal(crypto_pwhash_str_alg(stored, "x", 1, 2, 8 << 20, crypto_pwhash_ALG_ARGON2ID13), 0);
	assert_true(hash_is_affordable(stored));
	assert_false(hash_is_affordable("$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaA"));
	assert_false(hash_is_affordable("$argon2id$v=19$m=65536,t=1000,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaA"));
	assert_false(hash_is_affordable("$argon2id$v=19$m=65536,t=2,p=8$c2FsdHNhbHRzYWx0c2FsdA$aGFzaA"));
	assert_false(hash_is_affordable("$2b$12$abcdefghijklmnopqrstuu"));
	assert_false(hash_is_affordable(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters_count_not_bytes),
		cmocka_unit_test(common_ones_and_names_are_refused),
		cmocka_unit_test(there_are_no_rules_of_composition),
		cmocka_unit_test(up_to_1024_bytes_are_taken),
		cmocka_unit_test(one_spelling_of_unicode_is_hashed),
		cmocka_unit_test(nul_control_and_broken_text_are_refused),
		cmocka_unit_test(what_is_easy_to_guess_is_refused),
		cmocka_unit_test(hashes_that_cost_too_much_are_not_computed),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
