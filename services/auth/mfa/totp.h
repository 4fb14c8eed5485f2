/* One-time codes by time (RFC 6238): HMAC-SHA-1, steps of 30 s, 6 digits, as every authenticator app has them. */
#pragma once

#include "base/buf.h"

#define TOTP_SECRET_SIZE 20
#define TOTP_STEP_S 30
#define TOTP_DIGITS 6

/* The code of a step (seconds since 1970 / 30). */
uint32_t totp_code(const uint8_t secret[static TOTP_SECRET_SIZE], uint64_t step);
/* Whether `code` is that of now, or of one step before or after, and of a step later than `used`. *ret_step: which. A
 * step is to be used once: the caller stores it with a compare. */
bool totp_matches(const uint8_t secret[static TOTP_SECRET_SIZE], struct str code, int64_t now_us, uint64_t used,
		  uint64_t *ret_step);
/* otpauth://totp/… for a QR code; the secret is base32 in it. */
void totp_uri(const uint8_t secret[static TOTP_SECRET_SIZE], struct str issuer, struct str account, struct buf *ret);
/* RFC 4648 section 6, without padding. */
void base32_encode(struct buf *out, const void *data, size_t n);
