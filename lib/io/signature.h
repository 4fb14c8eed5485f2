/* Keys for signatures in the three forms that tokens and authenticators use: Ed25519 (libsodium), ECDSA on P-256 with
 * SHA-256 and RSA PKCS #1 v1.5 with SHA-256 (OpenSSL). A key has one algorithm, whatever a message says of itself. */
#pragma once

#include "base/buf.h"
#include "base/json.h"

/* The names are those of JWS (RFC 7518, RFC 8037); "Ed25519" (RFC 9864) is another name of EdDSA. */
enum signature_alg { SIGNATURE_EDDSA, SIGNATURE_ES256, SIGNATURE_RS256 };

#define SIGNATURE_RSA_MIN_BITS 2048
#define SIGNATURE_RSA_MAX_BITS 8192
#define SIGNATURE_MAX (SIGNATURE_RSA_MAX_BITS / 8) /* bytes */

struct signature_key;

const char *signature_alg_name(enum signature_alg alg);
/* Returns 0 or -EINVAL: none of ours. */
int signature_alg_parse(struct str name, enum signature_alg *ret);

/* ---- Public keys; NULL: no good key, which is said in err ---- */

/* x: 32 bytes. Off the curve, not canonical or of small order is refused. */
struct signature_key *signature_key_ed25519(struct str x, struct error *err);
/* x, y: 32 bytes each, of a point of P-256. */
struct signature_key *signature_key_ec(struct str x, struct str y, struct error *err);
/* n, e: big endian. 2,048 to 8,192 bits; e odd, at least 3 and below 2^32. */
struct signature_key *signature_key_rsa(struct str n, struct str e, struct error *err);
/* A public JWK (RFC 7517) by kty, crv and its numbers; `alg` and `use` must fit where they are there. Secret parts are
 * refused. */
struct signature_key *signature_key_from_jwk(yyjson_val *jwk, struct error *err);

/* ---- Pairs ---- */

struct signature_key *signature_key_generate(enum signature_alg alg, struct error *err);
/* PKCS #8, DER. The caller wipes it. */
void signature_key_export(const struct signature_key *key, struct buf *ret);
struct signature_key *signature_key_import(enum signature_alg alg, struct str der, struct error *err);

void signature_key_free(struct signature_key *key);
DEFINE_CLEANUP(struct signature_key *, signature_key_free)
enum signature_alg signature_key_alg(const struct signature_key *key);
/* The members of the public JWK that make the key, without braces: "kty":…,"crv":…,"x":… */
void signature_key_add_jwk(const struct signature_key *key, struct buf *out);

/* ---- Signatures; both on any thread, each key on one at a time ---- */

/* As JWS has them: Ed25519 and ECDSA (r, s) of exactly 64 bytes, RSA of the modulus' size. */
bool signature_verify(const struct signature_key *key, struct str data, struct str signature);
/* As WebAuthn has them: ECDSA in DER, the others the same. */
bool signature_verify_der(const struct signature_key *key, struct str data, struct str signature);
/* Appends the signature in the form of JWS. The key must be a pair. Returns 0 or -EIO. */
int signature_make(const struct signature_key *key, struct str data, struct buf *ret);
