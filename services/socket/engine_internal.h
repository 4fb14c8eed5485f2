/* What the files of Engine.IO share; for nobody else. engine.c: sessions, heartbeat, sending. engine_polling.c: HTTP.
 * engine_ws.c: WebSocket, and the move to it. */
#pragma once

#include <uthash.h>

#include "engine.h"

struct engine {
	struct service *service;
	struct engine_options options;
	const struct engine_events *events;
	void *arg;
	struct engine_session *sessions; /* by sid */
};

enum engine_state {
	ENGINE_SESSION_OPEN,
	ENGINE_SESSION_CLOSING, /* engine_close: waits for the poll that takes the last packets, or the WebSocket's end
				 */
	ENGINE_SESSION_CLOSED,  /* waits for the turn's end, when on_close is told */
};

/* What a session has only while it polls. */
struct polling {
	struct engine_session *session;
	struct buf payload;    /* waits for a poll */
	struct exchange *poll; /* waits for packets; NULL: none */
	struct exchange *post; /* is coming in; NULL: none */
	struct later flush;    /* the turn's packets go out in one answer */
	bool is_above;         /* engine_send said false */
	/* The move to WebSocket. */
	struct ws_conn *probe; /* NULL: none is under way */
	bool is_probed;        /* 2probe was answered: polls are let go, so that the client can move */
	struct deadline upgrade;
};

struct engine_session {
	UT_hash_handle hh;
	struct engine *engine;
	void *owner;
	struct ws_conn *ws;       /* NULL: polls */
	struct polling *polling;  /* NULL: is on WebSocket */
	struct deadline deadline; /* of the next ping, its answer, or of closing */
	uint64_t ping_at;         /* loop ms when the ping is due; its answer ping_timeout later */
	struct later end;         /* tells on_close */
	uint8_t state;            /* enum engine_state */
	bool is_awaiting;         /* the ping is out */
	char sid[ENGINE_SID_SIZE];
};

static inline uint64_t engine_now(const struct engine *e)
{
	return uv_now(service_loop(e->service));
}

/* ---- engine.c ---- */

struct engine_session *engine_session_new(struct engine *e);
struct engine_session *engine_find(const struct engine *e, const char *sid);
/* The open packet's JSON. */
void engine_write_open(const struct engine_session *s, struct buf *out);
void engine_session_opened(struct engine_session *s);
/* Whether the answer to the last ping is overdue; then the session is gone. */
bool engine_check_time(struct engine_session *s);
/* A packet of the client by either transport. */
void engine_take(struct engine_session *s, const struct engine_packet *p);
/* Ends the session now; what waits is lost. on_close follows. */
void engine_finish(struct engine_session *s);

/* ---- engine_polling.c ---- */

void engine_handle_polling(struct engine_session *s, struct exchange *x);
void engine_refuse(struct engine *e, struct exchange *x, enum engine_error error);
struct polling *polling_new(struct engine_session *s);
void polling_free(struct engine_session *s);
bool polling_send(struct engine_session *s, const struct engine_packet *p);
/* A packet in its text form. */
bool polling_send_text(struct engine_session *s, struct str packet);
/* Answers the waiting poll with what there is, at least a noop. */
void polling_release(struct engine_session *s);
void polling_flush(struct engine_session *s);

/* ---- engine_ws.c ---- */

/* A new session by WebSocket. */
void engine_open_ws(struct engine *e, struct exchange *x);
/* A session that polls wants to move; refused (by an immediate close) unless it can. */
void engine_probe(struct engine_session *s, struct exchange *x);
void engine_probe_end(struct engine_session *s);
/* Closes a connection in order; nobody hears of it any more. */
void engine_ws_leave(struct ws_conn *ws);
bool engine_ws_send(struct engine_session *s, const struct engine_packet *p);
