#include "base/id.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"

/* Random bytes for ids, which are no secrets: fetched for many ids at once. */
static _Thread_local uint8_t pool[250];
static _Thread_local size_t pool_left;

/* A child process must not make its parent's ids. */
static void on_fork(void)
{
	pool_left = 0;
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

static void id_random(uint8_t ret[static 10])
{
	if (!pool_left) {
		random_bytes(pool, sizeof(pool));
		pool_left = sizeof(pool);
	}
	pool_left -= 10;
	memcpy(ret, pool + pool_left, 10);
}

/* RFC 9562 section 6.2, method 1: 48 bits of milliseconds and a 12-bit counter that starts at a random place in its
 * lower half. Within one process the pair only rises; a full counter, or a clock that goes back, borrows from the time
 * to come. */
static uint64_t next_stamp(uint16_t seed)
{
	static _Atomic uint64_t last;
	uint64_t now = ((uint64_t)clock_now_us() / 1000) << 12 | (seed & 0x7ff);
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
	uint8_t b[16], random[10];
	char hex[33];

	id_random(random);
	uint64_t stamp = next_stamp((uint16_t)(random[0] << 8 | random[1]));
	for (int i = 0; i < 6; i++)
		b[i] = (uint8_t)(stamp >> (52 - 8 * i));
	b[6] = (uint8_t)(0x70 | (stamp >> 8 & 0x0f));
	b[7] = (uint8_t)stamp;
	memcpy(b + 8, random + 2, 8);
	b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));

	hex_encode(b, sizeof(b), hex);
	for (size_t i = 0, out = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			ret_id[out++] = '-';
		ret_id[out++] = hex[i];
	}
	ret_id[ID_SIZE - 1] = '\0';
}

bool id_is_valid(struct str s)
{
	if (s.n != ID_SIZE - 1)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (is_dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return true;
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
