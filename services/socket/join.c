/* A room is open to those who may read what it is about: the agent service is asked on the user's behalf. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/id.h"
#include "socket.h"

#define ANSWER_MS (10 * 1000)

struct join {
	struct list link;     /* in connection.joins */
	struct connection *c; /* NULL once it has left */
	struct http_fetch *fetch;
	struct arena *arena; /* the room, and the id's document */
	const char *room;
	yyjson_val *id;
};

/* The answer to a join or leave; id is echoed as it came. */
static void send_done(struct connection *c, const char *type, const char *room, yyjson_val *id)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(c->socket->arena, &doc);

	json_add_str(doc, obj, "type", type);
	json_add_str(doc, obj, "room", room);
	if (id)
		yyjson_mut_obj_add_val(doc, obj, "id", yyjson_val_mut_copy(doc, id));
	connection_send(c, doc);
}

static void join_now(struct connection *c, const char *room, yyjson_val *id)
{
	room_join(c->socket->rooms, str_of(room), &c->member);
	send_done(c, "joined", room, id);
}

static void join_free(struct join *j)
{
	if (j->c) {
		j->c->n_joins--;
		list_remove(&j->link);
	}
	arena_free(j->arena);
	free(j);
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct join *j = arg;
	struct connection *c = j->c;

	if (c && c->state == CONNECTION_OPEN) {
		arena_reset(c->socket->arena);
		if (err == 0 && status == 200) {
			join_now(c, j->room, j->id);
		} else if (err == 0 && (status == 404 || status == 403)) {
			metric_add(c->socket->refused_joins, 1);
			connection_send_error(c, "not_found", "There is no such room, or it is not yours.", j->id);
		} else {
			connection_send_error(c, "unavailable", "The agent service does not answer. Join again.",
					      j->id);
		}
	}
	join_free(j);
}

static void ask(struct connection *c, const char *room, const char *target, yyjson_val *id)
{
	struct service *s = c->socket->service;
	struct join *j = xcalloc(1, sizeof(*j));
	struct http_headers *headers;

	j->c = c;
	j->arena = arena_new();
	j->room = arena_strdup(j->arena, room);
	if (id) {
		struct str text = json_val_text(j->arena, id);

		j->id = yyjson_doc_get_root(json_parse(j->arena, text.p, text.n, NULL));
	}
	list_append(&c->joins, &j->link);
	c->n_joins++;
	headers = service_peer_headers(s, "agent", c->user_id, NULL, NULL, j->arena);
	/* The status says it all. */
	j->fetch = http_fetch(service_peer(s, "agent"), "HEAD", arena_strdup(j->arena, target), headers, NULL,
			      (struct str){0}, 0, ANSWER_MS, on_answer, j);
}

void joins_cancel(struct connection *c)
{
	struct join *j;

	while ((j = list_first(&c->joins, struct join, link))) {
		list_remove(&j->link);
		c->n_joins--;
		j->c = NULL;
		http_fetch_cancel(j->fetch);
	}
}

/* What follows `kind` and ':' when it is a UUID, else NULL. */
static const char *id_in(const char *room, const char *kind)
{
	size_t n = strlen(kind);

	if (strncmp(room, kind, n) != 0 || room[n] != ':' || !id_is_valid(str_of(room + n + 1)))
		return NULL;
	return room + n + 1;
}

static void join(struct connection *c, const char *room, yyjson_val *id)
{
	struct arena *a = c->socket->arena;
	const char *of;

	if (room_has(c->socket->rooms, str_of(room), &c->member))
		join_now(c, room, id);
	else if (c->member.n_rooms + c->n_joins >= SOCKET_MAX_ROOMS)
		connection_send_error(c, "too_many_rooms",
				      "This connection is in as many rooms as it may be. Leave one first.", id);
	else if ((of = id_in(room, "conversation")) && c->reads_all_conversations)
		join_now(c, room, id);
	else if (of)
		ask(c, room, arena_printf(a, "/api/conversations/%s", of), id);
	else if ((of = id_in(room, "execution")) && c->reads_all_executions)
		join_now(c, room, id);
	else if (of)
		ask(c, room, arena_printf(a, "/api/executions/%s", of), id);
	else
		connection_send_error(c, "unknown_room", "Rooms are conversation:ID and execution:ID.", id);
}

void socket_join(struct connection *c, yyjson_val *message)
{
	const char *room = json_get_str(message, "room", "");

	join(c, room, yyjson_obj_get(message, "id"));
}

void socket_leave(struct connection *c, yyjson_val *message)
{
	const char *room = json_get_str(message, "room", "");
	struct join *j;

	list_foreach (j, &c->joins, struct join, link) {
		if (strcmp(j->room, room) != 0)
			continue;
		list_remove(&j->link);
		c->n_joins--;
		j->c = NULL;
		http_fetch_cancel(j->fetch);
	}
	room_leave(c->socket->rooms, str_of(room), &c->member);
	send_done(c, "left", room, yyjson_obj_get(message, "id"));
}
