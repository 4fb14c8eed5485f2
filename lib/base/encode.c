#include "base/encode.h"

#include <errno.h>
#include <sodium.h>

#include "base/utf8.h"

static void encode(struct buf *out, const void *data, size_t n, int variant)
{
	size_t size = sodium_base64_encoded_len(n, variant);

	buf_reserve(out, size);
	sodium_bin2base64(out->p + out->n, size, data, n, variant);
	out->n += size - 1;
}

void base64url_encode(struct buf *out, const void *data, size_t n)
{
	encode(out, data, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void base64_encode(struct buf *out, const void *data, size_t n)
{
	encode(out, data, n, sodium_base64_VARIANT_ORIGINAL);
}

ssize_t base64url_decode(struct str s, void *ret, size_t cap)
{
	size_t n = 0;

	if (s.n == 0)
		return 0;
	if (sodium_base642bin(ret, cap, s.p, s.n, NULL, &n, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return -EINVAL;
	return (ssize_t)n;
}

void hex_encode(const void *data, size_t n, char *ret)
{
	sodium_bin2hex(ret, 2 * n + 1, data, n);
}

void sha256(const void *data, size_t n, uint8_t ret[static SHA256_SIZE])
{
	crypto_hash_sha256(ret, data, n);
}

void sha256_hex(const void *data, size_t n, char ret[static SHA256_HEX_SIZE])
{
	uint8_t hash[SHA256_SIZE];

	sha256(data, n, hash);
	hex_encode(hash, sizeof(hash), ret);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int percent_decode(struct str s, bool plus_is_space, struct buf *out)
{
	size_t start = out->n;

	buf_reserve(out, s.n);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '%') {
			int high = s.n - i > 2 ? hex_digit(s.p[i + 1]) : -1;
			int low = s.n - i > 2 ? hex_digit(s.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				goto bad;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c == '\0')
			goto bad;
		out->p[out->n++] = c;
	}
	out->p[out->n] = '\0';
	if (utf8_is_valid((struct str){out->p + start, out->n - start}))
		return 0;
bad:
	out->n = start;
	out->p[start] = '\0';
	return -EINVAL;
}

void percent_encode(struct str s, struct buf *out)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];
		if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c && strchr("-._~", c))) {
			buf_add_char(out, (char)c);
			continue;
		}
		buf_add(out, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
	}
}
