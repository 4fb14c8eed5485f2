#include "socket.h"

#define MAX_PUBLISH (4 << 20)

static void handle_socketio(struct exchange *x)
{
	socketio_clients_handle(((struct socket_service *)x->self)->socketio, x);
}

const struct route socket_routes[] = {
	{HTTP_GET_, "/ws", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, socket_connect},
	{HTTP_POST_, "/api/publish", NULL, ROUTE_BODY_JSON, MAX_PUBLISH, socket_publish, "socket.publish"},
	{HTTP_GET_, "/api/channels/{name}/events", NULL, 0, 0, socket_events, "channels.read"},
};
const size_t socket_routes_n = ARRAY_SIZE(socket_routes);

#define SOCKETIO(method)                                                                            \
	{                                                                                           \
		method, "/socket.io/{rest*}", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, handle_socketio \
	}

const struct route socketio_routes[] = {SOCKETIO(HTTP_GET_), SOCKETIO(HTTP_POST_), SOCKETIO(HTTP_PUT_),
					SOCKETIO(HTTP_DELETE_)};
const size_t socketio_routes_n = ARRAY_SIZE(socketio_routes);
