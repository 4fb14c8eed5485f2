#include "io/library.h"

#include <dlfcn.h>

bool library_load(const char *name, const struct library_function *functions, size_t n)
{
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return false;
	for (size_t i = 0; i < n; i++) {
		*functions[i].at = dlsym(library, functions[i].symbol);
		if (!*functions[i].at)
			return false;
	}
	return true;
}
