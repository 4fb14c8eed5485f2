#include "socket.h"

#define MAX_PUBLISH (4 << 20)

/* The place of Socket.IO. */
static void not_implemented(struct exchange *x)
{
	reply_problem(x, 501, "not_implemented", "Socket.IO is not served yet. Use the WebSocket at /ws.");
}

const struct route socket_routes[] = {
	{HTTP_GET_, "/ws", NULL, ROUTE_PUBLIC | ROUTE_STREAM, 0, socket_connect},
	{HTTP_POST_, "/api/publish", NULL, ROUTE_BODY_JSON, MAX_PUBLISH, socket_publish},
	{HTTP_GET_, "/api/channels/{name}/events", NULL, 0, 0, socket_events},
	{HTTP_GET_, "/socket.io/{rest*}", NULL, ROUTE_PUBLIC, 0, not_implemented},
	{HTTP_POST_, "/socket.io/{rest*}", NULL, ROUTE_PUBLIC, 0, not_implemented},
};
const size_t socket_routes_n = ARRAY_SIZE(socket_routes);
