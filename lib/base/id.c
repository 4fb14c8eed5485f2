#include "base/id.h"

#include <endian.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"

/* Random bytes for ids, which are no secrets: a thread stretches a seed of its own, and the first bytes of each stretch
 * are the next seed. */
static _Thread_local uint8_t pool[2048];
static _Thread_local size_t pool_left;
static _Thread_local bool is_seeded;

/* A child process must not make its parent's ids. */
static void on_fork(void)
{
	pool_left = 0;
	is_seeded = false;
}

static void start_random(void)
{
	if (sodium_init() < 0 || pthread_atfork(NULL, NULL, on_fork))
		abort();
}

static void random_bytes(void *p, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start_random);
	randombytes_buf(p, n);
}

static void fill_pool(void)
{
	uint8_t seed[randombytes_SEEDBYTES];

	if (is_seeded)
		memcpy(seed, pool, sizeof(seed));
	else
		random_bytes(seed, sizeof(seed));
	is_seeded = true;
	randombytes_buf_deterministic(pool, sizeof(pool), seed);
	pool_left = sizeof(pool) - sizeof(seed);
}

static void id_random(uint8_t *ret, size_t n)
{
	if (pool_left < n)
		fill_pool();
	pool_left -= n;
	memcpy(ret, pool + randombytes_SEEDBYTES + pool_left, n);
}

/* Lower case, the digits of four bytes at once. hex_encode takes the same time for every value, which an id does not
 * need, and more of it. */
static void put_hex(char *to, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i += 4) {
		uint64_t x = b[i] | (uint64_t)b[i + 1] << 16 | (uint64_t)b[i + 2] << 32 | (uint64_t)b[i + 3] << 48;
		uint64_t letters;

		x = (x >> 4 & UINT64_C(0x000f000f000f000f)) | (x & UINT64_C(0x000f000f000f000f)) << 8;
		letters = (x + EVERY_BYTE(6)) >> 4 & EVERY_BYTE(1);
		x = htole64(x + EVERY_BYTE('0') + letters * ('a' - '9' - 1));
		memcpy(to + 2 * i, &x, sizeof(x));
	}
}

void id_hex(char ret[static 17])
{
	uint8_t random[8];

	id_random(random, sizeof(random));
	random[7] |= 1;
	put_hex(ret, random, sizeof(random));
	ret[2 * sizeof(random)] = '\0';
}

/* RFC 9562 section 6.2, method 1: 48 bits of milliseconds and a 12-bit counter that starts at a random place in its
 * lower half. Within one process the pair only rises; a full counter, or a clock that goes back, borrows from the time
 * to come. */
static uint64_t next_stamp(int64_t now_us, uint16_t seed)
{
	static _Atomic uint64_t last;
	uint64_t now = ((uint64_t)now_us / 1000) << 12 | (seed & 0x7ff);
	uint64_t old = atomic_load(&last), next;

	do {
		next = now > old ? now : old + 1;
		if (now >> 12 == old >> 12)
			next = old + 1;
	} while (!atomic_compare_exchange_weak(&last, &old, next));
	return next;
}

void id_new(char ret_id[static ID_SIZE])
{
	id_new_at(ret_id, clock_now_us());
}

void id_new_at(char ret_id[static ID_SIZE], int64_t now_us)
{
	uint8_t b[16], random[10];
	char hex[32];

	id_random(random, sizeof(random));
	uint64_t stamp = next_stamp(now_us, (uint16_t)(random[0] << 8 | random[1]));
	for (int i = 0; i < 6; i++)
		b[i] = (uint8_t)(stamp >> (52 - 8 * i));
	b[6] = (uint8_t)(0x70 | (stamp >> 8 & 0x0f));
	b[7] = (uint8_t)stamp;
	memcpy(b + 8, random + 2, 8);
	b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));

	put_hex(hex, b, sizeof(b));
	memcpy(ret_id, hex, 8);
	memcpy(ret_id + 9, hex + 8, 4);
	memcpy(ret_id + 14, hex + 12, 4);
	memcpy(ret_id + 19, hex + 16, 4);
	memcpy(ret_id + 24, hex + 20, 12);
	ret_id[8] = ret_id[13] = ret_id[18] = ret_id[23] = '-';
	ret_id[36] = '\0';
}

/* Whether each of eight bytes is one of 0-9 and a-f: no sum of these reaches a neighbour, since no byte is above 0x7f.
 */
static bool are_digits(uint64_t x)
{
	uint64_t number = x ^ EVERY_BYTE('0'), letter = x ^ EVERY_BYTE(0x60);
	uint64_t no_number = number + EVERY_BYTE(0x7f - 9);
	uint64_t no_letter = (letter + EVERY_BYTE(0x7f - 6)) | ~(letter + EVERY_BYTE(0x7f));

	return !((x | (no_number & no_letter)) & EVERY_BYTE(0x80));
}

bool id_is_valid(struct str s)
{
	uint64_t x[4];

	if (s.n != ID_SIZE - 1)
		return false;
	if (s.p[8] != '-' || s.p[13] != '-' || s.p[18] != '-' || s.p[23] != '-')
		return false;
	memcpy(&x[0], s.p, 8);
	memcpy(&x[1], s.p + 9, 4);
	memcpy((char *)&x[1] + 4, s.p + 14, 4);
	memcpy(&x[2], s.p + 19, 4);
	memcpy((char *)&x[2] + 4, s.p + 24, 4);
	memcpy(&x[3], s.p + 28, 8);
	return are_digits(x[0]) && are_digits(x[1]) && are_digits(x[2]) && are_digits(x[3]);
}

int64_t id_time_us(struct str id)
{
	char hex[13];

	if (!id_is_valid(id) || id.p[14] != '7')
		return 0;
	memcpy(hex, id.p, 8);
	memcpy(hex + 8, id.p + 9, 4);
	hex[12] = '\0';
	return strtoll(hex, NULL, 16) * 1000;
}

void secret_new(char *ret, size_t size, const char *prefix, size_t n_bytes)
{
	uint8_t random[256];
	size_t n = strlen(prefix);

	if (n_bytes > sizeof(random) ||
	    size < n + sodium_base64_encoded_len(n_bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING))
		abort();
	random_bytes(random, n_bytes);
	memcpy(ret, prefix, n);
	sodium_bin2base64(ret + n, size - n, random, n_bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_memzero(random, sizeof(random));
}
