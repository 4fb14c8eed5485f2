/* The socket role: clients in channels, and what is published into them. */
#pragma once

#include "client.h"
#include "protocol_test.h"
#include "socketio_clients.h"

#define SOCKET_MAX_ROOMS 100       /* of one client */
#define SOCKET_MAX_MESSAGE 16384   /* bytes from a client; a token has at most 8 KiB */
#define SOCKET_MAX_QUEUE (1 << 20) /* bytes of answers a client may leave waiting */

#define CLOSE_UNAUTHORIZED 4401
#define CLOSE_GOING 1001
#define CLOSE_POLICY 1008
#define CLOSE_TRY_AGAIN 1013 /* RFC 6455's registry */

/* Who is here, by user. */
struct user {
	UT_hash_handle hh;
	struct list clients; /* struct client, of_user */
	unsigned n_clients;
	char id[];
};

struct socket_service {
	struct service *service;
	struct channels channels;
	struct deadline age; /* when the histories are looked at again */
	struct list clients; /* struct client: all, until client_deinit */
	unsigned n_clients;
	struct user *users;                                              /* by id */
	uint64_t n_events;                                               /* numbers the events */
	struct arena *arena;                                             /* of one message; reset before each */
	unsigned queue_messages, user_clients, max_clients, accept_rate; /* limits */
	size_t queue_bytes;
	const char *origins, *policies; /* the options */
	uint64_t accept_at;             /* us: up to when connections were let in */
	unsigned n_draining;            /* how many there were when draining began */
	struct deadline drain;
	struct later presence_turn;
	struct list presence_news; /* presence.c: not told yet */
	struct cluster *cluster;   /* the other nodes; NULL: there are none */
	struct seen_table *seen;   /* publish.c: keys of late */
	uint8_t resume_key[32];
	struct socketio_clients *socketio;
	struct protocol_test *protocol_test; /* NULL but in that profile */
	struct metric *delivered, *dropped, *slow, *refused_joins, *turned_away;
};

static inline uint64_t socket_now(struct socket_service *s)
{
	return uv_now(service_loop(s->service));
}

/* ---- connection.c ---- */

route_handler socket_connect;
/* Whether another connection may come now, by its origin, the number that are there and the rate; otherwise it is
 * answered. For every transport. */
bool socket_admit(struct exchange *x);

/* ---- sse.c ---- */

route_handler socket_events;

/* ---- resume.c ---- */

void resume_key(struct socket_service *s);

/* ---- publish.c ---- */

route_handler socket_publish;
/* Gives one event to whoever is in the channel. Returns how many got it. */
unsigned publish_to(struct channel *ch, struct broadcast *b);
void seen_free(struct socket_service *s);
/* Publishes a JSON object's text in these channels. Returns how many clients got it. */
unsigned publish_event(struct socket_service *s, struct str text, const struct str *channels, unsigned n_channels,
		       struct post **ret);

/* ---- routes.c ---- */

extern const struct route socket_routes[];
extern const size_t socket_routes_n;
/* Not in the profile protocol-test, which has its own at these paths. */
extern const struct route socketio_routes[];
extern const size_t socketio_routes_n;
