/* Socket.IO 5 on Engine.IO: namespaces, events, acknowledgements both ways, binary attachments. What connects and what
 * the events mean is the application's (struct socketio_app).
 *
 * A socket is one client's connection to one namespace; several share a connection. The socket is gone after on_gone,
 * socketio_reject, socketio_disconnect and socketio_close. */
#pragma once

#include "engine.h"
#include "socketio_codec.h"

struct socketio;
struct socketio_socket;

/* What the client sent: an event, or the answer to one of ours. Valid during the call. */
struct socketio_event {
	yyjson_val *args;        /* an array; an event's name is its first */
	int64_t id;              /* of what is to be, or is, acknowledged; -1: nothing */
	const struct str *blobs; /* what the placeholders name */
	unsigned n_blobs;
};

struct socketio_app {
	/* Whether there is this namespace. */
	bool (*has_namespace)(void *arg, struct str name);
	/* auth: an object, or NULL. Answer with socketio_accept or socketio_reject, now or later. */
	void (*on_connect)(void *arg, struct socketio_socket *s, yyjson_val *auth);
	void (*on_event)(void *owner, const struct socketio_event *e);
	void (*on_ack)(void *owner, const struct socketio_event *e);
	void (*on_drain)(void *owner);
	/* Also for one that was not accepted yet. is_final: the client said so; otherwise its connection broke. */
	void (*on_gone)(void *owner, bool is_final);
};

/* arena: reset before each message of a client. */
struct socketio *socketio_new(struct service *service, const struct engine_options *options, uint32_t connect_timeout,
			      struct arena *arena, const struct socketio_app *app, void *arg);
void socketio_free(struct socketio *io);
struct engine *socketio_engine(struct socketio *io);

void socketio_set_owner(struct socketio_socket *s, void *owner);
struct str socketio_namespace(const struct socketio_socket *s);
/* pid: for connection state recovery, or NULL. */
void socketio_accept(struct socketio_socket *s, const char *sid, const char *pid);
/* CONNECT_ERROR {"message","data":{"code"}}. code NULL: without data. */
void socketio_reject(struct socketio_socket *s, const char *message, const char *code);
/* An event (id < 0, or the id that the client will acknowledge) or, with is_ack, the answer to the client's id. args:
 * the JSON text of an array. */
void socketio_send(struct socketio_socket *s, bool is_ack, int64_t id, struct str args, const struct str *blobs,
		   unsigned n_blobs);
/* A frame that socketio_frame made. Returns whether there is room for more. */
bool socketio_send_shared(struct socketio_socket *s, struct ws_shared *frame);
/* An event for the main namespace, for many. */
struct ws_shared *socketio_frame(struct str args);
size_t socketio_queued(const struct socketio_socket *s);
/* Sends DISCONNECT: the client does not come back by itself. */
void socketio_disconnect(struct socketio_socket *s);
/* Closes the connection with all its sockets (the others hear of it): the client comes back. */
void socketio_close(struct socketio_socket *s);
