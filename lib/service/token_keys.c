/* The set of keys that a checker trusts, and their text form, JWK (RFC 7517, RFC 8037). */
#include "service/token.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/encode.h"
#include "base/id.h"

#define KEYS_MAX 64 /* of all issuers */
#define ISSUER_MAX 48

struct trusted_key {
	char issuer[ISSUER_MAX];
	struct token_key key;
};

struct token_keys {
	struct trusted_key items[KEYS_MAX];
	size_t n;
};

struct token_keys *token_keys_new(void)
{
	if (sodium_init() < 0)
		abort();
	return xcalloc(1, sizeof(struct token_keys));
}

void token_keys_free(struct token_keys *k)
{
	for (size_t i = 0; k && i < k->n; i++)
		signature_key_free(k->items[i].key.other);
	free(k);
}

void token_keys_clear(struct token_keys *k, const char *issuer)
{
	size_t kept = 0;

	for (size_t i = 0; i < k->n; i++) {
		if (strcmp(k->items[i].issuer, issuer))
			k->items[kept++] = k->items[i];
		else
			signature_key_free(k->items[i].key.other);
	}
	k->n = kept;
}

void token_keys_add(struct token_keys *k, const char *issuer, const struct token_key *key)
{
	if (k->n == KEYS_MAX || strlen(issuer) >= ISSUER_MAX) {
		signature_key_free(key->other);
		return;
	}

	struct trusted_key *t = &k->items[k->n++];
	strcpy(t->issuer, issuer);
	t->key = *key;
	sodium_memzero(t->key.secret_key, sizeof(t->key.secret_key));
}

const struct token_key *token_keys_find(const struct token_keys *k, const char *kid, const char **ret_issuer)
{
	for (size_t i = 0; i < k->n; i++) {
		if (!strcmp(k->items[i].key.kid, kid)) {
			*ret_issuer = k->items[i].issuer;
			return &k->items[i].key;
		}
	}
	return NULL;
}

void token_key_new(struct token_key *ret)
{
	if (sodium_init() < 0)
		abort();
	*ret = (struct token_key){0};
	secret_new(ret->kid, sizeof(ret->kid), "", 16);
	crypto_sign_keypair(ret->public_key, ret->secret_key);
}

void token_key_to_jwk(const struct token_key *key, struct buf *out)
{
	if (key->other) {
		buf_add_char(out, '{');
		signature_key_add_jwk(key->other, out);
		buf_printf(out, ",\"use\":\"sig\",\"alg\":\"%s\",\"kid\":\"%s\"}", token_key_alg(key), key->kid);
		return;
	}
	buf_printf(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\",\"alg\":\"%s\",\"kid\":\"%s\",\"x\":\"",
		   token_key_alg(key), key->kid);
	base64url_encode(out, key->public_key, sizeof(key->public_key));
	buf_add_str(out, "\"}");
}

/* Whether `name` is absent or one of two texts. */
static bool absent_or(yyjson_val *obj, const char *name, const char *one, const char *other)
{
	yyjson_val *v = yyjson_obj_get(obj, name);

	return !v || yyjson_equals_str(v, one) || yyjson_equals_str(v, other);
}

static bool kid_is_fine(const char *kid)
{
	size_t n = strlen(kid);

	return n > 0 && n < sizeof(((struct token_key *)NULL)->kid) && !strpbrk(kid, "\"\\");
}

static int read_public(yyjson_val *jwk, struct token_key *key, struct error *err)
{
	const char *kid = json_get_str(jwk, "kid", ""), *x = json_get_str(jwk, "x", "");

	if (!kid_is_fine(kid))
		return error_set(err, "jwk_invalid", "A key's kid must have 1 to 64 characters.");
	if (!absent_or(jwk, "use", "sig", "sig") || !absent_or(jwk, "alg", "EdDSA", "Ed25519"))
		return error_set(err, "jwk_invalid", "The key \"%s\" is not for Ed25519 signatures.", kid);
	/* Refuses what is off the curve, not canonical or of small order, with which anybody could sign. */
	if (base64url_decode(str_of(x), key->public_key, sizeof(key->public_key)) != sizeof(key->public_key) ||
	    !crypto_core_ed25519_is_valid_point(key->public_key))
		return error_set(err, "jwk_invalid", "The key \"%s\" is no valid Ed25519 public key.", kid);
	strcpy(key->kid, kid);
	return 0;
}

static bool is_ed25519(yyjson_val *jwk)
{
	return yyjson_is_obj(jwk) && !strcmp(json_get_str(jwk, "kty", ""), "OKP") &&
	       !strcmp(json_get_str(jwk, "crv", ""), "Ed25519");
}

int token_key_from_jwk(struct str text, bool with_secret, struct token_key *ret, struct error *err)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_doc *doc = json_parse(a, text.p, text.n, err);
	struct token_key key = {0};
	uint8_t seed[crypto_sign_SEEDBYTES], public_key[crypto_sign_PUBLICKEYBYTES];

	if (!doc)
		return -EINVAL;

	yyjson_val *jwk = yyjson_doc_get_root(doc);
	if (!is_ed25519(jwk))
		return error_set(err, "jwk_invalid", "The file holds no Ed25519 key.");
	if (read_public(jwk, &key, err))
		return -EINVAL;
	if (with_secret) {
		if (base64url_decode(str_of(json_get_str(jwk, "d", "")), seed, sizeof(seed)) != sizeof(seed))
			return error_set(err, "jwk_invalid", "The key \"%s\" lacks its secret part.", key.kid);
		crypto_sign_seed_keypair(public_key, key.secret_key, seed);
		sodium_memzero(seed, sizeof(seed));
		if (memcmp(public_key, key.public_key, sizeof(public_key)))
			return error_set(err, "jwk_invalid", "The two parts of the key \"%s\" do not belong together.",
					 key.kid);
	}
	*ret = key;
	sodium_memzero(&key, sizeof(key));
	return 0;
}

/* P-256 and RSA. */
static int read_other(yyjson_val *jwk, struct token_key *key, struct error *err)
{
	const char *kid = json_get_str(jwk, "kid", "");

	if (!kid_is_fine(kid))
		return error_set(err, "jwk_invalid", "A key's kid must have 1 to 64 characters.");
	key->other = signature_key_from_jwk(jwk, err);
	if (!key->other)
		return error_prefix(err, "key \"%s\"", kid), -EINVAL;
	strcpy(key->kid, kid);
	return 0;
}

/* Keys of other kinds, or for something else than signatures, are for others. */
static bool is_other(yyjson_val *jwk)
{
	const char *kty = yyjson_is_obj(jwk) ? json_get_str(jwk, "kty", "") : "";

	return (!strcmp(kty, "RSA") || (!strcmp(kty, "EC") && !strcmp(json_get_str(jwk, "crv", ""), "P-256"))) &&
	       !strcmp(json_get_str(jwk, "use", "sig"), "sig");
}

/* Reads the keys of a set into `ret`, which has *ret_n of them in any case. */
static int read_set(yyjson_val *root, struct token_key *ret, size_t cap, size_t *ret_n, struct error *err)
{
	yyjson_val *list = json_get_arr(root, "keys"), *jwk;
	size_t i, n_items;

	if (!list)
		return error_set(err, "jwks_invalid", "The key set has no list \"keys\".");
	yyjson_arr_foreach(list, i, n_items, jwk)
	{
		if (!is_ed25519(jwk) && !is_other(jwk))
			continue;
		if (*ret_n == cap)
			return error_set(err, "jwks_invalid", "The key set has more than %zu keys.", cap);
		if (yyjson_obj_get(jwk, "d"))
			return error_set(err, "jwks_invalid", "The key set shows a secret key.");
		struct token_key *key = &ret[*ret_n];
		if (is_ed25519(jwk) ? read_public(jwk, key, err) : read_other(jwk, key, err))
			return -EINVAL;
		(*ret_n)++;
		for (size_t j = 0; j < *ret_n - 1; j++)
			if (!strcmp(ret[j].kid, key->kid))
				return error_set(err, "jwks_invalid", "The key set has \"%s\" twice.", key->kid);
	}
	if (!*ret_n)
		return error_set(err, "jwks_invalid", "The key set has no key of Ed25519, P-256 or RSA.");
	return 0;
}

/* A kid names one key of one issuer; nobody can slip in a key under another issuer's name. */
static int check_owners(const struct token_keys *k, const char *issuer, const struct token_key *keys, size_t n,
			struct error *err)
{
	const char *owner;

	for (size_t i = 0; i < n; i++)
		if (token_keys_find(k, keys[i].kid, &owner) && strcmp(owner, issuer))
			return error_set(err, "jwks_invalid", "The key id \"%s\" belongs to %s.", keys[i].kid, owner);
	return 0;
}

int token_keys_load_jwks(struct token_keys *k, const char *issuer, struct str jwks, struct error *err)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct token_key keys[16] = {0};
	size_t n = 0;
	yyjson_doc *doc = json_parse(a, jwks.p, jwks.n, err);
	int r = doc ? read_set(yyjson_doc_get_root(doc), keys, ARRAY_SIZE(keys), &n, err) : -EINVAL;

	if (r == 0)
		r = check_owners(k, issuer, keys, n, err);
	if (r < 0) {
		for (size_t i = 0; i < n; i++)
			signature_key_free(keys[i].other);
		return -EINVAL;
	}
	token_keys_clear(k, issuer);
	for (size_t i = 0; i < n; i++)
		token_keys_add(k, issuer, &keys[i]);
	return 0;
}
