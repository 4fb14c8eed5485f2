/* The request to the egress proxy: what is taken names one host in one form, and a head that is passed on holds nothing
 * but what was looked at: it is read again as the same request to a proxy once its target is absolute. */
#include <stdlib.h>

#include "egress/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct egress_request r;
	char again[EGRESS_NAME_SIZE];

	if (egress_request_parse((struct str){(const char *)data, n}, &r))
		return 0;
	check(r.head_n <= n && r.port != 0);
	check(egress_name(str_of(r.host), again) == 0 && !strcmp(again, r.host));
	check(r.is_connect == (r.head.n == 0));
	if (r.head.n) {
		check(r.head.n >= 4 && !memcmp(r.head.p + r.head.n - 4, "\r\n\r\n", 4));
		check(memmem(r.head.p, r.head.n, "\r\n\r\n", 4) == r.head.p + r.head.n - 4);
		check(!memchr(r.head.p, '\0', r.head.n));
	}
	buf_deinit(&r.head);
	return 0;
}
