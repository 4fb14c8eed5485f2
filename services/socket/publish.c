/* What is published goes out as one frame a room, encoded once and shared by all its members. */
#include "socket.h"

#define MAX_EVENTS 10000
#define MAX_ROOMS 16

/* One room's copy of one event; the frame is made for the first who gets it. */
struct delivery {
	struct socket_service *socket;
	const char *room;
	struct str event; /* JSON */
	struct ws_shared *frame;
};

static struct ws_shared *frame_new(const struct delivery *d)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	buf_add_str(&text, "{\"type\":\"event\",\"room\":");
	json_quote(&text, str_of(d->room));
	buf_add_str(&text, ",\"event\":");
	buf_add(&text, d->event.p, d->event.n);
	buf_add_char(&text, '}');
	return ws_shared_new(WS_TEXT, text.p, text.n);
}

static bool give(void *arg, struct member *m)
{
	struct connection *c = container_of(m, struct connection, member);
	struct delivery *d = arg;

	if (c->state != CONNECTION_OPEN) {
		metric_add(d->socket->dropped, 1);
		return false;
	}
	if (!d->frame)
		d->frame = frame_new(d);
	ws_send_shared(c->ws, d->frame);
	metric_add(d->socket->delivered, 1);
	if (ws_queued(c->ws) > SOCKET_MAX_QUEUE) {
		metric_add(d->socket->slow, 1);
		connection_end(c, 1013, "too slow: come back and read what was missed");
	}
	return true;
}

static unsigned deliver(struct exchange *x, struct socket_service *s, yyjson_val *item)
{
	struct delivery d = {.socket = s, .event = json_val_text(x->arena, json_get_obj(item, "event"))};
	uint64_t number = ++s->n_events;
	unsigned n = 0;
	size_t i, n_rooms;
	yyjson_val *room;

	yyjson_arr_foreach(json_get_arr(item, "rooms"), i, n_rooms, room)
	{
		d.room = yyjson_get_str(room);
		n += room_give(s->rooms, str_of(d.room), number, give, &d);
		ws_shared_unref(d.frame);
		d.frame = NULL;
	}
	return n;
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
		if (!yyjson_is_str(room) || yyjson_get_len(room) == 0 || yyjson_get_len(room) > ROOM_NAME_MAX) {
			error_set(err, "invalid_field", "Each of rooms must be a name of 1 to %d bytes.",
				  ROOM_NAME_MAX);
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
