#include "io/archive_api.h"

#include <pthread.h>

#include "io/library.h"

static struct archive_api api;
static bool is_loaded;
static const struct library_function functions[] = {
#define X(name) {"archive_" #name, (void **)&api.name},
	ARCHIVE_FUNCTIONS(X)
#undef X
};

static void load(void)
{
	is_loaded = library_load("libarchive.so.13", functions, ARRAY_SIZE(functions));
}

const struct archive_api *archive_api_load(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	return is_loaded ? &api : NULL;
}
