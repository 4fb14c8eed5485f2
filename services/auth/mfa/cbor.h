/* The CBOR (RFC 8949) of authenticators, in CTAP2's form: lengths and numbers in their shortest form, nothing of
 * unknown length, no tags, no floating point, text in UTF-8, nesting of at most 4, no key twice. A reader over memory;
 * what it returns are views. */
#pragma once

#include "base/str.h"

#define CBOR_MAX_DEPTH 4
#define CBOR_MAX_MAP 32 /* pairs */

/* The length of the one item that `in` begins with, or 0: that is none. What follows it is not looked at. */
size_t cbor_item_size(struct str in);

/* The rest works on an item that was checked so. Each returns false when it is not of that kind. */
bool cbor_is_map(struct str item);
bool cbor_bytes(struct str item, struct str *ret);
bool cbor_text(struct str item, struct str *ret);
bool cbor_int(struct str item, int64_t *ret);
/* The value of a key of a map. */
bool cbor_find(struct str map, const char *key, struct str *ret);
bool cbor_find_int(struct str map, int64_t key, struct str *ret);
