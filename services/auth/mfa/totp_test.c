#include "mfa/totp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint8_t secret[TOTP_SECRET_SIZE] = "12345678901234567890";

/* RFC 6238 appendix B, the last six of its eight digits. */
static void the_codes_are_those_of_the_standard(void **state)
{
	static const struct {
		uint64_t s;
		uint32_t code;
	} vectors[] = {{59, 287082},       {1111111109, 81804},  {1111111111, 50471},
		       {1234567890, 5924}, {2000000000, 279037}, {20000000000, 353130}};

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		assert_int_equal(totp_code(secret, vectors[i].s / TOTP_STEP_S), vectors[i].code);
}

static bool matches(const char *code, uint64_t now_s, uint64_t used)
{
	uint64_t step;

	return totp_matches(secret, str_of(code), (int64_t)now_s * 1000000, used, &step);
}

static void a_code_is_good_for_its_step_and_the_next_to_it(void **state)
{
	assert_true(matches("050471", 1111111111, 0));
	assert_true(matches("050471", 1111111111 + 30, 0));
	assert_true(matches("050471", 1111111111 - 30, 0));
	assert_false(matches("050471", 1111111111 + 60, 0));
	assert_false(matches("050471", 1111111111 - 60, 0));
}

static void a_step_that_was_used_is_not_good_again(void **state)
{
	assert_true(matches("050471", 1111111111, 1111111111 / 30 - 1));
	assert_false(matches("050471", 1111111111, 1111111111 / 30));
}

static void what_is_no_code_is_not_one(void **state)
{
	static const char *const bad[] = {"", "50471", " 050471", "0504711", "05047x", "-50471", "+50471", "0x50471"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(matches(bad[i], 1111111111, 0));
}

static void the_address_names_issuer_and_account(void **state)
{
	struct buf uri = BUF_INIT;

	totp_uri(secret, STR("Ogent at home"), STR("ada@example.org"), &uri);
	assert_string_equal(uri.p, "otpauth://totp/Ogent%20at%20home:ada%40example.org?secret="
				   "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Ogent%20at%20home");
	buf_clear(&uri);
	base32_encode(&uri, "foob", 4);
	assert_string_equal(uri.p, "MZXW6YQ");
	buf_deinit(&uri);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_codes_are_those_of_the_standard),
		cmocka_unit_test(a_code_is_good_for_its_step_and_the_next_to_it),
		cmocka_unit_test(a_step_that_was_used_is_not_good_again),
		cmocka_unit_test(what_is_no_code_is_not_one),
		cmocka_unit_test(the_address_names_issuer_and_account),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
