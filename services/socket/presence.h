/* Who is in a channel and shows it: users, each once however many connections he has, on this node and on others. */
#pragma once

#include "client.h"

/* A place begins or ends to show itself. The others in the channel hear of a user's first and last, at this turn's end.
 */
void presence_enter(struct place *p);
void presence_leave(struct place *p);
/* {"user","name"} of everybody here. */
yyjson_mut_val *presence_list(const struct channel *ch, yyjson_mut_doc *doc);
/* What another node says: how many connections of the user it has here; 0: none any more. */
void presence_set(struct socket_service *s, struct channel *ch, const char *node, const char *user, const char *name,
		  unsigned n);
/* Another node is gone. node NULL: all but this one. */
void presence_forget(struct socket_service *s, struct channel *ch, const char *node);
/* Forgets those of other nodes for which is_alive says no; `drop` is called for each first. */
void presence_sweep(struct socket_service *s, struct channel *ch, bool (*is_alive)(void *arg, const char *node),
		    void *alive_arg, void (*drop)(void *arg, struct channel *ch, const char *node, const char *user),
		    void *drop_arg);
/* Calls `fn` for each user of this node. */
void presence_each_own(struct channel *ch,
		       void (*fn)(void *arg, struct channel *ch, const char *user, const char *name, unsigned n),
		       void *arg);
void presence_free(struct channel *ch);
/* Tells what has changed; socket.presence_turn. */
void presence_on_turn(struct later *l);
/* What nobody was told yet. */
void presence_drop_news(struct socket_service *s);
