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
/* With room for it this and buf_add are in line: lines and heads are made of many small pieces. */
void buf_reserve_slow(struct buf *b, size_t more);
static inline void buf_reserve(struct buf *b, size_t more)
{
	if (more >= b->cap - b->n)
		buf_reserve_slow(b, more);
}

void buf_add_slow(struct buf *b, const void *data, size_t n);
static inline void buf_add(struct buf *b, const void *data, size_t n)
{
	if (n >= b->cap - b->n) {
		buf_add_slow(b, data, n);
		return;
	}
	if (n)
		memcpy(b->p + b->n, data, n);
	b->n += n;
	b->p[b->n] = '\0';
}

static inline void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

static inline void buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

/* Decimal. */
void buf_add_number(struct buf *b, uint64_t n);
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
