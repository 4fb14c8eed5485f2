/* E-mail addresses as account names. */
#pragma once

#include "base/str.h"

#define EMAIL_MAX 254 /* bytes, RFC 5321 section 4.5.3.1.3 */
#define EMAIL_SIZE (EMAIL_MAX + 1)

/* The form under which an address is unique: trimmed, NFKC, case-folded; so the full-width, the composed and the
 * upper-case spelling are one account. Returns 0 or -EINVAL: not one '@' with something on both sides, blanks or
 * control characters inside, bad UTF-8, or longer than EMAIL_MAX. */
int email_canonical(struct str given, char ret[static EMAIL_SIZE]);
/* What stands before the '@' of a canonical address. */
struct str email_local_part(const char *canonical);
