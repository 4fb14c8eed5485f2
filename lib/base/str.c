#include "base/str.h"

#include <errno.h>
#include <strings.h>

static unsigned char ascii_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool str_ieq(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (ascii_lower((unsigned char)a.p[i]) != ascii_lower((unsigned char)b.p[i]))
			return false;
	}
	return true;
}

/* The byte of `part` that is likely to be rare in a text: looking for it alone passes over most of the text. */
static size_t rarest(struct str part)
{
	static const char common[] = "zqjxkvbpygfwmucldrhsnioate ";
	size_t best = 0, best_at = SIZE_MAX;

	for (size_t i = 0; i < part.n; i++) {
		const char *at = memchr(common, ascii_lower((unsigned char)part.p[i]), sizeof(common) - 1);
		size_t rank = at ? (size_t)(at - common) + 1 : 0;
		if (rank >= best_at)
			continue;
		best = i;
		best_at = rank;
	}
	return best;
}

/* The next `c` from `at` on; `end` when there is none. */
static const char *next_byte(const char *at, const char *end, unsigned char c)
{
	const char *found = at < end ? memchr(at, c, (size_t)(end - at)) : NULL;

	return found ? found : end;
}

bool str_ihas(struct str s, struct str part)
{
	if (part.n == 0 || part.n > s.n)
		return part.n == 0;
	const size_t key = rarest(part);
	const unsigned char low = ascii_lower((unsigned char)part.p[key]);
	const unsigned char high = low >= 'a' && low <= 'z' ? low - 32 : low;
	const char *end = s.p + key + (s.n - part.n) + 1;
	const char *a = next_byte(s.p + key, end, low), *b = high == low ? end : next_byte(s.p + key, end, high);

	while (a < end || b < end) {
		const char *at = MIN(a, b);
		if (str_ieq((struct str){at - key, part.n}, part))
			return true;
		if (at == a)
			a = next_byte(a + 1, end, low);
		else
			b = next_byte(b + 1, end, high);
	}
	return false;
}

bool str_has_prefix(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq((struct str){s.p, prefix.n}, prefix);
}

bool str_has_suffix(struct str s, struct str suffix)
{
	return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.n && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct str str_cut(struct str *s, char sep)
{
	const char *at = s->n ? memchr(s->p, sep, s->n) : NULL;
	struct str head = *s;

	if (!at) {
		*s = (struct str){0};
		return head;
	}
	head.n = (size_t)(at - s->p);
	s->p = at + 1;
	s->n -= head.n + 1;
	return head;
}

int str_to_u64(struct str s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	bool too_big = false;

	if (s.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned char)s.p[i] - (unsigned)'0';
		if (d > 9)
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, d, &v))
			too_big = true;
	}
	if (too_big || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}
