/* Which passwords are good ones, and the one form of their bytes. (NIST SP 800-63B-4: long, no rules of composition;
 * RFC 8265 OpaqueString: Unicode spaces become the ASCII one, NFC, no control characters, no unassigned ones.) */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#define PASSWORD_MAX_BYTES 1024
#define PASSWORD_MIN_FLOOR 8 /* the option password_min cannot go below */

/* Brings a password into its normal form and appends it to `ret`. Returns 0, or -EINVAL with err: bad UTF-8, NUL,
 * control or unassigned characters, too long. The caller wipes `ret` with password_wipe. */
int password_normalise(struct str given, struct buf *ret, struct error *err);
/* Whether a new password (normal form) may be chosen. min: in code points. email_key: canonical. Returns 0, or -EINVAL
 * with err: "password_too_short" or "password_guessable". */
int password_check(struct str password, int64_t min, const char *email_key, struct error *err);
/* Clears and frees. */
void password_wipe(struct buf *password);
