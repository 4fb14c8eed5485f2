/* The two services of a loop that everything in lib/io shares: time-outs, and work put off to the turn's end.
 *
 * Coarse time-outs for many objects: one libuv timer, one list per tick, nothing allocated. The timer
 * keeps the loop running only while something is armed. A time-out fires up to one
 * tick (50 ms) late, never early. For what needs finer time, use uv_timer_t. */
#pragma once

#include <uv.h>

#include "base/list.h"

struct wheel;

struct deadline {
	struct list link; /* in one of the wheel's slots while armed */
	uint64_t at;      /* loop time in ms */
	void (*on_expire)(struct deadline *d);
	struct wheel *wheel; /* valid while armed */
};

struct wheel *wheel_new(uv_loop_t *loop);
/* Stops the timer; what is armed never fires. The memory goes when libuv has closed the handle. */
void wheel_free(struct wheel *w);

void deadline_init(struct deadline *d, void (*on_expire)(struct deadline *d));
/* Arms or re-arms, in ms from now. */
void deadline_set(struct wheel *w, struct deadline *d, uint64_t ms);
void deadline_clear(struct deadline *d);
bool deadline_is_set(const struct deadline *d);

/* Work put off until the running callback has returned to the loop: a flush of what this turn wrote, a callback that
 * must not come from inside a call. Runs once per later_set, in the order of setting; setting it twice is once. */
struct later {
	struct list link; /* in the wheel's list while set */
	void (*on_turn)(struct later *l);
};

void later_init(struct later *l, void (*on_turn)(struct later *l));
void later_set(struct wheel *w, struct later *l);
void later_clear(struct later *l);
