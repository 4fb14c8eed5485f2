/* A channel is open to those who may read what it is about: the agent service is asked on the user's behalf. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/id.h"
#include "socket.h"

#define ANSWER_MS (10 * 1000)

/* Where a client was when it left: it wants what came after. */
struct position {
	const char *epoch; /* NULL: it was not here */
	uint64_t offset;
};

/* A join, or the repeated question whether a place is still his, while the agent service is asked. */
struct join {
	struct list link; /* in client.joins */
	struct client *s; /* NULL once he has left */
	struct http_fetch *fetch;
	struct arena *arena; /* what follows */
	const char *room;
	struct position from;
	yyjson_val *id;
	bool is_check; /* he is in it already */
};

enum access { ACCESS_YES, ACCESS_NO, ACCESS_ASK };

/* ---- Being in a channel ---- */

/* Whether an event of several channels comes to him by another one of them. */
static bool comes_otherwise(const struct client *s, const struct broadcast *b)
{
	for (unsigned i = 0; i < b->post->n_in; i++) {
		const struct posting *post = &b->post->in[i];
		const struct place *p = i != b->index && post->offset ? place_find(&s->places, post->channel) : NULL;

		if (p && post->offset > p->start)
			return true;
	}
	return false;
}

static void send_missed(struct client *s, struct channel *ch, uint64_t after)
{
	struct broadcast *b;

	list_foreach (b, &ch->history, struct broadcast, in_channel)
		if (broadcast_offset(b) > after && !comes_otherwise(s, b))
			client_deliver(s, ch, b);
}

static void send_left(struct client *s, const char *type, const char *room, yyjson_val *id)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = client_message(s, type, &doc);

	json_add_str(doc, obj, "room", room);
	client_send(s, doc, id);
}

static void send_joined(struct client *s, const struct channel *ch, const struct position *from, bool recovered,
			yyjson_val *id)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = client_message(s, "joined", &doc);

	json_add_str(doc, obj, "room", ch->name);
	json_add_str(doc, obj, "epoch", ch->epoch);
	yyjson_mut_obj_add_uint(doc, obj, "offset", ch->offset);
	if (from->epoch)
		yyjson_mut_obj_add_bool(doc, obj, "recovered", recovered);
	client_send(s, doc, id);
}

static struct place *enter(struct client *s, const char *room)
{
	struct channels *all = &s->socket->channels;
	struct place *p = place_find(&s->places, room);

	if (p)
		return p;
	s->n_places++;
	return place_new(channel_get(all, str_of(room), socket_now(s->socket)), s, &s->places);
}

static void leave(struct client *s, struct place *p)
{
	s->n_places--;
	place_free(&s->socket->channels, p, socket_now(s->socket));
}

/* The reply comes before any event. Whoever is in it already and joins again gets its place told, no event twice. */
static void join_now(struct client *s, const char *room, const struct position *from, yyjson_val *id)
{
	bool is_new = !place_find(&s->places, room), recovered;
	struct place *p = enter(s, room);

	recovered = from->epoch && channel_has_since(p->channel, from->epoch, from->offset);
	send_joined(s, p->channel, from, recovered, id);
	if (!recovered || !is_new || s->state != CLIENT_OPEN)
		return;
	p->start = from->offset;
	send_missed(s, p->channel, from->offset);
}

struct place *client_join_own(struct client *s)
{
	char room[CHANNEL_NAME_MAX + 1];

	if (snprintf(room, sizeof(room), "user:%s", client_user(s)) >= (int)sizeof(room))
		return NULL;
	return enter(s, room);
}

void client_leave_all(struct client *s)
{
	struct place *p;

	while ((p = list_first(&s->places, struct place, in_client)))
		leave(s, p);
}

/* ---- Whether he may ---- */

/* What follows `kind` and ':' when it is a UUID, else NULL. */
static const char *id_in(const char *room, const char *kind)
{
	size_t n = strlen(kind);

	if (strncmp(room, kind, n) != 0 || room[n] != ':' || !id_is_valid(str_of(room + n + 1)))
		return NULL;
	return room + n + 1;
}

/* ret_target: what the agent service is asked for. */
static enum access access_of(struct client *s, const char *room, struct arena *a, const char **ret_target)
{
	const char *of;

	if ((of = id_in(room, "conversation"))) {
		*ret_target = arena_printf(a, "/api/conversations/%s", of);
		return client_may(s, "conversations.read_any") ? ACCESS_YES : ACCESS_ASK;
	}
	if ((of = id_in(room, "execution"))) {
		*ret_target = arena_printf(a, "/api/executions/%s", of);
		return client_may(s, "executions.read_any") ? ACCESS_YES : ACCESS_ASK;
	}
	return ACCESS_NO;
}

static void join_free(struct join *j)
{
	if (j->s) {
		j->s->n_joins--;
		list_remove(&j->link);
	}
	arena_free(j->arena);
	free(j);
}

static void drop_place(struct client *s, const char *room)
{
	struct place *p = place_find(&s->places, room);

	if (!p)
		return;
	leave(s, p);
	send_left(s, "dropped", room, NULL);
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct join *j = arg;
	struct client *s = j->s;
	bool is_refused = err == 0 && (status == 404 || status == 403);

	if (s && s->state == CLIENT_OPEN) {
		arena_reset(s->socket->arena);
		if (j->is_check && is_refused) {
			drop_place(s, j->room);
		} else if (j->is_check) {
			/* He stays until somebody says otherwise. */
		} else if (err == 0 && status == 200) {
			join_now(s, j->room, &j->from, j->id);
		} else if (is_refused) {
			metric_add(s->socket->refused_joins, 1);
			client_send_error(s, "not_found", "There is no such room, or it is not yours.", j->id);
		} else {
			client_send_error(s, "unavailable", "The agent service does not answer. Join again.", j->id);
		}
	}
	join_free(j);
}

static struct join *join_new(struct client *s, const char *room, const struct position *from, yyjson_val *id)
{
	struct join *j = xcalloc(1, sizeof(*j));

	j->s = s;
	j->arena = arena_new();
	j->room = arena_strdup(j->arena, room);
	if (from->epoch)
		j->from = (struct position){arena_strdup(j->arena, from->epoch), from->offset};
	if (id) {
		struct str text = json_val_text(j->arena, id);

		j->id = yyjson_doc_get_root(json_parse(j->arena, text.p, text.n, NULL));
	}
	list_append(&s->joins, &j->link);
	s->n_joins++;
	return j;
}

static void ask(struct join *j, const char *target)
{
	struct service *s = j->s->socket->service;
	struct http_headers *headers = service_peer_headers(s, "agent", client_user(j->s), NULL, NULL, j->arena);

	/* The status says it all. */
	j->fetch = http_fetch(service_peer(s, "agent"), "HEAD", arena_strdup(j->arena, target), headers, NULL,
			      (struct str){0}, 0, ANSWER_MS, on_answer, j);
}

static void forget(struct join *j)
{
	list_remove(&j->link);
	j->s->n_joins--;
	j->s = NULL;
	http_fetch_cancel(j->fetch);
}

void joins_cancel(struct client *s)
{
	struct join *j;

	while ((j = list_first(&s->joins, struct join, link)))
		forget(j);
}

void client_join(struct client *s, yyjson_val *message, yyjson_val *id)
{
	const char *room = json_get_str(message, "room", ""), *target = NULL;
	struct position from = {json_get_str(message, "epoch", NULL),
				(uint64_t)MAX(json_get_int(message, "offset", 0), 0)};
	enum access access;

	if (place_find(&s->places, room)) {
		join_now(s, room, &from, id);
		return;
	}
	if (s->n_places + s->n_joins >= SOCKET_MAX_ROOMS) {
		client_send_error(s, "too_many_rooms",
				  "This connection is in as many rooms as it may be. Leave one first.", id);
		return;
	}
	access = access_of(s, room, s->socket->arena, &target);
	if (access == ACCESS_YES)
		join_now(s, room, &from, id);
	else if (access == ACCESS_ASK)
		ask(join_new(s, room, &from, id), target);
	else
		client_send_error(s, "unknown_room", "Rooms are conversation:ID and execution:ID.", id);
}

void client_leave(struct client *s, yyjson_val *message, yyjson_val *id)
{
	const char *room = json_get_str(message, "room", "");
	struct place *p = place_find(&s->places, room);
	struct join *j;

	list_foreach (j, &s->joins, struct join, link)
		if (strcmp(j->room, room) == 0)
			forget(j);
	if (p)
		leave(s, p);
	send_left(s, "left", room, id);
}

static bool is_own(const struct client *s, const char *room)
{
	return strncmp(room, "user:", 5) == 0 && strcmp(room + 5, client_user(s)) == 0;
}

void client_check_places(struct client *s)
{
	struct place *p;

	list_foreach (p, &s->places, struct place, in_client) {
		const char *target = NULL, *room = p->channel->name;
		enum access access = is_own(s, room) ? ACCESS_YES : access_of(s, room, s->socket->arena, &target);

		if (access == ACCESS_NO) {
			drop_place(s, room);
		} else if (access == ACCESS_ASK) {
			struct join *j = join_new(s, room, &(struct position){0}, NULL);

			j->is_check = true;
			ask(j, target);
		}
	}
}
