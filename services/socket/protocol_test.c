#include "protocol_test.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/id.h"
#include "socketio.h"

#define MAX_PAYLOAD 1000000
#define CONNECT_MS 1000
#define ECHO_MAX (16 << 20) /* one message at /echo */

struct protocol_test {
	struct service *service;
	struct arena *arena;
	struct socketio *socketio;
	struct engine *engine;
	struct list echoes; /* struct echo */
};

static const struct engine_options options = {
	.ping_interval = 300,
	.ping_timeout = 200,
	.upgrade_timeout = 10000,
	.max_payload = MAX_PAYLOAD,
	.max_queue = 16 << 20,
	.max_sessions = 10000,
	.any_origin = true,
};

/* ---- Socket.IO: auth, message and message-with-ack ---- */

static bool has_namespace(void *arg, struct str name)
{
	return str_is(name, "/") || str_is(name, "/custom");
}

static void on_connect(void *arg, struct socketio_socket *s, yyjson_val *auth)
{
	struct protocol_test *t = arg;
	char sid[ENGINE_SID_SIZE];
	struct str text = auth ? json_val_text(t->arena, auth) : STR("{}");
	char *args = arena_printf(t->arena, "[\"auth\",%.*s]", STR_ARG(text));

	secret_new(sid, sizeof(sid), "", 15);
	socketio_set_owner(s, s);
	socketio_accept(s, sid, NULL);
	socketio_send(s, false, -1, str_of(args), NULL, 0);
}

/* The event's arguments as an array, with a name in front of them or without. */
static void write_args(struct arena *a, yyjson_val *args, const char *name, struct buf *out)
{
	size_t i, n;
	yyjson_val *item;

	buf_add_char(out, '[');
	if (name)
		json_quote(out, str_of(name));
	yyjson_arr_foreach(args, i, n, item)
	{
		struct str text = json_val_text(a, item);

		if (i == 0)
			continue;
		if (i > 1 || name)
			buf_add_char(out, ',');
		buf_add(out, text.p, text.n);
	}
	buf_add_char(out, ']');
}

static void on_event(void *owner, const struct socketio_event *e)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	yyjson_val *name = yyjson_arr_get_first(e->args);

	if (yyjson_equals_str(name, "message")) {
		write_args(a, e->args, "message-back", &out);
		socketio_send(owner, false, -1, buf_str(&out), e->blobs, e->n_blobs);
	} else if (yyjson_equals_str(name, "message-with-ack") && e->id >= 0) {
		write_args(a, e->args, NULL, &out);
		socketio_send(owner, true, e->id, buf_str(&out), e->blobs, e->n_blobs);
	}
}

static void on_ack(void *owner, const struct socketio_event *e)
{
}

static void on_socket_drain(void *owner)
{
}

static void on_gone(void *owner, bool is_final)
{
}

static const struct socketio_app app = {.has_namespace = has_namespace,
					.on_connect = on_connect,
					.on_event = on_event,
					.on_ack = on_ack,
					.on_drain = on_socket_drain,
					.on_gone = on_gone};

static void handle_socketio(struct exchange *x)
{
	engine_handle(socketio_engine(((struct protocol_test *)x->self)->socketio), x);
}

/* ---- Engine.IO ---- */

static void *on_engine_open(void *arg, struct engine_session *s)
{
	return s;
}

static void on_engine_message(void *owner, bool is_binary, struct str data)
{
	engine_send(owner, is_binary, data);
}

static void on_engine_event(void *owner)
{
}

static const struct engine_events engine_events = {.on_open = on_engine_open,
						   .on_message = on_engine_message,
						   .on_drain = on_engine_event,
						   .on_close = on_engine_event};

static void handle_engine(struct exchange *x)
{
	engine_handle(((struct protocol_test *)x->self)->engine, x);
}

/* ---- WebSocket ---- */

struct echo {
	struct list link;
	struct ws_conn *ws;
};

static void on_echo_message(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	ws_send(((struct echo *)owner)->ws, op, data, n);
}

static void on_echo_close(void *owner, int code)
{
	struct echo *e = owner;

	list_remove(&e->link);
	free(e);
}

static void handle_echo(struct exchange *x)
{
	static const struct ws_events events = {.on_message = on_echo_message, .on_close = on_echo_close};
	static const struct ws_options echo = {
		.max_message = ECHO_MAX, .deflate = true, .ping_ms = 25000, .pong_ms = 20000};
	struct protocol_test *t = x->self;
	struct echo *e = xcalloc(1, sizeof(*e));

	e->ws = ws_accept_with(x->req, service_wheel(t->service), &echo, &events, e);
	if (e->ws)
		list_append(&t->echoes, &e->link);
	else
		free(e);
}

/* ---- The role ---- */

static const struct route routes[] = {
	{HTTP_GET_, "/socket.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_socketio},
	{HTTP_POST_, "/socket.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_socketio},
	{HTTP_PUT_, "/socket.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_socketio},
	{HTTP_DELETE_, "/socket.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_socketio},
	{HTTP_OPTIONS_, "/socket.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_socketio},
	{HTTP_GET_, "/engine.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_engine},
	{HTTP_POST_, "/engine.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_engine},
	{HTTP_PUT_, "/engine.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_engine},
	{HTTP_DELETE_, "/engine.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_engine},
	{HTTP_OPTIONS_, "/engine.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_engine},
	{HTTP_GET_, "/echo", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_echo},
};

static bool is_of_this_machine(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 || !*address || strncmp(address, "127.", 4) == 0 ||
	       strncmp(address, "[::1]:", 6) == 0 || strncmp(address, "localhost:", 10) == 0;
}

struct protocol_test *protocol_test_new(struct service *service)
{
	const char *address = option_str(service_options(service), "socket_listen");
	struct protocol_test *t = xcalloc(1, sizeof(*t));

	if (!is_of_this_machine(address))
		fatal("socket_profile protocol-test takes no tokens: it is only for this machine. Set socket_listen to "
		      "127.0.0.1:PORT, [::1]:PORT or unix:PATH, not %s",
		      address);
	t->service = service;
	t->arena = arena_new();
	list_init(&t->echoes);
	t->socketio = socketio_new(service, &options, CONNECT_MS, t->arena, &app, t);
	t->engine = engine_new(service, &options, &engine_events, NULL);
	service_routes(service, routes, ARRAY_SIZE(routes), t);
	return t;
}

void protocol_test_cut(struct protocol_test *t)
{
	struct echo *e;

	engine_cut_all(socketio_engine(t->socketio));
	engine_cut_all(t->engine);
	list_foreach (e, &t->echoes, struct echo, link)
		ws_cut(e->ws);
}

void protocol_test_free(struct protocol_test *t)
{
	if (!t)
		return;
	socketio_free(t->socketio);
	engine_free(t->engine);
	arena_free(t->arena);
	free(t);
}
