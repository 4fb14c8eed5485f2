#include "role_address.h"

#include "base/alloc.h"
#include "public_address.h"

char *role_address(const struct options *o, const char *role)
{
	static const char *const roles[] = {"gateway", "auth", "agent", "exec", "socket", "demo"};
	struct str name = str_of(strcmp(role, "demo-model") == 0 ? "demo" : role);
	char option[32];

	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		if (!str_is(name, roles[i]))
			continue;
		snprintf(option, sizeof(option), "%s_listen", roles[i]);
		const char *listen = option_str(o, option);
		return *listen ? public_address_reachable(listen)
			       : xasprintf("unix:%s/run/%s.sock", option_str(o, "data"), roles[i]);
	}
	return NULL;
}
