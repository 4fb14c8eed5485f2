#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

#define FIRST_BLOCK 4096
#define MAX_BLOCK (64 * 1024)
#define ALIGN (_Alignof(max_align_t))

struct block {
	struct block *next; /* the one filled before it */
	size_t size, used;  /* of data */
	_Alignas(max_align_t) char data[];
};

struct deferred {
	struct deferred *next; /* registered before it */
	void (*fn)(void *);
	void *arg;
};

struct arena {
	struct block *blocks; /* the newest, which has room, first; the last is `first` */
	struct deferred *deferred;
	size_t used;
	struct block *first; /* shares the arena's own memory */
};

struct arena *arena_new(void)
{
	struct arena *a = xmalloc(FIRST_BLOCK);
	size_t head = (sizeof(*a) + ALIGN - 1) & ~(ALIGN - 1);

	a->first = (struct block *)((char *)a + head);
	a->first->next = NULL;
	a->first->size = FIRST_BLOCK - head - sizeof(struct block);
	a->first->used = 0;
	a->blocks = a->first;
	a->deferred = NULL;
	a->used = 0;
	return a;
}

void arena_reset(struct arena *a)
{
	while (a->deferred) {
		struct deferred *d = a->deferred;
		a->deferred = d->next;
		d->fn(d->arg);
	}
	while (a->blocks != a->first) {
		struct block *b = a->blocks;
		a->blocks = b->next;
		free(b);
	}
	a->first->used = 0;
	a->used = 0;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	arena_reset(a);
	free(a);
}

/* What is large gets a block of its own behind the current one, so that the current one's room is not lost. */
static void *alloc_block(struct arena *a, size_t n)
{
	size_t size = a->blocks->size * 2 < MAX_BLOCK ? a->blocks->size * 2 : MAX_BLOCK;
	bool is_large = n > size / 2;

	if (is_large)
		size = n;
	struct block *b = xmalloc(sizeof(*b) + size);
	b->size = size;
	b->used = n;
	if (is_large && a->blocks != a->first) {
		b->next = a->blocks->next;
		a->blocks->next = b;
	} else {
		b->next = a->blocks;
		a->blocks = b;
	}
	return b->data;
}

static void *take(struct arena *a, size_t n)
{
	struct block *b = a->blocks;
	void *p;

	if (n > SIZE_MAX - sizeof(struct block) - ALIGN)
		abort();
	size_t rounded = ((n ? n : 1) + ALIGN - 1) & ~(ALIGN - 1);
	if (b->size - b->used >= rounded) {
		p = b->data + b->used;
		b->used += rounded;
	} else {
		p = alloc_block(a, rounded);
	}
	a->used += n;
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	return memset(take(a, n), 0, n);
}

void *arena_alloc_raw(struct arena *a, size_t n)
{
	return take(a, n);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = take(a, n + 1);

	if (n)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

struct str arena_str(struct arena *a, struct str s)
{
	return (struct str){arena_strndup(a, s.p, s.n), s.n};
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	char text[240]; /* most fit and are formatted once */
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	char *p = arena_alloc(a, (size_t)n + 1);
	if ((size_t)n < sizeof(text))
		memcpy(p, text, (size_t)n + 1);
	else
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

void arena_defer(struct arena *a, void (*fn)(void *), void *arg)
{
	struct deferred *d = arena_new_of(a, struct deferred);

	d->fn = fn;
	d->arg = arg;
	d->next = a->deferred;
	a->deferred = d;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}
