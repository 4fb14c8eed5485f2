/* Engine.IO 4 (https://socket.io/docs/v4/engine-io-protocol/) as pure functions: packets, the payloads of long-polling,
 * and what a request asks for. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

#define ENGINE_SEPARATOR '\x1e'

enum engine_type {
	ENGINE_OPEN,
	ENGINE_CLOSE,
	ENGINE_PING,
	ENGINE_PONG,
	ENGINE_MESSAGE,
	ENGINE_UPGRADE,
	ENGINE_NOOP,
};

struct engine_packet {
	enum engine_type type;
	bool is_binary; /* a message; its bytes stand alone on a WebSocket, as b and base64 in a payload */
	struct str data;
};

/* A packet in its text form, such as "4hello". False: there is no such type. */
bool engine_packet_read(struct str text, struct engine_packet *ret);
/* The next packet of a payload, cut off its front; payload->p is NULL after the last. A binary one is decoded into
 * `bytes`, which must live as long as the packet. False: malformed. */
bool engine_payload_next(struct str *payload, struct buf *bytes, struct engine_packet *ret);
/* Appends a packet to a payload. */
void engine_payload_add(struct buf *payload, const struct engine_packet *p);

enum engine_transport { ENGINE_UNKNOWN, ENGINE_POLLING, ENGINE_WEBSOCKET };

struct engine_query {
	enum engine_transport transport;
	bool is_version_4;
	const char *sid; /* NULL: asks for a new session */
};
void engine_query_read(struct arena *a, struct str query, struct engine_query *ret);

/* What is wrong with a request; the numbers are those of the protocol. */
enum engine_error {
	ENGINE_FINE = -1,
	ENGINE_TRANSPORT_UNKNOWN,
	ENGINE_SID_UNKNOWN,
	ENGINE_BAD_METHOD,
	ENGINE_BAD_REQUEST,
	ENGINE_FORBIDDEN,
	ENGINE_BAD_VERSION,
};
extern const char *const engine_error_texts[];
