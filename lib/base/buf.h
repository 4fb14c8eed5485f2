/* A growable run of bytes. The buffer owns its memory; views of it are valid until it is next changed. */
#pragma once

#include <stdarg.h>

#include "base/str.h"

struct buf {
	char *p; /* NUL-terminated for convenience whenever n > 0; the NUL does not count in n */
	size_t n;
	size_t cap;
};

#define BUF_INIT ((struct buf){0})

void buf_deinit(struct buf *b);
void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *data, size_t n);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Drops the first `n` bytes. */
void buf_consume(struct buf *b, size_t n);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);
/* Hands the bytes (NUL-terminated, free with free()) to the caller and leaves the buffer empty. */
char *buf_steal(struct buf *b, size_t *ret_n);

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){b->p, b->n};
}
