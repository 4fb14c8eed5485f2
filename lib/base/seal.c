#include "base/seal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/encode.h"

#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define HEAD STR("s1.")

void seal(const struct seal_key *key, struct str context, struct str plain, struct buf *ret)
{
	size_t n = NONCE_SIZE + plain.n + TAG_SIZE;
	uint8_t *box = xmalloc(n);

	assert(plain.n <= SEAL_PLAIN_MAX);
	randombytes_buf(box, NONCE_SIZE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(box + NONCE_SIZE, NULL, (const uint8_t *)plain.p, plain.n,
						   (const uint8_t *)context.p, context.n, NULL, box, key->bytes);
	buf_add_str(ret, HEAD.p);
	base64url_encode(ret, box, n);
	free(box);
}

static int open_box(const struct seal_key *key, struct str context, const uint8_t *box, size_t n, struct buf *ret)
{
	size_t n_plain = n - NONCE_SIZE - TAG_SIZE;

	buf_reserve(ret, n_plain + 1);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *)ret->p + ret->n, NULL, NULL, box + NONCE_SIZE,
						       n - NONCE_SIZE, (const uint8_t *)context.p, context.n, box,
						       key->bytes) < 0)
		return -EBADMSG;
	ret->n += n_plain;
	ret->p[ret->n] = '\0';
	return 0;
}

int unseal(const struct seal_key *key, struct str context, struct str sealed, struct buf *ret)
{
	uint8_t *box;
	ssize_t n;
	int r;

	if (!str_has_prefix(sealed, HEAD) || sealed.n > 2 * SEAL_PLAIN_MAX)
		return -EINVAL;
	box = xmalloc(sealed.n);
	n = base64url_decode((struct str){sealed.p + HEAD.n, sealed.n - HEAD.n}, box, sealed.n);
	r = n < (ssize_t)(NONCE_SIZE + TAG_SIZE) ? -EINVAL : open_box(key, context, box, (size_t)n, ret);
	free(box);
	return r;
}

void buf_wipe(struct buf *b)
{
	if (b->p)
		sodium_memzero(b->p, b->cap);
	buf_deinit(b);
}
