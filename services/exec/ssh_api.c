#include "ssh_api.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

static bool find_all(void *library, struct ssh_api *api)
{
#define X(name)                                   \
	api->name = dlsym(library, "ssh_" #name); \
	if (!api->name)                           \
		return false;
	SSH_FUNCTIONS(X)
#undef X
	return true;
}

const struct ssh_api *ssh_api_load(void)
{
	static struct ssh_api api;
	static bool is_loaded;

	if (!is_loaded) {
		void *library = dlopen("libssh.so.4", RTLD_NOW | RTLD_LOCAL);

		is_loaded = library && find_all(library, &api);
	}
	return is_loaded ? &api : NULL;
}
