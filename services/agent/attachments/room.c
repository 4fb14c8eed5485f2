#include "agent/attachments/room.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"

struct attachment_room {
	int64_t max;
	_Atomic int64_t used;
};

struct share {
	struct attachment_room *room;
	int64_t bytes;
};

struct attachment_room *attachment_room_new(int64_t max)
{
	struct attachment_room *r = xcalloc(1, sizeof(*r));

	r->max = max;
	return r;
}

void attachment_room_free(struct attachment_room *r)
{
	free(r);
}

static void give_back(void *arg)
{
	const struct share *s = arg;

	atomic_fetch_sub(&s->room->used, s->bytes);
}

bool attachment_room_take(struct attachment_room *r, struct arena *a, int64_t bytes, bool must)
{
	int64_t used = atomic_load(&r->used);
	struct share *s;

	if (bytes == 0)
		return true;
	do {
		if (!must && used > 0 && used + bytes > r->max)
			return false;
	} while (!atomic_compare_exchange_weak(&r->used, &used, used + bytes));
	s = arena_new_of(a, struct share);
	*s = (struct share){r, bytes};
	arena_defer(a, give_back, s);
	return true;
}

int64_t attachment_room_used(const struct attachment_room *r)
{
	return atomic_load(&r->used);
}
