#include "rooms.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/alloc.h"

struct room {
	UT_hash_handle hh;
	struct list places; /* struct place: its members */
	char name[];
};

/* A member's place in a room. */
struct place {
	struct list in_room, in_member;
	struct room *room;
	struct member *member;
};

struct rooms {
	struct room *by_name;
};

struct rooms *rooms_new(void)
{
	return xcalloc(1, sizeof(struct rooms));
}

size_t rooms_count(const struct rooms *r)
{
	return HASH_COUNT(r->by_name);
}

void member_init(struct member *m)
{
	list_init(&m->places);
	m->n_rooms = 0;
	m->last_event = 0;
}

static struct room *find(const struct rooms *r, struct str name)
{
	struct room *room;

	HASH_FIND(hh, r->by_name, name.p, name.n, room);
	return room;
}

/* A member is in few rooms; a room may have many members. */
static struct place *find_place(const struct member *m, struct str name)
{
	struct place *p;

	list_foreach (p, &m->places, struct place, in_member) {
		if (str_is(name, p->room->name))
			return p;
	}
	return NULL;
}

bool room_has(const struct rooms *r, struct str name, const struct member *m)
{
	return find_place(m, name);
}

static struct room *room_new(struct rooms *r, struct str name)
{
	struct room *room = xcalloc(1, sizeof(*room) + name.n + 1);

	memcpy(room->name, name.p, name.n);
	list_init(&room->places);
	HASH_ADD_KEYPTR(hh, r->by_name, room->name, name.n, room);
	return room;
}

void room_join(struct rooms *r, struct str name, struct member *m)
{
	struct place *p;

	if (find_place(m, name))
		return;
	p = xcalloc(1, sizeof(*p));
	p->room = find(r, name);
	if (!p->room)
		p->room = room_new(r, name);
	p->member = m;
	list_append(&p->room->places, &p->in_room);
	list_append(&m->places, &p->in_member);
	m->n_rooms++;
}

static void leave(struct rooms *r, struct place *p)
{
	struct room *room = p->room;

	p->member->n_rooms--;
	list_remove(&p->in_room);
	list_remove(&p->in_member);
	free(p);
	if (!list_is_empty(&room->places))
		return;
	HASH_DEL(r->by_name, room);
	free(room);
}

bool room_leave(struct rooms *r, struct str name, struct member *m)
{
	struct place *p = find_place(m, name);

	if (p)
		leave(r, p);
	return p;
}

void rooms_leave_all(struct rooms *r, struct member *m)
{
	struct place *p;

	while ((p = list_first(&m->places, struct place, in_member)))
		leave(r, p);
}

void rooms_free(struct rooms *r)
{
	while (r && r->by_name)
		leave(r, list_first(&r->by_name->places, struct place, in_room));
	free(r);
}

unsigned room_give(struct rooms *r, struct str name, uint64_t number, bool (*give)(void *arg, struct member *m),
		   void *arg)
{
	struct room *room = find(r, name);
	struct place *p;
	unsigned n = 0;

	if (!room)
		return 0;
	list_foreach (p, &room->places, struct place, in_room) {
		if (p->member->last_event == number)
			continue;
		p->member->last_event = number;
		n += give(arg, p->member);
	}
	return n;
}
