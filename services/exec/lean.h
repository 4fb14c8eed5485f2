/* Libraries that a sandbox's init never calls: left out when it is made (MADV_DONTFORK), because every mapping is
 * copied with a process and taken down with it. It is a copy of its supervisor, which has all that exec is linked with,
 * and needs the program itself, libc and the linker. */
#pragma once

#include <stddef.h>

#define LEAN_MAX 32

struct lean {
	struct {
		void *at;
		size_t size;
	} items[LEAN_MAX];
	size_t n;
};

/* In the spawner, once. Finds none under sanitizers, which are libraries too. */
void lean_find(struct lean *l);
/* From here on children of this process go without them. */
void lean_apply(const struct lean *l);
/* Children have them again. */
void lean_undo(const struct lean *l);
