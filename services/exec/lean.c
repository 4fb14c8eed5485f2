#include "lean.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

#ifndef HAS_SANITIZER

struct mapping {
	uintptr_t from, to;
	char path[256]; /* "" = of no file */
};

static bool next_mapping(FILE *f, struct mapping *ret)
{
	char line[512];
	unsigned long from, to;

	if (!fgets(line, sizeof(line), f))
		return false;
	*ret = (struct mapping){0};
	if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %255s", &from, &to, ret->path) < 2)
		return false;
	ret->from = from;
	ret->to = to;
	if (ret->path[0] != '/')
		ret->path[0] = 0;
	return true;
}

/* The file that an address of ours is from. */
static void file_of(const void *at, char ret[static 256])
{
	FILE *f = fopen("/proc/self/maps", "re");
	struct mapping m;

	ret[0] = 0;
	while (f && next_mapping(f, &m))
		if ((uintptr_t)at >= m.from && (uintptr_t)at < m.to)
			memcpy(ret, m.path, sizeof(m.path));
	if (f)
		fclose(f);
}

static bool is_linker(const char *path)
{
	return strncmp(strrchr(path, '/'), "/ld", 3) == 0;
}

static void add(struct lean *l, const struct mapping *m)
{
	size_t n = l->n;

	if (n > 0 && (uintptr_t)l->items[n - 1].at + l->items[n - 1].size == m->from) {
		l->items[n - 1].size += m->to - m->from;
	} else if (n < LEAN_MAX) {
		l->items[n].at = (void *)m->from;
		l->items[n].size = m->to - m->from;
		l->n++;
	}
}

#endif

void lean_find(struct lean *l)
{
	*l = (struct lean){0};
#ifndef HAS_SANITIZER
	char program[256], libc[256];
	struct mapping m;
	FILE *f;

	file_of((const void *)(uintptr_t)lean_find, program);
	file_of((const void *)(uintptr_t)getpid, libc);
	if (!program[0] || !libc[0])
		return;
	f = fopen("/proc/self/maps", "re");
	while (f && next_mapping(f, &m))
		if (m.path[0] && strcmp(m.path, program) != 0 && strcmp(m.path, libc) != 0 && !is_linker(m.path))
			add(l, &m);
	if (f)
		fclose(f);
#endif
}

void lean_apply(const struct lean *l)
{
	for (size_t i = 0; i < l->n; i++)
		madvise(l->items[i].at, l->items[i].size, MADV_DONTFORK);
}

void lean_undo(const struct lean *l)
{
	for (size_t i = 0; i < l->n; i++)
		madvise(l->items[i].at, l->items[i].size, MADV_DOFORK);
}
