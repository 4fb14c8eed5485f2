#include "ssh_api.h"

#include "base/util.h"
#include "io/library.h"

static struct ssh_api api;
static const struct library_function functions[] = {
#define X(name) {"ssh_" #name, (void **)&api.name},
	SSH_FUNCTIONS(X)
#undef X
};

const struct ssh_api *ssh_api_load(void)
{
	static bool is_loaded;

	if (!is_loaded)
		is_loaded = library_load("libssh.so.4", functions, ARRAY_SIZE(functions));
	return is_loaded ? &api : NULL;
}
