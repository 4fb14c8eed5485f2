/* WebSocket (RFC 6455): a strict codec and, on top of it, a server connection on a stream, with permessage-deflate (RFC
 * 7692, ws_deflate.h). */
#pragma once

#include "base/buf.h"
#include "base/utf8.h"
#include "io/http_server.h"

enum ws_opcode { WS_CONT = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* The codec: bytes in, whole messages and control frames out. */
struct ws_parser {
	bool is_server;     /* a server demands masked frames, a client unmasked ones */
	bool may_deflate;   /* permessage-deflate was negotiated; false after init */
	size_t max_message; /* default 1 MiB */
	/* Called per whole message or control frame; data is valid during the call. Return false to stop (the owner
	 * closed). */
	bool (*on_frame)(void *owner, enum ws_opcode op, const char *data, size_t n);
	void *owner;

	enum ws_opcode message_op; /* of the open message; WS_CONT = none is open */
	bool is_deflated;          /* the open message is */
	struct buf message;        /* its payload so far, unmasked; inflated when it is whole */
	struct buf control;        /* payload of the control frame that is coming in */
	struct utf8_state utf8;

	/* The frame that is coming in. */
	uint8_t head[14];
	uint8_t head_n, head_size; /* bytes of head there, and needed; needed 0 = the first two decide */
	bool in_payload;
	uint64_t left; /* of its payload */
	size_t offset; /* into its payload, for the mask */
};

void ws_parser_init(struct ws_parser *p, bool is_server, size_t max_message,
		    bool (*on_frame)(void *, enum ws_opcode, const char *, size_t), void *owner);
void ws_parser_deinit(struct ws_parser *p);
/* Returns 0, or the close code the violation calls for: 1002, 1007, 1009. Text is checked as it comes, before its frame
 * is whole; a compressed one when its message is whole. max_message holds for both forms. The parser may be
 * deinitialised in on_frame if that returns false then. */
int ws_parser_feed(struct ws_parser *p, const char *data, size_t n);
/* Appends one frame. mask: NULL from a server, 4 random bytes from a client. */
void ws_frame(struct buf *out, enum ws_opcode op, const void *data, size_t n, const uint8_t *mask);
/* The head of an unmasked frame alone; returns its length. */
size_t ws_frame_head(uint8_t ret[static 10], enum ws_opcode op, size_t n);
/* The Sec-WebSocket-Accept of a key. ret holds 29 bytes. */
void ws_accept_key(struct str key, char ret[static 29]);
bool ws_close_code_is_valid(int code);

/* A frame encoded once and shared by all who get it. Its compressed form is made for the first who can read that. */
struct ws_shared;
struct ws_shared *ws_shared_new(enum ws_opcode op, const void *data, size_t n);
/* The message in it. */
struct str ws_shared_message(const struct ws_shared *f);
void ws_shared_ref(struct ws_shared *f);
void ws_shared_unref(struct ws_shared *f);

/* A server connection. Pings, and ends a peer that is silent after. Answers pings and close frames itself.
 * Callbacks never come from inside ws_accept, ws_send and ws_close. */
struct ws_conn;
struct ws_options {
	const char *protocol; /* subprotocol to answer with, or NULL */
	size_t max_message;   /* 0 = 1 MiB */
	bool deflate;         /* whether permessage-deflate is taken when it is offered */
	uint32_t ping_ms;     /* 0: no pings */
	uint32_t pong_ms;     /* at most ping_ms */
};
struct ws_events {
	void (*on_message)(void *owner, enum ws_opcode op, const char *data, size_t n);
	void (*on_drain)(void *owner);
	/* Last; the connection is freed after it. code: the peer's close code (1005: a close without one), the code of
	 * the violation we ended it for, or 1006: it just broke off. */
	void (*on_close)(void *owner, int code);
};
/* Checks the handshake of `r`; on success the connection is upgraded and returned. Otherwise answers 400 or 426 and
 * returns NULL. */
struct ws_conn *ws_accept_with(struct http_request *r, struct wheel *wheel, const struct ws_options *options,
			       const struct ws_events *events, void *owner);
/* The same with compression, pings every 25 s and 20 s to answer them. */
struct ws_conn *ws_accept(struct http_request *r, struct wheel *wheel, const char *protocol, size_t max_message,
			  const struct ws_events *events, void *owner);
/* Hands the connection to another owner, whose callbacks come from now on. */
void ws_set_owner(struct ws_conn *c, const struct ws_events *events, void *owner);
/* Both return false above the stream's high-water mark; once it is closing they do nothing and return true. */
bool ws_send(struct ws_conn *c, enum ws_opcode op, const void *data, size_t n);
bool ws_send_shared(struct ws_conn *c, struct ws_shared *f);
size_t ws_queued(const struct ws_conn *c);
/* Starts the closing handshake; on_close follows, after 5 s in any case. No more
 * messages come. reason may be NULL; at most 123 bytes of it are sent. */
void ws_close(struct ws_conn *c, int code, const char *reason);
/* Ends it at once, without the handshake; on_close follows. */
void ws_cut(struct ws_conn *c);
