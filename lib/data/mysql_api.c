#include "data/mysql_api.h"

#include <uv.h>

#include "base/util.h"
#include "io/library.h"

struct mysql_api mysql_api;
static const struct library_function functions[] = {
#define X(name) {"mysql_" #name, (void **)&mysql_api.mysql_##name},
	MYSQL_FUNCTIONS(X)
#undef X
};
static bool is_loaded;
static uv_once_t once = UV_ONCE_INIT;

static void load(void)
{
	is_loaded = library_load("libmariadb.so.3", functions, ARRAY_SIZE(functions)) &&
		    mysql_api.mysql_server_init(0, NULL, NULL) == 0;
}

bool mysql_api_load(void)
{
	uv_once(&once, load);
	return is_loaded;
}
