/* The socket role: WebSocket connections in rooms, and what is published into them. */
#pragma once

#include "io/ws.h"
#include "rooms.h"
#include "service/keyring.h"
#include "service/service.h"

#define SOCKET_MAX_CONNECTIONS 20000
#define SOCKET_MAX_ROOMS 100       /* of one connection */
#define SOCKET_MAX_MESSAGE 16384   /* bytes from a client; a token has at most 8 KiB */
#define SOCKET_MAX_QUEUE (1 << 20) /* bytes a slow client may leave waiting */
#define SOCKET_AUTH_MS 10000

struct socket_service {
	struct service *service;
	struct rooms *rooms;
	struct list connections; /* struct connection: all, until their on_close */
	unsigned n_connections;
	uint64_t n_events;   /* numbers the events, for one copy a connection */
	struct arena *arena; /* of one message; reset before each */
	struct metric *delivered, *dropped, *slow, *refused_joins;
};

/* connection.c waits for the token and for messages; join.c asks whether a room is open to the user. */
enum connection_state {
	CONNECTION_SIGNING_IN, /* waits for the first token, or for the keys to check it */
	CONNECTION_OPEN,
	CONNECTION_ENDING, /* waits for on_close */
};

struct connection {
	struct socket_service *socket;
	struct list link; /* in socket.connections */
	struct ws_conn *ws;
	enum connection_state state;
	char id[37];
	char *user_id, *token; /* token: only while it waits for keys */
	bool reads_all_executions, reads_all_conversations;
	struct member member;
	struct list joins; /* struct join: under way */
	unsigned n_joins;
	struct key_wait key_wait;
	struct deadline deadline;         /* of signing in, then of the token */
	uint64_t allowance_ms, allowance; /* messages it may send, and when that was counted */
};

/* ---- connection.c ---- */

route_handler socket_connect;
void connection_send(struct connection *c, yyjson_mut_doc *doc);
/* {"type":"error"}; id is what the client's message had, or NULL. */
void connection_send_error(struct connection *c, const char *code, const char *message, yyjson_val *id);
void connection_end(struct connection *c, int code, const char *reason);
/* All: with a close frame, or at once. */
void connections_end(struct socket_service *s, int code, const char *reason);
void connections_cut(struct socket_service *s);

/* ---- join.c ---- */

void socket_join(struct connection *c, yyjson_val *message);
void socket_leave(struct connection *c, yyjson_val *message);
void joins_cancel(struct connection *c);

/* ---- publish.c ---- */

route_handler socket_publish;

/* ---- routes.c ---- */

extern const struct route socket_routes[];
extern const size_t socket_routes_n;
