/* A scripted server for unit tests: answers the n-th request head it sees, over all connections, with the n-th answer
 * of a script, byte for byte; and a clock that ends a test which hangs. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "io/stream.h"

enum peer_then { PEER_KEEP, PEER_CLOSE, PEER_RESET, PEER_PAUSE };

struct peer_answer {
	const char *bytes; /* NULL = none */
	enum peer_then then;
	size_t n; /* 0 = strlen(bytes) */
};

struct peer_conn {
	struct list link;
	struct peer *peer;
	struct stream *stream;
	size_t scanned; /* of the four bytes that end a head */
};

struct peer {
	uv_loop_t loop;
	struct wheel *wheel;
	struct listener *listener;
	const struct peer_answer *script;
	unsigned n_script, n_answered, n_connections, n_closed;
	struct buf received;
	struct list conns;
	uv_timer_t watchdog;
};

static void peer_answer_next(struct peer_conn *conn)
{
	struct peer *p = conn->peer;
	const struct peer_answer *a = &p->script[p->n_answered];

	if (p->n_answered == p->n_script)
		return;
	p->n_answered++;
	if (a->bytes)
		stream_write(conn->stream, a->bytes, a->n ? a->n : strlen(a->bytes));
	if (a->then == PEER_CLOSE)
		stream_close(conn->stream, true);
	else if (a->then == PEER_RESET)
		stream_abort(conn->stream);
	else if (a->then == PEER_PAUSE)
		stream_pause(conn->stream);
}

static void peer_on_data(void *owner, const char *data, size_t n)
{
	static const char end[] = "\r\n\r\n";
	struct peer_conn *conn = owner;

	buf_add(&conn->peer->received, data, n);
	for (size_t i = 0; i < n; i++) {
		conn->scanned = data[i] == end[conn->scanned] ? conn->scanned + 1 : data[i] == '\r';
		if (conn->scanned == 4) {
			conn->scanned = 0;
			peer_answer_next(conn);
		}
	}
}

static void peer_on_end(void *owner, int err)
{
	struct peer_conn *conn = owner;

	stream_close(conn->stream, false);
}

static void peer_on_close(void *owner)
{
	struct peer_conn *conn = owner;

	conn->peer->n_closed++;
	list_remove(&conn->link);
	free(conn);
}

static const struct stream_events peer_events = {
	.on_data = peer_on_data, .on_end = peer_on_end, .on_close = peer_on_close};

static void peer_on_connection(void *arg, struct stream *s)
{
	struct peer *p = arg;
	struct peer_conn *conn = xcalloc(1, sizeof(*conn));

	conn->peer = p;
	conn->stream = s;
	list_init(&conn->link);
	list_append(&p->conns, &conn->link);
	p->n_connections++;
	stream_set_owner(s, &peer_events, conn);
	stream_resume(s);
}

static void peer_on_watchdog(uv_timer_t *t)
{
	fputs("the test hangs\n", stderr);
	abort();
}

static void peer_listen(struct peer *p, const char *address)
{
	if (listener_open(&p->loop, p->wheel, address, 128, peer_on_connection, p, &p->listener) < 0)
		abort();
}

/* The loop, its wheel, and the server in it. */
static void peer_start(struct peer *p, const struct peer_answer *script, unsigned n)
{
	*p = (struct peer){.script = script, .n_script = n};
	list_init(&p->conns);
	uv_loop_init(&p->loop);
	p->wheel = wheel_new(&p->loop);
	uv_timer_init(&p->loop, &p->watchdog);
	uv_timer_start(&p->watchdog, peer_on_watchdog, 20000, 0);
	uv_unref((uv_handle_t *)&p->watchdog);
	peer_listen(p, "127.0.0.1:0");
}

static void peer_cut_all(struct peer *p)
{
	struct peer_conn *conn;

	list_foreach (conn, &p->conns, struct peer_conn, link)
		stream_close(conn->stream, false);
}

/* Runs the loop until `done` or, when it is NULL, for `ms`. */
static void peer_on_time(uv_timer_t *t)
{
	*(bool *)t->data = true;
}

static void peer_run_ms(struct peer *p, uint64_t ms)
{
	bool is_over = false;
	uv_timer_t *t = xcalloc(1, sizeof(*t));

	uv_timer_init(&p->loop, t);
	t->data = &is_over;
	uv_timer_start(t, peer_on_time, ms, 0);
	while (!is_over)
		uv_run(&p->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)t, (uv_close_cb)free);
}

static void peer_run_until(struct peer *p, const int *counter, int n)
{
	while (*counter < n)
		uv_run(&p->loop, UV_RUN_ONCE);
}

static void peer_stop(struct peer *p)
{
	peer_cut_all(p);
	if (p->listener)
		listener_close(p->listener);
	peer_run_ms(p, 1);
	wheel_free(p->wheel);
	uv_close((uv_handle_t *)&p->watchdog, NULL);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&p->loop) < 0)
		abort(); /* somebody has left a handle open */
	buf_deinit(&p->received);
}
