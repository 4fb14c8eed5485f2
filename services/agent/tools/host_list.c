#include "agent/tools/host_list.h"

#include <ctype.h>

int host_list_check(yyjson_val *hosts, struct error *err)
{
	yyjson_val *host;
	size_t i, max;

	yyjson_arr_foreach(hosts, i, max, host)
	{
		const char *p = yyjson_get_str(host);
		bool is_good = p && *p && yyjson_get_len(host) <= 253;

		if (is_good && strncmp(p, "*.", 2) == 0)
			p += 2;
		for (; is_good && *p; p++)
			is_good = islower((unsigned char)*p) || isdigit((unsigned char)*p) || strchr("-._[]:", *p);
		if (!is_good)
			return error_set(err, "invalid_field",
					 "\"hosts\" holds names in small letters, such as example.org or "
					 "*.example.org");
	}
	return 0;
}

bool host_list_has(void *arg, const char *host)
{
	yyjson_val *item;
	size_t i, max;

	yyjson_arr_foreach((yyjson_val *)arg, i, max, item)
	{
		const char *pattern = yyjson_get_str(item);
		if (strcmp(pattern, host) == 0)
			return true;
		if (strncmp(pattern, "*.", 2) == 0 && str_has_suffix(str_of(host), str_of(pattern + 1)))
			return true;
	}
	return false;
}
