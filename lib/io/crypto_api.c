#include "io/crypto_api.h"

#include <uv.h>

#include "base/util.h"
#include "io/library.h"

static struct crypto_api api;
static const struct library_function functions[] = {
#define X(name) {#name, (void **)&api.name},
	CRYPTO_FUNCTIONS(X)
#undef X
};
static bool is_loaded;
static uv_once_t once = UV_ONCE_INIT;

static void load(void)
{
	is_loaded = library_load("libcrypto.so.3", functions, ARRAY_SIZE(functions));
}

const struct crypto_api *crypto_api_load(void)
{
	uv_once(&once, load);
	return is_loaded ? &api : NULL;
}
