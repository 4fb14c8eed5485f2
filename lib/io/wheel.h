/* Coarse time-outs for many objects: one libuv timer, one list per tick, nothing allocated. A time-out fires up to one
 * tick (50 ms) late, never early. For what needs finer time, use uv_timer_t. */
#pragma once

#include <uv.h>

#include "base/list.h"

struct wheel;

struct deadline {
	struct list link; /* in one of the wheel's slots while armed */
	uint64_t at;      /* loop time in ms */
	void (*on_expire)(struct deadline *d);
};

struct wheel *wheel_new(uv_loop_t *loop);
/* Stops the timer; what is armed never fires. The memory goes when libuv has closed the handle. */
void wheel_free(struct wheel *w);

void deadline_init(struct deadline *d, void (*on_expire)(struct deadline *d));
/* Arms or re-arms, in ms from now. */
void deadline_set(struct wheel *w, struct deadline *d, uint64_t ms);
void deadline_clear(struct deadline *d);
bool deadline_is_set(const struct deadline *d);
