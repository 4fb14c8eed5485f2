#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/encode.h"
#include "service/token.h"
#include "service/token_cache.h"

#define NOW 1800000000

static const char *const audiences[] = {TOKEN_AUDIENCE, "agent", NULL};
static struct token_key people, service, stranger;
static struct token_keys *keys;
static struct arena *arena;

static int set_up(void **state)
{
	arena = arena_new();
	keys = token_keys_new();
	token_key_new(&people);
	token_key_new(&service);
	token_key_new(&stranger);
	strcpy(people.kid, "people-1");
	strcpy(service.kid, "service-1");
	strcpy(stranger.kid, "people-1");
	token_keys_add(keys, TOKEN_ISSUER, &people);
	token_keys_add(keys, TOKEN_ISSUER ":exec", &service);
	return 0;
}

static int tear_down(void **state)
{
	token_keys_free(keys);
	arena_free(arena);
	return 0;
}

/* A token with any header, signed by `key`. */
static struct str make(const struct token_key *key, const char *header, const char *claims)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	uint8_t signature[crypto_sign_BYTES];

	base64url_encode(&out, header, strlen(header));
	buf_add_char(&out, '.');
	base64url_encode(&out, claims, strlen(claims));
	crypto_sign_detached(signature, NULL, (uint8_t *)out.p, out.n, key->secret_key);
	buf_add_char(&out, '.');
	base64url_encode(&out, signature, sizeof(signature));
	return arena_str(arena, buf_str(&out));
}

static enum token_result check(struct str token)
{
	struct identity id;

	return token_check(keys, token, audiences, NOW, arena, &id);
}

#define HEADER_WITH(more) "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"people-1\"" more "}"
#define HEADER_KID(kid) "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":" kid "}"
#define HEADER_ALG(alg) "{\"alg\":" alg ",\"typ\":\"at+jwt\",\"kid\":\"people-1\"}"
#define HEADER HEADER_WITH("")
#define DATES "\"iat\":1799999900,\"exp\":1800000500"
#define FOR_US "\"iss\":\"ogent\",\"aud\":\"ogent-api\","
/* Claims with one part of one's own. */
#define CLAIMS_DATES(dates) "{" FOR_US "\"sub\":\"u1\"," dates "}"
#define CLAIMS_EXP(exp) CLAIMS_DATES("\"iat\":1799999900,\"exp\":" exp)
#define CLAIMS_SUB(sub) "{" FOR_US sub DATES "}"
#define CLAIMS_ISS_AUD(both) "{" both "\"sub\":\"u1\"," DATES "}"
#define CLAIMS CLAIMS_DATES(DATES)

static void a_good_token_names_its_bearer(void **state)
{
	struct identity id;
	struct str token = make(&people, HEADER,
				CLAIMS_SUB("\"sub\":\"u1\",\"name\":\"Ada\",\"sid\":\"s1\","
					   "\"permissions\":[\"agents.*\",\"commands.run\"],"));

	assert_int_equal(token_check(keys, token, audiences, NOW, arena, &id), TOKEN_OK);
	assert_string_equal(id.user_id, "u1");
	assert_string_equal(id.name, "Ada");
	assert_string_equal(id.session_id, "s1");
	assert_string_equal(id.service, "");
	assert_int_equal(id.expires_at, 1800000500);
	assert_true(identity_may(&id, "agents.write"));
	assert_true(identity_may(&id, "commands.run"));
	assert_false(identity_may(&id, "commands.read"));
}

static void a_token_for_a_resource_is_good_there_only(void **state)
{
	static const char mcp[] = "https://ogent.example/mcp";

	assert_true(audience_allows(TOKEN_AUDIENCE, STR("/api/users")));
	assert_true(audience_allows(mcp, STR("/mcp")));
	assert_true(audience_allows(mcp, STR("/mcp/x")));
	assert_true(audience_allows(mcp, STR("/oauth/userinfo")));
	assert_false(audience_allows(mcp, STR("/mcpx")));
	assert_false(audience_allows(mcp, STR("/api/users")));
	assert_false(audience_allows(mcp, STR("/")));
	assert_false(audience_allows(mcp, (struct str){0}));
	assert_false(audience_allows("https://ogent.example", STR("/api/users")));
}

/* Each is signed with the right key: only the check named can refuse it. */
static const struct {
	const char *what, *header, *claims;
	enum token_result expected;
} table[] = {
	{"plain", HEADER, CLAIMS, TOKEN_OK},
	{"the new name of the algorithm", HEADER_ALG("\"Ed25519\""), CLAIMS, TOKEN_OK},
	{"alg none", HEADER_ALG("\"none\""), CLAIMS, TOKEN_MALFORMED},
	{"alg HS256", HEADER_ALG("\"HS256\""), CLAIMS, TOKEN_MALFORMED},
	{"alg in other case", HEADER_ALG("\"eddsa\""), CLAIMS, TOKEN_MALFORMED},
	{"alg a list", HEADER_ALG("[\"EdDSA\"]"), CLAIMS, TOKEN_MALFORMED},
	{"alg missing", "{\"typ\":\"at+jwt\",\"kid\":\"people-1\"}", CLAIMS, TOKEN_MALFORMED},
	{"typ JWT", "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"people-1\"}", CLAIMS, TOKEN_MALFORMED},
	{"typ missing", "{\"alg\":\"EdDSA\",\"kid\":\"people-1\"}", CLAIMS, TOKEN_MALFORMED},
	{"kid missing", "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\"}", CLAIMS, TOKEN_MALFORMED},
	{"kid empty", HEADER_KID("\"\""), CLAIMS, TOKEN_MALFORMED},
	{"kid a number", HEADER_KID("1"), CLAIMS, TOKEN_MALFORMED},
	{"kid a path", HEADER_KID("\"../../dev/null\""), CLAIMS, TOKEN_UNKNOWN_KEY},
	{"kid unknown", HEADER_KID("\"people-2\""), CLAIMS, TOKEN_UNKNOWN_KEY},
	{"kid with a NUL", HEADER_KID("\"people-1\\u0000\""), CLAIMS, TOKEN_MALFORMED},
	{"kid twice", HEADER_WITH(",\"kid\":\"people-1\""), CLAIMS, TOKEN_MALFORMED},
	{"crit", HEADER_WITH(",\"crit\":[\"exp\"]"), CLAIMS, TOKEN_MALFORMED},
	{"jku", HEADER_WITH(",\"jku\":\"http://127.0.0.1/\""), CLAIMS, TOKEN_MALFORMED},
	{"jwk", HEADER_WITH(",\"jwk\":{}"), CLAIMS, TOKEN_MALFORMED},
	{"x5c", HEADER_WITH(",\"x5c\":[]"), CLAIMS, TOKEN_MALFORMED},
	{"x5u", HEADER_WITH(",\"x5u\":\"x\""), CLAIMS, TOKEN_MALFORMED},
	{"b64", HEADER_WITH(",\"b64\":false"), CLAIMS, TOKEN_MALFORMED},
	{"zip", HEADER_WITH(",\"zip\":\"DEF\""), CLAIMS, TOKEN_MALFORMED},
	{"header a list", "[]", CLAIMS, TOKEN_MALFORMED},
	{"header with a BOM", "\xef\xbb\xbf" HEADER, CLAIMS, TOKEN_MALFORMED},
	{"header with a line end", HEADER "\n", CLAIMS, TOKEN_MALFORMED},
	{"a service's kid under a person's signature", HEADER_KID("\"service-1\""), CLAIMS, TOKEN_BAD_SIGNATURE},
	{"claims no JSON", HEADER, "{\"iss\":\"ogent\"", TOKEN_MALFORMED},
	{"claims a string", HEADER, "\"ogent\"", TOKEN_MALFORMED},
	{"trailing bytes", HEADER, CLAIMS "x", TOKEN_MALFORMED},
	{"sub twice", HEADER, CLAIMS_SUB("\"sub\":\"u1\",\"sub\":\"u2\","), TOKEN_MALFORMED},
	{"sub twice by an escape", HEADER, CLAIMS_SUB("\"sub\":\"u1\",\"s\\u0075b\":\"u2\","), TOKEN_MALFORMED},
	{"sub missing", HEADER, CLAIMS_SUB(""), TOKEN_MALFORMED},
	{"sub empty", HEADER, CLAIMS_SUB("\"sub\":\"\","), TOKEN_MALFORMED},
	{"sub a number", HEADER, CLAIMS_SUB("\"sub\":1,"), TOKEN_MALFORMED},
	{"sub with a NUL", HEADER, CLAIMS_SUB("\"sub\":\"u1\\u0000x\","), TOKEN_MALFORMED},
	{"permissions a string", HEADER, CLAIMS_SUB("\"sub\":\"u1\",\"permissions\":\"*\","), TOKEN_MALFORMED},
	{"a permission that is a number", HEADER, CLAIMS_SUB("\"sub\":\"u1\",\"permissions\":[1],"), TOKEN_MALFORMED},
	{"exp missing", HEADER, CLAIMS_DATES("\"iat\":1799999900"), TOKEN_MALFORMED},
	{"iat missing", HEADER, CLAIMS_DATES("\"exp\":1800000500"), TOKEN_MALFORMED},
	{"exp 1e400", HEADER, CLAIMS_EXP("1e400"), TOKEN_MALFORMED},
	{"exp 2^63", HEADER, CLAIMS_EXP("9223372036854775808"), TOKEN_MALFORMED},
	{"exp 2^64", HEADER, CLAIMS_EXP("18446744073709551616"), TOKEN_MALFORMED},
	{"exp negative", HEADER, CLAIMS_EXP("-1"), TOKEN_MALFORMED},
	{"exp a string", HEADER, CLAIMS_EXP("\"1800000500\""), TOKEN_MALFORMED},
	{"exp true", HEADER, CLAIMS_EXP("true"), TOKEN_MALFORMED},
	{"exp null", HEADER, CLAIMS_EXP("null"), TOKEN_MALFORMED},
	{"a life of two days", HEADER, CLAIMS_EXP("1800172800"), TOKEN_MALFORMED},
	{"expired by 60 s", HEADER, CLAIMS_DATES("\"iat\":1799999000,\"exp\":1799999940"), TOKEN_EXPIRED},
	{"exp before iat", HEADER, CLAIMS_DATES("\"iat\":1800000010,\"exp\":1800000005"), TOKEN_MALFORMED},
	{"iat in the future", HEADER, CLAIMS_DATES("\"iat\":1800000100,\"exp\":1800000500"), TOKEN_EXPIRED},
	{"nbf in the future", HEADER, CLAIMS_DATES(DATES ",\"nbf\":1800000100"), TOKEN_EXPIRED},
	{"nbf a string", HEADER, CLAIMS_DATES(DATES ",\"nbf\":\"0\""), TOKEN_MALFORMED},
	{"aud missing", HEADER, CLAIMS_ISS_AUD("\"iss\":\"ogent\","), TOKEN_NOT_FOR_US},
	{"aud another", HEADER, CLAIMS_ISS_AUD("\"iss\":\"ogent\",\"aud\":\"other\","), TOKEN_NOT_FOR_US},
	{"aud a list", HEADER, CLAIMS_ISS_AUD("\"iss\":\"ogent\",\"aud\":[\"ogent-api\",\"x\"],"), TOKEN_NOT_FOR_US},
	{"aud in other case", HEADER, CLAIMS_ISS_AUD("\"iss\":\"ogent\",\"aud\":\"Ogent-API\","), TOKEN_NOT_FOR_US},
	{"a person's token for a service", HEADER, CLAIMS_ISS_AUD("\"iss\":\"ogent\",\"aud\":\"agent\","),
	 TOKEN_NOT_FOR_US},
	{"iss with a slash", HEADER, CLAIMS_ISS_AUD("\"iss\":\"ogent/\",\"aud\":\"ogent-api\","), TOKEN_NOT_FOR_US},
	{"iss in other case", HEADER, CLAIMS_ISS_AUD("\"iss\":\"Ogent\",\"aud\":\"ogent-api\","), TOKEN_NOT_FOR_US},
	{"iss missing", HEADER, CLAIMS_ISS_AUD("\"aud\":\"ogent-api\","), TOKEN_NOT_FOR_US},
	{"iss a service", HEADER, CLAIMS_ISS_AUD("\"iss\":\"ogent:exec\",\"aud\":\"agent\","), TOKEN_NOT_FOR_US},
};

static void each_attack_on_header_and_claims_is_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		enum token_result r = check(make(&people, table[i].header, table[i].claims));

		if (r != table[i].expected)
			fail_msg("%s: got %d, expected %d", table[i].what, (int)r, (int)table[i].expected);
	}
}

static struct str text(const char *fmt, ...) PRINTF_LIKE(1, 2);
static struct str text(const char *fmt, ...)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	return arena_str(arena, buf_str(&b));
}

static void a_changed_structure_is_refused(void **state)
{
	struct str good = make(&people, HEADER, CLAIMS), rest = good;
	struct str h = str_cut(&rest, '.'), c = str_cut(&rest, '.'), s = rest;

	assert_int_equal(check(good), TOKEN_OK);
	assert_int_equal(check(text("%.*s.%.*s", STR_ARG(h), STR_ARG(c))), TOKEN_MALFORMED);
	assert_int_equal(check(text("%.*s.%.*s.", STR_ARG(h), STR_ARG(c))), TOKEN_MALFORMED);
	assert_int_equal(check(text("%.*s.a.b", STR_ARG(good))), TOKEN_MALFORMED);
	assert_int_equal(check(text("%.*s.", STR_ARG(good))), TOKEN_MALFORMED);
	assert_int_equal(check(text("%.*s=", STR_ARG(good))), TOKEN_MALFORMED);
	assert_int_equal(check(text("%.*s ", STR_ARG(good))), TOKEN_MALFORMED);
	assert_int_equal(check(text(" %.*s", STR_ARG(good))), TOKEN_MALFORMED);
	assert_int_equal(check(text("%.*s.%.*s==.%.*s", STR_ARG(h), STR_ARG(c), STR_ARG(s))), TOKEN_BAD_SIGNATURE);
	assert_int_equal(check(text("%.*s.%.*s.%.*s", STR_ARG(h), STR_ARG(c), (int)s.n - 2, s.p)), TOKEN_MALFORMED);
	assert_int_equal(check(text("%.*s.%.*s.%.*sAA", STR_ARG(h), STR_ARG(c), STR_ARG(s))), TOKEN_MALFORMED);
	assert_int_equal(check(STR("")), TOKEN_MALFORMED);
	assert_int_equal(check(STR("..")), TOKEN_MALFORMED);
}

static void bits_behind_the_last_byte_are_refused(void **state)
{
	struct str good = make(&people, HEADER, CLAIMS);
	char *copy = arena_strndup(arena, good.p, good.n);
	const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	/* 64 bytes take 86 characters; the last carries 2 bits and must end in four zero bits. */
	copy[good.n - 1] = alphabet[strchr(alphabet, copy[good.n - 1]) - alphabet + 1];
	assert_int_equal(check((struct str){copy, good.n}), TOKEN_MALFORMED);
}

static void a_token_of_8_kib_and_one_byte_is_refused_unread(void **state)
{
	struct str good = make(&people, HEADER, CLAIMS);
	char *big = arena_alloc(arena, TOKEN_MAX + 1);

	memset(big, 'A', TOKEN_MAX + 1);
	memcpy(big, good.p, good.n);
	assert_int_equal(check((struct str){big, TOKEN_MAX + 1}), TOKEN_MALFORMED);
}

static void a_foreign_signature_is_refused(void **state)
{
	struct str good = make(&people, HEADER, CLAIMS);
	char *copy = arena_strndup(arena, good.p, good.n);

	assert_int_equal(check(make(&stranger, HEADER, CLAIMS)), TOKEN_BAD_SIGNATURE);
	copy[good.n - 40] = copy[good.n - 40] == 'A' ? 'B' : 'A';
	assert_int_equal(check((struct str){copy, good.n}), TOKEN_BAD_SIGNATURE);
	memset(copy + good.n - 86, 'A', 86);
	assert_int_equal(check((struct str){copy, good.n}), TOKEN_BAD_SIGNATURE);
}

static void a_public_key_is_no_hmac_secret(void **state)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	const char *header = HEADER_ALG("\"HS256\"");
	uint8_t mac[crypto_auth_hmacsha256_BYTES];

	base64url_encode(&out, header, strlen(header));
	buf_add_char(&out, '.');
	base64url_encode(&out, CLAIMS, strlen(CLAIMS));
	crypto_auth_hmacsha256(mac, (uint8_t *)out.p, out.n, people.public_key);
	buf_add_char(&out, '.');
	base64url_encode(&out, mac, sizeof(mac));
	assert_int_equal(check(buf_str(&out)), TOKEN_MALFORMED);
}

static void many_claims_and_deep_claims_are_refused(void **state)
{
	_cleanup_(buf_deinit) struct buf many = BUF_INIT, deep = BUF_INIT;

	buf_add_str(&many, "{" FOR_US "\"sub\":\"u1\"," DATES);
	buf_add_str(&deep, "{" FOR_US "\"sub\":\"u1\"," DATES ",\"x\":");
	for (int i = 0; i < 70; i++) {
		buf_printf(&many, ",\"x%d\":1", i);
		buf_add_char(&deep, '[');
	}
	for (int i = 0; i < 70; i++)
		buf_add_char(&deep, ']');
	buf_add_str(&many, "}");
	buf_add_str(&deep, "}");
	assert_int_equal(check(make(&people, HEADER, many.p)), TOKEN_MALFORMED);
	assert_int_equal(check(make(&people, HEADER, deep.p)), TOKEN_MALFORMED);
}

static enum token_result check_internal(const char *role, const char *callee, const char *user, int64_t now,
					struct identity *ret)
{
	_cleanup_(buf_deinit) struct buf token = BUF_INIT;

	token_sign_internal(&service, role, callee, user, &token);
	return token_check(keys, buf_str(&token), audiences, now, arena, ret);
}

static void a_service_is_known_by_its_own_token(void **state)
{
	struct identity id;
	int64_t now = time(NULL);

	assert_int_equal(check_internal("exec", "agent", "u1", now, &id), TOKEN_OK);
	assert_string_equal(id.service, "exec");
	assert_string_equal(id.user_id, "u1");
	assert_false(identity_may(&id, "executions.read_any"));
	assert_int_equal(check_internal("exec", "agent", "", now, &id), TOKEN_OK);
	assert_true(identity_may(&id, "executions.read_any"));
	assert_int_equal(check_internal("exec", "agent", "", now + 100, &id), TOKEN_EXPIRED);
	assert_int_equal(check_internal("exec", "socket", "", now, &id), TOKEN_NOT_FOR_US);

	/* It cannot speak as another service, nor make people's tokens. */
	assert_int_equal(check_internal("auth", "agent", "", now, &id), TOKEN_NOT_FOR_US);
	assert_int_equal(check(make(&service, HEADER_KID("\"service-1\""), CLAIMS)), TOKEN_NOT_FOR_US);
}

static void a_service_for_a_user_says_who_acts(void **state)
{
	static const char *const all[] = {"!commands.read", "*", NULL}, *const own[] = {"commands.run", "commands.read",
											NULL};
	_cleanup_(buf_deinit) struct buf token = BUF_INIT;
	const char *const *both;
	struct identity id;
	int64_t now = time(NULL);

	token_sign_delegated(&service, "exec", "agent", "u1", "agent:a1", &token);
	assert_int_equal(token_check(keys, buf_str(&token), audiences, now, arena, &id), TOKEN_OK);
	assert_string_equal(id.actor, "agent:a1");
	assert_int_equal(check_internal("exec", "agent", "u1", now, &id), TOKEN_OK);
	assert_string_equal(id.actor, "ogent:exec");
	assert_int_equal(check_internal("exec", "agent", "", now, &id), TOKEN_OK);
	assert_string_equal(id.actor, "");

	both = permissions_intersect(arena, all, own);
	assert_true(permissions_allow(both, "commands.run"));
	assert_false(permissions_allow(both, "commands.read"));
	assert_false(permissions_allow(both, "commands.run_any"));
	assert_false(permissions_allow(both, "*"));
}

static void permissions_cover_what_they_name(void **state)
{
	assert_true(permission_covers("*", "users.manage"));
	assert_true(permission_covers("agents.*", "agents.write"));
	assert_true(permission_covers("agents.*", "agents.write.own"));
	assert_true(permission_covers("agents.read", "agents.read"));
	assert_false(permission_covers("agents.read", "agents.read_any"));
	assert_false(permission_covers("agents.*", "agents"));
	assert_false(permission_covers("agents.*", "agents."));
	assert_false(permission_covers("agents.*", "agentsx.write"));
	assert_false(permission_covers("agents*", "agents.write"));
	assert_false(permission_covers("agents.write.*", "agents.write"));
	assert_false(permission_covers("", "agents.read"));
	assert_false(permission_covers("*.*", "agents.read"));
	/* A name covers what is below it. */
	assert_true(permission_covers("channels.read", "channels.read.kitchen"));
	assert_false(permission_covers("channels.read", "channels.reader"));
	assert_false(permission_covers("channels.read.kitchen", "channels.read"));
	/* Who asks for a pattern needs it. */
	assert_true(permission_covers("agents.*", "agents.*"));
	assert_true(permission_covers("*", "agents.*"));
	assert_true(permission_covers("a.*", "a.b.*"));
	assert_false(permission_covers("agents", "agents.*"));
	assert_false(permission_covers("agents.write", "agents.*"));
	assert_false(permission_covers("agents.*", "*"));
}

static void a_denial_wins(void **state)
{
	static const char *const list[] = {"*", "!agents.write", "!users.*", NULL};
	static const char *const below[] = {"channels.read", "!channels.read.cellar", NULL};
	static const char *const only[] = {"!agents.read", NULL};

	assert_true(permissions_allow(list, "agents.read"));
	assert_false(permissions_allow(list, "agents.write"));
	assert_false(permissions_allow(list, "agents.write.own"));
	assert_false(permissions_allow(list, "users.read"));
	/* Nobody has all of a pattern, part of which he is denied. */
	assert_false(permissions_allow(list, "agents.*"));
	assert_false(permissions_allow(list, "*"));
	assert_true(permissions_allow(list, "commands.*"));
	assert_true(permissions_allow(below, "channels.read"));
	assert_true(permissions_allow(below, "channels.read.kitchen"));
	assert_false(permissions_allow(below, "channels.read.cellar"));
	assert_false(permissions_allow(only, "agents.write"));
	assert_false(permissions_allow(NULL, "agents.write"));
}

#define ONE_KEY(x) "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"" x "\"}]}"

static void a_key_set_is_read_whole_or_not_at_all(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"keys\":[]}",
		ONE_KEY("AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), /* not on the curve */
		ONE_KEY("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), /* small order */
		ONE_KEY("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
		ONE_KEY("_____________________________________________w"), /* not canonical */
		ONE_KEY("AAAA"),
		"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"AQ\",\"e\":\"AQAB\"}]}",
		/* (1, 1) is no point of P-256. */
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\",\"x\":"
		"\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
		"\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}",
	};
	_cleanup_(buf_deinit) struct buf set = BUF_INIT;
	struct token_key one, two;
	struct error err;
	const char *owner;

	token_key_new(&one);
	token_key_new(&two);
	buf_add_str(&set,
		    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"r\"},{\"kty\":\"RSA\",\"use\":\"enc\"},");
	token_key_to_jwk(&one, &set);
	buf_add_char(&set, ',');
	token_key_to_jwk(&two, &set);
	buf_add_str(&set, "]}");
	assert_int_equal(token_keys_load_jwks(keys, TOKEN_ISSUER, buf_str(&set), &err), 0);
	assert_null(token_keys_find(keys, "people-1", &owner));
	assert_non_null(token_keys_find(keys, one.kid, &owner));
	assert_non_null(token_keys_find(keys, two.kid, &owner));
	assert_non_null(token_keys_find(keys, "service-1", &owner));

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_not_equal(token_keys_load_jwks(keys, TOKEN_ISSUER, str_of(bad[i]), &err), 0);
		assert_non_null(token_keys_find(keys, one.kid, &owner));
	}
}

/* A token under a key of this algorithm; `alg` is what its header says. */
static enum token_result check_other(enum signature_alg kind, const char *alg)
{
	_cleanup_(buf_deinit) struct buf set = BUF_INIT, text = BUF_INIT, signature = BUF_INIT;
	struct token_key key = {.kid = "other-1", .other = signature_key_generate(kind, NULL)};
	struct token_keys *trusted = token_keys_new();
	const char *header;
	enum token_result r;
	struct identity id;

	assert_non_null(key.other);
	buf_add_str(&set, "{\"keys\":[");
	token_key_to_jwk(&key, &set);
	buf_add_str(&set, "]}");
	assert_int_equal(token_keys_load_jwks(trusted, TOKEN_ISSUER, buf_str(&set), NULL), 0);
	if (alg) {
		header = arena_printf(arena, "{\"alg\":\"%s\",\"typ\":\"at+jwt\",\"kid\":\"other-1\"}", alg);
		base64url_encode(&text, header, strlen(header));
		buf_add_char(&text, '.');
		base64url_encode(&text, CLAIMS, strlen(CLAIMS));
		assert_int_equal(signature_make(key.other, buf_str(&text), &signature), 0);
		buf_add_char(&text, '.');
		base64url_encode(&text, signature.p, signature.n);
	} else {
		token_sign(&key, str_of(CLAIMS), &text);
	}
	r = token_check(trusted, buf_str(&text), audiences, NOW, arena, &id);
	signature_key_free(key.other);
	token_keys_free(trusted);
	return r;
}

static void each_key_has_its_one_algorithm(void **state)
{
	assert_int_equal(check_other(SIGNATURE_ES256, NULL), TOKEN_OK);
	assert_int_equal(check_other(SIGNATURE_RS256, NULL), TOKEN_OK);
	assert_int_equal(check_other(SIGNATURE_ES256, "ES256"), TOKEN_OK);
	assert_int_equal(check_other(SIGNATURE_ES256, "RS256"), TOKEN_MALFORMED);
	assert_int_equal(check_other(SIGNATURE_RS256, "EdDSA"), TOKEN_MALFORMED);
	assert_int_equal(check_other(SIGNATURE_RS256, "PS256"), TOKEN_MALFORMED);
	assert_int_equal(check_other(SIGNATURE_ES256, "ES384"), TOKEN_MALFORMED);
	assert_int_equal(check_other(SIGNATURE_ES256, "none"), TOKEN_MALFORMED);
}

static void auth_cannot_publish_a_services_key_as_its_own(void **state)
{
	_cleanup_(buf_deinit) struct buf set = BUF_INIT;
	struct error err;

	buf_add_str(&set, "{\"keys\":[");
	token_key_to_jwk(&service, &set);
	buf_add_str(&set, "]}");
	assert_int_not_equal(token_keys_load_jwks(keys, TOKEN_ISSUER, buf_str(&set), &err), 0);
}

static void a_service_keeps_its_key_in_a_file_of_its_own(void **state)
{
	char dir[] = "/tmp/ogent-token-test-XXXXXX", path[256];
	struct token_key one, two;
	struct error err = {0};
	struct stat st;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(token_key_load(dir, "agent", &one, &err), 0);
	assert_int_equal(token_key_load(dir, "agent", &two, &err), 0);
	assert_memory_equal(&one, &two, sizeof(one));

	snprintf(path, sizeof(path), "%s/secrets/agent.key", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_not_equal(token_key_load(dir, "agent", &two, &err), 0);
	assert_non_null(strstr(err.message, "chmod 600"));

	snprintf(path, sizeof(path), "rm -r %s", dir);
	assert_int_equal(system(path), 0);
}

static void a_verdict_is_kept_until_its_token_expires(void **state)
{
	static const char *const permissions[] = {"agents.read", "agents.write", NULL};
	struct token_cache *c = token_cache_new();
	struct identity id = {"u1", "Ada", "", "s1", permissions, NOW + 10, NOW, "t1", 1, "", TOKEN_AUDIENCE}, got;
	struct arena *a = arena_new();

	assert_false(token_cache_get(c, STR("abc"), NOW, a, &got));
	token_cache_put(c, STR("abc"), &id, id.expires_at);
	assert_true(token_cache_get(c, STR("abc"), NOW, a, &got));
	assert_false(token_cache_get(c, STR("abd"), NOW, a, &got));
	assert_true(token_cache_get(c, STR("abc"), NOW + 9, a, &got));
	assert_false(token_cache_get(c, STR("abc"), NOW + 10, a, &got));
	/* The identity outlives the cache's copy. */
	for (int i = 0; i < 20000; i++) {
		char token[16];

		snprintf(token, sizeof(token), "t%d", i);
		token_cache_put(c, str_of(token), &id, id.expires_at);
	}
	token_cache_free(c);
	assert_string_equal(got.user_id, "u1");
	assert_string_equal(got.permissions[1], "agents.write");
	arena_free(a);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_good_token_names_its_bearer),
		T(a_token_for_a_resource_is_good_there_only),
		T(each_attack_on_header_and_claims_is_refused),
		T(a_changed_structure_is_refused),
		T(bits_behind_the_last_byte_are_refused),
		T(a_token_of_8_kib_and_one_byte_is_refused_unread),
		T(a_foreign_signature_is_refused),
		T(a_public_key_is_no_hmac_secret),
		T(many_claims_and_deep_claims_are_refused),
		T(a_service_is_known_by_its_own_token),
		T(a_service_for_a_user_says_who_acts),
		T(permissions_cover_what_they_name),
		T(a_denial_wins),
		T(a_key_set_is_read_whole_or_not_at_all),
		T(each_key_has_its_one_algorithm),
		T(auth_cannot_publish_a_services_key_as_its_own),
		T(a_service_keeps_its_key_in_a_file_of_its_own),
		T(a_verdict_is_kept_until_its_token_expires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
