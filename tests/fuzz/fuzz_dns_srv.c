/* A DNS answer as it came from the network: never outside its bytes, and what is taken from it is sound. */
#include <stdlib.h>
#include <string.h>

#include "io/dns_srv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct dns_srv found[8];
	int r = dns_srv_parse(data, n, found, 8);

	if (r > 8)
		abort();
	for (int i = 0; i < r; i++)
		if (!memchr(found[i].target, '\0', DNS_NAME_SIZE) || strpbrk(found[i].target, " /:@\n"))
			abort();
	return 0;
}
