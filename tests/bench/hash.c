/* The CPU seconds of one password hash: bench-hash MIB PASSES N. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
	char hash[crypto_pwhash_STRBYTES];
	struct timespec from, to;
	int n;

	if (argc != 4 || sodium_init() < 0)
		return 2;
	n = atoi(argv[3]);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (int i = 0; i < n; i++)
		if (crypto_pwhash_str_alg(hash, "correct horse battery staple", 28, (unsigned long long)atoi(argv[2]),
					  (size_t)atoi(argv[1]) << 20, crypto_pwhash_ALG_ARGON2ID13) != 0)
			return 1;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	printf("%.6f\n", ((double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9) / n);
	return 0;
}
