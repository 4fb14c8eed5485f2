/* The functions of hiredis that are used, its reader of answers, loaded from the shared library at first use. Its own
 * connections are not used: they look names up on the loop's thread, and those of Debian 12 do not know sharded
 * channels. */
#pragma once

#include <hiredis/hiredis.h>

/* X(name) */
#define REDIS_FUNCTIONS(X)     \
	X(redisReaderCreate)   \
	X(redisReaderFree)     \
	X(redisReaderFeed)     \
	X(redisReaderGetReply) \
	X(freeReplyObject)

struct redis_api {
#define X(name) typeof(name) *name;
	REDIS_FUNCTIONS(X)
#undef X
};

/* NULL when the library is not installed, or not the one that this was built with. On any thread. */
const struct redis_api *redis_api_load(void);
