/* Engine.IO 4: sessions that a client opens by long-polling or by WebSocket, and moves from the one to the other, with
 * messages both ways. What the messages mean is the owner's.
 *
 * Callbacks never come from inside engine_send… and engine_close. */
#pragma once

#include "engine_codec.h"
#include "io/ws.h"
#include "service/service.h"

#define ENGINE_SID_SIZE 21

struct engine;
struct engine_session;

struct engine_options {
	uint32_t ping_interval, ping_timeout; /* ms */
	uint32_t upgrade_timeout;             /* ms; from the probe's connection to its last packet */
	size_t max_payload;                   /* bytes of one message or body from the client */
	size_t max_queue;                     /* bytes that wait for a poll before engine_send says false */
	unsigned max_sessions;
	bool (*admit)(struct exchange *x); /* whether one may begin; false after an answer. NULL: always */
	bool any_origin;                   /* Access-Control-Allow-Origin: *, for pages of other sites */
};

struct engine_events {
	/* A new session; returns its owner. */
	void *(*on_open)(void *arg, struct engine_session *s);
	void (*on_message)(void *owner, bool is_binary, struct str data);
	/* There is room again after false from engine_send. */
	void (*on_drain)(void *owner);
	/* Last, once; the session is freed after it. */
	void (*on_close)(void *owner);
};

struct engine *engine_new(struct service *service, const struct engine_options *options,
			  const struct engine_events *events, void *arg);
/* No session may be left: engine_cut_all, then the loop runs out. */
void engine_free(struct engine *e);
unsigned engine_count(const struct engine *e);
/* Every request to the path, whatever its method. */
void engine_handle(struct engine *e, struct exchange *x);
/* Ends all sessions in order, or at once. */
void engine_close_all(struct engine *e);
void engine_cut_all(struct engine *e);

const char *engine_sid(const struct engine_session *s);
/* One message. Both return whether there is room for more; a session that is closing drops it and says yes. */
bool engine_send(struct engine_session *s, bool is_binary, struct str data);
/* A text frame that holds a whole packet ("4…"), shared by many sessions. */
bool engine_send_shared(struct engine_session *s, struct ws_shared *frame);
size_t engine_queued(const struct engine_session *s);
bool engine_is_websocket(const struct engine_session *s);
/* Sends what waits, then the close packet; on_close follows. No more messages come. */
void engine_close(struct engine_session *s);
/* Ends it at once; on_close follows. */
void engine_cut(struct engine_session *s);
