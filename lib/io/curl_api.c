#include "io/curl_api.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"

static bool find_all(void *library, struct curl_api *api)
{
#define X(name)                                    \
	api->name = dlsym(library, "curl_" #name); \
	if (!api->name)                            \
		return false;
	CURL_FUNCTIONS(X)
#undef X
	return true;
}

const struct curl_api *curl_api_load(void)
{
	static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
	static struct curl_api api;
	static bool is_loaded;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !is_loaded; i++) {
		void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);

		is_loaded = library && find_all(library, &api) && api.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	}
	return is_loaded ? &api : NULL;
}
