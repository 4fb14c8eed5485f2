/* ID tokens of other providers (OpenID Connect Core section 3.1.3.7), read strictly: compact JWS, one of three
 * algorithms (EdDSA, ES256, RS256) by a key of the provider's set that is for that one, exact issuer, our client id as
 * audience, the nonce we asked with, times within a skew of a minute. Pure. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "io/signature.h"

#define ID_TOKEN_MAX (16 * 1024)
#define ID_TOKEN_SKEW_S 60
#define ID_TOKEN_LIFE_MAX_S (24 * 3600)
#define PROVIDER_KEYS_MAX 64
#define SUBJECT_MAX 255

/* A provider's keys (RFC 7517). */
struct provider_keys {
	struct provider_key {
		char *kid; /* NULL: it has no name */
		struct signature_key *key;
	} items[PROVIDER_KEYS_MAX];
	size_t n;
};

/* Reads a key set; keys that are for other algorithms or uses are passed over. Returns 0, or -EINVAL with err. */
int provider_keys_read(struct str jwks, struct provider_keys *ret, struct error *err);
void provider_keys_deinit(struct provider_keys *k);

/* What was asked for. */
struct id_token_request {
	const char *issuer, *client_id, *nonce;
	int64_t now;              /* s */
	const char *code;         /* c_hash is compared with it when it is there; may be NULL */
	const char *access_token; /* the same for at_hash; may be NULL */
};

/* Strings live in the arena. */
struct id_token {
	const char *subject;
	const char *email, *name; /* may be NULL */
	bool is_email_verified;
	bool has_second_factor; /* amr (RFC 8176) names more than a password */
	int64_t auth_time;      /* s; 0 = not told */
};

enum id_token_result { ID_TOKEN_GOOD, ID_TOKEN_UNKNOWN_KEY, ID_TOKEN_BAD };
/* ID_TOKEN_UNKNOWN_KEY: signed by a key that is not in the set, which may be old. Otherwise err says what is wrong. */
enum id_token_result id_token_check(struct arena *a, struct str token, const struct id_token_request *q,
				    const struct provider_keys *keys, struct id_token *ret, struct error *err);
/* The members that describe the user, from a token or from userinfo, into those of ret that are not set yet. */
void id_token_read_user(yyjson_val *claims, struct id_token *ret);
