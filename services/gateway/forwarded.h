/* The Forwarded field (RFC 7239), as far as it tells who the client is. */
#pragma once

#include "base/str.h"

#define FORWARDED_MAX 32 /* elements of one field */

/* One proxy's word. Views of the field, without quotes; empty: not told. */
struct forwarded {
	struct str client; /* for=: an address, perhaps with a port or in [ ]; or "unknown", or a name of the proxy's
			      own */
	struct str proto, host;
};

/* Splits a field's value into its elements, in their order: the last is the nearest proxy's. Returns how many there
 * are, or -EINVAL: then nothing of it can be believed. Quoted pairs (a backslash) are not taken: no address has one. */
int forwarded_parse(struct str value, struct forwarded ret[static FORWARDED_MAX]);
