/* A time zone's file, and a schedule in that zone: the first line is the schedule. */
#include "base/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str file = {(const char *)data, n}, line = str_cut(&file, '\n');
	struct zone *z = zone_parse(file.p ? file : STR(""), NULL);
	struct cron c;
	int64_t two[2];

	if (!z)
		z = zone_utc();
	for (int64_t at = INT64_C(-4000000000); at < INT64_C(8000000000); at += 700000001) {
		int32_t offset = zone_offset(z, at);
		int k = zone_resolve(z, at + offset, two);

		if (k < 0 || k > 2)
			__builtin_trap();
	}
	if (cron_parse(line, &c, NULL) == 0 && cron_next(&c, z, 1700000000) <= 1700000000)
		__builtin_trap();
	zone_free(z);
	return 0;
}
