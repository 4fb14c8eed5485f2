#include "data/redis_api.h"

#include <uv.h>

#include "base/util.h"
#include "io/library.h"

/* The layout of an answer changes with the version, so only that one will do. */
#define TEXT_OF(version) #version
#define FILE_OF(version) "libhiredis.so." TEXT_OF(version)

static struct redis_api api;
static const struct library_function functions[] = {
#define X(name) {#name, (void **)&api.name},
	REDIS_FUNCTIONS(X)
#undef X
};
static bool is_loaded;
static uv_once_t once = UV_ONCE_INIT;

static void load(void)
{
	is_loaded = library_load(FILE_OF(HIREDIS_SONAME), functions, ARRAY_SIZE(functions));
}

const struct redis_api *redis_api_load(void)
{
	uv_once(&once, load);
	return is_loaded ? &api : NULL;
}
