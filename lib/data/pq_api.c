#include "data/pq_api.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

static struct pq_api api;
static bool is_loaded;
static uv_once_t once = UV_ONCE_INIT;

static bool find_all(void *library)
{
#define X(name)                                \
	api.name = dlsym(library, "PQ" #name); \
	if (!api.name)                         \
		return false;
	PQ_FUNCTIONS(X)
#undef X
	return true;
}

static void load(void)
{
	void *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);

	is_loaded = library && find_all(library);
}

const struct pq_api *pq_api_load(void)
{
	uv_once(&once, load);
	return is_loaded ? &api : NULL;
}
