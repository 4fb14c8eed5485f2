/* The Forwarded field: what was read lies inside it and holds no quote. */
#include <stdint.h>
#include <stdlib.h>

#include "forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct str field, struct str part)
{
	if (part.n && (part.p < field.p || part.p + part.n > field.p + field.n || memchr(part.p, '"', part.n)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct forwarded list[FORWARDED_MAX];
	struct str field = {(const char *)data, size};
	int n = forwarded_parse(field, list);

	if (n > FORWARDED_MAX || n == 0)
		abort();
	for (int i = 0; i < n; i++) {
		check(field, list[i].client);
		check(field, list[i].proto);
		check(field, list[i].host);
	}
	return 0;
}
