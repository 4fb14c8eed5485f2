/* A channel is open to those who may read what it is about: the agent service is asked on the user's behalf. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/encode.h"
#include "base/id.h"
#include "cluster.h"
#include "presence.h"
#include "socket.h"
#include "window.h"

#define ANSWER_MS (10 * 1000)
#define MARK_SIZE 12 /* characters of a channel's mark in a resume token */

/* How he wants to be in a channel. */
struct wish {
	const char *epoch; /* where he was when he left; NULL: he was not here, or does not care */
	uint64_t offset;
	size_t window; /* bytes; 0: none */
	bool presence;
};

/* A join, or the repeated question whether a place is still his, while the agent service is asked. */
struct join {
	struct list link; /* in client.joins */
	struct client *s; /* NULL once he has left */
	struct http_fetch *fetch;
	struct arena *arena; /* what follows */
	const char *room;
	struct wish wish;
	yyjson_val *id;
	bool is_check;            /* he is in it already */
	struct cluster_wait wait; /* until the channel's place is known; not in use while link.next is NULL */
	struct channel *channel;
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

static void add_resume(struct client *s, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	_cleanup_(buf_deinit) struct buf token = BUF_INIT;

	if (s->transport->is_one_way)
		return;
	client_resume_token(s, &token);
	json_add_str(doc, obj, "resume", token.p);
}

static void send_joined(struct client *s, const struct channel *ch, const struct wish *wish, bool recovered,
			yyjson_val *id)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = client_message(s, "joined", &doc);

	json_add_str(doc, obj, "room", ch->name);
	json_add_str(doc, obj, "epoch", ch->epoch);
	yyjson_mut_obj_add_uint(doc, obj, "offset", ch->offset);
	if (wish->epoch)
		yyjson_mut_obj_add_bool(doc, obj, "recovered", recovered);
	if (wish->presence)
		yyjson_mut_obj_add_val(doc, obj, "members", presence_list(ch, doc));
	add_resume(s, doc, obj);
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
	struct channel *ch = p->channel;

	presence_leave(p);
	window_free(p->window);
	s->n_places--;
	place_free(&s->socket->channels, p, socket_now(s->socket));
	if (ch->n_places == 0)
		cluster_close(ch);
}

static void set_up(struct place *p, const struct wish *wish, uint64_t start)
{
	p->start = start;
	if (wish->window)
		p->window = window_new(wish->window, start);
	if (wish->presence)
		presence_enter(p);
}

/* The reply comes before any event. Whoever is in it already and joins again gets his place told, and no event twice.
 */
static void enter_now(struct client *s, const char *room, const struct wish *wish, yyjson_val *id)
{
	bool is_new = !place_find(&s->places, room), recovered;
	struct place *p = enter(s, room);
	struct channel *ch = p->channel;

	recovered = wish->epoch && channel_has_since(ch, wish->epoch, wish->offset);
	if (is_new)
		set_up(p, wish, recovered ? wish->offset : ch->offset);
	send_joined(s, ch, wish, recovered, id);
	if (!recovered || !is_new || s->state != CLIENT_OPEN)
		return;
	if (p->window)
		window_pump(p);
	else
		send_missed(s, ch, wish->offset);
}

static struct join *join_new(struct client *s, const char *room, const struct wish *wish, yyjson_val *id);
static void join_free(struct join *j);

static void on_known(struct cluster_wait *w)
{
	struct join *j = container_of(w, struct join, wait);

	arena_reset(j->s->socket->arena);
	enter_now(j->s, j->room, &j->wish, j->id);
	join_free(j);
}

/* Now, or as soon as it is known where the channel stands. */
static void join_now(struct client *s, const char *room, const struct wish *wish, yyjson_val *id)
{
	struct cluster *cluster = s->socket->cluster;
	struct channel *ch = cluster ? channel_get(&s->socket->channels, str_of(room), socket_now(s->socket)) : NULL;
	struct join *j;

	if (!cluster || cluster_open(cluster, ch)) {
		enter_now(s, room, wish, id);
		return;
	}
	j = join_new(s, room, wish, id);
	j->channel = ch;
	cluster_wait(ch, &j->wait, on_known);
}

struct place *client_join_own(struct client *s)
{
	char room[CHANNEL_NAME_MAX + 1];

	struct place *p;

	if (snprintf(room, sizeof(room), "user:%s", client_user(s)) >= (int)sizeof(room))
		return NULL;
	p = enter(s, room);
	if (s->socket->cluster)
		cluster_open(s->socket->cluster, p->channel);
	return p;
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

/* The name of a user's channel: what follows "channel:", of plain characters; else NULL. */
const char *channel_user_name(const char *room)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
	const char *name = room + strlen("channel:");

	if (strncmp(room, "channel:", 8) != 0 || !*name || strlen(room) > CHANNEL_NAME_MAX)
		return NULL;
	return name[strspn(name, plain)] == '\0' ? name : NULL;
}

bool client_may_of(const struct client *s, const char *permission, const char *name)
{
	char one[CHANNEL_NAME_MAX + 64];

	if (client_may(s, permission))
		return true;
	return snprintf(one, sizeof(one), "%s.%s", permission, name) < (int)sizeof(one) && client_may(s, one);
}

/* What is asked of whom before he may be in a room of this kind. */
static const struct room_kind {
	const char *name, *any, *peer, *path;
} kinds[] = {
	{"conversation", "conversations.read_any", "agent", "/api/conversations/"},
	{"execution", "executions.read_any", "agent", "/api/executions/"},
	{"command", "commands.read_any", "exec", "/api/commands/"},
};

/* A mark of the channel for this user, short enough to stand in a token. */
static void mark(const struct client *s, const char *room, char ret[static MARK_SIZE + 1])
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT, out = BUF_INIT;
	uint8_t hash[SHA256_SIZE];

	buf_printf(&text, "%s\n%s", client_user(s), room);
	sha256(text.p, text.n, hash);
	base64url_encode(&out, hash, MARK_SIZE * 3 / 4);
	memcpy(ret, out.p, MARK_SIZE);
	ret[MARK_SIZE] = '\0';
}

static bool was_here(const struct client *s, const char *room)
{
	char one[MARK_SIZE + 1];

	if (!s->known)
		return false;
	mark(s, room, one);
	for (const char *p = s->known; strlen(p) >= MARK_SIZE; p += MARK_SIZE)
		if (memcmp(p, one, MARK_SIZE) == 0)
			return true;
	return false;
}

void client_remember_places(struct client *s, const char *marks)
{
	free(s->known);
	s->known = xstrdup(marks);
}

void client_write_places(const struct client *s, struct buf *out)
{
	char one[MARK_SIZE + 1];
	struct place *p;

	list_foreach (p, &s->places, struct place, in_client) {
		mark(s, p->channel->name, one);
		buf_add_str(out, one);
	}
}

/* ret_kind, ret_id: whom to ask about what. */
static enum access access_of(struct client *s, const char *room, const struct room_kind **ret_kind, const char **ret_id)
{
	const char *name = channel_user_name(room);

	if (name)
		return client_may_of(s, "channels.read", name) ? ACCESS_YES : ACCESS_NO;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		*ret_id = id_in(room, kinds[i].name);
		*ret_kind = &kinds[i];
		if (*ret_id)
			return client_may(s, kinds[i].any) || was_here(s, room) ? ACCESS_YES : ACCESS_ASK;
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
	send_left(s, "dropped", room, NULL);
	if (s->state == CLIENT_OPEN)
		leave(s, p);
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
			join_now(s, j->room, &j->wish, j->id);
		} else if (is_refused) {
			metric_add(s->socket->refused_joins, 1);
			client_send_error(s, "not_found", "There is no such room, or it is not yours.", j->id);
		} else {
			client_send_error(s, "unavailable",
					  "The service that knows of this does not answer. Join again.", j->id);
		}
	}
	join_free(j);
}

static struct join *join_new(struct client *s, const char *room, const struct wish *wish, yyjson_val *id)
{
	struct join *j = xcalloc(1, sizeof(*j));

	j->s = s;
	j->arena = arena_new();
	j->room = arena_strdup(j->arena, room);
	j->wish = *wish;
	if (wish->epoch)
		j->wish.epoch = arena_strdup(j->arena, wish->epoch);
	if (id) {
		struct str text = json_val_text(j->arena, id);

		j->id = yyjson_doc_get_root(json_parse(j->arena, text.p, text.n, NULL));
	}
	list_append(&s->joins, &j->link);
	s->n_joins++;
	return j;
}

static void ask(struct join *j, const struct room_kind *kind, const char *of)
{
	struct service *s = j->s->socket->service;
	struct http_headers *headers = service_peer_headers(s, kind->peer, client_user(j->s), NULL, NULL, j->arena);

	/* The status says it all. */
	j->fetch = http_fetch(service_peer(s, kind->peer), "HEAD", arena_printf(j->arena, "%s%s", kind->path, of),
			      headers, NULL, (struct str){0}, 0, ANSWER_MS, on_answer, j);
}

static void forget(struct join *j)
{
	struct channel *ch = j->channel;

	if (ch) {
		cluster_wait_cancel(&j->wait);
		join_free(j);
		if (ch->n_places == 0)
			cluster_close(ch);
		return;
	}
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

static bool is_own(const struct client *s, const char *room)
{
	return strncmp(room, "user:", 5) == 0 && strcmp(room + 5, client_user(s)) == 0;
}

static struct wish read_wish(yyjson_val *message)
{
	return (struct wish){.epoch = json_get_str(message, "epoch", NULL),
			     .offset = (uint64_t)MAX(json_get_int(message, "offset", 0), 0),
			     .window = (size_t)MAX(json_get_int(message, "window", 0), 0),
			     .presence = json_get_bool(message, "presence", false)};
}

void client_join(struct client *s, yyjson_val *message, yyjson_val *id)
{
	const char *room = json_get_str(message, "room", ""), *of = NULL;
	const struct room_kind *kind = NULL;
	struct wish wish = read_wish(message);
	enum access access;

	if (place_find(&s->places, room)) {
		join_now(s, room, &wish, id);
		return;
	}
	if (s->n_places + s->n_joins >= SOCKET_MAX_ROOMS) {
		client_send_error(s, "too_many_rooms",
				  "This connection is in as many rooms as it may be. Leave one first.", id);
		return;
	}
	access = is_own(s, room) ? ACCESS_YES : access_of(s, room, &kind, &of);
	if (access == ACCESS_YES) {
		join_now(s, room, &wish, id);
	} else if (access == ACCESS_ASK) {
		ask(join_new(s, room, &wish, id), kind, of);
	} else if (channel_user_name(room)) {
		metric_add(s->socket->refused_joins, 1);
		client_send_error(s, "forbidden", "This needs the permission channels.read.", id);
	} else {
		client_send_error(s, "unknown_room",
				  "Rooms are conversation:ID, execution:ID, command:ID and channel:NAME.", id);
	}
}

void client_ack(struct client *s, yyjson_val *message, yyjson_val *id)
{
	struct place *p = place_find(&s->places, json_get_str(message, "room", ""));

	if (p && p->window)
		window_ack(p, (uint64_t)MAX(json_get_int(message, "offset", 0), 0));
	else
		client_send_error(s, "no_window", "This room was not joined with a window.", id);
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

void client_check_places(struct client *s)
{
	struct place *p;

	free(s->known);
	s->known = NULL;
	list_foreach (p, &s->places, struct place, in_client) {
		const char *of = NULL, *room = p->channel->name;
		const struct room_kind *kind = NULL;
		enum access access = is_own(s, room) ? ACCESS_YES : access_of(s, room, &kind, &of);

		if (access == ACCESS_NO) {
			drop_place(s, room);
		} else if (access == ACCESS_ASK) {
			struct join *j = join_new(s, room, &(struct wish){0}, NULL);

			j->is_check = true;
			ask(j, kind, of);
		}
		if (s->state != CLIENT_OPEN)
			return;
	}
}
