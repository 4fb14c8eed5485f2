#include "mfa/webauthn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/encode.h"
#include "mfa/cbor.h"

/* A small authenticator with one key of Ed25519. */
struct authenticator {
	uint8_t public[32], secret[64], challenge[WEBAUTHN_CHALLENGE_SIZE];
	struct webauthn_request request;
	struct buf client, data, object, signature, cose;
	struct error err;
};

static struct authenticator *begin(const char *type, const char *origin, const char *more)
{
	struct authenticator *t = test_calloc(1, sizeof(*t));

	if (sodium_init() < 0)
		abort();
	crypto_sign_keypair(t->public, t->secret);
	randombytes_buf(t->challenge, sizeof(t->challenge));
	t->request = (struct webauthn_request){"example.org", "https://example.org", t->challenge, true};
	buf_printf(&t->client, "{\"type\":\"%s\",\"challenge\":\"", type);
	base64url_encode(&t->client, t->challenge, sizeof(t->challenge));
	buf_printf(&t->client, "\",\"origin\":\"%s\"%s}", origin, more);
	buf_add(&t->cose, "\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20", 10);
	buf_add(&t->cose, t->public, sizeof(t->public));
	return t;
}

static void end(struct authenticator *t)
{
	struct buf *all[] = {&t->client, &t->data, &t->object, &t->signature, &t->cose};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		buf_deinit(all[i]);
	test_free(t);
}

static void say_data(struct authenticator *t, const char *site, uint8_t flags, uint32_t count)
{
	uint8_t hash[SHA256_SIZE];

	sha256(site, strlen(site), hash);
	buf_add(&t->data, hash, sizeof(hash));
	buf_add_char(&t->data, (char)flags);
	buf_add(&t->data, (char[]){(char)(count >> 24), (char)(count >> 16), (char)(count >> 8), (char)count}, 4);
	if (flags & 0x40) {
		buf_add(&t->data, "0123456789abcdef\0\4mine", 22);
		buf_add(&t->data, t->cose.p, t->cose.n);
	}
}

static void sign(struct authenticator *t)
{
	struct buf signed_data = BUF_INIT;
	uint8_t hash[SHA256_SIZE], sig[64];

	sha256(t->client.p, t->client.n, hash);
	buf_add(&signed_data, t->data.p, t->data.n);
	buf_add(&signed_data, hash, sizeof(hash));
	crypto_sign_detached(sig, NULL, (const uint8_t *)signed_data.p, signed_data.n, t->secret);
	buf_clear(&t->signature);
	buf_add(&t->signature, sig, sizeof(sig));
	buf_deinit(&signed_data);
}

static void wrap(struct authenticator *t, bool is_packed)
{
	buf_add(&t->object,
		"\xa3\x63"
		"fmt",
		5);
	if (is_packed) {
		buf_add(&t->object,
			"\x66packed\x67"
			"attStmt\xa2\x63"
			"alg\x27\x63sig\x58\x40",
			27);
		buf_add(&t->object, t->signature.p, t->signature.n);
	} else {
		buf_add(&t->object,
			"\x64none\x67"
			"attStmt\xa0",
			14);
	}
	buf_add(&t->object,
		"\x68"
		"authData\x58",
		10);
	buf_add_char(&t->object, (char)t->data.n);
	buf_add(&t->object, t->data.p, t->data.n);
}

static int register_it(struct authenticator *t, struct webauthn_credential *ret)
{
	return webauthn_read_new(&t->request, buf_str(&t->client), buf_str(&t->object), ret, &t->err);
}

static int check_it(struct authenticator *t, uint32_t count)
{
	uint32_t now;

	return webauthn_check(&t->request, buf_str(&t->cose), count, buf_str(&t->client), buf_str(&t->data),
			      buf_str(&t->signature), &now, &t->err);
}

static void a_new_passkey_is_read(void **state)
{
	for (int is_packed = 0; is_packed < 2; is_packed++) {
		struct authenticator *t = begin("webauthn.create", "https://example.org", "");
		struct webauthn_credential c;

		say_data(t, "example.org", 0x5d, 7);
		sign(t);
		wrap(t, is_packed);
		assert_int_equal(register_it(t, &c), 0);
		assert_true(str_is(c.id, "mine"));
		assert_int_equal(c.key.n, t->cose.n);
		assert_memory_equal(c.key.p, t->cose.p, c.key.n);
		assert_memory_equal(c.aaguid, "0123456789abcdef", 16);
		assert_int_equal(c.count, 7);
		assert_true(c.is_backed_up);
		end(t);
	}
}

/* Everything that is asked of a new passkey, wrong one at a time. */
static void a_new_passkey_for_something_else_is_refused(void **state)
{
	static const struct {
		const char *type, *origin, *more, *site;
		uint8_t flags;
	} wrong[] = {
		{"webauthn.get", "https://example.org", "", "example.org", 0x45},
		{"webauthn.create", "https://example.org.evil", "", "example.org", 0x45},
		{"webauthn.create", "http://example.org", "", "example.org", 0x45},
		{"webauthn.create", "https://example.org", ",\"crossOrigin\":true", "example.org", 0x45},
		{"webauthn.create", "https://example.org", ",\"type\":\"webauthn.create\"", "example.org", 0x45},
		{"webauthn.create", "https://example.org", "", "www.example.org", 0x45},
		{"webauthn.create", "https://example.org", "", "example.org", 0x44}, /* nobody there */
		{"webauthn.create", "https://example.org", "", "example.org", 0x41}, /* not verified */
		{"webauthn.create", "https://example.org", "", "example.org", 0x55}, /* a copy that cannot be */
		{"webauthn.create", "https://example.org", "", "example.org", 0x05}, /* no credential */
		{"webauthn.create", "https://example.org", "", "example.org", 0xc5}, /* extensions that are not there */
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct authenticator *t = begin(wrong[i].type, wrong[i].origin, wrong[i].more);
		struct webauthn_credential c;

		say_data(t, wrong[i].site, wrong[i].flags, 0);
		wrap(t, false);
		assert_int_equal(register_it(t, &c), -EINVAL);
		assert_string_equal(t->err.code, "webauthn_invalid");
		end(t);
	}
}

static void another_challenge_and_a_foreign_attestation_are_refused(void **state)
{
	struct authenticator *t = begin("webauthn.create", "https://example.org", "");
	struct webauthn_credential c;

	say_data(t, "example.org", 0x45, 0);
	sign(t);
	t->signature.p[5] ^= 1;
	wrap(t, true);
	assert_int_equal(register_it(t, &c), -EINVAL);
	buf_clear(&t->object);
	wrap(t, false);
	assert_int_equal(register_it(t, &c), 0);
	t->challenge[0] ^= 1;
	assert_int_equal(register_it(t, &c), -EINVAL);
	t->challenge[0] ^= 1;
	buf_add_char(&t->object, 0);
	assert_int_equal(register_it(t, &c), -EINVAL);
	end(t);
}

static void every_byte_of_an_assertion_counts(void **state)
{
	struct authenticator *t = begin("webauthn.get", "https://example.org", "");

	say_data(t, "example.org", 0x05, 8);
	sign(t);
	assert_int_equal(check_it(t, 7), 0);
	for (size_t i = 0; i < t->data.n; i++) {
		t->data.p[i] ^= 16;
		assert_int_equal(check_it(t, 7), -EINVAL);
		t->data.p[i] ^= 16;
	}
	for (size_t i = 0; i < t->signature.n; i++) {
		t->signature.p[i] ^= 1;
		assert_int_equal(check_it(t, 7), -EINVAL);
		t->signature.p[i] ^= 1;
	}
	t->client.p[t->client.n - 1] = ' ';
	assert_int_equal(check_it(t, 7), -EINVAL);
	end(t);
}

static void a_counter_that_does_not_rise_tells_of_a_copy(void **state)
{
	struct authenticator *t = begin("webauthn.get", "https://example.org", "");

	say_data(t, "example.org", 0x05, 8);
	sign(t);
	assert_int_equal(check_it(t, 8), -EINVAL);
	assert_string_equal(t->err.code, "webauthn_copied");
	end(t);
	t = begin("webauthn.get", "https://example.org", "");
	say_data(t, "example.org", 0x05, 0);
	sign(t);
	assert_int_equal(check_it(t, 0), 0);
	assert_int_equal(check_it(t, 1), -EINVAL);
	end(t);
}

static void who_was_not_verified_may_be_enough_when_nobody_asks(void **state)
{
	struct authenticator *t = begin("webauthn.get", "https://example.org", "");

	say_data(t, "example.org", 0x01, 0);
	sign(t);
	assert_int_equal(check_it(t, 0), -EINVAL);
	t->request.needs_verified_user = false;
	assert_int_equal(check_it(t, 0), 0);
	end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_passkey_is_read),
		cmocka_unit_test(a_new_passkey_for_something_else_is_refused),
		cmocka_unit_test(another_challenge_and_a_foreign_attestation_are_refused),
		cmocka_unit_test(every_byte_of_an_assertion_counts),
		cmocka_unit_test(a_counter_that_does_not_rise_tells_of_a_copy),
		cmocka_unit_test(who_was_not_verified_may_be_enough_when_nobody_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
