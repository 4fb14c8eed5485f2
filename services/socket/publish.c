/* What is published goes to each channel as one broadcast, encoded once for each kind of transport. */
#include "socket.h"

#define MAX_EVENTS 10000
#define MAX_ROOMS 16

static unsigned give_all(struct socket_service *s, struct channel *ch, struct broadcast *b)
{
	uint64_t number = b->post->number;
	struct place *p;
	unsigned n = 0;

	list_foreach (p, &ch->places, struct place, in_channel) {
		if (p->client->last_event == number)
			continue;
		p->client->last_event = number;
		client_deliver(p->client, ch, b);
		n += p->client->state == CLIENT_OPEN;
	}
	return n;
}

unsigned publish_event(struct socket_service *s, struct str text, const struct str *channels, unsigned n_channels,
		       struct post **ret)
{
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

		delivered += give_all(s, ch, posts[i]);
		broadcast_unref(posts[i]);
	}
	if (ret)
		*ret = e;
	else
		post_unref(e);
	return delivered;
}

static unsigned deliver(struct exchange *x, struct socket_service *s, yyjson_val *item)
{
	struct str names[MAX_ROOMS];
	size_t i, n;
	yyjson_val *room;

	yyjson_arr_foreach(json_get_arr(item, "rooms"), i, n, room) names[i] =
		(struct str){yyjson_get_str(room), yyjson_get_len(room)};
	return publish_event(s, json_val_text(x->arena, json_get_obj(item, "event")), names, (unsigned)n, NULL);
}

static bool check_item(yyjson_val *item, struct error *err)
{
	static const struct json_field fields[] = {
		{"rooms", JSON_ARRAY, true, 1, MAX_ROOMS},
		{"event", JSON_OBJECT, true},
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

void socket_publish(struct exchange *x)
{
	struct socket_service *s = x->self;
	struct error err = {0};
	unsigned delivered = 0;
	yyjson_mut_doc *doc;
	yyjson_mut_val *answer = json_new_obj(x->arena, &doc);
	size_t i, n;
	yyjson_val *item;

	if (!check(x->body, &err)) {
		reply_error(x, 400, &err);
		return;
	}
	yyjson_arr_foreach(json_get_arr(x->body, "events"), i, n, item) delivered += deliver(x, s, item);
	yyjson_mut_obj_add_uint(doc, answer, "delivered", delivered);
	reply_json(x, 202, doc);
}
