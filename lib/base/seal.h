/* Secrets at rest: XChaCha20-Poly1305 (libsodium's crypto_aead_xchacha20poly1305_ietf) under a key of the service that
 * is not in the database. What is sealed is bound to its place (`context`: table, column and row), so that one row's
 * secret is of no use in another. The text is "s1." and base64url of nonce (24), ciphertext and tag (16). */
#pragma once

#include "base/buf.h"

#define SEAL_KEY_SIZE 32
#define SEAL_PLAIN_MAX (64 * 1024)

struct seal_key {
	uint8_t bytes[SEAL_KEY_SIZE];
};

/* Appends the text. At most SEAL_PLAIN_MAX bytes of `plain`. */
void seal(const struct seal_key *key, struct str context, struct str plain, struct buf *ret);
/* Appends what was sealed; the caller wipes it with buf_wipe. Returns 0, -EINVAL (not a sealed text) or -EBADMSG (not
 * with this key and context, or changed). */
int unseal(const struct seal_key *key, struct str context, struct str sealed, struct buf *ret);
/* Overwrites and frees. */
void buf_wipe(struct buf *b);
