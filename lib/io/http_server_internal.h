/* The server's inside, in the order of a request's way: http_server.c accepts, http_conn.c is the flow of a connection,
 * http_head.c reads and judges a request's head and framing, http_reply.c writes answers. */
#pragma once

#include <llhttp.h>

#include "base/buf.h"
#include "io/http_server.h"

/* Why a request is not served: the answer that the server itself gives before it closes. */
struct http_refusal {
	int status; /* 0 = none */
	const char *code, *detail;
};

enum http_answer { ANSWER_NONE, ANSWER_STARTED, ANSWER_ENDED };

/* A request with all that belongs to it. A connection has one only while a request is on it; between requests they wait
 * in the server's list with their memory. */
struct http_box {
	struct http_request req;
	struct list link; /* in http_server.boxes while free */

	struct buf head;    /* target, names and values, each ended by NUL */
	size_t head_bytes;  /* of the head, as they came */
	size_t field_bytes; /* of names and values */
	size_t n_target;    /* set when the target is complete */
	struct buf trailer; /* names and values of trailers, in the same form; apart, since the head must not move */
	size_t field_start; /* of the name or value that is being read, in head or trailer */
	struct str name;    /* of the field whose value is being read: an offset, too */
	const char *feed;   /* the bytes the parser has now */
	char last[8];       /* and the last ones before them, of the head */
	bool has_version;
	bool is_at_long_value; /* the parser stopped in front of it */
	bool is_head_done;     /* later fields are trailers */
	bool has_keep_alive;   /* the client wants the connection to stay */

	uint64_t max_body, received;
	uint64_t rate_since, rate_received; /* where the time over which the body's rate is looked at began, loop ms */
	uint64_t framing_bytes, chunks;     /* of a chunked body: what is not data, and in how many pieces */
	bool expects_continue;              /* 100 has not been sent, and no byte of the body has come */
	bool is_body_done, has_told_body_end;
	bool is_paused;        /* by the handler */
	bool is_parser_paused; /* the parser stopped at a pause and must be resumed */
	void (*on_whole_body)(struct http_request *r, int err, struct str body);
	struct buf body; /* for on_whole_body */

	enum http_answer answer;
	int64_t left;    /* of a body of known length; -1 = unknown */
	bool is_chunked; /* the answer */
	bool has_no_body;
	bool is_streaming;
	bool is_aborted; /* by the handler */
	bool is_gone;    /* the client left or was refused: what the handler still says is dropped */
};

enum http_conn_state {
	CONN_IDLE,    /* waits for a request's first byte */
	CONN_HEAD,    /* waits for the rest of its head */
	CONN_REQUEST, /* the handler has it: waits for the body's and the answer's end */
	CONN_CLOSING, /* waits for the stream's on_close */
	CONN_HANDED,  /* the stream is somebody else's; waits for this turn's end to go */
};

struct http_conn {
	struct http_server *server;
	struct list link; /* in http_server.conns */
	struct stream *stream;
	enum http_conn_state state;
	struct http_box *box; /* in CONN_HEAD and CONN_REQUEST */
	struct buf in;        /* came and not parsed yet: behind a pause, or pipelined */
	struct str rest;      /* while the flow runs: the bytes it has not taken yet */
	bool is_busy;         /* the flow runs, and looks at everything before it returns */
	bool is_last;         /* the connection ends with this request */
	bool has_ended;       /* the client finished sending */
	bool has_served;      /* a request was answered */
	bool is_upgraded;
	bool awaits_proxy;   /* the PROXY header has not come whole; the bytes are in `in` */
	bool has_skipped_cr; /* of an empty line before the request */
	bool has_skipped_line;
	struct later turn;

	struct deadline deadline; /* looks at the times below */
	uint64_t since;           /* of CONN_IDLE or CONN_HEAD, loop ms */
	uint64_t last_in;         /* when bytes last came */
	uint64_t sent;            /* bytes given to the stream */
	uint64_t taken,
		taken_at; /* how many of them the kernel had when it last took some, while it does not take all */
	bool is_watched;  /* taken and taken_at are valid */

	llhttp_t parser;
	struct http_refusal refusal;
};

struct http_server {
	uv_loop_t *loop;
	struct wheel *wheel;
	struct listener *listener; /* NULL once draining */
	struct http_limits limits;
	http_on_request *cb;
	void *arg;
	char *address;
	struct list conns;        /* struct http_conn: all */
	_Atomic unsigned n_conns; /* changed on the loop's thread only, read by others */
	struct list boxes;        /* struct http_box: free, the last used first */
	unsigned n_boxes;
	struct buf scratch; /* for the head of an answer */
	struct buf text;    /* for the body of one: http_scratch */
	char date[40];      /* "Date: …\r\n" of date_s */
	int64_t date_s;

	bool is_leaving; /* answers end their connection */
	bool is_draining, is_freeing;
	void (*on_drained)(void *arg);
	void *drained_arg;
	struct deadline drain_end;
	struct later drained;
};

static inline struct http_box *box_of(struct http_request *r)
{
	return container_of(r, struct http_box, req);
}

/* ---- http_server.c ---- */

struct http_box *http_box_take(struct http_conn *c);
void http_box_release(struct http_conn *c);
/* The connection is gone from the server and its memory free. */
void http_conn_free(struct http_conn *c);

/* ---- http_conn.c ---- */

void http_conn_start(struct http_server *s, struct stream *stream);
/* Closes an idle connection; the others end with their request. */
void http_conn_drain(struct http_conn *c);
/* At once. The request hears of it. */
void http_conn_cut(struct http_conn *c, int err);
/* Lets the flow look at the connection, at the latest at this turn's end. */
void http_conn_kick(struct http_conn *c);

/* ---- http_head.c ---- */

void http_head_begin(struct http_conn *c);
/* Feeds bytes to the parser. Returns how many it took; afterwards refusal.status says when something is wrong.
 * is_head_done and is_body_done in the box say how far it is. */
size_t http_head_feed(struct http_conn *c, const char *p, size_t n);
/* Checks a complete head and fills in the request; false with the refusal set. */
bool http_head_finish(struct http_conn *c);
bool http_refuse(struct http_conn *c, int status, const char *code, const char *detail);

/* ---- http_reply.c ---- */

/* The answer for c->refusal. */
void http_reply_refusal(struct http_conn *c);
void http_reply_continue(struct http_conn *c);
