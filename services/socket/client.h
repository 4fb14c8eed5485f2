/* A client, whatever carries its messages: who he is, the channels he is in, what waits for him. A transport (WebSocket
 * of JSON, Socket.IO, SSE) embeds one, gives it functions, and calls client_…; nothing below knows of frames.
 *
 *	client_init(&c->client, socket, &my_transport);
 *	client_sign_in(&c->client, token);                 // transport.signed_in or .close follows, perhaps at once
 *	client_request(&c->client, "join", message, id);   // transport.send follows
 *	…transport.deliver for each event…
 *	client_deinit(&c->client);                         // when the connection is gone
 *
 * Everything happens on the loop's thread. The socket's arena is free for use in a callback of the transport; what
 * stands in it is gone at the next message. */
#pragma once

#include "base/id.h"
#include "channel.h"
#include "service/keyring.h"
#include "service/revocation.h"
#include "service/service.h"

struct socket_service;
struct client;
struct user;

struct transport {
	/* One event: broadcast_frame makes or finds its encoding. Returns whether there is room for more; after false
	 * nothing is delivered until the transport calls client_drained. */
	bool (*deliver)(struct client *s, struct broadcast *b);
	/* A message for this client alone: an object with "type". id: what the request that it answers had, or NULL. */
	void (*send)(struct client *s, yyjson_mut_doc *doc, yyjson_val *id);
	/* The token is good. is_first: it is open from now on; otherwise the token was renewed. */
	void (*signed_in)(struct client *s, bool is_first);
	/* The client is to go: say so, with a close code of WebSocket, and close the connection. */
	void (*close)(struct client *s, int code, const char *reason);
	/* Break the connection off now; client_deinit follows. */
	void (*cut)(struct client *s);
	bool is_one_way; /* no requests come by it */
};

enum client_state {
	CLIENT_NEW, /* waits for a token, or for the keys to check it */
	CLIENT_OPEN,
	CLIENT_ENDED, /* waits for client_deinit */
};

struct client {
	struct socket_service *socket;
	const struct transport *transport;
	struct list link;         /* in socket.clients */
	struct user *user;        /* NULL until the token was good */
	struct list of_user;      /* in user.clients */
	struct grants *grants;    /* who he is and what he may; NULL until then */
	char *known;              /* hashes of the channels that a resume token named; NULL: none */
	struct list places;       /* struct place: the channels he is in */
	struct list joins;        /* struct join: under way */
	uint64_t last_event;      /* number of the last event he got, so that he gets one copy of it */
	struct queue *queue;      /* what waits; NULL: nothing ever waited */
	struct sign_in *sign_in;  /* while keys are fetched */
	struct deadline deadline; /* of signing in, then of the token */
	uint64_t allowance_ms;    /* loop time up to which `allowance` was counted */
	uint16_t allowance;       /* requests he may make at once */
	uint16_t n_places, n_joins;
	uint8_t state; /* enum client_state */
	bool is_full;  /* the transport takes no more for now */
	char id[ID_SIZE];
};

/* ---- client.c ---- */

/* Waits for the token from now on, for ten seconds. */
void client_init(struct client *s, struct socket_service *socket, const struct transport *transport);
/* Leaves everything. Harmless twice. */
void client_deinit(struct client *s);
/* transport.close follows at once, unless it has ended already. */
void client_end(struct client *s, int code, const char *reason);
/* Checks an access token, first or renewed. transport.signed_in or transport.close follows. */
void client_sign_in(struct client *s, struct str token);
/* An identity that was checked already (the gate's, of an HTTP request). */
void client_accept(struct client *s, const struct identity *who);
/* With what client_resume_token gave: no other service is asked, of the channels in it neither. */
void client_resume(struct client *s, struct str token);
/* Appends a token for coming back, sealed by this service's key; good as long as the access token is. */
void client_resume_token(const struct client *s, struct buf *out);
/* One message of the client: type is auth, ping, join, leave, publish…; message an object; id echoed, may be NULL.
 * Everything wrong is answered by {"type":"error"} or ends the client. Resets no arena. */
void client_request(struct client *s, const char *type, yyjson_val *message, yyjson_val *id);
/* Whether he may make one more request now; otherwise end it with 1008. */
bool client_may_request(struct client *s);
const char *client_user(const struct client *s);
const char *client_user_name(const struct client *s);
/* Whether the granted permissions cover it. */
bool client_may(const struct client *s, const char *permission);
/* Who he is and what he may, as a resume token has it. */
void client_write_grants(const struct client *s, yyjson_mut_doc *doc, yyjson_mut_val *obj);

/* {"type":type} with room for more. */
yyjson_mut_val *client_message(struct client *s, const char *type, yyjson_mut_doc **ret_doc);
void client_send(struct client *s, yyjson_mut_doc *doc, yyjson_val *id);
void client_send_error(struct client *s, const char *code, const char *message, yyjson_val *id);

/* All clients: in stages over some seconds, each with a hint when to come back; or at once. */
void clients_drain(struct socket_service *socket);
void clients_cut(struct socket_service *socket);
/* revocation_on_change: ends those concerned, or gives them the rights they have now. arg: the socket service. */
void clients_revoke(void *arg, const struct revocation *what);
/* Within how long n clients should come back. */
unsigned clients_spread_ms(unsigned n);

/* ---- queue.c: what waits for one who does not read fast enough ---- */

/* Gives one event, now or later; the channel's policy decides what happens when too much waits. */
void client_deliver(struct client *s, const struct channel *ch, struct broadcast *b);
/* The transport has room again. */
void client_drained(struct client *s);
void queue_free(struct queue *q);

/* ---- publish.c ---- */

/* {"room", "event", "key"?}: answered by {"type":"published","room","delivered","duplicate"} or an error. */
void client_publish(struct client *s, yyjson_val *message, yyjson_val *id);

/* ---- access.c: joining and leaving ---- */

/* {"room", "epoch"?, "offset"?, …}: the answer is {"type":"joined","room","epoch","offset"} or an error. */
void client_join(struct client *s, yyjson_val *message, yyjson_val *id);
void client_leave(struct client *s, yyjson_val *message, yyjson_val *id);
/* {"room","offset"}: what an acknowledged window has sent has arrived. */
void client_ack(struct client *s, yyjson_val *message, yyjson_val *id);
/* His own room, without a question. */
struct place *client_join_own(struct client *s);
/* Channels that a resume token names: no question is needed to be in one again. */
void client_remember_places(struct client *s, const char *hashes);
void client_write_places(const struct client *s, struct buf *out);
/* After a renewal: what is not his any more is left, with {"type":"dropped","room"}. */
void client_check_places(struct client *s);
void client_leave_all(struct client *s);
void joins_cancel(struct client *s);
/* What follows "channel:" in the name of a channel for users, if it is a valid one; else NULL. */
const char *channel_user_name(const char *room);
/* Whether he has the permission, or the one for this name alone: channels.read, or channels.read.NAME. */
bool client_may_of(const struct client *s, const char *permission, const char *name);
