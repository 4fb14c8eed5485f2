#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "io/address.h"
#include "io/stream_internal.h"

enum connecting_state {
	CONNECTING_STARTING,  /* waits for this turn's end */
	CONNECTING_RESOLVING, /* waits for the host's addresses */
	CONNECTING_WAITING,   /* waits for the connection to one of them */
	CONNECTING_ENDED,     /* on_connect came; waits for libuv to give its request back */
};

struct connecting {
	uv_loop_t *loop;
	struct wheel *wheel;
	struct address address;
	stream_on_connect *cb;
	void *arg;
	enum connecting_state state;
	bool is_out; /* libuv has `resolve` or `connect` */
	bool is_cancelled;
	int err; /* the address is wrong, or why the last attempt failed */
	struct later turn;
	struct deadline deadline;
	uv_getaddrinfo_t resolve;
	uv_connect_t connect;
	struct addrinfo *found, *next; /* the next address to try */
	struct stream *stream;         /* being connected */
};

static void try_next(struct connecting *c);

static void release(struct connecting *c)
{
	if (c->found)
		uv_freeaddrinfo(c->found);
	free(c);
}

/* Calls back once. The memory waits for libuv, when that still has a request. */
static void end(struct connecting *c, int err)
{
	struct stream *s = c->stream;

	if (c->state == CONNECTING_RESOLVING && c->is_out)
		uv_cancel((uv_req_t *)&c->resolve);
	c->state = CONNECTING_ENDED;
	c->stream = NULL;
	later_clear(&c->turn);
	deadline_clear(&c->deadline);
	if (err < 0 && s) {
		stream_close(s, false);
		s = NULL;
	}
	if (s)
		stream_connected(s);
	c->cb(c->arg, err, s);
	if (!c->is_out)
		release(c);
}

static void on_connect(uv_connect_t *req, int status)
{
	struct connecting *c = container_of(req, struct connecting, connect);

	c->is_out = false;
	if (c->state == CONNECTING_ENDED) {
		release(c);
	} else if (status == 0) {
		end(c, 0);
	} else {
		stream_close(c->stream, false);
		c->stream = NULL;
		c->err = status;
		try_next(c);
	}
}

static int connect_to(struct connecting *c, const struct sockaddr *to)
{
	c->stream = stream_new(c->loop, c->wheel, false);
	c->state = CONNECTING_WAITING;
	return uv_tcp_connect(&c->connect, (uv_tcp_t *)stream_handle(c->stream), to, on_connect);
}

static void try_next(struct connecting *c)
{
	while (c->next) {
		int r = connect_to(c, c->next->ai_addr);

		c->next = c->next->ai_next;
		if (r == 0) {
			c->is_out = true;
			return;
		}
		stream_close(c->stream, false);
		c->stream = NULL;
		c->err = r;
	}
	end(c, c->err);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct connecting *c = container_of(req, struct connecting, resolve);

	c->is_out = false;
	c->found = c->next = found;
	if (c->state == CONNECTING_ENDED) {
		release(c);
		return;
	}
	/* The resolver's own numbers are no errno values. */
	c->err = status < 0 ? -EHOSTUNREACH : -ECONNREFUSED;
	try_next(c);
}

static int start(struct connecting *c)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};

	if (c->address.is_unix) {
		c->stream = stream_new(c->loop, c->wheel, true);
		c->state = CONNECTING_WAITING;
		uv_pipe_connect(&c->connect, (uv_pipe_t *)stream_handle(c->stream), c->address.host, on_connect);
		return 0;
	}
	if (c->address.is_numeric)
		return connect_to(c, (struct sockaddr *)&c->address.ip);
	c->state = CONNECTING_RESOLVING;
	return uv_getaddrinfo(c->loop, &c->resolve, on_resolved, c->address.host, c->address.port, &hints);
}

static void on_turn(struct later *l)
{
	struct connecting *c = container_of(l, struct connecting, turn);
	int r = c->is_cancelled ? -ECANCELED : c->err;

	if (r == 0)
		r = start(c);
	if (r < 0)
		end(c, r);
	else
		c->is_out = true;
}

static void on_deadline(struct deadline *d)
{
	end(container_of(d, struct connecting, deadline), -ETIMEDOUT);
}

struct connecting *stream_connect(uv_loop_t *loop, struct wheel *wheel, const char *address, uint64_t timeout_ms,
				  stream_on_connect *cb, void *arg)
{
	struct connecting *c = xcalloc(1, sizeof(*c));

	c->loop = loop;
	c->wheel = wheel;
	c->cb = cb;
	c->arg = arg;
	later_init(&c->turn, on_turn);
	deadline_init(&c->deadline, on_deadline);
	c->err = address_parse(address, &c->address);
	deadline_set(wheel, &c->deadline, timeout_ms);
	later_set(wheel, &c->turn);
	return c;
}

void connecting_cancel(struct connecting *c)
{
	if (c->state == CONNECTING_ENDED)
		return;
	c->is_cancelled = true;
	later_set(c->wheel, &c->turn);
}
