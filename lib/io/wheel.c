#include "io/wheel.h"

#include <stdlib.h>

#include "base/alloc.h"

#define TICK_MS 50
#define SLOTS 1024 /* a power of two; one round is 51 s, later deadlines stay in their slot for more rounds */

/* The timer runs only while something is armed, for the first slot that may have something due. */
struct wheel {
	uv_timer_t timer;
	uv_idle_t turn;      /* runs while `later` is not empty: before the loop polls, which then does not wait */
	uint64_t done_tick;  /* slots up to this tick have been looked at */
	uint64_t armed_tick; /* the timer's, UINT64_MAX when it is stopped */
	size_t n_armed;
	bool closing;
	struct list later;        /* struct later, in the order of setting */
	struct list running;      /* struct later: those of the turn that ends now */
	struct list due;          /* struct deadline; the slot that is being worked on */
	struct list slots[SLOTS]; /* struct deadline */
};

static struct list *slot_of(struct wheel *w, uint64_t tick)
{
	return &w->slots[tick & (SLOTS - 1)];
}

static void on_timer(uv_timer_t *timer);

static void arm(struct wheel *w, uint64_t tick)
{
	uint64_t now = uv_now(w->timer.loop);
	uint64_t at = tick * TICK_MS;

	w->armed_tick = tick;
	uv_timer_start(&w->timer, on_timer, at > now ? at - now : 0, 0);
}

static void arm_next(struct wheel *w)
{
	w->armed_tick = UINT64_MAX;
	if (w->n_armed == 0)
		return;
	for (uint64_t tick = w->done_tick + 1; tick <= w->done_tick + SLOTS; tick++) {
		if (!list_is_empty(slot_of(w, tick))) {
			arm(w, tick);
			return;
		}
	}
}

/* Callbacks may set and clear any deadline, and free the wheel: so the slot's items wait in a list of the wheel's. */
static void expire_slot(struct wheel *w, uint64_t tick, uint64_t now)
{
	struct deadline *d;

	list_splice(&w->due, slot_of(w, tick));
	while ((d = list_first(&w->due, struct deadline, link))) {
		list_remove(&d->link);
		if (d->at > now) {
			list_append(slot_of(w, tick), &d->link);
			continue;
		}
		w->n_armed--;
		d->on_expire(d);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct wheel *w = container_of(timer, struct wheel, timer);
	uint64_t now = uv_now(timer->loop);
	uint64_t tick = w->done_tick + 1, last = now / TICK_MS;

	/* While it works, deadline_set must not arm the timer: arm_next does, once. */
	w->armed_tick = 0;
	if (last >= SLOTS && tick < last - SLOTS + 1)
		tick = last - SLOTS + 1;
	for (; tick <= last && !w->closing; tick++) {
		w->done_tick = tick;
		expire_slot(w, tick, now);
	}
	if (!w->closing)
		arm_next(w);
}

/* What is set meanwhile waits for the next turn, so that nobody can keep the loop from polling. */
static void on_turn(uv_idle_t *idle)
{
	struct wheel *w = container_of(idle, struct wheel, turn);
	struct later *l;

	list_splice(&w->running, &w->later);
	while ((l = list_first(&w->running, struct later, link))) {
		list_remove(&l->link);
		l->on_turn(l);
	}
	if (list_is_empty(&w->later))
		uv_idle_stop(idle);
}

struct wheel *wheel_new(uv_loop_t *loop)
{
	struct wheel *w = xcalloc(1, sizeof(*w));

	uv_timer_init(loop, &w->timer);
	uv_idle_init(loop, &w->turn);
	w->done_tick = uv_now(loop) / TICK_MS;
	w->armed_tick = UINT64_MAX;
	list_init(&w->later);
	list_init(&w->running);
	list_init(&w->due);
	for (size_t i = 0; i < SLOTS; i++)
		list_init(&w->slots[i]);
	return w;
}

static void disarm_all(struct list *head)
{
	while (!list_is_empty(head))
		list_remove(head->next);
}

static void on_turn_closed(uv_handle_t *handle)
{
	free(container_of((uv_idle_t *)handle, struct wheel, turn));
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct wheel *w = container_of((uv_timer_t *)handle, struct wheel, timer);

	uv_close((uv_handle_t *)&w->turn, on_turn_closed);
}

void wheel_free(struct wheel *w)
{
	if (!w)
		return;
	w->closing = true;
	w->n_armed = 0;
	disarm_all(&w->later);
	disarm_all(&w->running);
	disarm_all(&w->due);
	for (size_t i = 0; i < SLOTS; i++)
		disarm_all(&w->slots[i]);
	uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}

void deadline_init(struct deadline *d, void (*on_expire)(struct deadline *d))
{
	list_init(&d->link);
	d->at = 0;
	d->wheel = NULL;
	d->on_expire = on_expire;
}

void deadline_set(struct wheel *w, struct deadline *d, uint64_t ms)
{
	uint64_t now = uv_now(w->timer.loop);

	if (w->closing)
		return;
	if (list_is_empty(&d->link))
		w->n_armed++;
	list_remove(&d->link);
	d->wheel = w;
	d->at = ms < UINT64_MAX / 2 ? now + ms : UINT64_MAX / 2;

	uint64_t tick = MAX((d->at + TICK_MS - 1) / TICK_MS, w->done_tick + 1);

	list_append(slot_of(w, tick), &d->link);
	if (tick < w->armed_tick)
		arm(w, tick);
}

void deadline_clear(struct deadline *d)
{
	struct wheel *w = d->wheel;

	if (list_is_empty(&d->link))
		return;
	list_remove(&d->link);
	/* While the timer's callback works, arm_next sees to it. */
	if (--w->n_armed == 0 && w->armed_tick > 0) {
		w->armed_tick = UINT64_MAX;
		uv_timer_stop(&w->timer);
	}
}

bool deadline_is_set(const struct deadline *d)
{
	return !list_is_empty(&d->link);
}

void later_init(struct later *l, void (*fn)(struct later *l))
{
	list_init(&l->link);
	l->on_turn = fn;
}

void later_set(struct wheel *w, struct later *l)
{
	if (!list_is_empty(&l->link) || w->closing)
		return;
	if (list_is_empty(&w->later))
		uv_idle_start(&w->turn, on_turn);
	list_append(&w->later, &l->link);
}

void later_clear(struct later *l)
{
	list_remove(&l->link);
}
