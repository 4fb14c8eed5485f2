/* Allocation that cannot fail: running out of memory ends the process, so no caller checks. Sizes that a client
 * controls are limited before they get here. Free with free(). */
#pragma once

#include "base/util.h"

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);
