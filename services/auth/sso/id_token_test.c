#include "sso/id_token.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/encode.h"

#define NOW 1700000000
#define GOOD_HEADER "{\"alg\":\"EdDSA\",\"kid\":\"one\"}"
#define GOOD_CLAIMS                                                                                            \
	"{\"iss\":\"https://id.example\",\"sub\":\"s1\",\"aud\":\"me\",\"exp\":1700000300,\"iat\":1700000000," \
	"\"nonce\":\"n\",\"email\":\"a@b.example\",\"email_verified\":true,\"amr\":[\"pwd\",\"otp\"]}"

struct state {
	struct arena *a;
	struct signature_key *pair;
	struct provider_keys keys;
};

static int set_up(void **state)
{
	struct state *s = calloc(1, sizeof(*s));
	struct buf jwks = BUF_INIT;

	s->a = arena_new();
	s->pair = signature_key_generate(SIGNATURE_EDDSA, NULL);
	buf_add_str(&jwks, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":\"secret\"},{\"kid\":\"one\",");
	signature_key_add_jwk(s->pair, &jwks);
	buf_add_str(&jwks, "}]}");
	assert_int_equal(provider_keys_read(buf_str(&jwks), &s->keys, NULL), 0);
	assert_int_equal(s->keys.n, 1);
	buf_deinit(&jwks);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct state *s = *state;

	provider_keys_deinit(&s->keys);
	signature_key_free(s->pair);
	arena_free(s->a);
	free(s);
	return 0;
}

static enum id_token_result check(struct state *s, const char *header, const char *claims, struct id_token *ret)
{
	static const struct id_token_request q = {
		.issuer = "https://id.example", .client_id = "me", .nonce = "n", .now = NOW, .access_token = "at"};
	struct buf text = BUF_INIT, signature = BUF_INIT;
	enum id_token_result r;
	struct error err = {0};

	base64url_encode(&text, header, strlen(header));
	buf_add_char(&text, '.');
	base64url_encode(&text, claims, strlen(claims));
	assert_int_equal(signature_make(s->pair, buf_str(&text), &signature), 0);
	buf_add_char(&text, '.');
	base64url_encode(&text, signature.p, signature.n);
	r = id_token_check(s->a, buf_str(&text), &q, &s->keys, ret, &err);
	assert_int_equal(r == ID_TOKEN_GOOD, err.code[0] == 0);
	buf_deinit(&text);
	buf_deinit(&signature);
	return r;
}

static void a_good_token_says_who_signed_in(void **state)
{
	struct id_token t;

	assert_int_equal(check(*state, GOOD_HEADER, GOOD_CLAIMS, &t), ID_TOKEN_GOOD);
	assert_string_equal(t.subject, "s1");
	assert_string_equal(t.email, "a@b.example");
	assert_true(t.is_email_verified);
	assert_true(t.has_second_factor);
}

static void what_is_said_in_the_header_is_not_believed(void **state)
{
	static const char *const bad[] = {
		"{\"alg\":\"none\"}",
		"{\"alg\":\"None\",\"kid\":\"one\"}",
		"{\"alg\":\"HS256\",\"kid\":\"one\"}",
		"{\"alg\":\"PS256\",\"kid\":\"one\"}",
		"{\"kid\":\"one\"}",
		"{\"alg\":\"EdDSA\",\"kid\":\"one\",\"crit\":[\"b64\"],\"b64\":false}",
		"{\"alg\":\"EdDSA\",\"kid\":\"one\",\"jku\":\"https://evil.example\"}",
		"{\"alg\":\"EdDSA\",\"kid\":\"one\",\"jwk\":{}}",
		"{\"alg\":\"EdDSA\",\"kid\":\"one\",\"x5u\":\"https://evil.example\"}",
		"{\"alg\":\"EdDSA\",\"kid\":\"one\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"EdDSA\",\"kid\":\"one\",\"typ\":\"logout+jwt\"}",
		"{\"alg\":\"EdDSA\",\"kid\":7}",
		"{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\",\"kid\":\"one\"}",
	};
	struct id_token t;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (check(*state, bad[i], GOOD_CLAIMS, &t) != ID_TOKEN_BAD)
			fail_msg("taken: %s", bad[i]);
	/* Another key, or another algorithm's, may be new: the set is read again. */
	assert_int_equal(check(*state, "{\"alg\":\"EdDSA\",\"kid\":\"two\"}", GOOD_CLAIMS, &t), ID_TOKEN_UNKNOWN_KEY);
	assert_int_equal(check(*state, "{\"alg\":\"RS256\",\"kid\":\"one\"}", GOOD_CLAIMS, &t), ID_TOKEN_UNKNOWN_KEY);
	assert_int_equal(check(*state, "{\"alg\":\"EdDSA\"}", GOOD_CLAIMS, &t), ID_TOKEN_GOOD);
	assert_int_equal(check(*state, "{\"alg\":\"Ed25519\",\"kid\":\"one\",\"typ\":\"JWT\"}", GOOD_CLAIMS, &t),
			 ID_TOKEN_GOOD);
}

/* GOOD_CLAIMS with one member replaced or added. */
static enum id_token_result with(struct state *s, const char *member, const char *json)
{
	yyjson_doc *doc = json_parse(s->a, GOOD_CLAIMS, strlen(GOOD_CLAIMS), NULL);
	yyjson_mut_doc *copy = yyjson_doc_mut_copy(doc, NULL);
	yyjson_mut_val *root = yyjson_mut_doc_get_root(copy);
	enum id_token_result r;
	struct id_token t;
	char *text;

	yyjson_mut_obj_remove_key(root, member);
	if (json)
		yyjson_mut_obj_add_val(copy, root, member, yyjson_mut_rawn(copy, json, strlen(json)));
	text = yyjson_mut_write(copy, 0, NULL);
	r = check(s, GOOD_HEADER, text, &t);
	free(text);
	yyjson_mut_doc_free(copy);
	return r;
}

static void every_claim_is_checked(void **state)
{
	static const struct {
		const char *member, *json;
		enum id_token_result want;
	} cases[] = {
		{"iss", "\"https://id.example/\"", ID_TOKEN_BAD},
		{"iss", "\"https://ID.example\"", ID_TOKEN_BAD},
		{"iss", NULL, ID_TOKEN_BAD},
		{"aud", "\"other\"", ID_TOKEN_BAD},
		{"aud", NULL, ID_TOKEN_BAD},
		{"aud", "[]", ID_TOKEN_BAD},
		{"aud", "[\"me\"]", ID_TOKEN_GOOD},
		{"aud", "[\"me\",\"other\"]", ID_TOKEN_BAD},
		{"aud", "[\"me\",7]", ID_TOKEN_BAD},
		{"azp", "\"other\"", ID_TOKEN_BAD},
		{"azp", "\"me\"", ID_TOKEN_GOOD},
		{"nonce", "\"m\"", ID_TOKEN_BAD},
		{"nonce", NULL, ID_TOKEN_BAD},
		{"sub", "\"\"", ID_TOKEN_BAD},
		{"sub", "7", ID_TOKEN_BAD},
		{"sub", "\"s\\n1\"", ID_TOKEN_BAD},
		{"exp", NULL, ID_TOKEN_BAD},
		{"exp", "1.7e300", ID_TOKEN_BAD},
		{"exp", "\"1700000300\"", ID_TOKEN_BAD},
		{"exp", "1800000000", ID_TOKEN_BAD},
		{"iat", NULL, ID_TOKEN_BAD},
		{"iat", "1700000061", ID_TOKEN_BAD},
		{"iat", "1700000059", ID_TOKEN_GOOD},
		{"nbf", "1700000061", ID_TOKEN_BAD},
		{"nbf", "\"soon\"", ID_TOKEN_BAD},
		{"at_hash", "\"AAAA\"", ID_TOKEN_BAD},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (with(*state, cases[i].member, cases[i].json) != cases[i].want)
			fail_msg("%s %s", cases[i].member, cases[i].json ? cases[i].json : "missing");
}

static void the_skew_is_a_minute(void **state)
{
	static const char late[] = "{\"iss\":\"https://id.example\",\"sub\":\"s\",\"aud\":\"me\",\"exp\":1699999941,"
				   "\"iat\":1699999000,\"nonce\":\"n\"}",
			  too_late[] =
				  "{\"iss\":\"https://id.example\",\"sub\":\"s\",\"aud\":\"me\",\"exp\":1699999940,"
				  "\"iat\":1699999000,\"nonce\":\"n\"}";
	struct id_token t;

	assert_int_equal(check(*state, GOOD_HEADER, late, &t), ID_TOKEN_GOOD);
	assert_int_equal(check(*state, GOOD_HEADER, too_late, &t), ID_TOKEN_BAD);
}

static void what_is_no_token_is_refused(void **state)
{
	static const char *const bad[] = {"",        ".",          "..",          "a.b",        "a.b.c",
					  "a.b.c.d", "e30.e30.AA", "e30.e30.AA=", "🙂.e30.AA"};
	static const struct id_token_request q = {.issuer = "", .client_id = "", .nonce = "", .now = NOW};
	struct state *s = *state;
	struct id_token t;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(id_token_check(s->a, str_of(bad[i]), &q, &s->keys, &t, NULL), ID_TOKEN_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_token_says_who_signed_in),
		cmocka_unit_test(what_is_said_in_the_header_is_not_believed),
		cmocka_unit_test(every_claim_is_checked),
		cmocka_unit_test(the_skew_is_a_minute),
		cmocka_unit_test(what_is_no_token_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
