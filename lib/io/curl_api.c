#include "io/curl_api.h"

#include <stdlib.h>

#include "base/util.h"
#include "io/library.h"

static struct curl_api api;
static const struct library_function functions[] = {
#define X(name) {"curl_" #name, (void **)&api.name},
	CURL_FUNCTIONS(X)
#undef X
};

const struct curl_api *curl_api_load(void)
{
	static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
	static bool is_loaded;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !is_loaded; i++)
		is_loaded = library_load(names[i], functions, ARRAY_SIZE(functions)) &&
			    api.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	return is_loaded ? &api : NULL;
}

void curl_set_authorities(const struct curl_api *curl, CURL *e)
{
	const char *file = getenv("SSL_CERT_FILE"), *dir = getenv("SSL_CERT_DIR");

	if (file && *file)
		curl->easy_setopt(e, CURLOPT_CAINFO, file);
	if (dir && *dir)
		curl->easy_setopt(e, CURLOPT_CAPATH, dir);
}
