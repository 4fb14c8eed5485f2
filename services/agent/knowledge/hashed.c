#include "agent/knowledge/hashed.h"

#include <math.h>

#include "agent/knowledge/words.h"

#define SHORT 3 /* runs of letters */
#define LONG 5
#define WORD_WEIGHT 1.0f
#define COMMON_WEIGHT 0.1f

static uint32_t hash(const char *p, size_t n, uint32_t seed)
{
	uint32_t h = 2166136261u ^ seed;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 16777619u;
	h ^= h >> 15;
	h *= 0x2c1b3c6du;
	return h ^ (h >> 13);
}

/* Half of them count downwards, so that two that share a place do not look alike. */
static void count(float *to, const char *p, size_t n, uint32_t seed, float weight)
{
	uint32_t h = hash(p, n, seed);

	to[h % HASHED_DIMENSION] += h & 0x80000000u ? -weight : weight;
}

/* Where each character of a word begins, and its end. Returns their number. */
static size_t find_characters(const char *p, size_t n, size_t *at)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		if (((unsigned char)p[i] & 0xc0) != 0x80)
			at[found++] = i;
	at[found] = n;
	return found;
}

/* The word with a mark at both ends, so that its beginning is another run than the same letters within. */
static void count_word(float *to, struct str word, float weight)
{
	char marked[WORD_MAX + 12];
	size_t at[WORD_MAX + 13], n, runs = 0;

	count(to, word.p, word.n, 7, weight * WORD_WEIGHT);
	marked[0] = '<';
	memcpy(marked + 1, word.p, word.n);
	marked[word.n + 1] = '>';
	n = find_characters(marked, word.n + 2, at);
	if (n < SHORT + 2)
		return;
	for (size_t len = SHORT; len <= LONG && len < n; len++)
		runs += n - len + 1;
	for (size_t len = SHORT; len <= LONG && len < n; len++)
		for (size_t i = 0; i + len <= n; i++)
			count(to, marked + at[i], at[i + len] - at[i], (uint32_t)len, weight / sqrtf((float)runs));
}

void hashed_vector(struct str text, float *ret)
{
	struct words w;
	struct str word;

	memset(ret, 0, HASHED_DIMENSION * sizeof(*ret));
	words_init(&w, text);
	while (words_next(&w, &word))
		count_word(ret, word, word_is_common(word, "english") ? COMMON_WEIGHT : 1);
	/* What comes often says less than it is often. */
	for (size_t i = 0; i < HASHED_DIMENSION; i++)
		ret[i] = ret[i] < 0 ? -sqrtf(-ret[i]) : sqrtf(ret[i]);
}
