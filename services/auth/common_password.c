#include "common_password.h"

#include "base/encode.h"
#include "password_filter.h"

#define REPEATED_MIN_BYTES 6 /* of what is repeated: shorter ones are no words */

/* As in scripts/password_filter.py. */
static uint64_t mix(uint64_t key)
{
	uint64_t h = key + PASSWORD_FILTER_SEED;

	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53u;
	return h ^ h >> 33;
}

static uint64_t rotate(uint64_t h, unsigned n)
{
	return n ? h >> n | h << (64 - n) : h;
}

static uint16_t at(uint64_t h, unsigned block)
{
	uint64_t place = (rotate(h, 21 * block) & 0xffffffffu) * PASSWORD_FILTER_BLOCK >> 32;

	return password_filter[block * PASSWORD_FILTER_BLOCK + place];
}

static bool is_listed(struct str word)
{
	uint8_t digest[SHA256_SIZE];
	uint64_t key = 0, h;

	sha256(word.p, word.n, digest);
	for (size_t i = 0; i < 8; i++)
		key = key << 8 | digest[i];
	h = mix(key);
	return (uint16_t)(h ^ h >> 32) == (at(h, 0) ^ at(h, 1) ^ at(h, 2));
}

/* The shortest piece that, repeated, makes all of it. */
static size_t period(struct str s)
{
	for (size_t n = 1; n <= s.n / 2; n++)
		if (s.n % n == 0 && memcmp(s.p, s.p + n, s.n - n) == 0)
			return n;
	return s.n;
}

bool password_is_common(struct str folded)
{
	size_t n = period(folded);

	return is_listed(folded) || (n < folded.n && n >= REPEATED_MIN_BYTES && is_listed((struct str){folded.p, n}));
}
