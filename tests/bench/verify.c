/* Checks of one token for a second of CPU time: bench-verify TOKEN JWKS cached|uncached → checks by CPU second. As a
 * service does it: an arena for each request, and cached ones are looked for among what is revoked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "service/token_cache.h"

#define AT_ONCE 64 /* checks between two looks at the clock */

static const char *const audiences[] = {TOKEN_AUDIENCE, NULL};

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool check(const struct token_keys *keys, struct token_cache *cache, struct str token, int64_t now)
{
	struct arena *a = arena_new();
	struct identity id;
	bool ok = cache ? token_cache_get(cache, token, now, a, &id)
			: token_check(keys, token, audiences, now, a, &id) == TOKEN_OK;

	arena_free(a);
	return ok;
}

static struct token_cache *fill(const struct token_keys *keys, struct str token, int64_t now, struct revocations *set)
{
	struct token_cache *cache = token_cache_new();
	struct arena *a = arena_new();
	struct identity id;

	token_cache_set_revocations(cache, set);
	if (token_check(keys, token, audiences, now, a, &id) == TOKEN_OK)
		token_cache_put(cache, token, &id, id.expires_at);
	arena_free(a);
	return cache;
}

int main(int argc, char **argv)
{
	struct token_keys *keys = token_keys_new();
	struct revocations *set = revocations_new();
	struct token_cache *cache = NULL;
	struct error err = {0};
	int64_t now = time(NULL);
	double from, spent;
	long n = 0;

	if (argc != 4 || token_keys_load_jwks(keys, TOKEN_ISSUER, str_of(argv[2]), &err) < 0)
		return 2;
	if (!strcmp(argv[3], "cached"))
		cache = fill(keys, str_of(argv[1]), now, set);
	from = cpu_seconds();
	do {
		for (int i = 0; i < AT_ONCE; i++, n++)
			if (!check(keys, cache, str_of(argv[1]), now))
				return 1;
		spent = cpu_seconds() - from;
	} while (spent < 1);
	printf("%.1f\n", (double)n / spent);
	token_cache_free(cache);
	revocations_free(set);
	token_keys_free(keys);
	return 0;
}
