/* Socket.IO 5 (https://socket.io/docs/v4/socket-io-protocol/) as pure functions: packets in their text form, which
 * Engine.IO's messages carry: TYPE[ATTACHMENTS-][NAMESPACE,][ID][JSON]. */
#pragma once

#include "base/json.h"

#define SOCKETIO_MAX_ATTACHMENTS 10
#define SOCKETIO_MAX_NAMESPACE 64

enum socketio_type {
	SOCKETIO_CONNECT,
	SOCKETIO_DISCONNECT,
	SOCKETIO_EVENT,
	SOCKETIO_ACK,
	SOCKETIO_CONNECT_ERROR,
	SOCKETIO_BINARY_EVENT,
	SOCKETIO_BINARY_ACK,
};

struct socketio_packet {
	enum socketio_type type;
	unsigned attachments; /* of a binary one: messages with bytes that follow; otherwise 0 */
	struct str nsp;       /* namespace; "/" when none is named */
	int64_t id;           /* of what is to be, or is, acknowledged; -1: none */
	struct str json;      /* its payload; empty: none */
};

/* Views of `text`. False: malformed. */
bool socketio_packet_read(struct str text, struct socketio_packet *ret);
/* The payload, in the arena; NULL with true: there is none, and need not be. False: it is no JSON, or not what the type
 * must have: an event has a name that is not one of the reserved ones, placeholders name attachments that there are. */
bool socketio_payload_read(struct arena *a, const struct socketio_packet *p, yyjson_val **ret);
/* Appends the packet. */
void socketio_packet_write(struct buf *out, const struct socketio_packet *p);
