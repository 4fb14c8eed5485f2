#include "io/signature.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/encode.h"

static struct arena *arena;

static int set_up(void **state)
{
	arena = arena_new();
	return sodium_init() < 0;
}

static int tear_down(void **state)
{
	arena_free(arena);
	return 0;
}

static struct signature_key *from_text(const char *jwk, struct error *err)
{
	return signature_key_from_jwk(yyjson_doc_get_root(json_parse(arena, jwk, strlen(jwk), NULL)), err);
}

static struct buf decoded(const char *text)
{
	struct buf b = BUF_INIT;

	buf_reserve(&b, strlen(text));
	b.n = (size_t)base64url_decode(str_of(text), b.p, strlen(text));
	return b;
}

/* The key as somebody else knows it. */
static struct signature_key *public_of(const struct signature_key *pair)
{
	struct buf jwk = BUF_INIT;
	struct error err = {0};
	struct signature_key *key;

	buf_add_char(&jwk, '{');
	signature_key_add_jwk(pair, &jwk);
	buf_add_char(&jwk, '}');
	key = from_text(jwk.p, &err);
	assert_non_null(key);
	buf_deinit(&jwk);
	return key;
}

static struct signature_key *saved_and_loaded(struct signature_key *pair)
{
	struct buf der = BUF_INIT;
	struct error err = {0};
	struct signature_key *again;

	signature_key_export(pair, &der);
	again = signature_key_import(signature_key_alg(pair), buf_str(&der), &err);
	assert_non_null(again);
	der.p[der.n / 2] ^= 1;
	signature_key_free(signature_key_import(signature_key_alg(pair), (struct str){der.p, der.n - 1}, &err));
	signature_key_free(pair);
	buf_deinit(&der);
	return again;
}

static void what_a_pair_signs_its_public_key_verifies_and_nothing_else(void **state)
{
	for (int alg = SIGNATURE_EDDSA; alg <= SIGNATURE_RS256; alg++) {
		struct error err = {0};
		struct signature_key *pair = saved_and_loaded(signature_key_generate(alg, &err));
		struct signature_key *key = public_of(pair);
		struct buf sig = BUF_INIT;

		assert_int_equal(signature_make(pair, STR("data"), &sig), 0);
		assert_int_equal(sig.n, alg == SIGNATURE_RS256 ? 256 : 64);
		assert_true(signature_verify(key, STR("data"), buf_str(&sig)));
		assert_false(signature_verify(key, STR("date"), buf_str(&sig)));
		assert_false(signature_verify(key, STR("data"), (struct str){sig.p, sig.n - 1}));
		assert_false(signature_verify(key, STR("data"), (struct str){sig.p, 0}));
		for (size_t i = 0; i < sig.n; i += 7) {
			sig.p[i] ^= 4;
			assert_false(signature_verify(key, STR("data"), buf_str(&sig)));
			sig.p[i] ^= 4;
		}
		memset(sig.p, 0, sig.n);
		assert_false(signature_verify(key, STR("data"), buf_str(&sig)));
		buf_deinit(&sig);
		signature_key_free(key);
		signature_key_free(pair);
	}
}

/* RFC 8037 appendix A.4, RFC 7515 appendices A.3 and A.2. */
static void the_examples_of_the_standards_verify(void **state)
{
	static const struct {
		const char *jwk, *data, *signature;
	} examples[] = {
		{"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
		 "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
		 "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
		{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		 "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
		 "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc1"
		 "9yb290Ijp0cnVlfQ",
		 "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
		{"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmf"
		 "HQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0"
		 "LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4L"
		 "T6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}",
		 "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc1"
		 "9yb290Ijp0cnVlfQ",
		 "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds"
		 "9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZR"
		 "mB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs9"
		 "8rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		struct error err = {0};
		struct signature_key *key = from_text(examples[i].jwk, &err);
		struct buf sig = decoded(examples[i].signature);

		assert_non_null(key);
		assert_true(signature_verify(key, str_of(examples[i].data), buf_str(&sig)));
		buf_deinit(&sig);
		signature_key_free(key);
	}
}

/* The same signature in DER, as authenticators give it, is not one of JWS, and the other way round. */
static void der_is_for_those_who_ask_for_it(void **state)
{
	struct error err = {0};
	struct signature_key *key =
		from_text("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
			  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
			  &err);
	struct buf raw =
		decoded("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
	struct buf der = BUF_INIT;
	struct str data = STR("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
			      "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ");

	buf_add(&der, "\x30\x45\x02\x20", 4);
	buf_add(&der, raw.p, 32);
	buf_add(&der, "\x02\x21\0", 3);
	buf_add(&der, raw.p + 32, 32);
	assert_true(signature_verify_der(key, data, buf_str(&der)));
	assert_false(signature_verify(key, data, buf_str(&der)));
	assert_false(signature_verify_der(key, data, buf_str(&raw)));
	buf_deinit(&raw);
	buf_deinit(&der);
	signature_key_free(key);
}

static void bad_keys_are_refused_when_they_are_read(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{\"kty\":\"oct\",\"k\":\"AAAA\"}",
		"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
		/* of small order */
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
		/* with its secret part, for another use, of another algorithm */
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"d\":"
		"\"AA\"}",
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"use\":"
		"\"enc\"}",
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"alg\":"
		"\"ES256\"}",
		/* off the curve */
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
		/* 1,024 bits; e = 1 */
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
		"wWJcyQoTbji9k0l8W26mPddxHmfHQp-"
		"Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
		"bSf63k\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQ\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
		"wWJcyQoTbji9k0l8W26mPddxHmfHQp-Va"
		"w-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bS"
		"f63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5Ih"
		"lJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = {0};
		struct signature_key *key = from_text(bad[i], &err);

		if (key)
			print_error("accepted: %s\n", bad[i]);
		assert_null(key);
		assert_string_not_equal(err.message, "");
	}
}

static void algorithms_have_their_names(void **state)
{
	enum signature_alg alg;

	assert_int_equal(signature_alg_parse(STR("Ed25519"), &alg), 0);
	assert_int_equal(alg, SIGNATURE_EDDSA);
	assert_int_equal(signature_alg_parse(STR("RS256"), &alg), 0);
	assert_string_equal(signature_alg_name(alg), "RS256");
	assert_int_equal(signature_alg_parse(STR("none"), &alg), -EINVAL);
	assert_int_equal(signature_alg_parse(STR("HS256"), &alg), -EINVAL);
	assert_int_equal(signature_alg_parse(STR("eddsa"), &alg), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_pair_signs_its_public_key_verifies_and_nothing_else),
		cmocka_unit_test(the_examples_of_the_standards_verify),
		cmocka_unit_test(der_is_for_those_who_ask_for_it),
		cmocka_unit_test(bad_keys_are_refused_when_they_are_read),
		cmocka_unit_test(algorithms_have_their_names),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
