#include "sso/id_token.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/encode.h"

#define DEPTH_MAX 16
#define MEMBERS_MAX 128
#define TEXT_MAX 1024
#define DATE_MAX ((uint64_t)1 << 53)

/* ---- Keys ---- */

void provider_keys_deinit(struct provider_keys *k)
{
	for (size_t i = 0; i < k->n; i++) {
		free(k->items[i].kid);
		signature_key_free(k->items[i].key);
	}
	*k = (struct provider_keys){0};
}

int provider_keys_read(struct str jwks, struct provider_keys *ret, struct error *err)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_doc *doc = json_parse_depth(a, jwks.p, jwks.n, DEPTH_MAX, err);
	yyjson_val *list = doc ? json_get_arr(yyjson_doc_get_root(doc), "keys") : NULL, *item;
	size_t i, n;

	*ret = (struct provider_keys){0};
	if (!list)
		return error_set(err, "provider_keys", "Its key set is none (RFC 7517).");
	yyjson_arr_foreach(list, i, n, item)
	{
		const char *kid = json_get_str(item, "kid", NULL);
		struct signature_key *key = signature_key_from_jwk(item, NULL);

		if (key && ret->n < PROVIDER_KEYS_MAX)
			ret->items[ret->n++] = (struct provider_key){kid ? xstrdup(kid) : NULL, key};
		else
			signature_key_free(key);
	}
	return ret->n ? 0 : error_set(err, "provider_keys", "Its key set has no key for EdDSA, ES256 or RS256.");
}

/* A token without a name of its key may be signed by the only one of its algorithm. */
static const struct signature_key *find_key(const struct provider_keys *k, const char *kid, enum signature_alg alg)
{
	const struct signature_key *found = NULL;
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++) {
		const struct provider_key *p = &k->items[i];

		if (signature_key_alg(p->key) != alg || (kid && (!p->kid || strcmp(p->kid, kid) != 0)))
			continue;
		found = p->key;
		n++;
	}
	return kid ? found : n == 1 ? found : NULL;
}

/* ---- The parts ---- */

struct parts {
	struct str header, claims, signature, signed_part;
};

static bool split(struct str token, struct parts *ret)
{
	struct str rest = token;

	ret->header = str_cut(&rest, '.');
	ret->claims = str_cut(&rest, '.');
	ret->signature = rest;
	if (!rest.p || memchr(rest.p, '.', rest.n))
		return false;
	ret->signed_part = (struct str){token.p, ret->header.n + 1 + ret->claims.n};
	return ret->header.n && ret->claims.n && ret->signature.n;
}

static yyjson_val *read_object(struct arena *a, struct str part)
{
	size_t cap = part.n / 4 * 3 + 3;
	char *text = arena_alloc(a, cap);
	ssize_t n = base64url_decode(part, text, cap);
	yyjson_doc *doc = n >= 2 ? json_parse_depth(a, text, (size_t)n, DEPTH_MAX, NULL) : NULL;
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;

	return yyjson_is_obj(root) && yyjson_obj_size(root) <= MEMBERS_MAX ? root : NULL;
}

/* A member as a text of at most TEXT_MAX bytes, or NULL. */
static const char *get_text(yyjson_val *obj, const char *name)
{
	yyjson_val *v = yyjson_obj_get(obj, name);

	return yyjson_is_str(v) && yyjson_get_len(v) <= TEXT_MAX ? yyjson_get_str(v) : NULL;
}

static bool header_is_fine(yyjson_val *header, const char **ret_kid, enum signature_alg *ret_alg)
{
	/* Rules and keys from inside the token. */
	static const char *const refused[] = {"crit", "jku", "jwk", "x5c", "x5u", "b64", "zip", "enc"};
	const char *alg = get_text(header, "alg"), *typ = get_text(header, "typ");

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (yyjson_obj_get(header, refused[i]))
			return false;
	*ret_kid = get_text(header, "kid");
	/* Another kind of token that the provider signs, such as an access token, says so here. */
	if (yyjson_obj_get(header, "typ") && (!typ || !str_ieq(str_of(typ), STR("JWT"))))
		return false;
	return alg && signature_alg_parse(str_of(alg), ret_alg) == 0 && (*ret_kid || !yyjson_obj_get(header, "kid"));
}

/* ---- The claims ---- */

static bool get_date(yyjson_val *claims, const char *name, int64_t *ret)
{
	yyjson_val *v = yyjson_obj_get(claims, name);

	if (!yyjson_is_uint(v) || yyjson_get_uint(v) > DATE_MAX)
		return false;
	*ret = (int64_t)yyjson_get_uint(v);
	return true;
}

static int check_dates(yyjson_val *claims, int64_t now, struct error *err)
{
	int64_t exp, iat, nbf = 0;

	if (!get_date(claims, "exp", &exp) || !get_date(claims, "iat", &iat) ||
	    (yyjson_obj_get(claims, "nbf") && !get_date(claims, "nbf", &nbf)) || exp <= iat ||
	    exp - iat > ID_TOKEN_LIFE_MAX_S)
		return error_set(err, "id_token", "Its ID token does not say when it is good (exp, iat).");
	if (now >= exp + ID_TOKEN_SKEW_S)
		return error_set(err, "id_token", "Its ID token has expired (exp).");
	if (iat > now + ID_TOKEN_SKEW_S || nbf > now + ID_TOKEN_SKEW_S)
		return error_set(err, "id_token", "Its ID token is from the future (iat, nbf): look at both clocks.");
	return 0;
}

/* Whether it is for us; where it is for others too, it must have been made for us (azp). */
static bool audience_is_ours(yyjson_val *claims, const char *client_id)
{
	yyjson_val *aud = yyjson_obj_get(claims, "aud"), *item;
	const char *azp = get_text(claims, "azp");
	bool is_ours = false;
	size_t i, n;

	if (yyjson_obj_get(claims, "azp") && (!azp || strcmp(azp, client_id) != 0))
		return false;
	if (yyjson_is_str(aud))
		return yyjson_equals_str(aud, client_id);
	if (!yyjson_is_arr(aud))
		return false;
	yyjson_arr_foreach(aud, i, n, item)
	{
		if (!yyjson_is_str(item))
			return false;
		is_ours |= yyjson_equals_str(item, client_id);
	}
	return is_ours && (n == 1 || azp);
}

/* at_hash and c_hash: the left half of a hash that goes with the algorithm. */
static bool half_hash_fits(yyjson_val *claims, const char *name, const char *of, enum signature_alg alg)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	const char *said = get_text(claims, name);
	uint8_t hash[crypto_hash_sha512_BYTES];
	size_t n = alg == SIGNATURE_EDDSA ? crypto_hash_sha512_BYTES : SHA256_SIZE;

	if (!of || !yyjson_obj_get(claims, name))
		return true;
	if (alg == SIGNATURE_EDDSA)
		crypto_hash_sha512(hash, (const uint8_t *)of, strlen(of));
	else
		sha256(of, strlen(of), hash);
	base64url_encode(&text, hash, n / 2);
	return said && !strcmp(said, text.p);
}

static bool subject_is_fine(const char *subject)
{
	if (!subject || !*subject || strlen(subject) > SUBJECT_MAX)
		return false;
	for (; *subject; subject++)
		if (*subject < ' ' || *subject > '~')
			return false;
	return true;
}

static int check_claims(yyjson_val *claims, const struct id_token_request *q, enum signature_alg alg, struct error *err)
{
	const char *iss = get_text(claims, "iss"), *nonce = get_text(claims, "nonce");

	if (!iss || strcmp(iss, q->issuer) != 0)
		return error_set(err, "id_token", "Its ID token is of another issuer (iss).");
	if (!audience_is_ours(claims, q->client_id))
		return error_set(err, "id_token", "Its ID token is for another program (aud, azp).");
	if (!nonce || strcmp(nonce, q->nonce) != 0)
		return error_set(err, "id_token", "Its ID token answers another request (nonce).");
	if (!subject_is_fine(get_text(claims, "sub")))
		return error_set(err, "id_token", "Its ID token does not say who signed in (sub).");
	if (!half_hash_fits(claims, "at_hash", q->access_token, alg) || !half_hash_fits(claims, "c_hash", q->code, alg))
		return error_set(err, "id_token", "Its ID token belongs to another answer (at_hash, c_hash).");
	return check_dates(claims, q->now, err);
}

/* ---- What it says of the user ---- */

static bool is_true(yyjson_val *v)
{
	return yyjson_is_true(v) || yyjson_equals_str(v, "true");
}

/* Values of RFC 8176 that stand for something one has besides what one knows. */
static bool has_second_factor(yyjson_val *amr)
{
	static const char *const strong[] = {"mfa", "otp", "hwk", "sc"};
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(amr, i, n, item) for (size_t s = 0; s < ARRAY_SIZE(strong);
						 s++) if (yyjson_equals_str(item, strong[s])) return true;
	return false;
}

void id_token_read_user(yyjson_val *claims, struct id_token *ret)
{
	if (!ret->email && get_text(claims, "email")) {
		ret->email = get_text(claims, "email");
		ret->is_email_verified = is_true(yyjson_obj_get(claims, "email_verified"));
	}
	if (!ret->name)
		ret->name = get_text(claims, "name");
	if (!ret->name)
		ret->name = get_text(claims, "preferred_username");
}

static void read_user(yyjson_val *claims, struct id_token *ret)
{
	*ret = (struct id_token){
		.subject = get_text(claims, "sub"),
		.has_second_factor = has_second_factor(json_get_arr(claims, "amr")),
	};
	if (!get_date(claims, "auth_time", &ret->auth_time))
		ret->auth_time = 0;
	id_token_read_user(claims, ret);
}

enum id_token_result id_token_check(struct arena *a, struct str token, const struct id_token_request *q,
				    const struct provider_keys *keys, struct id_token *ret, struct error *err)
{
	uint8_t signature[SIGNATURE_MAX];
	const struct signature_key *key;
	yyjson_val *header, *claims;
	enum signature_alg alg;
	struct parts part;
	const char *kid;
	ssize_t n;

	header = token.n <= ID_TOKEN_MAX && split(token, &part) ? read_object(a, part.header) : NULL;
	if (!header || !header_is_fine(header, &kid, &alg)) {
		error_set(err, "id_token", "Its ID token is not signed in a way that is taken (EdDSA, ES256, RS256).");
		return ID_TOKEN_BAD;
	}
	key = find_key(keys, kid, alg);
	if (!key) {
		error_set(err, "id_token", "Its ID token is signed by a key that is not in its key set.");
		return ID_TOKEN_UNKNOWN_KEY;
	}
	n = base64url_decode(part.signature, signature, sizeof(signature));
	if (n <= 0 || !signature_verify(key, part.signed_part, (struct str){(const char *)signature, (size_t)n})) {
		error_set(err, "id_token", "The signature of its ID token is wrong.");
		return ID_TOKEN_BAD;
	}
	claims = read_object(a, part.claims);
	if (!claims) {
		error_set(err, "id_token", "Its ID token cannot be read.");
		return ID_TOKEN_BAD;
	}
	if (check_claims(claims, q, alg, err) < 0)
		return ID_TOKEN_BAD;
	read_user(claims, ret);
	return ID_TOKEN_GOOD;
}
