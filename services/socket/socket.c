#include "socket.h"

#include "roles.h"

static double count_connections(void *arg)
{
	return ((struct socket_service *)arg)->n_connections;
}

static double count_rooms(void *arg)
{
	return (double)rooms_count(((struct socket_service *)arg)->rooms);
}

static void add_metrics(struct socket_service *s)
{
	metric_gauge_fn("ogent_socket_connections", "WebSocket connections", "", count_connections, s);
	metric_gauge_fn("ogent_socket_rooms", "Rooms with somebody in them", "", count_rooms, s);
	s->delivered =
		metric_counter("ogent_socket_events_delivered_total", "Copies of events given to connections", "");
	s->dropped = metric_counter("ogent_socket_events_dropped_total", "Copies for connections that were ending", "");
	s->slow = metric_counter("ogent_socket_slow_total", "Connections closed because they read too slowly", "");
	s->refused_joins =
		metric_counter("ogent_socket_joins_refused_total", "Joins of rooms that are not the user's", "");
}

static void drain(void *arg)
{
	connections_end(arg, 1001, "the service restarts: come back");
}

static void stop(void *arg)
{
	connections_cut(arg);
}

int socket_main(const struct options *options)
{
	struct socket_service s = {
		.service = service_new("socket", options), .rooms = rooms_new(), .arena = arena_new()};
	int status;

	list_init(&s.connections);
	add_metrics(&s);
	service_routes(s.service, socket_routes, socket_routes_n, &s);
	service_on_drain(s.service, drain, &s);
	service_on_stop(s.service, stop, &s);
	service_listen(s.service);
	status = service_run(s.service);
	arena_free(s.arena);
	rooms_free(s.rooms);
	return status;
}
