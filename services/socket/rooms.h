/* Rooms: who gets which event. A room exists while somebody is in it. Members are embedded in connections. */
#pragma once

#include "base/list.h"
#include "base/str.h"

#define ROOM_NAME_MAX 80

struct rooms;

struct member {
	struct list places; /* struct place: the rooms it is in */
	unsigned n_rooms;
	uint64_t last_event; /* number of the last event it got, so that it gets one copy */
};

struct rooms *rooms_new(void);
/* Everybody leaves. */
void rooms_free(struct rooms *r);
size_t rooms_count(const struct rooms *r);

void member_init(struct member *m);
bool room_has(const struct rooms *r, struct str name, const struct member *m);
/* Being in a room twice is being in it once. */
void room_join(struct rooms *r, struct str name, struct member *m);
/* Returns whether it was in it. */
bool room_leave(struct rooms *r, struct str name, struct member *m);
void rooms_leave_all(struct rooms *r, struct member *m);

/* Calls `give` for each member of the room that has not got event `number` yet; numbers rise, from 1. `give` returns
 * whether it did, and must not change the rooms. Returns how many got it. */
unsigned room_give(struct rooms *r, struct str name, uint64_t number, bool (*give)(void *arg, struct member *m),
		   void *arg);
