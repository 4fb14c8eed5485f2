#include "key_plan.h"

#include "base/util.h"

/* The latest that has begun; -1: none. */
static int find_active(const struct key_row *rows, size_t n, int64_t now)
{
	int found = -1;

	for (size_t i = 0; i < n; i++)
		if (rows[i].active_from <= now && (found < 0 || rows[i].active_from > rows[found].active_from))
			found = (int)i;
	return found;
}

/* When another one took over from this one. */
static int64_t succeeded_at(const struct key_row *rows, size_t n, const struct key_row *row)
{
	int64_t at = INT64_MAX;

	for (size_t i = 0; i < n; i++)
		if (rows[i].active_from > row->active_from)
			at = MIN(at, rows[i].active_from);
	return at;
}

static void set_states(struct key_row *rows, size_t n, const struct key_policy *policy, int64_t now, struct key_plan *p)
{
	for (size_t i = 0; i < n; i++) {
		struct key_row *row = &rows[i];

		row->gone_at = 0;
		row->state = (int)i == p->active ? KEY_ACTIVE : row->active_from > now ? KEY_NEXT : KEY_OLD;
		if (row->state == KEY_NEXT)
			p->again_at = MIN(p->again_at, row->active_from);
		if (row->state != KEY_OLD)
			continue;
		row->gone_at = succeeded_at(rows, n, row) + policy->keep_us;
		if (row->gone_at <= now)
			row->state = KEY_GONE;
		else
			p->again_at = MIN(p->again_at, row->gone_at);
	}
}

void key_plan(struct key_row *rows, size_t n, const struct key_policy *policy, int64_t now, struct key_plan *ret)
{
	const struct key_row *active;
	bool has_next = false, is_other;

	*ret = (struct key_plan){.active = find_active(rows, n, now), .again_at = INT64_MAX};
	set_states(rows, n, policy, now, ret);
	for (size_t i = 0; i < n; i++)
		has_next |= rows[i].state == KEY_NEXT;
	if (has_next)
		return;
	if (ret->active < 0) {
		ret->make_key = true;
		ret->active_from = now;
		return;
	}
	active = &rows[ret->active];
	is_other = strcmp(active->algorithm, policy->algorithm) != 0;
	if (!is_other && !policy->rotate_us)
		return;
	/* It is published in time for the other to end when it should. */
	int64_t due = is_other ? now : active->active_from + policy->rotate_us - policy->lead_us;
	ret->make_key = due <= now;
	ret->active_from = now + policy->lead_us;
	if (!ret->make_key)
		ret->again_at = MIN(ret->again_at, due);
}
