#include "mfa/webauthn.h"

#include <errno.h>
#include <sodium.h>

#include "base/encode.h"
#include "base/json.h"
#include "io/signature.h"
#include "mfa/cbor.h"

#define FLAG_PRESENT 0x01
#define FLAG_VERIFIED 0x04
#define FLAG_BACKUP_ELIGIBLE 0x08
#define FLAG_BACKED_UP 0x10
#define FLAG_CREDENTIAL 0x40
#define FLAG_EXTENSIONS 0x80

#define AUTH_DATA_HEAD 37 /* the site's hash, flags, counter */
#define AAGUID_SIZE 16

/* COSE (RFC 9052, RFC 9053). */
enum cose_label { COSE_KTY = 1, COSE_ALG = 3, COSE_CRV = -1, COSE_X = -2, COSE_Y = -3, COSE_N = -1, COSE_E = -2 };
enum cose_kty { COSE_OKP = 1, COSE_EC2 = 2, COSE_RSA = 3 };
enum cose_crv { COSE_P256 = 1, COSE_ED25519 = 6 };
enum cose_alg { COSE_ES256 = -7, COSE_EDDSA = -8, COSE_RS256 = -257 };

struct auth_data {
	uint8_t flags;
	uint32_t count;
	struct webauthn_credential credential; /* with FLAG_CREDENTIAL */
};

static int refuse(struct error *err, const char *what)
{
	return error_set(err, "webauthn_invalid", "%s", what);
}

/* ---- Keys ---- */

static int64_t number_of(struct str map, int64_t label)
{
	struct str value;
	int64_t n;

	return cbor_find_int(map, label, &value) && cbor_int(value, &n) ? n : 0;
}

static struct str bytes_of(struct str map, int64_t label)
{
	struct str value, bytes;

	return cbor_find_int(map, label, &value) && cbor_bytes(value, &bytes) ? bytes : (struct str){"", 0};
}

static struct signature_key *read_key(struct str cose, struct error *err)
{
	int64_t kty, alg, crv;

	if (cose.n > WEBAUTHN_KEY_MAX || cbor_item_size(cose) != cose.n || !cbor_is_map(cose)) {
		refuse(err, "The passkey's public key cannot be read.");
		return NULL;
	}
	kty = number_of(cose, COSE_KTY);
	alg = number_of(cose, COSE_ALG);
	crv = number_of(cose, COSE_CRV);
	if (kty == COSE_EC2 && alg == COSE_ES256 && crv == COSE_P256)
		return signature_key_ec(bytes_of(cose, COSE_X), bytes_of(cose, COSE_Y), err);
	if (kty == COSE_OKP && alg == COSE_EDDSA && crv == COSE_ED25519)
		return signature_key_ed25519(bytes_of(cose, COSE_X), err);
	if (kty == COSE_RSA && alg == COSE_RS256)
		return signature_key_rsa(bytes_of(cose, COSE_N), bytes_of(cose, COSE_E), err);
	refuse(err, "The passkey's public key is of a kind that was not asked for.");
	return NULL;
}

/* ---- What the browser says ---- */

static bool is_challenge(const char *given, const uint8_t *challenge)
{
	uint8_t bytes[WEBAUTHN_CHALLENGE_SIZE];

	return base64url_decode(str_of(given), bytes, sizeof(bytes)) == sizeof(bytes) &&
	       sodium_memcmp(bytes, challenge, sizeof(bytes)) == 0;
}

static int check_client_data(const struct webauthn_request *q, struct str data, const char *type, struct error *err)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_val *root =
		data.n <= WEBAUTHN_DATA_MAX ? yyjson_doc_get_root(json_parse(a, data.p, data.n, NULL)) : NULL;

	if (!yyjson_is_obj(root))
		return refuse(err, "What the browser says of the passkey cannot be read.");
	if (strcmp(json_get_str(root, "type", ""), type) != 0)
		return refuse(err, "The passkey answers another kind of question.");
	if (!is_challenge(json_get_str(root, "challenge", ""), q->challenge))
		return refuse(err, "The passkey answers another question; begin again.");
	if (strcmp(json_get_str(root, "origin", ""), q->origin) != 0)
		return refuse(err, "The passkey was used on another site.");
	if (json_get_bool(root, "crossOrigin", false) || yyjson_obj_get(root, "topOrigin"))
		return refuse(err, "The passkey was used within another site.");
	return 0;
}

/* ---- What the authenticator says ---- */

static uint32_t read_u32(const char *p)
{
	const uint8_t *b = (const uint8_t *)p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Returns how many bytes it takes, or 0. */
static size_t read_credential(struct str in, struct webauthn_credential *ret)
{
	size_t n_id, n_key;

	if (in.n < AAGUID_SIZE + 2)
		return 0;
	memcpy(ret->aaguid, in.p, AAGUID_SIZE);
	n_id = (size_t)(uint8_t)in.p[AAGUID_SIZE] << 8 | (uint8_t)in.p[AAGUID_SIZE + 1];
	in = (struct str){in.p + AAGUID_SIZE + 2, in.n - AAGUID_SIZE - 2};
	if (n_id == 0 || n_id > WEBAUTHN_ID_MAX || n_id > in.n)
		return 0;
	ret->id = (struct str){in.p, n_id};
	n_key = cbor_item_size((struct str){in.p + n_id, in.n - n_id});
	ret->key = (struct str){in.p + n_id, n_key};
	return n_key ? AAGUID_SIZE + 2 + n_id + n_key : 0;
}

/* Everything must be accounted for. */
static bool read_auth_data(struct str in, struct auth_data *ret)
{
	size_t at = AUTH_DATA_HEAD, n;

	*ret = (struct auth_data){0};
	if (in.n < AUTH_DATA_HEAD || in.n > WEBAUTHN_DATA_MAX)
		return false;
	ret->flags = (uint8_t)in.p[32];
	ret->count = read_u32(in.p + 33);
	if (ret->flags & FLAG_CREDENTIAL) {
		n = read_credential((struct str){in.p + at, in.n - at}, &ret->credential);
		if (!n)
			return false;
		at += n;
	}
	if (ret->flags & FLAG_EXTENSIONS) {
		struct str extensions = {in.p + at, in.n - at};

		n = cbor_item_size(extensions);
		if (!n || !cbor_is_map(extensions))
			return false;
		at += n;
	}
	return at == in.n;
}

static int check_auth_data(const struct webauthn_request *q, struct str in, struct auth_data *ret, struct error *err)
{
	uint8_t site[SHA256_SIZE];

	if (!read_auth_data(in, ret))
		return refuse(err, "What the passkey says cannot be read.");
	sha256(q->rp_id, strlen(q->rp_id), site);
	if (memcmp(site, in.p, sizeof(site)) != 0)
		return refuse(err, "The passkey is of another site.");
	if (!(ret->flags & FLAG_PRESENT))
		return refuse(err, "Nobody was there to confirm with the passkey.");
	if (q->needs_verified_user && !(ret->flags & FLAG_VERIFIED))
		return refuse(err, "The passkey did not check who you are: it needs a PIN, finger or face.");
	if ((ret->flags & FLAG_BACKED_UP) && !(ret->flags & FLAG_BACKUP_ELIGIBLE))
		return refuse(err, "What the passkey says of its copies contradicts itself.");
	return 0;
}

/* The data and the hash of what the browser says. */
static void add_signed(struct buf *out, struct str auth_data, struct str client_data)
{
	uint8_t hash[SHA256_SIZE];

	sha256(client_data.p, client_data.n, hash);
	buf_add(out, auth_data.p, auth_data.n);
	buf_add(out, hash, sizeof(hash));
}

static bool is_signed(const struct signature_key *key, struct str auth_data, struct str client_data,
		      struct str signature)
{
	_cleanup_(buf_deinit) struct buf data = BUF_INIT;

	add_signed(&data, auth_data, client_data);
	return signature_verify_der(key, buf_str(&data), signature);
}

/* ---- New credentials ---- */

static int64_t alg_of(const struct signature_key *key)
{
	static const int64_t algs[] = {
		[SIGNATURE_EDDSA] = COSE_EDDSA, [SIGNATURE_ES256] = COSE_ES256, [SIGNATURE_RS256] = COSE_RS256};

	return algs[signature_key_alg(key)];
}

static int check_attestation(struct str object, const struct signature_key *key, struct str auth_data,
			     struct str client_data, struct error *err)
{
	struct str fmt = {0}, statement, value;
	int64_t alg;

	if (!cbor_find(object, "fmt", &value) || !cbor_text(value, &fmt) || !cbor_find(object, "attStmt", &statement) ||
	    !cbor_is_map(statement))
		return refuse(err, "The passkey's attestation cannot be read.");
	if (str_is(fmt, "none"))
		return statement.n == 1 ? 0 : refuse(err, "An attestation of kind none must be empty.");
	if (!str_is(fmt, "packed") || cbor_find(statement, "x5c", &value))
		return refuse(err, "The passkey sends an attestation that was not asked for.");
	if (!cbor_find(statement, "alg", &value) || !cbor_int(value, &alg) || alg != alg_of(key) ||
	    !cbor_find(statement, "sig", &value) || !cbor_bytes(value, &value) ||
	    !is_signed(key, auth_data, client_data, value))
		return refuse(err, "The passkey's attestation is not signed by it.");
	return 0;
}

static int read_new(const struct webauthn_request *q, struct str client_data, struct str object,
		    struct webauthn_credential *ret, struct error *err)
{
	_cleanup_(signature_key_free_p) struct signature_key *key = NULL;
	struct str value, auth_data;
	struct auth_data data;

	if (object.n > WEBAUTHN_DATA_MAX || cbor_item_size(object) != object.n || !cbor_is_map(object) ||
	    !cbor_find(object, "authData", &value) || !cbor_bytes(value, &auth_data))
		return refuse(err, "The new passkey cannot be read.");
	if (check_auth_data(q, auth_data, &data, err) < 0)
		return -EINVAL;
	if (!(data.flags & FLAG_CREDENTIAL))
		return refuse(err, "The answer holds no new passkey.");
	key = read_key(data.credential.key, err);
	if (!key || check_attestation(object, key, auth_data, client_data, err) < 0)
		return -EINVAL;
	*ret = data.credential;
	ret->count = data.count;
	ret->is_backed_up = data.flags & FLAG_BACKED_UP;
	return 0;
}

int webauthn_read_new(const struct webauthn_request *q, struct str client_data, struct str attestation,
		      struct webauthn_credential *ret, struct error *err)
{
	int r = check_client_data(q, client_data, "webauthn.create", err);

	return r < 0 ? r : read_new(q, client_data, attestation, ret, err);
}

/* ---- Assertions ---- */

int webauthn_check(const struct webauthn_request *q, struct str key, uint32_t count, struct str client_data,
		   struct str auth_data, struct str signature, uint32_t *ret_count, struct error *err)
{
	_cleanup_(signature_key_free_p) struct signature_key *public = NULL;
	struct auth_data data;

	if (check_client_data(q, client_data, "webauthn.get", err) < 0 ||
	    check_auth_data(q, auth_data, &data, err) < 0 || !(public = read_key(key, err)))
		return -EINVAL;
	if (!is_signed(public, auth_data, client_data, signature))
		return refuse(err, "The passkey's signature is wrong.");
	if ((data.count || count) && data.count <= count)
		return error_set(err, "webauthn_copied",
				 "The passkey's counter did not rise: there may be a copy of it. Remove it.");
	*ret_count = data.count;
	return 0;
}
