/* Memory of one request or run: allocated piece by piece, freed at once. Nothing in it is freed alone. */
#pragma once

#include "base/str.h"

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);
DEFINE_CLEANUP(struct arena *, arena_free)
/* Frees all that was allocated and keeps the first block for the next use. */
void arena_reset(struct arena *a);

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t n);
/* The same with whatever is in it: for what is filled at once. */
void *arena_alloc_raw(struct arena *a, size_t n);
char *arena_strdup(struct arena *a, const char *s);
/* A NUL-terminated copy. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
struct str arena_str(struct arena *a, struct str s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* `fn(arg)` runs when the arena is freed or reset, last registered first. */
void arena_defer(struct arena *a, void (*fn)(void *), void *arg);
/* Bytes handed out since the start or the last reset. */
size_t arena_used(const struct arena *a);

#define arena_new_of(a, type) ((type *)arena_alloc((a), sizeof(type)))
