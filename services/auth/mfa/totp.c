#include "mfa/totp.h"

#include <endian.h>
#include <sha1.h>
#include <sodium.h>

#include "base/encode.h"

#define BLOCK 64
#define WINDOW 1 /* steps before and after */

/* RFC 2104; the key is shorter than a block. */
static void hmac_sha1(const uint8_t *key, size_t n_key, const void *data, size_t n, uint8_t ret[SHA1_DIGEST_LENGTH])
{
	uint8_t inner[BLOCK] = {0}, outer[BLOCK];
	SHA1_CTX ctx;

	memcpy(inner, key, n_key);
	for (size_t i = 0; i < BLOCK; i++) {
		outer[i] = inner[i] ^ 0x5c;
		inner[i] ^= 0x36;
	}
	SHA1Init(&ctx);
	SHA1Update(&ctx, inner, BLOCK);
	SHA1Update(&ctx, data, n);
	SHA1Final(ret, &ctx);
	SHA1Init(&ctx);
	SHA1Update(&ctx, outer, BLOCK);
	SHA1Update(&ctx, ret, SHA1_DIGEST_LENGTH);
	SHA1Final(ret, &ctx);
	sodium_memzero(inner, sizeof(inner));
	sodium_memzero(outer, sizeof(outer));
}

/* Dynamic truncation (RFC 4226 section 5.3). */
uint32_t totp_code(const uint8_t secret[static TOTP_SECRET_SIZE], uint64_t step)
{
	uint8_t mac[SHA1_DIGEST_LENGTH], *at;
	uint64_t counter = htobe64(step);

	hmac_sha1(secret, TOTP_SECRET_SIZE, &counter, sizeof(counter), mac);
	at = mac + (mac[SHA1_DIGEST_LENGTH - 1] & 15);
	return (((uint32_t)at[0] & 127) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]) % 1000000;
}

bool totp_matches(const uint8_t secret[static TOTP_SECRET_SIZE], struct str code, int64_t now_us, uint64_t used,
		  uint64_t *ret_step)
{
	uint64_t now = (uint64_t)now_us / 1000000 / TOTP_STEP_S, given = 0;
	bool found = false;

	if (code.n != TOTP_DIGITS || str_to_u64(code, 999999, &given) < 0)
		return false;
	for (uint64_t step = now - WINDOW; step <= now + WINDOW; step++) {
		if (totp_code(secret, step) == given && step > used && !found) {
			*ret_step = step;
			found = true;
		}
	}
	return found;
}

void base32_encode(struct buf *out, const void *data, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	const uint8_t *p = data;
	uint32_t bits = 0;
	unsigned n_bits = 0;

	for (size_t i = 0; i < n; i++) {
		bits = bits << 8 | p[i];
		for (n_bits += 8; n_bits >= 5; n_bits -= 5)
			buf_add_char(out, digits[bits >> (n_bits - 5) & 31]);
	}
	if (n_bits)
		buf_add_char(out, digits[bits << (5 - n_bits) & 31]);
}

void totp_uri(const uint8_t secret[static TOTP_SECRET_SIZE], struct str issuer, struct str account, struct buf *ret)
{
	buf_add_str(ret, "otpauth://totp/");
	percent_encode(issuer, ret);
	buf_add_char(ret, ':');
	percent_encode(account, ret);
	buf_add_str(ret, "?secret=");
	base32_encode(ret, secret, TOTP_SECRET_SIZE);
	buf_add_str(ret, "&issuer=");
	percent_encode(issuer, ret);
}
