/* An intrusive, circular, doubly linked list. A list head says in its declaration what it holds. */
#pragma once

#include "base/util.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert_(struct list *prev, struct list *next, struct list *item)
{
	item->prev = prev;
	item->next = next;
	prev->next = next->prev = item;
}

static inline void list_append(struct list *head, struct list *item)
{
	list_insert_(head->prev, head, item);
}

static inline void list_prepend(struct list *head, struct list *item)
{
	list_insert_(head, head->next, item);
}

/* Also right for an item that is in no list, once it was initialised. */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* Moves everything in `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) (list_is_empty(head) ? NULL : list_entry((head)->next, type, member))

/* The current item may be removed inside the loop. */
#define list_foreach(var, head, type, member)                     \
	for (struct list *it_ = (head)->next, *next_ = it_->next; \
	     it_ != (head) && ((var) = list_entry(it_, type, member), true); it_ = next_, next_ = it_->next)
