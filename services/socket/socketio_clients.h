/* Socket.IO as a transport of clients: the same requests, channels and events as at /ws.
 *
 * A request is an event of its name with an object (join, leave, publish, auth, …) and is acknowledged with what /ws
 * answers; what /ws sends unasked is an event of its type; an event of a channel is `event` with the object of /ws and,
 * last, the position for connection state recovery. */
#pragma once

#include "service/service.h"

struct socket_service;
struct socketio_clients;

struct socketio_clients *socketio_clients_new(struct socket_service *socket);
/* Handles every request to /socket.io/. */
void socketio_clients_handle(struct socketio_clients *all, struct exchange *x);
/* When the service stops, after clients_cut: no connection is left after the loop has run out. */
void socketio_clients_cut(struct socketio_clients *all);
void socketio_clients_free(struct socketio_clients *all);
