#include "data/mysql_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"

struct mysql_api mysql_api;
static bool is_loaded;

static bool find_all(void *library)
{
#define X(name)                                                  \
	mysql_api.mysql_##name = dlsym(library, "mysql_" #name); \
	if (!mysql_api.mysql_##name)                             \
		return false;
	MYSQL_FUNCTIONS(X)
#undef X
	return true;
}

static void load(void)
{
	void *library = dlopen("libmariadb.so.3", RTLD_NOW | RTLD_LOCAL);

	is_loaded = library && find_all(library) && mysql_api.mysql_server_init(0, NULL, NULL) == 0;
}

bool mysql_api_load(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	return is_loaded;
}
