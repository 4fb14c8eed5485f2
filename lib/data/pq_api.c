#include "data/pq_api.h"

#include <uv.h>

#include "base/util.h"
#include "io/library.h"

static struct pq_api api;
static const struct library_function functions[] = {
#define X(name) {"PQ" #name, (void **)&api.name},
	PQ_FUNCTIONS(X)
#undef X
};
static bool is_loaded;
static uv_once_t once = UV_ONCE_INIT;

static void load(void)
{
	is_loaded = library_load("libpq.so.5", functions, ARRAY_SIZE(functions));
}

const struct pq_api *pq_api_load(void)
{
	uv_once(&once, load);
	return is_loaded ? &api : NULL;
}
