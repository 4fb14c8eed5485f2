/* The transport of plain WebSocket: JSON in text messages, both ways. */
#include <sodium.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "socket.h"

struct connection {
	struct client client; /* first: freed with it */
	struct ws_conn *ws;
};

static struct connection *connection_of(struct client *s)
{
	return container_of(s, struct connection, client);
}

/* ---- Out ---- */

static struct ws_shared *frame_new(const struct broadcast *b)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	broadcast_write_json(&text, b);
	return ws_shared_new(WS_TEXT, text.p, text.n);
}

static bool deliver(struct client *s, struct broadcast *b)
{
	return ws_send_shared(connection_of(s)->ws, broadcast_frame(b, ENCODING_JSON, frame_new));
}

static void send_message(struct client *s, yyjson_mut_doc *doc, yyjson_val *id)
{
	struct connection *c = connection_of(s);
	struct str text;

	if (id)
		yyjson_mut_obj_add_val(doc, yyjson_mut_doc_get_root(doc), "id", yyjson_val_mut_copy(doc, id));
	text = json_text(s->socket->arena, doc);
	ws_send(c->ws, WS_TEXT, text.p, text.n);
	if (ws_queued(c->ws) > SOCKET_MAX_QUEUE)
		client_end(s, CLOSE_TRY_AGAIN, "too slow");
}

static void signed_in(struct client *s, bool is_first)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = client_message(s, is_first ? "ready" : "renewed", &doc);

	_cleanup_(buf_deinit) struct buf token = BUF_INIT;

	if (is_first) {
		const struct place *own = client_join_own(s);

		json_add_str(doc, obj, "connection", s->id);
		json_add_str(doc, obj, "user", client_user(s));
		if (own && (!s->socket->cluster || own->channel->is_known)) {
			json_add_str(doc, obj, "room", own->channel->name);
			json_add_str(doc, obj, "epoch", own->channel->epoch);
			yyjson_mut_obj_add_uint(doc, obj, "offset", own->channel->offset);
		}
	}
	client_resume_token(s, &token);
	json_add_str(doc, obj, "resume", token.p);
	client_send(s, doc, NULL);
}

static void close_connection(struct client *s, int code, const char *reason)
{
	ws_close(connection_of(s)->ws, code, reason);
}

static void cut(struct client *s)
{
	ws_cut(connection_of(s)->ws);
}

static const struct transport transport = {
	.deliver = deliver, .send = send_message, .signed_in = signed_in, .close = close_connection, .cut = cut};

/* ---- In ---- */

/* The id is echoed: a number or a short text. */
static bool id_is_plain(yyjson_val *message)
{
	yyjson_val *id = yyjson_obj_get(message, "id");

	return !id || yyjson_is_num(id) || (yyjson_is_str(id) && yyjson_get_len(id) <= 64);
}

static void on_message(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	struct client *s = &((struct connection *)owner)->client;
	struct error err = {0};
	yyjson_val *message;
	yyjson_doc *doc;

	if (s->state == CLIENT_ENDED)
		return;
	if (op != WS_TEXT || !client_may_request(s)) {
		client_end(s, op == WS_TEXT ? CLOSE_POLICY : 1003, op == WS_TEXT ? "too many messages" : "send text");
		return;
	}
	arena_reset(s->socket->arena);
	doc = json_parse(s->socket->arena, data, n, &err);
	message = yyjson_doc_get_root(doc);
	if (!doc)
		client_send_error(s, "invalid_json", err.message, NULL);
	else if (!yyjson_is_obj(message) || !id_is_plain(message))
		client_send_error(s, "invalid_message", "Send an object with a type; id is a number or a short text.",
				  NULL);
	else
		client_request(s, json_get_str(message, "type", ""), message, yyjson_obj_get(message, "id"));
}

static void on_drain(void *owner)
{
	struct client *s = &((struct connection *)owner)->client;

	arena_reset(s->socket->arena);
	client_drained(s);
}

static void on_close(void *owner, int code)
{
	struct connection *c = owner;

	client_deinit(&c->client);
	free(c);
}

static const struct ws_events ws_events = {.on_message = on_message, .on_drain = on_drain, .on_close = on_close};

/* One token in 1/rate s, and a second's worth at once. */
static bool is_within_accept_rate(struct socket_service *s)
{
	uint64_t now = uv_hrtime() / 1000, every;

	if (s->accept_rate == 0)
		return true;
	every = 1000000 / s->accept_rate;
	s->accept_at = MAX(s->accept_at, now - MIN(now, (uint64_t)1000000));
	if (s->accept_at + every > now)
		return false;
	s->accept_at += every;
	return true;
}

/* A browser sends the page's origin: this host's own, or one of the option's. Other programs send none. The gateway
 * says in X-Forwarded-Host whom the client meant; a page cannot set that. */
static bool origin_is_fine(const struct socket_service *s, const struct http_headers *h)
{
	struct str origin = http_header_get(h, "Origin"), host = http_header_get(h, "X-Forwarded-Host"), rest, one;
	const char *p = origin.n ? memmem(origin.p, origin.n, "://", 3) : NULL;

	if (!origin.p)
		return true;
	if (!host.p)
		host = http_header_get(h, "Host");
	if (p && str_ieq((struct str){p + 3, origin.n - (size_t)(p + 3 - origin.p)}, host))
		return true;
	rest = str_of(s->origins);
	while (rest.n > 0) {
		one = str_trim(str_cut(&rest, ','));
		if (str_ieq(one, origin) || str_is(one, "*"))
			return true;
	}
	return false;
}

bool socket_admit(struct exchange *x)
{
	struct socket_service *s = x->self;

	if (!origin_is_fine(s, &x->req->headers)) {
		reply_problem(x, 403, "origin_refused",
			      "Pages of this origin may not connect. Name it in the option socket_origins.");
		return false;
	}
	if (s->n_clients < s->max_clients && !service_is_draining(s->service) && is_within_accept_rate(s))
		return true;

	unsigned ms = 1000 + randombytes_uniform(clients_spread_ms(s->n_clients));
	char seconds[16];

	snprintf(seconds, sizeof(seconds), "%u", (ms + 999) / 1000);
	metric_add(s->turned_away, 1);
	reply_header(x, "Retry-After", seconds);
	reply_problem(x, 503, "unavailable", "There is no room for another connection now. Come back in %u ms.", ms);
	return false;
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
	if (!socket_admit(x))
		return;
	c = xcalloc(1, sizeof(*c));
	c->ws = ws_accept(x->req, service_wheel(s->service), NULL, SOCKET_MAX_MESSAGE, &ws_events, c);
	if (c->ws)
		client_init(&c->client, s, &transport);
	else
		free(c);
}
