#include "io/signature.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/encode.h"
#include "io/crypto_api.h"

#define ED_SIZE 32
#define EC_SIZE 32
#define RAW_SIZE 64 /* a signature of Ed25519, or r and s of ECDSA */

struct signature_key {
	enum signature_alg alg;
	bool is_pair;
	uint8_t ed_public[crypto_sign_PUBLICKEYBYTES], ed_secret[crypto_sign_SECRETKEYBYTES];
	EVP_PKEY *pkey; /* of ES256 and RS256 */
};

static const char *const alg_names[] = {"EdDSA", "ES256", "RS256"};

const char *signature_alg_name(enum signature_alg alg)
{
	return alg_names[alg];
}

int signature_alg_parse(struct str name, enum signature_alg *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(alg_names); i++) {
		if (str_is(name, alg_names[i]) || (i == SIGNATURE_EDDSA && str_is(name, "Ed25519"))) {
			*ret = (enum signature_alg)i;
			return 0;
		}
	}
	return -EINVAL;
}

static struct signature_key *key_new(enum signature_alg alg, EVP_PKEY *pkey)
{
	struct signature_key *key = xcalloc(1, sizeof(*key));

	key->alg = alg;
	key->pkey = pkey;
	return key;
}

void signature_key_free(struct signature_key *key)
{
	if (!key)
		return;
	if (key->pkey)
		crypto_api_load()->EVP_PKEY_free(key->pkey);
	sodium_memzero(key->ed_secret, sizeof(key->ed_secret));
	free(key);
}

enum signature_alg signature_key_alg(const struct signature_key *key)
{
	return key->alg;
}

static struct signature_key *refuse(struct error *err, const char *what)
{
	error_set(err, "key_invalid", "%s", what);
	return NULL;
}

static const struct crypto_api *load_crypto(struct error *err)
{
	const struct crypto_api *api = crypto_api_load();

	if (!api)
		refuse(err, "Keys of RSA and P-256 need OpenSSL's library: apt-get install libssl3");
	return api;
}

/* ---- Public keys ---- */

struct signature_key *signature_key_ed25519(struct str x, struct error *err)
{
	struct signature_key *key;

	if (x.n != ED_SIZE || !crypto_core_ed25519_is_valid_point((const uint8_t *)x.p))
		return refuse(err, "That is no valid Ed25519 public key.");
	key = key_new(SIGNATURE_EDDSA, NULL);
	memcpy(key->ed_public, x.p, ED_SIZE);
	return key;
}

/* From a SubjectPublicKeyInfo (RFC 5280); a point that is not on its curve is refused. */
static struct signature_key *from_spki(enum signature_alg alg, struct str der, struct error *err)
{
	const struct crypto_api *api = load_crypto(err);
	const unsigned char *at = (const unsigned char *)der.p;
	EVP_PKEY *pkey = api ? api->d2i_PUBKEY(NULL, &at, (long)der.n) : NULL;

	if (pkey)
		return key_new(alg, pkey);
	if (!api)
		return NULL;
	api->ERR_clear_error();
	return refuse(err, "That is no valid public key.");
}

struct signature_key *signature_key_ec(struct str x, struct str y, struct error *err)
{
	/* id-ecPublicKey, prime256v1, an uncompressed point (RFC 5480). */
	static const char head[] = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48"
				   "\xce\x3d\x03\x01\x07\x03\x42\x00\x04";
	char der[sizeof(head) - 1 + 2 * EC_SIZE];

	if (x.n != EC_SIZE || y.n != EC_SIZE)
		return refuse(err, "The numbers of a P-256 key have 32 bytes.");
	memcpy(der, head, sizeof(head) - 1);
	memcpy(der + sizeof(head) - 1, x.p, EC_SIZE);
	memcpy(der + sizeof(head) - 1 + EC_SIZE, y.p, EC_SIZE);
	return from_spki(SIGNATURE_ES256, (struct str){der, sizeof(der)}, err);
}

static void der_head(struct buf *out, char tag, size_t n)
{
	buf_add_char(out, tag);
	if (n >= 256)
		buf_add(out, (char[]){'\x82', (char)(n >> 8), (char)n}, 3);
	else if (n >= 128)
		buf_add(out, (char[]){'\x81', (char)n}, 2);
	else
		buf_add_char(out, (char)n);
}

static void der_number(struct buf *out, struct str n)
{
	bool needs_zero = n.p[0] & 0x80;

	der_head(out, 2, n.n + needs_zero);
	if (needs_zero)
		buf_add_char(out, 0);
	buf_add(out, n.p, n.n);
}

static struct str without_zeros(struct str n)
{
	while (n.n > 0 && n.p[0] == 0)
		n = (struct str){n.p + 1, n.n - 1};
	return n;
}

static bool is_good_exponent(struct str e)
{
	return e.n >= 1 && e.n <= 4 && (e.p[e.n - 1] & 1) && !(e.n == 1 && (uint8_t)e.p[0] < 3);
}

static size_t count_bits(struct str n)
{
	return n.n ? n.n * 8 - (size_t)__builtin_clz((uint8_t)n.p[0]) + 24 : 0;
}

struct signature_key *signature_key_rsa(struct str n, struct str e, struct error *err)
{
	static const char algorithm[] =
		"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"; /* rsaEncryption */
	_cleanup_(buf_deinit) struct buf numbers = BUF_INIT, list = BUF_INIT, body = BUF_INIT, der = BUF_INIT;

	n = without_zeros(n);
	e = without_zeros(e);
	if (count_bits(n) < SIGNATURE_RSA_MIN_BITS || count_bits(n) > SIGNATURE_RSA_MAX_BITS)
		return refuse(err, "An RSA key needs 2048 to 8192 bits.");
	if (!is_good_exponent(e) || !(n.p[n.n - 1] & 1))
		return refuse(err, "That is no valid RSA public key.");
	der_number(&numbers, n);
	der_number(&numbers, e);
	der_head(&list, 0x30, numbers.n);
	buf_add(&list, numbers.p, numbers.n);
	buf_add(&body, algorithm, sizeof(algorithm) - 1);
	der_head(&body, 3, list.n + 1);
	buf_add_char(&body, 0);
	buf_add(&body, list.p, list.n);
	der_head(&der, 0x30, body.n);
	buf_add(&der, body.p, body.n);
	return from_spki(SIGNATURE_RS256, buf_str(&der), err);
}

/* ---- JWK ---- */

/* A member in base64url, of at most `cap` bytes. */
static struct str number_of(yyjson_val *jwk, const char *name, void *memory, size_t cap)
{
	ssize_t n = base64url_decode(str_of(json_get_str(jwk, name, "")), memory, cap);

	return n > 0 ? (struct str){memory, (size_t)n} : (struct str){memory, 0};
}

static bool says_only(yyjson_val *jwk, const char *name, const char *one, const char *other)
{
	yyjson_val *v = yyjson_obj_get(jwk, name);

	return !v || yyjson_equals_str(v, one) || yyjson_equals_str(v, other);
}

static struct signature_key *read_jwk(yyjson_val *jwk, struct error *err)
{
	const char *kty = json_get_str(jwk, "kty", ""), *crv = json_get_str(jwk, "crv", "");
	uint8_t one[SIGNATURE_MAX + 1], other[SIGNATURE_MAX + 1];

	if (!strcmp(kty, "OKP") && !strcmp(crv, "Ed25519"))
		return signature_key_ed25519(number_of(jwk, "x", one, sizeof(one)), err);
	if (!strcmp(kty, "EC") && !strcmp(crv, "P-256"))
		return signature_key_ec(number_of(jwk, "x", one, sizeof(one)),
					number_of(jwk, "y", other, sizeof(other)), err);
	if (!strcmp(kty, "RSA"))
		return signature_key_rsa(number_of(jwk, "n", one, sizeof(one)),
					 number_of(jwk, "e", other, sizeof(other)), err);
	return refuse(err, "A key must be of Ed25519, P-256 or RSA.");
}

struct signature_key *signature_key_from_jwk(yyjson_val *jwk, struct error *err)
{
	struct signature_key *key;

	if (!yyjson_is_obj(jwk))
		return refuse(err, "A key must be a JSON object.");
	if (yyjson_obj_get(jwk, "d") || yyjson_obj_get(jwk, "k"))
		return refuse(err, "A public key must not have its secret part.");
	if (!says_only(jwk, "use", "sig", "sig"))
		return refuse(err, "The key is not for signatures.");
	key = read_jwk(jwk, err);
	if (key && !says_only(jwk, "alg", alg_names[key->alg],
			      key->alg == SIGNATURE_EDDSA ? "Ed25519" : alg_names[key->alg])) {
		signature_key_free(key);
		return refuse(err, "The key's alg is not one that belongs to its kind.");
	}
	return key;
}

static void add_number(struct buf *out, const char *name, const BIGNUM *n)
{
	const struct crypto_api *api = crypto_api_load();
	uint8_t bytes[SIGNATURE_MAX];
	int size = (api->BN_num_bits(n) + 7) / 8;

	api->BN_bn2binpad(n, bytes, size);
	buf_printf(out, ",\"%s\":\"", name);
	base64url_encode(out, bytes, (size_t)size);
	buf_add_char(out, '"');
}

static void add_rsa(const struct signature_key *key, struct buf *out)
{
	const struct crypto_api *api = crypto_api_load();
	BIGNUM *n = NULL, *e = NULL;

	if (!api->EVP_PKEY_get_bn_param(key->pkey, "n", &n) || !api->EVP_PKEY_get_bn_param(key->pkey, "e", &e))
		abort();
	buf_add_str(out, "\"kty\":\"RSA\"");
	add_number(out, "n", n);
	add_number(out, "e", e);
	api->BN_free(n);
	api->BN_free(e);
}

/* The point is at the end of the SubjectPublicKeyInfo. */
static void add_ec(const struct signature_key *key, struct buf *out)
{
	const struct crypto_api *api = crypto_api_load();
	unsigned char *der = NULL;
	int n = api->i2d_PUBKEY(key->pkey, &der);

	if (n < 2 * EC_SIZE)
		abort();
	buf_add_str(out, "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"");
	base64url_encode(out, der + n - 2 * EC_SIZE, EC_SIZE);
	buf_add_str(out, "\",\"y\":\"");
	base64url_encode(out, der + n - EC_SIZE, EC_SIZE);
	buf_add_char(out, '"');
	api->CRYPTO_free(der, __FILE__, __LINE__);
}

void signature_key_add_jwk(const struct signature_key *key, struct buf *out)
{
	switch (key->alg) {
	case SIGNATURE_EDDSA:
		buf_add_str(out, "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
		base64url_encode(out, key->ed_public, sizeof(key->ed_public));
		buf_add_char(out, '"');
		break;
	case SIGNATURE_ES256: add_ec(key, out); break;
	case SIGNATURE_RS256: add_rsa(key, out); break;
	}
}

/* ---- Pairs ---- */

/* PKCS #8 of Ed25519 (RFC 8410): this and the seed. */
static const char ed_head[] = "\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
#define ED_HEAD_SIZE (sizeof(ed_head) - 1)

static struct signature_key *ed_pair(const uint8_t *seed)
{
	struct signature_key *key = key_new(SIGNATURE_EDDSA, NULL);

	crypto_sign_seed_keypair(key->ed_public, key->ed_secret, seed);
	key->is_pair = true;
	return key;
}

struct signature_key *signature_key_generate(enum signature_alg alg, struct error *err)
{
	const struct crypto_api *api;
	struct signature_key *key;
	uint8_t seed[ED_SIZE];
	EVP_PKEY *pkey;

	if (alg == SIGNATURE_EDDSA) {
		randombytes_buf(seed, sizeof(seed));
		key = ed_pair(seed);
		sodium_memzero(seed, sizeof(seed));
		return key;
	}
	api = load_crypto(err);
	if (!api)
		return NULL;
	pkey = alg == SIGNATURE_ES256 ? api->EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
				      : api->EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)SIGNATURE_RSA_MIN_BITS);
	if (!pkey)
		return refuse(err, "OpenSSL could not make a key.");
	key = key_new(alg, pkey);
	key->is_pair = true;
	return key;
}

void signature_key_export(const struct signature_key *key, struct buf *ret)
{
	const struct crypto_api *api;
	unsigned char *der = NULL;
	int n;

	assert(key->is_pair);
	if (key->alg == SIGNATURE_EDDSA) {
		buf_add(ret, ed_head, ED_HEAD_SIZE);
		buf_add(ret, key->ed_secret, ED_SIZE);
		return;
	}
	api = crypto_api_load();
	n = api->i2d_PrivateKey(key->pkey, &der);
	if (n <= 0)
		abort();
	buf_add(ret, der, (size_t)n);
	api->CRYPTO_clear_free(der, (size_t)n, __FILE__, __LINE__);
}

struct signature_key *signature_key_import(enum signature_alg alg, struct str der, struct error *err)
{
	const unsigned char *at = (const unsigned char *)der.p;
	const struct crypto_api *api;
	struct signature_key *key;
	EVP_PKEY *pkey;

	if (alg == SIGNATURE_EDDSA) {
		if (der.n != ED_HEAD_SIZE + ED_SIZE || memcmp(der.p, ed_head, ED_HEAD_SIZE) != 0)
			return refuse(err, "That is no secret key of Ed25519.");
		return ed_pair((const uint8_t *)der.p + ED_HEAD_SIZE);
	}
	api = load_crypto(err);
	pkey = api ? api->d2i_AutoPrivateKey(NULL, &at, (long)der.n) : NULL;
	if (!api)
		return NULL;
	if (!pkey || !api->EVP_PKEY_is_a(pkey, alg == SIGNATURE_ES256 ? "EC" : "RSA") ||
	    (alg == SIGNATURE_RS256 && api->EVP_PKEY_get_bits(pkey) < SIGNATURE_RSA_MIN_BITS)) {
		api->EVP_PKEY_free(pkey);
		api->ERR_clear_error();
		return refuse(err, "That is no secret key of this algorithm.");
	}
	key = key_new(alg, pkey);
	key->is_pair = true;
	return key;
}

/* ---- Signatures ---- */

static bool verify_openssl(const struct signature_key *key, struct str data, struct str signature)
{
	const struct crypto_api *api = crypto_api_load();
	EVP_MD_CTX *ctx = api->EVP_MD_CTX_new();
	bool ok = ctx && api->EVP_DigestVerifyInit(ctx, NULL, api->EVP_sha256(), NULL, key->pkey) == 1 &&
		  api->EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
					(const unsigned char *)data.p, data.n) == 1;

	api->EVP_MD_CTX_free(ctx);
	if (!ok)
		api->ERR_clear_error();
	return ok;
}

static bool verify_es256(const struct signature_key *key, struct str data, struct str raw)
{
	const struct crypto_api *api = crypto_api_load();
	ECDSA_SIG *sig = raw.n == RAW_SIZE ? api->ECDSA_SIG_new() : NULL;
	unsigned char *der = NULL;
	bool ok = false;
	int n;

	if (!sig)
		return false;
	api->ECDSA_SIG_set0(sig, api->BN_bin2bn((const unsigned char *)raw.p, EC_SIZE, NULL),
			    api->BN_bin2bn((const unsigned char *)raw.p + EC_SIZE, EC_SIZE, NULL));
	n = api->i2d_ECDSA_SIG(sig, &der);
	if (n > 0) {
		ok = verify_openssl(key, data, (struct str){(const char *)der, (size_t)n});
		api->CRYPTO_free(der, __FILE__, __LINE__);
	}
	api->ECDSA_SIG_free(sig);
	return ok;
}

static bool verify_ed25519(const struct signature_key *key, struct str data, struct str signature)
{
	return signature.n == RAW_SIZE &&
	       crypto_sign_verify_detached((const uint8_t *)signature.p, (const uint8_t *)data.p, data.n,
					   key->ed_public) == 0;
}

static bool verify_rs256(const struct signature_key *key, struct str data, struct str signature)
{
	return signature.n == (size_t)crypto_api_load()->EVP_PKEY_get_size(key->pkey) &&
	       verify_openssl(key, data, signature);
}

bool signature_verify(const struct signature_key *key, struct str data, struct str signature)
{
	switch (key->alg) {
	case SIGNATURE_EDDSA: return verify_ed25519(key, data, signature);
	case SIGNATURE_ES256: return verify_es256(key, data, signature);
	case SIGNATURE_RS256: return verify_rs256(key, data, signature);
	}
	return false;
}

bool signature_verify_der(const struct signature_key *key, struct str data, struct str signature)
{
	return key->alg == SIGNATURE_ES256 ? verify_openssl(key, data, signature)
					   : signature_verify(key, data, signature);
}

/* ECDSA's DER as r and s. */
static int add_raw(const unsigned char *der, size_t n, struct buf *ret)
{
	const struct crypto_api *api = crypto_api_load();
	ECDSA_SIG *sig = api->d2i_ECDSA_SIG(NULL, &der, (long)n);
	const BIGNUM *r, *s;
	uint8_t raw[RAW_SIZE];

	if (!sig)
		return -EIO;
	api->ECDSA_SIG_get0(sig, &r, &s);
	api->BN_bn2binpad(r, raw, EC_SIZE);
	api->BN_bn2binpad(s, raw + EC_SIZE, EC_SIZE);
	api->ECDSA_SIG_free(sig);
	buf_add(ret, raw, sizeof(raw));
	return 0;
}

static int make_openssl(const struct signature_key *key, struct str data, struct buf *ret)
{
	const struct crypto_api *api = crypto_api_load();
	EVP_MD_CTX *ctx = api->EVP_MD_CTX_new();
	unsigned char made[SIGNATURE_MAX];
	size_t n = sizeof(made);
	int r = 0;

	if (!ctx || api->EVP_DigestSignInit(ctx, NULL, api->EVP_sha256(), NULL, key->pkey) != 1 ||
	    api->EVP_DigestSign(ctx, made, &n, (const unsigned char *)data.p, data.n) != 1)
		r = -EIO;
	else if (key->alg == SIGNATURE_ES256)
		r = add_raw(made, n, ret);
	else
		buf_add(ret, made, n);
	api->EVP_MD_CTX_free(ctx);
	return r;
}

int signature_make(const struct signature_key *key, struct str data, struct buf *ret)
{
	uint8_t made[RAW_SIZE];

	assert(key->is_pair);
	if (key->alg != SIGNATURE_EDDSA)
		return make_openssl(key, data, ret);
	crypto_sign_detached(made, NULL, (const uint8_t *)data.p, data.n, key->ed_secret);
	buf_add(ret, made, sizeof(made));
	return 0;
}
