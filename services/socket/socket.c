#include "socket.h"

#include <sys/resource.h>

#include "cluster.h"
#include "presence.h"
#include "roles.h"

#define AGE_MS 1000

static double count_connections(void *arg)
{
	return ((struct socket_service *)arg)->n_clients;
}

static double count_rooms(void *arg)
{
	return HASH_COUNT(((struct socket_service *)arg)->channels.by_name);
}

static void add_metrics(struct socket_service *s)
{
	metric_gauge_fn("ogent_socket_connections", "WebSocket connections", "", count_connections, s);
	metric_gauge_fn("ogent_socket_rooms", "Rooms with somebody in them, or with events that are kept", "",
			count_rooms, s);
	s->delivered =
		metric_counter("ogent_socket_events_delivered_total", "Copies of events given to connections", "");
	s->dropped = metric_counter("ogent_socket_events_dropped_total",
				    "Copies that were dropped for who did not keep up", "");
	s->slow = metric_counter("ogent_socket_slow_total", "Connections closed because they read too slowly", "");
	s->turned_away =
		metric_counter("ogent_socket_turned_away_total", "Connections that were told to come back later", "");
	s->refused_joins =
		metric_counter("ogent_socket_joins_refused_total", "Joins of rooms that are not the user's", "");
}

static void on_age(struct deadline *d)
{
	struct socket_service *s = container_of(d, struct socket_service, age);

	channels_age(&s->channels, socket_now(s));
	deadline_set(service_wheel(s->service), d, AGE_MS);
}

static void drain(void *arg)
{
	clients_drain(arg);
}

static void stop(void *arg)
{
	struct socket_service *s = arg;

	clients_cut(s);
	socketio_clients_cut(s->socketio);
	if (s->protocol_test)
		protocol_test_cut(s->protocol_test);
	deadline_clear(&s->age);
	deadline_clear(&s->drain);
	presence_drop_news(s);
	cluster_free(s->cluster);
	s->cluster = NULL;
}

static void read_options(struct socket_service *s, const struct options *o)
{
	struct channels_limits limits = {.messages = (unsigned)option_int(o, "socket_history_messages"),
					 .bytes = (size_t)option_int(o, "socket_history_bytes"),
					 .total = (size_t)option_int(o, "socket_history_total"),
					 .ms = (uint64_t)option_int(o, "socket_history")};

	channels_init(&s->channels, &limits, option_str(o, "socket_policies"));
	s->queue_messages = (unsigned)option_int(o, "socket_queue_messages");
	s->queue_bytes = (size_t)option_int(o, "socket_queue_bytes");
	s->user_clients = (unsigned)option_int(o, "socket_user_connections");
	s->max_clients = (unsigned)option_int(o, "socket_connections");
	s->accept_rate = (unsigned)option_int(o, "socket_accept_rate");
	s->origins = option_str(o, "socket_origins");
}

/* A connection is a file: as many as the system lets us have. */
static void raise_files(const struct socket_service *s)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < (rlim_t)s->max_clients)
		log_warn("socket_connections is %u, but only %llu files may be open: raise the limit (ulimit -n, "
			 "LimitNOFILE)",
			 s->max_clients, (unsigned long long)files.rlim_cur);
}

int socket_main(const struct options *options)
{
	struct socket_service s = {.service = service_new("socket", options), .arena = arena_new()};
	int status;

	list_init(&s.clients);
	list_init(&s.presence_news);
	later_init(&s.presence_turn, presence_on_turn);
	deadline_init(&s.drain, NULL);
	resume_key(&s);
	read_options(&s, options);
	raise_files(&s);
	add_metrics(&s);
	deadline_init(&s.age, on_age);
	deadline_set(service_wheel(s.service), &s.age, AGE_MS);
	s.cluster = cluster_new(&s, option_str(options, "redis_url"));
	service_routes(s.service, socket_routes, socket_routes_n, &s);
	s.socketio = socketio_clients_new(&s);
	if (strcmp(option_str(options, "socket_profile"), "protocol-test") == 0)
		s.protocol_test = protocol_test_new(s.service);
	else
		service_routes(s.service, socketio_routes, socketio_routes_n, &s);
	revocation_on_change(s.service, clients_revoke, &s);
	service_on_drain(s.service, drain, &s);
	service_on_stop(s.service, stop, &s);
	service_listen(s.service);
	status = service_run(s.service);
	seen_free(&s);
	protocol_test_free(s.protocol_test);
	socketio_clients_free(s.socketio);
	channels_deinit(&s.channels);
	arena_free(s.arena);
	return status;
}
