/* What a person can see of a text. */
#include "base/utf8.h"
#include "policy/script.h"

struct range {
	uint32_t first, last;
};

/* Beyond ASCII: C1 controls, blanks, and everything of Unicode's Default_Ignorable_Code_Point and Cf, fillers and
 * unassigned noncharacters that a terminal or a page shows as nothing, or that turn the order of what follows. */
static const struct range invisible[] = {
	{0x80, 0xa0},       {0xad, 0xad},        {0x34f, 0x34f},     {0x600, 0x605},     {0x61c, 0x61c},
	{0x6dd, 0x6dd},     {0x70f, 0x70f},      {0x890, 0x891},     {0x8e2, 0x8e2},     {0x115f, 0x1160},
	{0x1680, 0x1680},   {0x17b4, 0x17b5},    {0x180b, 0x180f},   {0x2000, 0x200f},   {0x2028, 0x202f},
	{0x205f, 0x206f},   {0x2800, 0x2800},    {0x3000, 0x3000},   {0x3164, 0x3164},   {0xe000, 0xf8ff},
	{0xfdd0, 0xfdef},   {0xfe00, 0xfe0f},    {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},
	{0xfffe, 0xffff},   {0x110bd, 0x110bd},  {0x110cd, 0x110cd}, {0x13430, 0x1345f}, {0x1bca0, 0x1bca3},
	{0x1d173, 0x1d17a}, {0xe0000, 0x10ffff},
};

static bool is_invisible(uint32_t c)
{
	for (size_t i = 0; i < ARRAY_SIZE(invisible) && c >= invisible[i].first; i++)
		if (c <= invisible[i].last)
			return true;
	return c > 0xffff && (c & 0xfffe) == 0xfffe;
}

/* The character at p and its length; length 0: no UTF-8. */
static size_t decode(const unsigned char *p, size_t n, uint32_t *ret)
{
	struct utf8_state st = {0};

	for (size_t i = 0; i < MIN(n, 4); i++) {
		if (!utf8_feed(&st, p + i, 1))
			return 0;
		if (st.state == 0) {
			*ret = i == 0 ? p[0] : st.codepoint;
			return i + 1;
		}
	}
	return 0;
}

static bool is_plain(unsigned char c)
{
	return (c >= ' ' && c < 0x7f) || c == '\t';
}

size_t text_find_invisible(struct str text)
{
	const unsigned char *p = (const unsigned char *)text.p;

	for (size_t i = 0, n; i < text.n; i += n) {
		uint32_t c;

		n = 1;
		if (is_plain(p[i]))
			continue;
		if (p[i] < 0x80)
			return i;
		n = decode(p + i, text.n - i, &c);
		if (n == 0 || is_invisible(c))
			return i;
	}
	return SIZE_MAX;
}

void text_show(struct buf *out, struct str text)
{
	const unsigned char *p = (const unsigned char *)text.p;

	for (size_t i = 0, n; i < text.n; i += n) {
		uint32_t c = p[i];

		n = 1;
		if (p[i] >= ' ' && p[i] < 0x7f) {
			buf_add_char(out, (char)p[i]);
			continue;
		}
		if (p[i] >= 0x80)
			n = decode(p + i, text.n - i, &c);
		if (p[i] < 0x80 || n == 0)
			buf_printf(out, "\\x%02x", p[i]);
		else if (is_invisible(c))
			buf_printf(out, "\\u{%04x}", (unsigned)c);
		else
			buf_add(out, p + i, n);
		n = MAX(n, 1u);
	}
}
