#include "agent/knowledge/words.h"

#include <utf8proc.h>

/* Its characters come without blanks between words. */
static bool is_unspaced(uint32_t c)
{
	return (c >= 0x2e80 && c <= 0x9fff && !(c >= 0x3000 && c <= 0x3004)) || (c >= 0xf900 && c <= 0xfaff) ||
	       (c >= 0xff66 && c <= 0xff9f) || (c >= 0x20000 && c <= 0x3ffff) || (c >= 0x0e00 && c <= 0x0eff) ||
	       (c >= 0x1000 && c <= 0x109f) || (c >= 0x1780 && c <= 0x17ff);
}

static bool is_mark(uint32_t c)
{
	utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);

	return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
}

static bool is_of_word(uint32_t c)
{
	if (c < 0x80)
		return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
	utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
	return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) || k == UTF8PROC_CATEGORY_ND ||
	       k == UTF8PROC_CATEGORY_NL;
}

/* The character at the front; 0 at the end, a blank for bytes that are none. */
static uint32_t peek(struct str s, size_t *n)
{
	utf8proc_int32_t c = ' ';

	if (s.n == 0)
		return 0;
	if ((unsigned char)*s.p < 0x80) {
		*n = 1;
		return (unsigned char)*s.p ? (unsigned char)*s.p : ' ';
	}
	utf8proc_ssize_t used = utf8proc_iterate((const uint8_t *)s.p, (utf8proc_ssize_t)MIN(s.n, 4u), &c);
	*n = used > 0 ? (size_t)used : 1;
	return used > 0 ? (uint32_t)c : ' ';
}

static void skip(struct words *w, size_t n)
{
	w->rest.p += n;
	w->rest.n -= n;
}

/* In lower case and without what stands above or below a letter; appends at most 8 bytes. */
static size_t fold(uint32_t c, char *to)
{
	utf8proc_int32_t parts[8];
	int bound = 0;

	if (c < 0x80) {
		*to = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
		return 1;
	}
	utf8proc_ssize_t n = utf8proc_decompose_char(
		(utf8proc_int32_t)c, parts, ARRAY_SIZE(parts),
		UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK, &bound);
	size_t out = 0;
	for (utf8proc_ssize_t i = 0; i < n && i < (utf8proc_ssize_t)ARRAY_SIZE(parts) && out <= 4; i++)
		out += (size_t)utf8proc_encode_char(parts[i], (uint8_t *)to + out);
	return out;
}

void words_init(struct words *w, struct str text)
{
	*w = (struct words){.rest = text};
}

static void take_word(struct words *w, struct str *ret)
{
	size_t len = 0, n;
	uint32_t c;

	while ((c = peek(w->rest, &n)) && ((is_of_word(c) && !is_unspaced(c)) || (len && is_mark(c)))) {
		if (len <= WORD_MAX - 8)
			len += fold(c, w->word + len);
		skip(w, n);
	}
	*ret = (struct str){w->word, len};
}

static void make_pair(struct words *w, uint32_t second, struct str *ret)
{
	size_t n = fold(w->pair, w->word);

	if (second)
		n += fold(second, w->word + n);
	*ret = (struct str){w->word, n};
}

/* Pairs overlap: of ABC they are AB and BC. A character that stands alone is a word by itself. */
static bool next_pair(struct words *w, struct str *ret)
{
	size_t n = 0;
	uint32_t c = peek(w->rest, &n);
	bool goes_on = c && is_unspaced(c) && (is_of_word(c) || is_mark(c));

	if (goes_on)
		skip(w, n);
	bool is_new = goes_on || !w->is_paired;
	if (is_new)
		make_pair(w, goes_on ? c : 0, ret);
	w->pair = goes_on ? c : 0;
	w->is_paired = goes_on;
	return is_new && ret->n > 0;
}

bool words_next(struct words *w, struct str *ret)
{
	uint32_t c;
	size_t n;

	for (;;) {
		if (w->pair) {
			if (next_pair(w, ret))
				return true;
			continue;
		}
		c = peek(w->rest, &n);
		if (!c)
			return false;
		if (!is_of_word(c)) {
			skip(w, n);
			continue;
		}
		if (is_unspaced(c)) {
			w->pair = c;
			w->is_paired = false;
			skip(w, n);
			continue;
		}
		take_word(w, ret);
		if (ret->n > 0)
			return true;
	}
}

void words_write(struct str text, struct buf *out)
{
	struct words w;
	struct str word;
	bool is_first = true;

	words_init(&w, text);
	while (words_next(&w, &word)) {
		if (!is_first)
			buf_add_char(out, ' ');
		buf_add(out, word.p, word.n);
		is_first = false;
	}
}

static const struct {
	const char *language, *words; /* with a blank at both ends */
} common[] = {
	{"english",
	 " a about an and any are as at be been but by can could did do does for from had has have he her his how i if "
	 "in "
	 "into is it its just may me my no not of on or our she should so some than that the their them then there "
	 "these "
	 "they this those to up us was we were what when where which while who whom why will with would you your "},
	{"german", " aber als am an auch auf aus bei bin bis das dass dem den der des die dies diese du ein eine einem "
		   "einen einer "
		   "eines er es fur hat haben ich ihr im in ist kann man mein mit nach nicht oder sich sie sind so "
		   "uber um und uns "
		   "vom von vor war was welche wenn wer wie wird wo zu zum zur "},
	{"french", " a au aux avec ce ces cette comment dans de des du elle en est et eux il ils je la le les leur lui "
		   "ma mais me mes "
		   "mon ne nos notre nous on ou ouest par pas pour qu que quel quelle qui quoi sa se ses son sont sur "
		   "ta te tu un une "
		   "vos votre vous "},
	{"spanish", " a al como con cual cuando de del donde el ella en es esta este esto la las le lo los mas me mi "
		    "no nos o para pero "
		    "por que quien se ser si sin son su sus te tu un una y ya yo "},
};

bool word_is_common(struct str word, const char *language)
{
	char text[WORD_MAX + 12];

	if (word.n == 0 || word.n > WORD_MAX)
		return false;
	text[0] = ' ';
	memcpy(text + 1, word.p, word.n);
	memcpy(text + 1 + word.n, " ", 2);
	for (size_t i = 0; i < ARRAY_SIZE(common); i++)
		if (strcmp(common[i].language, language) == 0)
			return strstr(common[i].words, text) != NULL;
	return false;
}
