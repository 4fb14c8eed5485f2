#include "presence.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "cluster.h"
#include "socket.h"

/* A user on one node. */
struct here {
	struct list link; /* in presence.here */
	unsigned n;       /* his connections there */
	const char *node; /* "": this one */
	const char *user, *name;
	char text[];
};

struct presence {
	struct list here; /* struct here */
	bool is_swept;
};

/* A user came or went. */
struct news {
	struct list link; /* in socket.presence_news */
	bool has_come;
	const char *channel, *user, *name;
	char text[];
};

static struct here *find(const struct channel *ch, const char *node, const char *user)
{
	struct here *h;

	if (!ch->presence)
		return NULL;
	list_foreach (h, &ch->presence->here, struct here, link)
		if (strcmp(h->user, user) == 0 && (!node || strcmp(h->node, node) == 0))
			return h;
	return NULL;
}

static struct here *here_new(struct channel *ch, const char *node, const char *user, const char *name)
{
	struct here *h = xcalloc(1, sizeof(*h) + strlen(node) + strlen(user) + strlen(name) + 3);
	char *p = h->text;

	h->node = p;
	p = stpcpy(p, node) + 1;
	h->user = p;
	p = stpcpy(p, user) + 1;
	h->name = p;
	strcpy(p, name);
	if (!ch->presence) {
		ch->presence = xcalloc(1, sizeof(*ch->presence));
		list_init(&ch->presence->here);
	}
	list_append(&ch->presence->here, &h->link);
	return h;
}

static void announce(struct socket_service *s, const struct channel *ch, const char *user, const char *name,
		     bool has_come)
{
	struct news *n = xcalloc(1, sizeof(*n) + strlen(ch->name) + strlen(user) + strlen(name) + 3);
	char *p = n->text;

	n->has_come = has_come;
	n->channel = p;
	p = stpcpy(p, ch->name) + 1;
	n->user = p;
	p = stpcpy(p, user) + 1;
	n->name = p;
	strcpy(p, name);
	list_append(&s->presence_news, &n->link);
	later_set(service_wheel(s->service), &s->presence_turn);
}

static void drop_if_empty(struct channel *ch)
{
	if (ch->presence->is_swept || !list_is_empty(&ch->presence->here))
		return;
	free(ch->presence);
	ch->presence = NULL;
}

static void here_free(struct socket_service *s, struct channel *ch, struct here *h)
{
	list_remove(&h->link);
	if (s && !find(ch, NULL, h->user))
		announce(s, ch, h->user, h->name, false);
	free(h);
	drop_if_empty(ch);
}

void presence_set(struct socket_service *s, struct channel *ch, const char *node, const char *user, const char *name,
		  unsigned n)
{
	struct here *h = find(ch, node, user);

	if (n == 0) {
		if (h)
			here_free(s, ch, h);
		return;
	}
	if (!h) {
		if (!find(ch, NULL, user))
			announce(s, ch, user, name, true);
		h = here_new(ch, node, user, name);
	}
	h->n = n;
}

static void change(struct place *p, int by)
{
	struct socket_service *s = p->client->socket;
	const char *user = client_user(p->client), *name = client_user_name(p->client);
	const struct here *h = find(p->channel, "", user);
	unsigned n = (unsigned)((int)(h ? h->n : 0) + by);

	p->is_present = by > 0;
	presence_set(s, p->channel, "", user, name, n);
	cluster_tell_presence(s->cluster, p->channel, user, name, n);
}

void presence_enter(struct place *p)
{
	if (!p->is_present)
		change(p, 1);
}

void presence_leave(struct place *p)
{
	if (p->is_present)
		change(p, -1);
}

yyjson_mut_val *presence_list(const struct channel *ch, yyjson_mut_doc *doc)
{
	yyjson_mut_val *list = yyjson_mut_arr(doc);
	struct here *h;

	if (!ch->presence)
		return list;
	list_foreach (h, &ch->presence->here, struct here, link) {
		yyjson_mut_val *item;

		if (find(ch, NULL, h->user) != h)
			continue;
		item = yyjson_mut_arr_add_obj(doc, list);
		json_add_str(doc, item, "user", h->user);
		json_add_str(doc, item, "name", h->name);
	}
	return list;
}

void presence_each_own(struct channel *ch,
		       void (*fn)(void *arg, struct channel *ch, const char *user, const char *name, unsigned n),
		       void *arg)
{
	struct here *h;

	if (!ch->presence)
		return;
	list_foreach (h, &ch->presence->here, struct here, link)
		if (!h->node[0])
			fn(arg, ch, h->user, h->name, h->n);
}

static struct here *next_of(struct channel *ch, const char *node)
{
	struct here *h;

	if (!ch->presence)
		return NULL;
	list_foreach (h, &ch->presence->here, struct here, link)
		if (node ? strcmp(h->node, node) == 0 : h->node[0] != '\0')
			return h;
	return NULL;
}

void presence_forget(struct socket_service *s, struct channel *ch, const char *node)
{
	struct here *h;

	while ((h = next_of(ch, node)))
		here_free(s, ch, h);
}

void presence_sweep(struct socket_service *s, struct channel *ch, bool (*is_alive)(void *arg, const char *node),
		    void *alive_arg, void (*drop)(void *arg, struct channel *ch, const char *node, const char *user),
		    void *drop_arg)
{
	struct presence *all = ch->presence;
	struct here *h;

	if (!all)
		return;
	all->is_swept = true; /* it stays while we are in it */
	list_foreach (h, &all->here, struct here, link) {
		if (!h->node[0] || is_alive(alive_arg, h->node))
			continue;
		drop(drop_arg, ch, h->node, h->user);
		here_free(s, ch, h);
	}
	all->is_swept = false;
	drop_if_empty(ch);
}

void presence_free(struct channel *ch)
{
	while (ch->presence)
		here_free(NULL, ch, list_first(&ch->presence->here, struct here, link));
}

static void tell(struct socket_service *s, const struct news *n)
{
	struct channel *ch = channel_find(&s->channels, str_of(n->channel));
	struct place *p;

	if (!ch)
		return;
	list_foreach (p, &ch->places, struct place, in_channel) {
		yyjson_mut_doc *doc;
		yyjson_mut_val *obj;

		if (!p->is_present || strcmp(client_user(p->client), n->user) == 0)
			continue;
		arena_reset(s->arena);
		obj = client_message(p->client, "presence", &doc);
		json_add_str(doc, obj, "room", n->channel);
		json_add_str(doc, obj, "event", n->has_come ? "join" : "leave");
		json_add_str(doc, obj, "user", n->user);
		json_add_str(doc, obj, "name", n->name);
		client_send(p->client, doc, NULL);
	}
}

void presence_on_turn(struct later *l)
{
	struct socket_service *s = container_of(l, struct socket_service, presence_turn);
	struct news *n;

	while ((n = list_first(&s->presence_news, struct news, link))) {
		list_remove(&n->link);
		tell(s, n);
		free(n);
	}
}

void presence_drop_news(struct socket_service *s)
{
	struct news *n;

	while ((n = list_first(&s->presence_news, struct news, link))) {
		list_remove(&n->link);
		free(n);
	}
	later_clear(&s->presence_turn);
}
