/* For the tests: a real HTTP server on loopback with a few handlers, and a client that writes raw bytes; both in one
 * thread, so that a wait for the client runs the server's loop. */
#pragma once

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "io/address.h"
#include "io/http_server.h"

struct test_server {
	uv_loop_t loop;
	struct wheel *wheel;
	struct http_server *server;
	unsigned n_requests, n_closed;
	int last_err; /* of the last on_close */
	bool is_drained;
	struct http_request *held; /* of /hold and others, NULL once closed */
	struct stream *upgraded;
	struct buf early;
	size_t received, written;
	unsigned n_drains, n_body_ends;
};

struct test_client {
	struct test_server *server;
	int fd;
	bool is_closed;
	int err; /* ECONNRESET and the like */
	struct buf in;
};

struct test_answer {
	int status;      /* 0 = none */
	char body[4096]; /* cut to this */
};

void test_on_request(void *arg, struct http_request *r);
struct test_server *test_server_new(const struct http_limits *limits);
void test_server_free(struct test_server *t);
/* Runs the loop for a moment, until something happens or 1 ms is over. */
void test_server_turn(struct test_server *t);
/* Runs the loop until `*what` or the time is over; returns *what. */
bool test_server_until(struct test_server *t, const bool *what, unsigned ms);

struct test_client *test_client_new(struct test_server *t);
void test_client_free(struct test_client *c);
/* Sends all of it, at most `piece` bytes at once with turns of the loop between. */
void test_client_send(struct test_client *c, const char *data, size_t n, size_t piece);
/* Reads what there is now. */
void test_client_read(struct test_client *c);
/* Reads until the server closes. */
void test_client_read_all(struct test_client *c, unsigned ms);
/* Reads until a head is there. */
void test_client_wait_answer(struct test_client *c, unsigned ms);
/* Takes one answer off what was read. */
struct test_answer test_client_answer(struct test_client *c);
