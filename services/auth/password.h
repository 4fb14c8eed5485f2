/* Which passwords are good ones, and the one form of their bytes. (NIST SP 800-63B-4: long, no rules of composition;
 * RFC 8265 OpaqueString: Unicode spaces become the ASCII one, NFC, no control characters, no unassigned ones.) */
#pragma once

#include "base/error.h"
#include "base/seal.h"

#define PASSWORD_MAX_BYTES 1024
#define PASSWORD_MIN_FLOOR 8 /* the option password_min cannot go below */

/* Brings a password into its normal form and appends it to `ret`. Returns 0, or -EINVAL with err: "password_invalid"
 * (bad UTF-8, NUL, control characters), "password_undefined" (unassigned ones), "password_too_long". The caller wipes
 * `ret` with buf_wipe. */
int password_normalise(struct str given, struct buf *ret, struct error *err);
/* Whose a new password is, and how long it must be. */
struct password_rules {
	int64_t min;           /* code points */
	const char *email_key; /* canonical */
	const char *org;       /* the organisation's name; "" = none */
};
/* Whether a new password (normal form) may be chosen. Returns 0, or -EINVAL with err: "password_breached",
 * "password_too_short" or "password_guessable". */
int password_check(struct str password, const struct password_rules *rules, struct error *err);
