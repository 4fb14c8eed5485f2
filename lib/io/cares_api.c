#include "io/cares_api.h"

#include "base/util.h"
#include "io/library.h"

static struct cares_api api;
static const struct library_function functions[] = {
#define X(name) {"ares_" #name, (void **)&api.name},
	CARES_FUNCTIONS(X)
#undef X
};

const struct cares_api *cares_api_load(void)
{
	static bool is_loaded;

	if (!is_loaded)
		is_loaded = library_load("libcares.so.2", functions, ARRAY_SIZE(functions)) &&
			    api.library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
	return is_loaded ? &api : NULL;
}
