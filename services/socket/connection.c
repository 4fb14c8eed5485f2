/* A client's connection: first a token, then messages; both ways JSON in text messages. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "socket.h"

#define CLOSE_UNAUTHORIZED 4401
#define CLOSE_TRY_AGAIN 1013 /* RFC 6455's registry */
#define BURST 200            /* messages at once */
#define MESSAGE_EVERY_MS 20  /* and then one in this time */

/* ---- Out ---- */

void connection_send(struct connection *c, yyjson_mut_doc *doc)
{
	struct str text = json_text(c->socket->arena, doc);

	ws_send(c->ws, WS_TEXT, text.p, text.n);
	if (ws_queued(c->ws) > SOCKET_MAX_QUEUE)
		connection_end(c, 1013, "too slow");
}

void connection_send_error(struct connection *c, const char *code, const char *message, yyjson_val *id)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(c->socket->arena, &doc);

	json_add_str(doc, obj, "type", "error");
	json_add_str(doc, obj, "code", code);
	json_add_str(doc, obj, "message", message);
	if (id)
		yyjson_mut_obj_add_val(doc, obj, "id", yyjson_val_mut_copy(doc, id));
	connection_send(c, doc);
}

static void send_plain(struct connection *c, const char *type)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(c->socket->arena, &doc);

	json_add_str(doc, obj, "type", type);
	connection_send(c, doc);
}

void connection_end(struct connection *c, int code, const char *reason)
{
	if (c->state == CONNECTION_ENDING)
		return;
	c->state = CONNECTION_ENDING;
	deadline_clear(&c->deadline);
	key_wait_cancel(&c->key_wait);
	joins_cancel(c);
	ws_close(c->ws, code, reason);
}

void connections_end(struct socket_service *s, int code, const char *reason)
{
	struct connection *c;

	list_foreach (c, &s->connections, struct connection, link)
		connection_end(c, code, reason);
}

void connections_cut(struct socket_service *s)
{
	struct connection *c;

	connections_end(s, 1001, "the service stops");
	list_foreach (c, &s->connections, struct connection, link)
		ws_cut(c->ws);
}

/* ---- The token ---- */

static void on_deadline(struct deadline *d)
{
	struct connection *c = container_of(d, struct connection, deadline);

	if (c->state == CONNECTION_SIGNING_IN)
		connection_end(c, CLOSE_UNAUTHORIZED, "no token came in time");
	else
		connection_end(c, CLOSE_UNAUTHORIZED, "the token expired");
}

static void send_ready(struct connection *c)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(c->socket->arena, &doc);

	json_add_str(doc, obj, "type", "ready");
	json_add_str(doc, obj, "connection", c->id);
	json_add_str(doc, obj, "user", c->user_id);
	connection_send(c, doc);
}

static void open_connection(struct connection *c, const struct identity *who)
{
	char room[ROOM_NAME_MAX + 1];

	c->state = CONNECTION_OPEN;
	c->user_id = xstrdup(who->user_id);
	if (snprintf(room, sizeof(room), "user:%s", c->user_id) < (int)sizeof(room))
		room_join(c->socket->rooms, str_of(room), &c->member);
	send_ready(c);
}

static void accept_token(struct connection *c, const struct identity *who)
{
	int64_t left_ms = who->expires_at * 1000 - clock_now_us() / 1000;
	bool is_first = c->state == CONNECTION_SIGNING_IN;

	if (who->service[0] || !who->user_id[0] || (c->user_id && strcmp(c->user_id, who->user_id) != 0)) {
		connection_end(c, CLOSE_UNAUTHORIZED, "the token is somebody else's");
		return;
	}
	c->reads_all_executions = identity_may(who, "executions.read_any");
	c->reads_all_conversations = identity_may(who, "conversations.read_any");
	deadline_set(service_wheel(c->socket->service), &c->deadline, (uint64_t)MAX(left_ms, 0));
	if (is_first)
		open_connection(c, who);
	else
		send_plain(c, "renewed");
}

/* With the cached verdict or the keys that are here; may_wait: auth is asked for a key that is not. */
static void check_token(struct connection *c, struct str token, bool may_wait)
{
	struct keyring *keyring = service_keyring(c->socket->service);
	struct identity who;
	enum token_result r = keyring_check(keyring, token, c->socket->arena, &who);

	if (r == TOKEN_OK) {
		accept_token(c, &who);
	} else if (r == TOKEN_UNKNOWN_KEY && may_wait && keyring_wait(keyring, &c->key_wait)) {
		free(c->token);
		c->token = xstrndup(token.p, token.n);
	} else if (r == TOKEN_UNKNOWN_KEY && keyring_missing(keyring)) {
		connection_end(c, CLOSE_TRY_AGAIN, "the auth service does not answer");
	} else {
		connection_end(c, CLOSE_UNAUTHORIZED,
			       r == TOKEN_EXPIRED ? "the token expired" : "the token is not valid");
	}
}

static void on_keys(struct key_wait *w)
{
	struct connection *c = container_of(w, struct connection, key_wait);
	_cleanup_(buf_deinit) struct buf token = BUF_INIT;

	buf_add_str(&token, c->token);
	free(c->token);
	c->token = NULL;
	arena_reset(c->socket->arena);
	check_token(c, buf_str(&token), false);
}

/* ---- In ---- */

static void on_auth(struct connection *c, yyjson_val *message)
{
	if (c->token) {
		connection_send_error(c, "busy", "Another token is being checked. Wait for the answer.", NULL);
		return;
	}
	check_token(c, str_of(json_get_str(message, "token", "")), true);
}

static void on_ping(struct connection *c, yyjson_val *message)
{
	send_plain(c, "pong");
}

static const struct message_type {
	const char *name;
	bool is_for_all; /* also before the token */
	void (*handle)(struct connection *c, yyjson_val *message);
} types[] = {
	{"auth", true, on_auth},
	{"ping", true, on_ping},
	{"join", false, socket_join},
	{"leave", false, socket_leave},
};

static void dispatch(struct connection *c, yyjson_val *message)
{
	const char *name = json_get_str(message, "type", "");

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i].name, name) != 0)
			continue;
		if (types[i].is_for_all || c->state == CONNECTION_OPEN)
			types[i].handle(c, message);
		else
			connection_end(c, CLOSE_UNAUTHORIZED, "send a token first");
		return;
	}
	connection_send_error(c, "unknown_type", "Types are auth, join, leave and ping.",
			      yyjson_obj_get(message, "id"));
}

/* The id is echoed: a number or a short text. */
static bool id_is_plain(yyjson_val *message)
{
	yyjson_val *id = yyjson_obj_get(message, "id");

	return !id || yyjson_is_num(id) || (yyjson_is_str(id) && yyjson_get_len(id) <= 64);
}

/* One message in MESSAGE_EVERY_MS, and BURST at once. */
static bool is_within_rate(struct connection *c)
{
	uint64_t now = uv_now(service_loop(c->socket->service)), more = (now - c->allowance_ms) / MESSAGE_EVERY_MS;

	c->allowance_ms += more * MESSAGE_EVERY_MS;
	c->allowance = MIN(c->allowance + more, BURST);
	if (c->allowance == 0)
		return false;
	c->allowance--;
	return true;
}

static void on_message(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	struct connection *c = owner;
	struct error err = {0};
	yyjson_doc *doc;

	if (c->state == CONNECTION_ENDING)
		return;
	if (op != WS_TEXT || !is_within_rate(c)) {
		connection_end(c, op == WS_TEXT ? 1008 : 1003, op == WS_TEXT ? "too many messages" : "send text");
		return;
	}
	arena_reset(c->socket->arena);
	doc = json_parse(c->socket->arena, data, n, &err);
	if (!doc)
		connection_send_error(c, "invalid_json", err.message, NULL);
	else if (!yyjson_is_obj(yyjson_doc_get_root(doc)) || !id_is_plain(yyjson_doc_get_root(doc)))
		connection_send_error(c, "invalid_message",
				      "Send an object with a type; id is a number or a short text.", NULL);
	else
		dispatch(c, yyjson_doc_get_root(doc));
}

static void connection_free(struct connection *c)
{
	deadline_clear(&c->deadline);
	key_wait_cancel(&c->key_wait);
	joins_cancel(c);
	rooms_leave_all(c->socket->rooms, &c->member);
	list_remove(&c->link);
	c->socket->n_connections--;
	free(c->user_id);
	free(c->token);
	free(c);
}

static void on_close(void *owner, int code)
{
	connection_free(owner);
}

static const struct ws_events ws_events = {.on_message = on_message, .on_close = on_close};

static struct connection *connection_new(struct socket_service *s)
{
	struct connection *c = xcalloc(1, sizeof(*c));

	c->socket = s;
	id_new(c->id);
	member_init(&c->member);
	list_init(&c->joins);
	list_init(&c->key_wait.link);
	c->key_wait.done = on_keys;
	c->allowance = BURST;
	c->allowance_ms = uv_now(service_loop(s->service));
	deadline_init(&c->deadline, on_deadline);
	list_append(&s->connections, &c->link);
	s->n_connections++;
	return c;
}

void socket_connect(struct exchange *x)
{
	struct socket_service *s = x->self;
	struct connection *c;

	if (!http_has_token(http_header_get(&x->req->headers, "Upgrade"), "websocket")) {
		reply_header(x, "Upgrade", "websocket");
		reply_problem(x, 426, "upgrade_required",
			      "This address speaks WebSocket: connect with Upgrade: websocket.");
		return;
	}
	if (s->n_connections >= SOCKET_MAX_CONNECTIONS || service_is_draining(s->service)) {
		reply_header(x, "Retry-After", "5");
		reply_problem(x, 503, "unavailable", "There is no room for another connection now. Come back later.");
		return;
	}
	c = connection_new(s);
	c->ws = ws_accept(x->req, service_wheel(s->service), NULL, SOCKET_MAX_MESSAGE, &ws_events, c);
	if (c->ws)
		deadline_set(service_wheel(s->service), &c->deadline, SOCKET_AUTH_MS);
	else
		connection_free(c);
}
