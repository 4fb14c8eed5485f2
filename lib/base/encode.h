/* Text forms of bytes, and the hash that names things. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE 65

/* base64url without padding (RFC 4648 section 5), strict: no blanks, no padding, no trailing bits. */
void base64url_encode(struct buf *out, const void *data, size_t n);
/* Writes at most `cap` bytes. Returns their number or -EINVAL. */
ssize_t base64url_decode(struct str s, void *ret, size_t cap);
void base64_encode(struct buf *out, const void *data, size_t n);

void hex_encode(const void *data, size_t n, char *ret); /* 2n + 1 bytes */
void sha256(const void *data, size_t n, uint8_t ret[static SHA256_SIZE]);
void sha256_hex(const void *data, size_t n, char ret[static SHA256_HEX_SIZE]);

/* Percent-decoding of a path or query part. Refuses bad escapes, NUL and invalid UTF-8 with -EINVAL. */
int percent_decode(struct str s, bool plus_is_space, struct buf *out);
void percent_encode(struct str s, struct buf *out);
