/* The PROXY protocol: a header that was taken is taken again alone and with other bytes behind it, and none of its
 * beginnings is. */
#include <stdint.h>
#include <stdlib.h>

#include "io/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header h, again;
	const char *bytes = (const char *)data;
	int n = proxy_header_parse(bytes, size, &h);

	if (n > (int)size || n > PROXY_HEADER_MAX)
		abort();
	if (n <= 0)
		return 0;
	if (proxy_header_parse(bytes, (size_t)n, &again) != n || memcmp(&h, &again, sizeof(h)))
		abort();
	for (int i = 0; i < n; i++)
		if (proxy_header_parse(bytes, (size_t)i, &again))
			abort();
	return 0;
}
