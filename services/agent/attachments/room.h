/* How many bytes of attached files the runs of this process hold in memory together: each run holds those that its
 * model is told until it ends or is parked. A run that finds no room is loaded again a little later. From any thread.
 */
#pragma once

#include "base/arena.h"

struct attachment_room;

struct attachment_room *attachment_room_new(int64_t max);
void attachment_room_free(struct attachment_room *r);
/* Takes room until the arena is reset or freed, which must be before attachment_room_free. Returns false when others
 * hold too much; who is alone gets it whatever he wants, so that everybody comes on. must: in any case. */
bool attachment_room_take(struct attachment_room *r, struct arena *a, int64_t bytes, bool must);
int64_t attachment_room_used(const struct attachment_room *r);
