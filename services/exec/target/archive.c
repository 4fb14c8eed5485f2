/* libarchive as a part of the program: here nothing is loaded. */
#include "io/archive_api.h"

static const struct archive_api api = {
#define X(name) .name = archive_##name,
	ARCHIVE_FUNCTIONS(X)
#undef X
};

const struct archive_api *archive_api_load(void)
{
	return &api;
}
