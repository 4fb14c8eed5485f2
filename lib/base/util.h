/* Small macros that everything uses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/param.h> /* MIN, MAX */

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* What went wrong, or 0 where the result counts something. A function, because MIN(call(), 0) makes a failed call
 * twice. */
static inline int error_only(int64_t result)
{
	return result < 0 ? (int)result : 0;
}

/* A word whose eight bytes are all the same. */
#define EVERY_BYTE(byte) (UINT64_MAX / 255 * (byte))

#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

/* Runs `fn(&variable)` when the variable leaves its scope. Hand over by clearing the variable. */
#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Defines `fn_p`, the form of a destructor that _cleanup_ wants: `_cleanup_(buf_free_p) struct buf *b`. */
#define DEFINE_CLEANUP(type, fn)           \
	static inline void fn##_p(type *p) \
	{                                  \
		if (*p)                    \
			fn(*p);            \
	}
