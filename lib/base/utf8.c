#include "base/utf8.h"

/* state: continuation bytes still to come in bits 0-7, the lowest and the highest byte that may come next in bits 8-15
 * and 16-23. Table 3-7 of the Unicode standard. */
static uint32_t pack(unsigned left, unsigned low, unsigned high)
{
	return left | low << 8 | high << 16;
}

static bool feed_lead(struct utf8_state *st, unsigned char b)
{
	if (b < 0x80) {
		st->codepoint = b;
	} else if (b >= 0xc2 && b <= 0xdf) {
		st->codepoint = b & 0x1f;
		st->state = pack(1, 0x80, 0xbf);
	} else if (b >= 0xe0 && b <= 0xef) {
		st->codepoint = b & 0x0f;
		st->state = pack(2, b == 0xe0 ? 0xa0 : 0x80, b == 0xed ? 0x9f : 0xbf);
	} else if (b >= 0xf0 && b <= 0xf4) {
		st->codepoint = b & 0x07;
		st->state = pack(3, b == 0xf0 ? 0x90 : 0x80, b == 0xf4 ? 0x8f : 0xbf);
	} else {
		return false;
	}
	return true;
}

static bool feed_byte(struct utf8_state *st, unsigned char b)
{
	unsigned left = st->state & 0xff;

	if (left == 0)
		return feed_lead(st, b);
	if (b < (st->state >> 8 & 0xff) || b > (st->state >> 16 & 0xff)) {
		st->state = 0;
		return false;
	}
	st->codepoint = st->codepoint << 6 | (b & 0x3f);
	st->state = left == 1 ? 0 : pack(left - 1, 0x80, 0xbf);
	return true;
}

/* Length of the ASCII run at the start. */
static size_t ascii_run(const unsigned char *p, size_t n)
{
	size_t i = 0;
	uint64_t word;

	for (; i + 8 <= n; i += 8) {
		memcpy(&word, p + i, 8);
		if (word & 0x8080808080808080u)
			break;
	}
	while (i < n && p[i] < 0x80)
		i++;
	return i;
}

bool utf8_feed(struct utf8_state *st, const void *data, size_t n)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++) {
		if (st->state == 0) {
			i += ascii_run(p + i, n - i);
			if (i == n)
				break;
		}
		if (!feed_byte(st, p[i]))
			return false;
	}
	return true;
}

bool utf8_is_valid(struct str s)
{
	struct utf8_state st = {0};

	return utf8_feed(&st, s.p, s.n) && st.state == 0;
}

static void add_replacement(struct buf *out)
{
	buf_add(out, "\xef\xbf\xbd", 3);
}

void utf8_clean(struct utf8_carry *carry, const void *data, size_t n, bool flush, struct buf *out)
{
	const unsigned char *p = data;
	struct utf8_state st = {0};

	utf8_feed(&st, carry->bytes, carry->n);
	for (size_t i = 0; i < n;) {
		if (carry->n == 0) {
			size_t run = ascii_run(p + i, n - i);
			buf_add(out, p + i, run);
			i += run;
			if (i == n)
				break;
		}
		if (!feed_byte(&st, p[i])) {
			/* A byte that breaks a character may begin the next one: look at it again. */
			i += carry->n == 0;
			carry->n = 0;
			add_replacement(out);
			continue;
		}
		carry->bytes[carry->n++] = p[i++];
		if (st.state == 0) {
			buf_add(out, carry->bytes, carry->n);
			carry->n = 0;
		}
	}
	if (flush && carry->n) {
		carry->n = 0;
		add_replacement(out);
	}
}
