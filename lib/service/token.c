#include "service/token.h"

#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "base/id.h"
#include "base/log.h"

#define TOKEN_SKEW 30        /* seconds that two machines' clocks may differ */
#define TOKEN_MAX_LIFE 86400 /* of a person's token: what option access_token_ttl allows */
#define TOKEN_MAX_LIFE_INTERNAL 60
#define TOKEN_MAX_DEPTH 16
#define TOKEN_MAX_MEMBERS 64
#define TOKEN_MAX_PERMISSIONS 256
#define TOKEN_MAX_STRING 512 /* bytes; a name of 100 characters of four each is in it */
#define NUMERIC_DATE_MAX ((uint64_t)1 << 53)

bool permission_covers(const char *granted, const char *wanted)
{
	size_t n = strlen(granted), n_wanted = strlen(wanted);
	bool is_pattern = n_wanted && wanted[n_wanted - 1] == '*';

	if (!strcmp(granted, "*"))
		return true;
	if (n >= 2 && granted[n - 1] == '*' && granted[n - 2] == '.')
		return !strncmp(granted, wanted, n - 1) && wanted[n - 1];
	if (strncmp(granted, wanted, n))
		return false;
	return !wanted[n] || (n && wanted[n] == '.' && !is_pattern);
}

bool permission_denies(const char *denied, const char *wanted)
{
	size_t n = strlen(wanted);

	return permission_covers(denied, wanted) || (n && wanted[n - 1] == '*' && permission_covers(wanted, denied));
}

bool permissions_allow(const char *const *list, const char *wanted)
{
	bool is_granted = false;

	for (const char *const *p = list; p && *p; p++) {
		if (**p == '!' && permission_denies(*p + 1, wanted))
			return false;
		is_granted |= **p != '!' && permission_covers(*p, wanted);
	}
	return is_granted;
}

bool identity_may(const struct identity *id, const char *permission)
{
	return permissions_allow(id->permissions, permission);
}

bool audience_allows(const char *audience, struct str path)
{
	const char *authority = strstr(audience, "://"), *at = authority ? strchr(authority + 3, '/') : NULL;
	struct str prefix = str_of(at);

	if (!authority || str_is(path, "/oauth/userinfo"))
		return true;
	return prefix.n > 0 && str_has_prefix(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/');
}

void token_sign(const struct token_key *key, struct str claims, struct buf *out)
{
	token_sign_as(key, "at+jwt", claims, out);
}

const char *token_key_alg(const struct token_key *key)
{
	bool is_ed25519 = !key->other || signature_key_alg(key->other) == SIGNATURE_EDDSA;

	if (!is_ed25519)
		return signature_alg_name(signature_key_alg(key->other));
	return key->alg ? key->alg : "EdDSA";
}

static void sign(const struct token_key *key, struct str text, struct buf *ret)
{
	uint8_t made[crypto_sign_BYTES];

	if (key->other) {
		if (signature_make(key->other, text, ret) < 0)
			fatal("OpenSSL could not make a signature");
		return;
	}
	crypto_sign_detached(made, NULL, (const uint8_t *)text.p, text.n, key->secret_key);
	buf_add(ret, made, sizeof(made));
}

void token_sign_as(const struct token_key *key, const char *typ, struct str claims, struct buf *out)
{
	_cleanup_(buf_deinit) struct buf header = BUF_INIT, signature = BUF_INIT;
	size_t start = out->n;

	buf_printf(&header, "{\"alg\":\"%s\",\"typ\":\"%s\",\"kid\":\"%s\"}", token_key_alg(key), typ, key->kid);
	base64url_encode(out, header.p, header.n);
	buf_add_char(out, '.');
	base64url_encode(out, claims.p, claims.n);
	sign(key, (struct str){out->p + start, out->n - start}, &signature);
	buf_add_char(out, '.');
	base64url_encode(out, signature.p, signature.n);
}

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static void keep_denials(const char *const *list, const char **ret, size_t *n)
{
	for (; *list; list++)
		if (**list == '!')
			ret[(*n)++] = *list;
}

const char *const *permissions_intersect(struct arena *a, const char *const *one, const char *const *other)
{
	const char **ret = arena_alloc(a, ((count(one) + 1) * (count(other) + 1) + 1) * sizeof(*ret));
	size_t n = 0;

	keep_denials(one, ret, &n);
	keep_denials(other, ret, &n);
	for (const char *const *p = one; *p; p++) {
		for (const char *const *q = other; **p != '!' && *q; q++) {
			if (**q == '!')
				continue;
			if (!strcmp(*p, *q) || permission_covers(*q, *p))
				ret[n++] = *p;
			else if (permission_covers(*p, *q))
				ret[n++] = *q;
		}
	}
	ret[n] = NULL;
	return ret;
}

void token_sign_internal(const struct token_key *key, const char *role, const char *callee, const char *user_id,
			 struct buf *out)
{
	token_sign_delegated(key, role, callee, user_id, NULL, out);
}

/* {"sub":"agent:ID","act":{"sub":"ogent:agent"}}: the outermost acts, the inner ones stand behind it (RFC 8693 section
 * 4.1). */
static void add_actors(struct buf *claims, const char *role, const char *actor)
{
	buf_add_str(claims, ",\"act\":");
	if (actor) {
		buf_add_str(claims, "{\"sub\":");
		json_quote(claims, str_of(actor));
		buf_add_str(claims, ",\"act\":");
	}
	buf_printf(claims, "{\"sub\":\"" TOKEN_ISSUER ":%s\"}%s", role, actor ? "}" : "");
}

void token_sign_delegated(const struct token_key *key, const char *role, const char *callee, const char *user_id,
			  const char *actor, struct buf *out)
{
	_cleanup_(buf_deinit) struct buf claims = BUF_INIT;
	int64_t now = time(NULL);
	char jti[ID_SIZE];

	id_new(jti);
	buf_printf(&claims, "{\"iss\":\"" TOKEN_ISSUER ":%s\",\"aud\":\"%s\",\"sub\":", role, callee);
	json_quote(&claims, str_of(user_id));
	if (*user_id)
		add_actors(&claims, role, actor);
	buf_printf(&claims, ",\"iat\":%lld,\"exp\":%lld,\"jti\":\"%s\"}", (long long)now,
		   (long long)now + TOKEN_MAX_LIFE_INTERNAL, jti);
	token_sign(key, buf_str(&claims), out);
}

struct token_parts {
	struct str header, claims, signature, signed_part;
};

static bool split(struct str token, struct token_parts *ret)
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

/* One part of a token as a JSON object, or NULL. White space and what else may stand around an object in a JSON text
 * has no business here. */
static yyjson_val *read_object(struct arena *a, struct str part)
{
	size_t cap = part.n / 4 * 3 + 3;
	char *text = arena_alloc(a, cap);
	ssize_t n = base64url_decode(part, text, cap);

	if (n < 2 || text[0] != '{' || text[n - 1] != '}')
		return NULL;

	yyjson_doc *doc = json_parse_depth(a, text, n, TOKEN_MAX_DEPTH, NULL);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	return yyjson_is_obj(root) && yyjson_obj_size(root) <= TOKEN_MAX_MEMBERS ? root : NULL;
}

/* The member as a string of at most TOKEN_MAX_STRING bytes, or NULL. */
static const char *get_string(yyjson_val *obj, const char *name)
{
	yyjson_val *v = yyjson_obj_get(obj, name);

	return yyjson_is_str(v) && yyjson_get_len(v) <= TOKEN_MAX_STRING ? yyjson_get_str(v) : NULL;
}

static bool header_is_fine(yyjson_val *header, const char **ret_kid, enum signature_alg *ret_alg)
{
	/* Keys and rules from inside the token, encryption, compression and detached payloads. */
	static const char *const refused[] = {"crit", "jku",      "jwk", "x5c", "x5u",
					      "x5t",  "x5t#S256", "b64", "zip", "enc"};
	const char *alg = get_string(header, "alg"), *typ = get_string(header, "typ");
	const char *kid = get_string(header, "kid");

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (yyjson_obj_get(header, refused[i]))
			return false;
	if (!alg || signature_alg_parse(str_of(alg), ret_alg) < 0)
		return false;
	if (!typ || strcmp(typ, "at+jwt"))
		return false;
	if (!kid || !*kid || strlen(kid) >= sizeof(((struct token_key *)NULL)->kid))
		return false;
	*ret_kid = kid;
	return true;
}

/* NumericDate, or another number, as a whole one; a fraction is nothing that our issuers write. */
static bool get_date(yyjson_val *claims, const char *name, bool required, int64_t *ret)
{
	yyjson_val *v = yyjson_obj_get(claims, name);

	if (!v)
		return !required;
	if (!yyjson_is_uint(v) || yyjson_get_uint(v) > NUMERIC_DATE_MAX)
		return false;
	*ret = (int64_t)yyjson_get_uint(v);
	return true;
}

static enum token_result check_dates(yyjson_val *claims, int64_t max_life, int64_t now, struct identity *ret)
{
	int64_t exp = 0, iat = 0, nbf = 0;

	if (!get_date(claims, "exp", true, &exp) || !get_date(claims, "iat", true, &iat) ||
	    !get_date(claims, "nbf", false, &nbf))
		return TOKEN_MALFORMED;
	if (exp <= iat || exp - iat > max_life)
		return TOKEN_MALFORMED;
	if (now >= exp + TOKEN_SKEW || iat > now + TOKEN_SKEW || nbf > now + TOKEN_SKEW)
		return TOKEN_EXPIRED;
	ret->expires_at = exp;
	ret->issued_at = iat;
	return TOKEN_OK;
}

/* People's tokens are for TOKEN_AUDIENCE or for a resource, which is a URL; a service's for the role it calls: neither
 * can be used as the other. */
static bool audience_is_ours(const char *aud, bool internal, const char *const *audiences)
{
	if (!aud || internal == (!strcmp(aud, TOKEN_AUDIENCE) || strstr(aud, "://")))
		return false;
	for (; *audiences; audiences++)
		if (!strcmp(aud, *audiences))
			return true;
	return false;
}

static bool read_names(yyjson_val *claims, const char *key, struct arena *a, const char *const **ret)
{
	yyjson_val *list = yyjson_obj_get(claims, key), *item;
	size_t i, n;

	if (list && (!yyjson_is_arr(list) || yyjson_arr_size(list) > TOKEN_MAX_PERMISSIONS))
		return false;

	const char **out = arena_alloc(a, (yyjson_arr_size(list) + 1) * sizeof(*out));
	yyjson_arr_foreach(list, i, n, item)
	{
		if (!yyjson_is_str(item) || yyjson_get_len(item) > TOKEN_MAX_STRING)
			return false;
		out[i] = yyjson_get_str(item);
	}
	*ret = out;
	return true;
}

/* An absent member is ""; one that is no short string is an error. */
static bool optional_string(yyjson_val *claims, const char *name, const char **ret)
{
	*ret = yyjson_obj_get(claims, name) ? get_string(claims, name) : "";
	return *ret;
}

/* What a service may do for somebody, at most: no right over what is others'. */
static const char *const *service_may(const char *role)
{
	static const char *const agent[] = {"commands.run", "commands.read", NULL},
				 *const socket[] = {"agents.read",     "conversations.read", "conversations.use",
						    "executions.read", "commands.read",      NULL},
				 *const nothing[] = {NULL};

	return !strcmp(role, "agent") ? agent : !strcmp(role, "socket") ? socket : nothing;
}

/* A token for a user says who acts. */
static bool read_actor(yyjson_val *claims, const char **ret)
{
	*ret = get_string(yyjson_obj_get(claims, "act"), "sub");
	return *ret && **ret;
}

static enum token_result read_identity(yyjson_val *claims, bool internal, struct arena *a, struct identity *id)
{
	static const char *const everything[] = {"*", NULL}, *const nothing[] = {NULL};

	id->actor = "";
	id->user_id = get_string(claims, "sub");
	id->audience = get_string(claims, "aud");
	if (!id->user_id || strlen(id->user_id) > 64 || !optional_string(claims, "name", &id->name) ||
	    !optional_string(claims, "sid", &id->session_id) || !optional_string(claims, "client_id", &id->client_id) ||
	    !optional_string(claims, "jti", &id->token_id) || !get_date(claims, "pe", false, &id->rights))
		return TOKEN_MALFORMED;
	if (internal) {
		/* On its own behalf a service may do all; for a user what both may. */
		id->service = get_string(claims, "iss") + strlen(TOKEN_ISSUER ":");
		id->permissions = id->user_id[0] ? service_may(id->service) : everything;
		id->roles = nothing;
		return !id->user_id[0] || read_actor(claims, &id->actor) ? TOKEN_OK : TOKEN_MALFORMED;
	}
	id->service = "";
	return id->user_id[0] && read_names(claims, "permissions", a, &id->permissions) &&
			       read_names(claims, "roles", a, &id->roles)
		       ? TOKEN_OK
		       : TOKEN_MALFORMED;
}

static enum token_result check_claims(yyjson_val *claims, const char *issuer, const char *const *audiences, int64_t now,
				      struct arena *a, struct identity *id)
{
	bool internal = strcmp(issuer, TOKEN_ISSUER);
	const char *iss = get_string(claims, "iss");
	enum token_result r;

	if (!iss || strcmp(iss, issuer) || !audience_is_ours(get_string(claims, "aud"), internal, audiences))
		return TOKEN_NOT_FOR_US;
	r = check_dates(claims, internal ? TOKEN_MAX_LIFE_INTERNAL : TOKEN_MAX_LIFE, now, id);
	return r ? r : read_identity(claims, internal, a, id);
}

static bool is_signed(const struct token_key *key, struct str text, struct str signature)
{
	if (key->other)
		return signature_verify(key->other, text, signature);
	return crypto_sign_verify_detached((const uint8_t *)signature.p, (const uint8_t *)text.p, text.n,
					   key->public_key) == 0;
}

enum token_result token_check(const struct token_keys *k, struct str token, const char *const *audiences, int64_t now,
			      struct arena *a, struct identity *ret)
{
	struct token_parts part;
	uint8_t signature[SIGNATURE_MAX];
	struct identity id = {0};
	const char *kid, *issuer;
	enum signature_alg alg;

	if (token.n > TOKEN_MAX || !split(token, &part))
		return TOKEN_MALFORMED;

	yyjson_val *header = read_object(a, part.header);
	if (!header || !header_is_fine(header, &kid, &alg))
		return TOKEN_MALFORMED;

	const struct token_key *key = token_keys_find(k, kid, &issuer);
	if (!key)
		return TOKEN_UNKNOWN_KEY;
	/* One key, one algorithm: what the header says only has to agree. */
	if (alg != (key->other ? signature_key_alg(key->other) : SIGNATURE_EDDSA))
		return TOKEN_MALFORMED;
	ssize_t n = base64url_decode(part.signature, signature, sizeof(signature));
	if (n <= 0 || (alg != SIGNATURE_RS256 && n != crypto_sign_BYTES))
		return TOKEN_MALFORMED;
	if (!is_signed(key, part.signed_part, (struct str){(const char *)signature, (size_t)n}))
		return TOKEN_BAD_SIGNATURE;

	yyjson_val *claims = read_object(a, part.claims);
	if (!claims)
		return TOKEN_MALFORMED;

	enum token_result r = check_claims(claims, issuer, audiences, now, a, &id);
	if (r == TOKEN_OK)
		*ret = id;
	return r;
}

bool token_keys_knows(const struct token_keys *k, struct str token)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct token_parts part;
	const char *kid, *issuer;
	enum signature_alg alg;

	if (token.n > TOKEN_MAX || !split(token, &part))
		return false;

	yyjson_val *header = read_object(a, part.header);
	return header && header_is_fine(header, &kid, &alg) && token_keys_find(k, kid, &issuer);
}
