#include "socketio_clients.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "socket.h"
#include "socketio.h"

#define PING_MS 25000
#define PONG_MS 20000
#define UPGRADE_MS 10000
#define CONNECT_MS 10000
#define MAX_PAYLOAD 65536
#define PARK_MS (2 * 60 * 1000) /* shorter than histories are kept */
#define MAX_PARKED 5000
#define NOTICE_MS 30000 /* before the token expires */
#define PID_SIZE 25

enum member_state {
	MEMBER_SIGNING_IN,
	MEMBER_RECOVERING, /* has come back: waits for the verdict on the token */
	MEMBER_OPEN,
	MEMBER_PARKED, /* the connection broke: stays in its channels for a while, and gets nothing */
	MEMBER_ENDED,  /* waits for the turn's end */
};

/* A client by Socket.IO. */
struct member {
	struct client client;
	struct socketio_clients *all;
	struct socketio_socket *socket; /* NULL: parked, or ended */
	UT_hash_handle hh;              /* in all.members once it was accepted */
	enum member_state state;
	uint64_t seen;            /* events up to this number have reached him for sure, as far as he says */
	int64_t renewing;         /* the id of the auth that is to be acknowledged; -1: none */
	struct deadline deadline; /* of the notice, or of being parked */
	struct later end;
	char pid[PID_SIZE];
};

struct socketio_clients {
	struct socket_service *socket;
	struct socketio *io;
	struct member *members; /* by pid */
	unsigned n_parked;
};

static struct member *member_of(struct client *s)
{
	return container_of(s, struct member, client);
}

/* ---- Life ---- */

static void unpark(struct member *m)
{
	if (m->state == MEMBER_PARKED)
		m->all->n_parked--;
	deadline_clear(&m->deadline);
}

static void member_free(struct member *m)
{
	unpark(m);
	later_clear(&m->end);
	if (m->pid[0])
		HASH_DEL(m->all->members, m);
	client_deinit(&m->client);
	free(m);
}

static void on_end(struct later *l)
{
	member_free(container_of(l, struct member, end));
}

/* It must not be freed inside a call of its client. */
static void end_later(struct member *m)
{
	unpark(m);
	m->state = MEMBER_ENDED;
	later_set(service_wheel(m->all->socket->service), &m->end);
}

static void send_notice(struct member *m);

static void on_deadline(struct deadline *d)
{
	struct member *m = container_of(d, struct member, deadline);

	if (m->state == MEMBER_PARKED)
		member_free(m);
	else if (m->state == MEMBER_OPEN)
		send_notice(m);
}

static void name_anew(struct member *m)
{
	if (m->pid[0])
		HASH_DEL(m->all->members, m);
	secret_new(m->pid, sizeof(m->pid), "", 18);
	HASH_ADD_STR(m->all->members, pid, m);
}

/* ---- Out ---- */

static struct ws_shared *frame_new(const struct broadcast *b)
{
	_cleanup_(buf_deinit) struct buf args = BUF_INIT;

	buf_add_str(&args, "[\"event\",");
	broadcast_write_json(&args, b);
	buf_printf(&args, ",\"%" PRIu64 "\"]", b->post->number);
	return socketio_frame(buf_str(&args));
}

/* What comes while he is away he reads from the histories. */
static bool deliver(struct client *s, struct broadcast *b)
{
	struct member *m = member_of(s);

	if (m->state != MEMBER_OPEN)
		return true;
	return socketio_send_shared(m->socket, broadcast_frame(b, ENCODING_SOCKETIO, frame_new));
}

static void emit(struct member *m, const char *name, int64_t id, struct str object)
{
	_cleanup_(buf_deinit) struct buf args = BUF_INIT;

	buf_add_char(&args, '[');
	json_quote(&args, str_of(name));
	buf_add_char(&args, ',');
	buf_add(&args, object.p, object.n);
	buf_add_char(&args, ']');
	socketio_send(m->socket, false, id, buf_str(&args), NULL, 0);
}

static void acknowledge(struct member *m, int64_t id, struct str object)
{
	_cleanup_(buf_deinit) struct buf args = BUF_INIT;

	buf_add_char(&args, '[');
	buf_add(&args, object.p, object.n);
	buf_add_char(&args, ']');
	socketio_send(m->socket, true, id, buf_str(&args), NULL, 0);
}

static void send_message(struct client *s, yyjson_mut_doc *doc, yyjson_val *id)
{
	struct member *m = member_of(s);
	struct str text = json_text(s->socket->arena, doc);

	if (m->state != MEMBER_OPEN)
		return;
	if (id)
		acknowledge(m, yyjson_get_sint(id), text);
	else
		emit(m, yyjson_mut_get_str(yyjson_mut_obj_get(yyjson_mut_doc_get_root(doc), "type")), -1, text);
	if (socketio_queued(m->socket) > SOCKET_MAX_QUEUE)
		client_end(s, CLOSE_TRY_AGAIN, "too slow");
}

/* The server asks for a new token; the acknowledgement brings it. */
static void send_notice(struct member *m)
{
	arena_reset(m->all->socket->arena);
	emit(m, "token_expiring", 0, STR("{\"type\":\"token_expiring\",\"seconds\":30}"));
}

/* ---- Signed in ---- */

static void plan_notice(struct member *m)
{
	uint64_t now = socket_now(m->all->socket), at = m->client.deadline.at;

	deadline_set(service_wheel(m->all->socket->service), &m->deadline,
		     at > now + NOTICE_MS ? at - now - NOTICE_MS : 0);
}

/* What /ws says when it is ready. */
static void send_ready(struct member *m)
{
	struct client *s = &m->client;
	const struct place *own = client_join_own(s);
	_cleanup_(buf_deinit) struct buf token = BUF_INIT;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = client_message(s, "ready", &doc);

	json_add_str(doc, obj, "connection", s->id);
	json_add_str(doc, obj, "user", client_user(s));
	if (own) {
		json_add_str(doc, obj, "room", own->channel->name);
		json_add_str(doc, obj, "epoch", own->channel->epoch);
		yyjson_mut_obj_add_uint(doc, obj, "offset", own->channel->offset);
	}
	client_resume_token(s, &token);
	json_add_str(doc, obj, "resume", token.p);
	client_send(s, doc, NULL);
}

static void open_member(struct member *m, bool is_first)
{
	m->state = MEMBER_OPEN;
	if (is_first) {
		name_anew(m);
		m->seen = m->all->socket->n_events;
	}
	socketio_accept(m->socket, m->client.id, m->pid);
	plan_notice(m);
	send_ready(m);
}

static void renewed(struct member *m)
{
	yyjson_mut_doc *doc;
	int64_t id = m->renewing;

	m->renewing = -1;
	plan_notice(m);
	client_message(&m->client, "renewed", &doc);
	if (id >= 0)
		acknowledge(m, id, json_text(m->all->socket->arena, doc));
	else
		client_send(&m->client, doc, NULL);
}

/* ---- Connection state recovery ---- */

/* Whether the histories still have every event of his channels above the number `seen`. */
static bool can_recover(const struct member *m, uint64_t seen)
{
	struct place *p;

	list_foreach (p, &m->client.places, struct place, in_client) {
		const struct channel *ch = p->channel;
		const struct broadcast *oldest = list_first(&ch->history, struct broadcast, in_channel);
		uint64_t lost = oldest ? broadcast_offset(oldest) - 1 : ch->offset; /* the last offset that is gone */

		if (lost > p->start && ch->forgotten > seen)
			return false;
	}
	return true;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = (*(struct broadcast *const *)a)->post->number, y = (*(struct broadcast *const *)b)->post->number;

	return x < y ? -1 : x > y;
}

/* Fills ret with what was missed in one channel; returns how many. */
static size_t find_missed(const struct place *p, uint64_t seen, struct broadcast **ret)
{
	struct broadcast *b;
	size_t n = 0;

	list_foreach (b, &p->channel->history, struct broadcast, in_channel)
		if (b->post->number > seen && broadcast_offset(b) > p->start)
			ret[n++] = b;
	return n;
}

/* What was missed in all channels, in the order of publishing; an event of several channels once. */
static void replay(struct member *m, uint64_t seen)
{
	size_t n = 0, max = 0;
	struct broadcast **list;
	struct place *p;
	uint64_t last = seen;

	list_foreach (p, &m->client.places, struct place, in_client)
		max += p->channel->n_history;
	list = xcalloc(max + 1, sizeof(struct broadcast *));
	list_foreach (p, &m->client.places, struct place, in_client)
		n += find_missed(p, seen, list + n);
	qsort(list, n, sizeof(struct broadcast *), by_number);
	for (size_t i = 0; i < n && m->state == MEMBER_OPEN; i++) {
		if (list[i]->post->number == last)
			continue;
		last = list[i]->post->number;
		client_deliver(&m->client, list[i]->channel, list[i]);
	}
	free(list);
}

/* The token was good. What cannot be made whole begins anew: another pid tells the client so. */
static void recovered(struct member *m)
{
	uint64_t seen = m->seen;

	if (can_recover(m, seen)) {
		open_member(m, false);
		replay(m, seen);
		return;
	}
	client_leave_all(&m->client);
	client_join_own(&m->client);
	open_member(m, true);
}

static void signed_in(struct client *s, bool is_first)
{
	struct member *m = member_of(s);

	if (is_first)
		open_member(m, true);
	else if (m->state == MEMBER_RECOVERING)
		recovered(m);
	else if (m->state == MEMBER_OPEN)
		renewed(m);
}

static void park(struct member *m)
{
	m->socket = NULL;
	m->state = MEMBER_PARKED;
	m->all->n_parked++;
	m->renewing = -1;
	deadline_set(service_wheel(m->all->socket->service), &m->deadline, PARK_MS);
	client_drained(&m->client); /* what waited is in the histories */
}

/* ---- The end ---- */

static const char *code_name(int code)
{
	switch (code) {
	case CLOSE_UNAUTHORIZED: return "unauthorized";
	case CLOSE_POLICY: return "limit_exceeded";
	default: return "unavailable";
	}
}

/* Whoever is to come back is cut off, as by a broken line; whoever must do something first is disconnected. */
static bool is_to_come_back(int code)
{
	return code == CLOSE_GOING || code == CLOSE_TRY_AGAIN || code == 1012;
}

static void say_goodbye(struct member *m, int code, const char *reason)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->all->socket->arena, &doc);

	json_add_str(doc, obj, "type", "ended");
	json_add_str(doc, obj, "code", code_name(code));
	json_add_str(doc, obj, "message", reason);
	yyjson_mut_obj_add_int(doc, obj, "status", code);
	emit(m, "ended", -1, json_text(m->all->socket->arena, doc));
}

static void close_socket(struct client *s, int code, const char *reason)
{
	struct member *m = member_of(s);
	struct socketio_socket *socket = m->socket;

	if (socket && m->state == MEMBER_OPEN) {
		say_goodbye(m, code, reason);
		is_to_come_back(code) ? socketio_close(socket) : socketio_disconnect(socket);
	} else if (socket) {
		socketio_reject(socket, reason, code_name(code));
	}
	m->socket = NULL;
	end_later(m);
}

static void cut(struct client *s)
{
	struct member *m = member_of(s);

	/* Its connection is cut with all of them. */
	if (m->socket)
		socketio_set_owner(m->socket, NULL);
	member_free(m);
}

static const struct transport transport = {
	.deliver = deliver, .send = send_message, .signed_in = signed_in, .close = close_socket, .cut = cut};

/* ---- In ---- */

static bool has_namespace(void *arg, struct str name)
{
	return str_is(name, "/");
}

static struct member *member_new(struct socketio_clients *all, struct socketio_socket *s)
{
	struct member *m = xcalloc(1, sizeof(*m));

	m->all = all;
	m->socket = s;
	m->renewing = -1;
	deadline_init(&m->deadline, on_deadline);
	later_init(&m->end, on_end);
	client_init(&m->client, all->socket, &transport);
	socketio_set_owner(s, m);
	return m;
}

/* The one who comes back, with where he was; NULL: nobody with this pid. His old connection may not have been seen to
 * break yet. */
static struct member *find_member(struct socketio_clients *all, struct socketio_socket *s, yyjson_val *auth)
{
	struct socketio_socket *old;
	struct member *m;
	uint64_t offset;

	HASH_FIND_STR(all->members, json_get_str(auth, "pid", ""), m);
	if (!m || (m->state != MEMBER_PARKED && m->state != MEMBER_OPEN))
		return NULL;
	if (str_to_u64(str_of(json_get_str(auth, "offset", "")), all->socket->n_events, &offset) == 0)
		m->seen = MAX(m->seen, offset);
	unpark(m);
	old = m->socket;
	m->socket = s;
	m->state = MEMBER_RECOVERING;
	socketio_set_owner(s, m);
	if (old) {
		socketio_set_owner(old, NULL);
		socketio_close(old);
		client_drained(&m->client);
	}
	return m;
}

static void on_connect(void *arg, struct socketio_socket *s, yyjson_val *auth)
{
	struct socketio_clients *all = arg;
	const char *token = json_get_str(auth, "token", ""), *resume = json_get_str(auth, "resume", "");
	struct member *m;

	if (!*token && !*resume) {
		socketio_reject(s, "Send an access token in auth.token.", "unauthorized");
		return;
	}
	if (all->socket->n_clients >= all->socket->max_clients || service_is_draining(all->socket->service)) {
		socketio_reject(s, "There is no room for another connection now. Come back later.", "unavailable");
		return;
	}
	m = *token ? find_member(all, s, auth) : NULL;
	if (!m)
		m = member_new(all, s);
	if (*token)
		client_sign_in(&m->client, str_of(token));
	else
		client_resume(&m->client, str_of(resume));
}

/* {"room": name} for a name alone; nothing is an empty object. NULL: neither. */
static yyjson_val *message_of(struct arena *a, yyjson_val *arg)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if (yyjson_is_obj(arg))
		return arg;
	if (arg && !yyjson_is_str(arg))
		return NULL;
	buf_add_char(&text, '{');
	if (arg) {
		buf_add_str(&text, "\"room\":");
		json_quote(&text, (struct str){yyjson_get_str(arg), yyjson_get_len(arg)});
	}
	buf_add_char(&text, '}');

	struct str copy = arena_str(a, buf_str(&text));

	return yyjson_doc_get_root(json_parse(a, copy.p, copy.n, NULL));
}

/* Whatever was sent comes back, bytes too. */
static void answer_ping(struct member *m, const struct socketio_event *e)
{
	_cleanup_(buf_deinit) struct buf args = BUF_INIT;
	size_t i, n;
	yyjson_val *item;

	buf_add_str(&args, e->id >= 0 ? "[" : "[\"pong\"");
	yyjson_arr_foreach(e->args, i, n, item)
	{
		struct str text = json_val_text(m->all->socket->arena, item);

		if (i == 0)
			continue;
		if (i > 1 || e->id < 0)
			buf_add_char(&args, ',');
		buf_add(&args, text.p, text.n);
	}
	buf_add_char(&args, ']');
	socketio_send(m->socket, e->id >= 0, e->id, buf_str(&args), e->blobs, e->n_blobs);
	if (socketio_queued(m->socket) > SOCKET_MAX_QUEUE)
		client_end(&m->client, CLOSE_TRY_AGAIN, "too slow");
}

static yyjson_val *id_value(struct arena *a, int64_t id)
{
	char *text = arena_printf(a, "%" PRId64, id);

	return id < 0 ? NULL : yyjson_doc_get_root(json_parse(a, text, strlen(text), NULL));
}

static void on_event(void *owner, const struct socketio_event *e)
{
	struct member *m = owner;
	struct arena *a = m->all->socket->arena;
	const char *name = yyjson_get_str(yyjson_arr_get_first(e->args));
	yyjson_val *message = message_of(a, yyjson_arr_get(e->args, 1)), *id = id_value(a, e->id);

	if (m->state != MEMBER_OPEN)
		return;
	if (!client_may_request(&m->client)) {
		client_end(&m->client, CLOSE_POLICY, "too many messages");
	} else if (name && strcmp(name, "ping") == 0) {
		answer_ping(m, e);
	} else if (e->n_blobs) {
		client_send_error(&m->client, "binary_not_taken", "Send JSON; only ping takes bytes.", id);
	} else if (!name || !message) {
		client_send_error(&m->client, "invalid_message", "Send an object with the name of the request.", id);
	} else {
		if (strcmp(name, "auth") == 0)
			m->renewing = e->id;
		client_request(&m->client, name, message, id);
	}
}

/* Of the only event that we have acknowledged: {"token"} or the token itself. */
static void on_ack(void *owner, const struct socketio_event *e)
{
	struct member *m = owner;
	yyjson_val *arg = yyjson_arr_get_first(e->args);
	const char *token = yyjson_is_str(arg) ? yyjson_get_str(arg) : json_get_str(arg, "token", "");

	if (m->state == MEMBER_OPEN && e->id == 0 && *token && client_may_request(&m->client))
		client_sign_in(&m->client, str_of(token));
}

static void on_drain(void *owner)
{
	client_drained(&((struct member *)owner)->client);
}

static void on_gone(void *owner, bool is_final)
{
	struct member *m = owner;
	/* Those who never come back must not shut out their user's others. */
	bool may_park = m->state == MEMBER_OPEN && m->all->n_parked < MAX_PARKED &&
			m->client.user->n_clients * 2 <= m->all->socket->user_clients;

	m->socket = NULL;
	if (!is_final && may_park && !service_is_draining(m->all->socket->service))
		park(m);
	else
		member_free(m);
}

static const struct socketio_app app = {.has_namespace = has_namespace,
					.on_connect = on_connect,
					.on_event = on_event,
					.on_ack = on_ack,
					.on_drain = on_drain,
					.on_gone = on_gone};

/* ---- The whole ---- */

struct socketio_clients *socketio_clients_new(struct socket_service *socket)
{
	const struct engine_options options = {
		.ping_interval = PING_MS,
		.ping_timeout = PONG_MS,
		.upgrade_timeout = UPGRADE_MS,
		.max_payload = MAX_PAYLOAD,
		.max_queue = STREAM_HIGH_WATER,
		.max_sessions = socket->max_clients,
		.admit = socket_admit,
	};
	struct socketio_clients *all = xcalloc(1, sizeof(*all));

	all->socket = socket;
	all->io = socketio_new(socket->service, &options, CONNECT_MS, socket->arena, &app, all);
	return all;
}

void socketio_clients_handle(struct socketio_clients *all, struct exchange *x)
{
	engine_handle(socketio_engine(all->io), x);
}

void socketio_clients_cut(struct socketio_clients *all)
{
	engine_cut_all(socketio_engine(all->io));
}

void socketio_clients_free(struct socketio_clients *all)
{
	if (!all)
		return;
	socketio_free(all->io);
	free(all);
}
