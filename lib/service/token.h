/* Access tokens: compact JWS (RFC 7515) with Ed25519 (RFC 8037), ES256 or RS256 (RFC 7518), typ "at+jwt" (RFC 9068),
 * checked strictly: 8 KiB, three parts, base64url without padding, kid known, alg the one of that key, no
 * crit/jku/jwk/x5c/x5u/b64/zip, no duplicate members, exp and iat present, nbf honoured, skew of 60 s at most, exact
 * issuer, one exact audience. Header and claims are plain JSON read by base/json.
 *
 * Two kinds of issuer: auth, for people (keys by JWKS), and each service for its own internal calls (issuer
 * "ogent:<role>", key pair in the data folder's secrets/ and keys/, at most 60 s of life, audience = the callee's
 * role). */
#pragma once

#include <sodium.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "io/signature.h"

#define TOKEN_MAX 8192
#define TOKEN_ISSUER "ogent"       /* what auth puts into iss */
#define TOKEN_AUDIENCE "ogent-api" /* and aud of people's tokens */

struct token_key {
	char kid[65];
	uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
	uint8_t secret_key[crypto_sign_SECRETKEYBYTES]; /* zero in a key for checking only */
	struct signature_key *other; /* ES256 or RS256, instead of the two above; the set's, or whose the key is */
	const char *alg;             /* what headers and JWK call Ed25519: NULL is "EdDSA" (RFC 9864: "Ed25519") */
};

/* Who makes the request, from a valid token. Strings live in the exchange's arena. */
struct identity {
	const char *user_id;            /* sub: a user's id; "" for a service on its own behalf */
	const char *name;               /* display name; may be "" */
	const char *service;            /* the calling service's role for an internal token, otherwise "" */
	const char *session_id;         /* sid, may be "" */
	const char *const *permissions; /* patterns of permissions, denials as "!PATTERN", NULL at the end */
	int64_t expires_at;             /* seconds since 1970 */
	int64_t issued_at;              /* the same */
	const char *token_id;           /* jti, may be "" */
	int64_t rights;                 /* pe, the user's permission epoch when the token was made; 0 = not told */
	const char *client_id;          /* the OAuth client that acts for the user, otherwise "" */
	const char *audience;           /* aud */
	/* Of a service's token for a user: who acts for him (act, RFC 8693): "agent:ID" or "ogent:ROLE"; otherwise "".
	 * The permissions are then what that service may do for somebody, until user_rights_apply has made them what
	 * both may. */
	const char *actor;
	bool is_scoped; /* the permissions are less than the user's: when his change, the token is looked up anew */
	const char *const *roles; /* names, NULL at the end, as they were when the token was made; may be NULL */
};

/* "agents.*" covers "agents.write" and all below it, "agents.write" covers itself and all below it, "*" covers all. Who
 * asks for a pattern needs that pattern or a wider one: "agents.*" is covered by itself and "*". */
bool permission_covers(const char *granted, const char *wanted);
/* Whether a denial stands in the way: it covers what is wanted, or a part of the wanted pattern. */
bool permission_denies(const char *denied, const char *wanted);
/* Whether a list of patterns, NULL at the end, allows it. "!PATTERN" is a denial, which wins over every grant. */
bool permissions_allow(const char *const *list, const char *wanted);
bool identity_may(const struct identity *id, const char *permission);

/* A resource of the platform has an audience of its own, PUBLIC_URL/mcp or PUBLIC_URL/api: its tokens are good there
 * and at userinfo only. Whether a token for that audience is good at a path; every other audience is. */
bool audience_allows(const char *audience, struct str path);

/* A fresh key pair with a random kid. */
void token_key_new(struct token_key *ret);
/* Signs claims (a JSON object text) as an access token. Appends the compact form. */
void token_sign(const struct token_key *key, struct str claims, struct buf *out);
/* The same with another `typ`. */
void token_sign_as(const struct token_key *key, const char *typ, struct str claims, struct buf *out);

/* The set of keys a checker trusts. */
struct token_keys;
struct token_keys *token_keys_new(void);
void token_keys_free(struct token_keys *k);
void token_keys_clear(struct token_keys *k, const char *issuer);
void token_keys_add(struct token_keys *k, const char *issuer, const struct token_key *key);
/* Replaces an issuer's keys by those of a JWKS document. Returns 0 or -EINVAL. */
int token_keys_load_jwks(struct token_keys *k, const char *issuer, struct str jwks, struct error *err);
bool token_keys_knows(const struct token_keys *k, struct str token); /* whether its kid is known */
/* The key of that name and who signs with it, or NULL. */
const struct token_key *token_keys_find(const struct token_keys *k, const char *kid, const char **ret_issuer);
/* As headers and JWK name it: "EdDSA" or "Ed25519", "ES256", "RS256". */
const char *token_key_alg(const struct token_key *key);
/* The JWK object of a public key as JSON. */
void token_key_to_jwk(const struct token_key *key, struct buf *out);
/* One JWK, with or without its secret part. Returns 0 or -EINVAL. */
int token_key_from_jwk(struct str text, bool with_secret, struct token_key *ret, struct error *err);

enum token_result {
	TOKEN_OK,
	TOKEN_MALFORMED,
	TOKEN_UNKNOWN_KEY,
	TOKEN_BAD_SIGNATURE,
	TOKEN_EXPIRED,
	TOKEN_NOT_FOR_US,
	TOKEN_REVOKED /* by keyring_check */
};

/* Checks a token. issuer NULL accepts "ogent" and any "ogent:<role>" whose key is known. audience must match exactly
 * (internal tokens: the callee's role). now in seconds. The identity's strings are in the arena. */
enum token_result token_check(const struct token_keys *k, struct str token, const char *const *audiences, int64_t now,
			      struct arena *a, struct identity *ret);

/* A service's own key: loads secrets/<role>.key (made 0600 with a new key when missing) and publishes keys/<role>.jwk.
 */
int token_key_load(const char *data_dir, const char *role, struct token_key *ret, struct error *err);
/* A token for calling `callee` on behalf of `user_id` ("" = for itself); valid 60 s. For a user it says who acts (act),
 * and is worth what both the service and the user may. Appends to out. */
void token_sign_internal(const struct token_key *key, const char *role, const char *callee, const char *user_id,
			 struct buf *out);
/* The same with who acts for the user on the service's behalf, such as "agent:ID"; NULL: the service itself. */
void token_sign_delegated(const struct token_key *key, const char *role, const char *callee, const char *user_id,
			  const char *actor, struct buf *out);
/* What both lists allow: of two patterns where one covers the other the narrower, and all denials. In the arena. */
const char *const *permissions_intersect(struct arena *a, const char *const *one, const char *const *other);
