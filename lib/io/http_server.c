#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/http_server_internal.h"

#define KEEP_BOXES 256
#define KEEP_BUFFER 4096
#define BACKLOG 1024

/* ---- Requests, kept for reuse ---- */

static struct http_box *box_new(void)
{
	struct http_box *box = xcalloc(1, sizeof(*box));

	box->req.arena = arena_new();
	list_init(&box->link);
	return box;
}

static void box_free(struct http_box *box)
{
	arena_free(box->req.arena);
	buf_deinit(&box->head);
	buf_deinit(&box->trailer);
	buf_deinit(&box->body);
	free(box);
}

struct http_box *http_box_take(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct http_box *box = list_first(&s->boxes, struct http_box, link);

	if (box) {
		list_remove(&box->link);
		s->n_boxes--;
	} else {
		box = box_new();
	}
	box->max_body = s->limits.max_body;
	box->req.conn = c;
	box->req.headers.arena = box->req.arena;
	box->req.peer = stream_peer(c->stream);
	box->req.started_us = clock_mono_us();
	return box;
}

static void trim(struct buf *b)
{
	if (b->cap > KEEP_BUFFER)
		buf_deinit(b);
	else
		buf_clear(b);
}

void http_box_release(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct http_box *box = c->box;
	struct arena *arena = box->req.arena;

	c->box = NULL;
	arena_reset(arena);
	trim(&box->head);
	trim(&box->body);
	buf_deinit(&box->trailer);
	*box = (struct http_box){.head = box->head, .body = box->body, .req = {.arena = arena}};
	if (s->n_boxes >= KEEP_BOXES) {
		box_free(box);
		return;
	}
	list_prepend(&s->boxes, &box->link);
	s->n_boxes++;
}

/* ---- The server ---- */

static void server_free(struct http_server *s)
{
	struct http_box *box;

	while ((box = list_first(&s->boxes, struct http_box, link))) {
		list_remove(&box->link);
		box_free(box);
	}
	later_clear(&s->drained);
	deadline_clear(&s->drain_end);
	buf_deinit(&s->scratch);
	buf_deinit(&s->text);
	free(s->address);
	free(s);
}

static void look_empty(struct http_server *s)
{
	if (s->n_conns > 0)
		return;
	if (s->is_freeing)
		server_free(s);
	else if (s->is_draining)
		later_set(s->wheel, &s->drained);
}

void http_conn_free(struct http_conn *c)
{
	struct http_server *s = c->server;

	list_remove(&c->link);
	s->n_conns--;
	buf_deinit(&c->in);
	deadline_clear(&c->deadline);
	later_clear(&c->turn);
	free(c);
	look_empty(s);
}

static void on_connection(void *arg, struct stream *stream)
{
	struct http_server *s = arg;

	if (s->n_conns >= s->limits.max_connections)
		stream_close(stream, false);
	else
		http_conn_start(s, stream);
}

static void on_drained(struct later *l)
{
	struct http_server *s = container_of(l, struct http_server, drained);

	deadline_clear(&s->drain_end);
	if (s->on_drained)
		s->on_drained(s->drained_arg);
}

/* May free the server. */
static void cut_all(struct http_server *s, int err)
{
	struct http_conn *c;

	s->n_conns++; /* so that it stays while we look */
	list_foreach (c, &s->conns, struct http_conn, link) {
		if (c->state == CONN_CLOSING)
			stream_close(c->stream, false);
		else if (c->state == CONN_HANDED)
			http_conn_free(c);
		else
			http_conn_cut(c, err);
	}
	s->n_conns--;
	look_empty(s);
}

static void on_drain_end(struct deadline *d)
{
	cut_all(container_of(d, struct http_server, drain_end), -ECANCELED);
}

static struct http_server *server_new(uv_loop_t *loop, struct wheel *wheel, const struct http_limits *limits,
				      http_on_request *cb, void *arg)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->wheel = wheel;
	s->limits = limits ? *limits : http_limits_default;
	s->cb = cb;
	s->arg = arg;
	list_init(&s->conns);
	list_init(&s->boxes);
	later_init(&s->drained, on_drained);
	deadline_init(&s->drain_end, on_drain_end);
	return s;
}

/* r: what opening the listener gave. */
static int server_opened(struct http_server *s, int r, struct http_server **ret)
{
	if (r < 0) {
		server_free(s);
		return r;
	}
	s->address = xstrdup(listener_address(s->listener));
	*ret = s;
	return 0;
}

int http_server_open(uv_loop_t *loop, struct wheel *wheel, const char *address, const struct http_limits *limits,
		     http_on_request *cb, void *arg, struct http_server **ret)
{
	struct http_server *s = server_new(loop, wheel, limits, cb, arg);

	return server_opened(s, listener_open(loop, wheel, address, BACKLOG, on_connection, s, &s->listener), ret);
}

int http_server_open_shared(uv_loop_t *loop, struct wheel *wheel, const char *address, bool is_first,
			    const struct http_limits *limits, http_on_request *cb, void *arg, struct http_server **ret)
{
	struct http_server *s = server_new(loop, wheel, limits, cb, arg);

	return server_opened(
		s, listener_open_shared(loop, wheel, address, BACKLOG, is_first, on_connection, s, &s->listener), ret);
}

const char *http_server_address(const struct http_server *s)
{
	return s->address;
}

unsigned http_server_connections(const struct http_server *s)
{
	return s->n_conns;
}

void http_server_leave(struct http_server *s)
{
	s->is_leaving = true;
}

static void stop_accepting(struct http_server *s)
{
	listener_close(s->listener);
	s->listener = NULL;
}

void http_server_drain(struct http_server *s, uint64_t max_ms, void (*cb)(void *arg), void *arg)
{
	struct http_conn *c;

	if (s->is_draining)
		return;
	s->is_leaving = s->is_draining = true;
	s->on_drained = cb;
	s->drained_arg = arg;
	stop_accepting(s);
	list_foreach (c, &s->conns, struct http_conn, link) {
		http_conn_drain(c);
	}
	if (s->n_conns == 0)
		later_set(s->wheel, &s->drained);
	else
		deadline_set(s->wheel, &s->drain_end, max_ms);
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	s->is_freeing = true;
	stop_accepting(s);
	deadline_clear(&s->drain_end);
	later_clear(&s->drained);
	cut_all(s, -ECANCELED);
}
