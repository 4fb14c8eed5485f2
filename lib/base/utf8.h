/* UTF-8 (RFC 3629), incremental. */
#pragma once

#include "base/buf.h"

struct utf8_state {
	uint32_t state; /* 0 = between characters */
	uint32_t codepoint;
};

bool utf8_is_valid(struct str s);
/* Feeds bytes; returns false at the first byte that cannot be. Text is complete when state is 0. */
bool utf8_feed(struct utf8_state *st, const void *data, size_t n);
/* Appends `data` to `out` with every invalid sequence as U+FFFD; an unfinished character at the end is kept in `carry`
 * (zeroed at the start, at most 3 bytes) for the next piece. flush = there is none. */
struct utf8_carry {
	uint8_t bytes[4];
	uint8_t n;
};
void utf8_clean(struct utf8_carry *carry, const void *data, size_t n, bool flush, struct buf *out);
