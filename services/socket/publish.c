/* What is published goes to each channel as one broadcast, encoded once for each kind of transport. */
#include <stdlib.h>

#include "base/alloc.h"
#include "cluster.h"
#include "socket.h"
#include "window.h"

#define MAX_EVENTS 10000
#define MAX_ROOMS 16
#define MAX_KEY 128
#define SEEN_MS (5 * 60 * 1000)
#define SEEN_MAX 100000

/* ---- Keys: what a publisher sends again is published once ---- */

struct seen {
	UT_hash_handle hh;
	struct list link; /* in seen_table.by_age */
	uint64_t at;
	char text[];
};

struct seen_table {
	struct seen *by_text;
	struct list by_age; /* struct seen, oldest first */
};

static void forget(struct seen_table *t, struct seen *one)
{
	HASH_DEL(t->by_text, one);
	list_remove(&one->link);
	free(one);
}

void seen_free(struct socket_service *s)
{
	while (s->seen && s->seen->by_text)
		forget(s->seen, s->seen->by_text);
	free(s->seen);
	s->seen = NULL;
}

/* Whether this publisher has used the key in the last minutes; from now on he has. */
static bool was_seen(struct socket_service *s, const char *publisher, const char *key)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	uint64_t now = socket_now(s);
	struct seen *one;

	if (!s->seen) {
		s->seen = xcalloc(1, sizeof(*s->seen));
		list_init(&s->seen->by_age);
	}
	while ((one = list_first(&s->seen->by_age, struct seen, link)) &&
	       (now - one->at >= SEEN_MS || HASH_COUNT(s->seen->by_text) >= SEEN_MAX))
		forget(s->seen, one);
	buf_printf(&text, "%s\n%s", publisher, key);
	HASH_FIND(hh, s->seen->by_text, text.p, text.n, one);
	if (one)
		return true;
	one = xcalloc(1, sizeof(*one) + text.n + 1);
	memcpy(one->text, text.p, text.n);
	one->at = now;
	HASH_ADD_KEYPTR(hh, s->seen->by_text, one->text, text.n, one);
	list_append(&s->seen->by_age, &one->link);
	return false;
}

/* ---- Giving it out ---- */

/* Whether an event of several channels comes to him by one that is named before this one. */
static bool comes_before(const struct client *c, const struct broadcast *b)
{
	for (unsigned i = 0; i < b->index; i++) {
		const struct posting *in = &b->post->in[i];
		const struct place *p = in->offset ? place_find(&c->places, in->channel) : NULL;

		if (p && in->offset > p->start)
			return true;
	}
	return false;
}

unsigned publish_to(struct channel *ch, struct broadcast *b)
{
	uint64_t number = b->post->number;
	struct place *p;
	unsigned n = 0;

	list_foreach (p, &ch->places, struct place, in_channel) {
		struct client *c = p->client;

		if (c->last_event == number || comes_before(c, b))
			continue;
		c->last_event = number;
		n++;
		if (p->window)
			window_pump(p);
		else
			client_deliver(c, ch, b);
		n -= c->state != CLIENT_OPEN;
	}
	return n;
}

unsigned publish_event(struct socket_service *s, struct str text, const struct str *channels, unsigned n_channels,
		       struct post **ret)
{
	if (s->cluster)
		return cluster_publish(s->cluster, text, channels, n_channels);

	struct post *e = post_new(++s->n_events, text, channels, n_channels);
	struct broadcast *posts[MAX_ROOMS];
	uint64_t now = socket_now(s);
	unsigned delivered = 0;

	for (unsigned i = 0; i < n_channels; i++) {
		posts[i] = broadcast_new(e, i, now);
		channel_remember(&s->channels, channel_get(&s->channels, channels[i], now), posts[i]);
	}
	for (unsigned i = 0; i < n_channels; i++) {
		struct channel *ch = channel_find(&s->channels, channels[i]);

		delivered += publish_to(ch, posts[i]);
		broadcast_unref(posts[i]);
	}
	if (ret)
		*ret = e;
	else
		post_unref(e);
	return delivered;
}

/* ---- Who may, and what ---- */

/* channel: may publish into this channel for users. Services and those with socket.publish into all. */
static bool identity_may_publish(const struct identity *who, const char *channel)
{
	char one[CHANNEL_NAME_MAX + 64];

	if (who->service[0] || identity_may(who, "socket.publish"))
		return true;
	if (!channel)
		return false;
	snprintf(one, sizeof(one), "channels.publish.%s", channel);
	return identity_may(who, "channels.publish") || identity_may(who, one);
}

static bool check_item(yyjson_val *item, struct error *err)
{
	static const struct json_field fields[] = {
		{"rooms", JSON_ARRAY, true, 1, MAX_ROOMS},
		{"event", JSON_OBJECT, true},
		{"key", JSON_STRING, false, 1, MAX_KEY},
	};
	size_t i, n;
	yyjson_val *room;

	if (json_check(item, fields, ARRAY_SIZE(fields), err) != 0)
		return false;
	yyjson_arr_foreach(json_get_arr(item, "rooms"), i, n, room)
	{
		if (!yyjson_is_str(room) || yyjson_get_len(room) == 0 || yyjson_get_len(room) > CHANNEL_NAME_MAX) {
			error_set(err, "invalid_field", "Each of rooms must be a name of 1 to %d bytes.",
				  CHANNEL_NAME_MAX);
			return false;
		}
	}
	return true;
}

/* All of it or nothing. */
static bool check(yyjson_val *body, struct error *err)
{
	static const struct json_field fields[] = {{"events", JSON_ARRAY, true, 0, MAX_EVENTS}};
	size_t i, n;
	yyjson_val *item;

	if (json_check(body, fields, ARRAY_SIZE(fields), err) != 0)
		return false;
	yyjson_arr_foreach(json_get_arr(body, "events"), i, n, item)
	{
		if (!check_item(item, err)) {
			error_prefix(err, "events[%zu]", i);
			return false;
		}
	}
	return true;
}

/* A user's event goes into one channel for users, so that nobody learns of a channel by another one's event. */
static bool may_publish(const struct identity *who, yyjson_val *body)
{
	size_t i, n;
	yyjson_val *item;

	if (identity_may_publish(who, NULL))
		return true;
	yyjson_arr_foreach(json_get_arr(body, "events"), i, n, item)
	{
		yyjson_val *rooms = json_get_arr(item, "rooms");
		const char *name = channel_user_name(yyjson_get_str(yyjson_arr_get_first(rooms)));

		if (yyjson_arr_size(rooms) != 1 || !name || !identity_may_publish(who, name))
			return false;
	}
	return n > 0;
}

static unsigned deliver(struct exchange *x, struct socket_service *s, yyjson_val *item, unsigned *duplicates)
{
	const char *publisher = x->who.service[0] ? x->who.service : x->who.user_id;
	const char *key = json_get_str(item, "key", NULL);
	struct str names[MAX_ROOMS];
	size_t i, n;
	yyjson_val *room;

	if (key && was_seen(s, publisher, key)) {
		++*duplicates;
		return 0;
	}
	yyjson_arr_foreach(json_get_arr(item, "rooms"), i, n, room) names[i] =
		(struct str){yyjson_get_str(room), yyjson_get_len(room)};
	return publish_event(s, json_val_text(x->arena, json_get_obj(item, "event")), names, (unsigned)n, NULL);
}

void socket_publish(struct exchange *x)
{
	struct socket_service *s = x->self;
	struct error err = {0};
	unsigned delivered = 0, duplicates = 0;
	yyjson_mut_doc *doc;
	yyjson_mut_val *answer = json_new_obj(x->arena, &doc);
	size_t i, n;
	yyjson_val *item;

	if (!check(x->body, &err)) {
		reply_error(x, 400, &err);
		return;
	}
	if (!may_publish(&x->who, x->body)) {
		reply_problem(x, 403, "forbidden",
			      "This needs the permission socket.publish, or channels.publish for one channel:NAME an "
			      "event.");
		return;
	}
	yyjson_arr_foreach(json_get_arr(x->body, "events"), i, n, item) delivered += deliver(x, s, item, &duplicates);
	yyjson_mut_obj_add_uint(doc, answer, "delivered", delivered);
	if (duplicates)
		yyjson_mut_obj_add_uint(doc, answer, "duplicates", duplicates);
	reply_json(x, 202, doc);
}

static void send_published(struct client *c, const char *room, unsigned delivered, bool duplicate, yyjson_val *id)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = client_message(c, "published", &doc);

	json_add_str(doc, obj, "room", room);
	yyjson_mut_obj_add_uint(doc, obj, "delivered", delivered);
	yyjson_mut_obj_add_bool(doc, obj, "duplicate", duplicate);
	client_send(c, doc, id);
}

void client_publish(struct client *c, yyjson_val *message, yyjson_val *id)
{
	const char *room = json_get_str(message, "room", ""), *name = channel_user_name(room);
	const char *key = json_get_str(message, "key", NULL);
	yyjson_val *event = json_get_obj(message, "event");
	unsigned delivered;

	if (!event || (key && (!*key || strlen(key) > MAX_KEY))) {
		client_send_error(c, "invalid_message", "event must be an object, key a text of 1 to 128 bytes.", id);
	} else if (!name) {
		client_send_error(c, "unknown_room", "Messages can be published in channel:NAME.", id);
	} else if (!client_may_of(c, "channels.publish", name)) {
		client_send_error(c, "forbidden", "This needs the permission channels.publish.", id);
	} else if (key && was_seen(c->socket, client_user(c), key)) {
		send_published(c, room, 0, true, id);
	} else {
		delivered = publish_event(c->socket, json_val_text(c->socket->arena, event),
					  &(struct str){room, strlen(room)}, 1, NULL);
		send_published(c, room, delivered, false, id);
	}
}
