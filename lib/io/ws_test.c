#include "io/ws.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "io/peer_for_tests.h"
#include "io/ws_deflate.h"

#define REQUEST "GET /ws HTTP/1.1\r\nHost: a\r\n"
#define UPGRADE "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
#define HANDSHAKE REQUEST UPGRADE VERSION KEY "\r\n"

/* A server that keeps one connection, and a client that is bytes only. */
struct room {
	struct peer p;
	struct http_server *server;
	struct ws_conn *conn;
	struct buf messages; /* "T:hello;" */
	int closed, code, drains;
	bool close_on_message;

	struct stream *client;
	struct buf received;
	int client_ended;
};

static void on_message(void *owner, enum ws_opcode op, const char *data, size_t n)
{
	struct room *r = owner;

	buf_printf(&r->messages, "%c:%.*s;", op == WS_TEXT ? 'T' : 'B', (int)n, data);
	if (r->close_on_message)
		ws_close(r->conn, 4401, "sign in");
}

static void on_drain(void *owner)
{
	((struct room *)owner)->drains++;
}

static void on_close(void *owner, int code)
{
	struct room *r = owner;

	r->conn = NULL;
	r->code = code;
	r->closed++;
}

static const struct ws_events ws_events = {.on_message = on_message, .on_drain = on_drain, .on_close = on_close};

static void on_request(void *arg, struct http_request *req)
{
	struct room *r = arg;

	r->conn = ws_accept(req, r->p.wheel, "ogent", 1000, &ws_events, r);
}

static void client_on_data(void *owner, const char *data, size_t n)
{
	buf_add(&((struct room *)owner)->received, data, n);
}

static void client_on_end(void *owner, int err)
{
	struct room *r = owner;

	r->client_ended++;
	stream_close(r->client, false);
	r->client = NULL;
}

static void client_on_close(void *owner)
{
}

static void client_on_connect(void *arg, int err, struct stream *s)
{
	static const struct stream_events events = {
		.on_data = client_on_data, .on_end = client_on_end, .on_close = client_on_close};
	struct room *r = arg;

	assert_int_equal(err, 0);
	r->client = s;
	stream_set_owner(s, &events, r);
	stream_resume(s);
}

static void room_open(struct room *r, const char *bytes)
{
	memset(r, 0, sizeof(*r));
	peer_start(&r->p, NULL, 0);
	assert_int_equal(http_server_open(&r->p.loop, r->p.wheel, "127.0.0.1:0", NULL, on_request, r, &r->server), 0);
	stream_connect(&r->p.loop, r->p.wheel, http_server_address(r->server), 1000, client_on_connect, r);
	while (!r->client)
		uv_run(&r->p.loop, UV_RUN_ONCE);
	stream_write(r->client, bytes, strlen(bytes));
	peer_run_ms(&r->p, 10);
}

static void room_open_ws(struct room *r)
{
	room_open(r, HANDSHAKE);
	assert_non_null(r->conn);
	buf_clear(&r->received);
}

static void room_close(struct room *r)
{
	if (r->client)
		stream_close(r->client, false);
	peer_run_ms(&r->p, 10);
	assert_null(r->conn);
	http_server_free(r->server);
	buf_deinit(&r->messages);
	buf_deinit(&r->received);
	peer_stop(&r->p);
}

static void client_send(struct room *r, enum ws_opcode op, const char *data, size_t n)
{
	_cleanup_(buf_deinit) struct buf frame = BUF_INIT;

	ws_frame(&frame, op, data, n, (const uint8_t *)"\x11\x22\x33\x44");
	stream_write(r->client, frame.p, frame.n);
	peer_run_ms(&r->p, 10);
}

static void assert_received(struct room *r, const char *bytes, size_t n)
{
	assert_int_equal(r->received.n, n);
	assert_memory_equal(r->received.p, bytes, n);
	buf_clear(&r->received);
}

static void a_sound_handshake_opens_the_connection(void **state)
{
	struct room r;

	room_open(&r, HANDSHAKE);
	assert_non_null(r.conn);
	assert_true(str_has_prefix(buf_str(&r.received), STR("HTTP/1.1 101 Switching Protocols\r\n")));
	assert_non_null(strstr(r.received.p, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	assert_non_null(strstr(r.received.p, "Sec-WebSocket-Protocol: ogent\r\n"));
	client_send(&r, WS_TEXT, "hello", 5);
	client_send(&r, WS_BINARY, "", 0);
	assert_string_equal(r.messages.p, "T:hello;B:;");
	room_close(&r);
	assert_int_equal(r.closed, 1);
	assert_int_equal(r.code, 1006);
}

static void other_handshakes_are_refused(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
		{REQUEST "\r\n", "426"},
		{REQUEST VERSION KEY "Upgrade: websocket\r\n\r\n", "426"},
		{REQUEST VERSION KEY "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "426"},
		{REQUEST UPGRADE KEY "\r\n", "426"},
		{REQUEST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n", "426"},
		{REQUEST UPGRADE VERSION "\r\n", "400"},
		{REQUEST UPGRADE VERSION "Sec-WebSocket-Key: short==\r\n\r\n", "400"},
		{REQUEST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ%==\r\n\r\n", "400"},
		{"POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" UPGRADE VERSION KEY "\r\n", "400"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct room r;

		room_open(&r, cases[i].request);
		assert_null(r.conn);
		if (r.received.n < 12 || strncmp(r.received.p + 9, cases[i].answer, 3) != 0)
			fail_msg("case %zu: %s", i, r.received.n ? r.received.p : "nothing");
		if (strcmp(cases[i].answer, "426") == 0)
			assert_non_null(strstr(r.received.p, "Sec-WebSocket-Version: 13\r\n"));
		room_close(&r);
	}
}

static void frames_behind_the_handshake_are_not_lost(void **state)
{
	struct room r;

	room_open(&r, HANDSHAKE "\x81\x82\x01\x01\x01\x01ih");
	assert_string_equal(r.messages.p, "T:hi;");
	room_close(&r);
}

static void pings_and_closes_are_answered(void **state)
{
	struct room r;

	room_open_ws(&r);
	client_send(&r, WS_PING, "abc", 3);
	assert_received(&r,
			"\x8a\x03"
			"abc",
			5);
	client_send(&r, WS_CLOSE, "\x0f\xa0why", 5);
	assert_received(&r, "\x88\x02\x0f\xa0", 4);
	assert_int_equal(r.client_ended, 1);
	peer_run_ms(&r.p, 10);
	assert_int_equal(r.code, 4000);
	assert_int_equal(r.closed, 1);
	room_close(&r);

	room_open_ws(&r);
	client_send(&r, WS_CLOSE, "", 0);
	assert_received(&r, "\x88\x00", 2);
	peer_run_ms(&r.p, 10);
	assert_int_equal(r.code, 1005);
	room_close(&r);
}

static void a_violation_is_told_and_ends_the_connection(void **state)
{
	struct room r;

	room_open_ws(&r);
	stream_write(r.client, "\x81\x02hi", 4); /* not masked */
	peer_run_ms(&r.p, 10);
	assert_received(&r, "\x88\x02\x03\xea", 4);
	peer_run_ms(&r.p, 10);
	assert_int_equal(r.code, 1002);
	room_close(&r);

	room_open_ws(&r);
	char big[2000] = {0};
	client_send(&r, WS_BINARY, big, sizeof(big));
	assert_received(&r, "\x88\x02\x03\xf1", 4);
	room_close(&r);
	assert_int_equal(r.code, 1009);
}

static void the_server_can_close_and_hears_no_more(void **state)
{
	struct room r;

	room_open_ws(&r);
	r.close_on_message = true;
	client_send(&r, WS_TEXT, "a", 1);
	client_send(&r, WS_TEXT, "b", 1);
	assert_string_equal(r.messages.p, "T:a;");
	assert_received(&r, "\x88\x09\x11\x31sign in", 11);
	assert_true(ws_send(r.conn, WS_TEXT, "late", 4));
	client_send(&r, WS_CLOSE, "\x11\x31", 2);
	peer_run_ms(&r.p, 10);
	assert_int_equal(r.received.n, 0);
	assert_int_equal(r.client_ended, 1);
	assert_int_equal(r.code, 4401);
	room_close(&r);
}

static void one_frame_goes_to_many(void **state)
{
	struct room a, b;
	struct ws_shared *f = ws_shared_new(WS_TEXT, "news", 4);

	room_open_ws(&a);
	room_open_ws(&b);
	assert_true(ws_send_shared(a.conn, f));
	assert_true(ws_send_shared(b.conn, f));
	assert_true(ws_send_shared(b.conn, f));
	ws_shared_unref(f);
	peer_run_ms(&a.p, 10);
	peer_run_ms(&b.p, 10);
	assert_received(&a, "\x81\x04news", 6);
	assert_received(&b, "\x81\x04news\x81\x04news", 12);
	room_close(&a);
	room_close(&b);
}

/* What the client got, inflated: one compressed frame of a long text. */
static void assert_deflated(struct room *r, const char *text, size_t n)
{
	_cleanup_(buf_deinit) struct buf back = BUF_INIT;

	assert_true(r->received.n > 4 && r->received.n < n / 2);
	assert_int_equal((uint8_t)r->received.p[0], 0xc1);
	assert_int_equal(ws_inflate((struct str){r->received.p + 2, (size_t)r->received.p[1]}, 5000, &back), 0);
	assert_int_equal(back.n, n);
	assert_memory_equal(back.p, text, n);
	buf_clear(&r->received);
}

static void a_frame_is_compressed_once_for_those_who_can_read_it(void **state)
{
	char text[900];
	struct room plain, deflated, small;

	memset(text, 'x', sizeof(text));
	struct ws_shared *f = ws_shared_new(WS_TEXT, text, sizeof(text));
	room_open_ws(&plain);
	room_open(&deflated, REQUEST UPGRADE VERSION KEY DEFLATE "\r\n\r\n");
	assert_non_null(strstr(deflated.received.p, "Sec-WebSocket-Extensions: permessage-deflate; "));
	room_open(&small, REQUEST UPGRADE VERSION KEY DEFLATE "; server_max_window_bits=9\r\n\r\n");
	assert_non_null(strstr(small.received.p, "; server_max_window_bits=9\r\n"));
	buf_clear(&deflated.received);
	buf_clear(&small.received);
	ws_send_shared(plain.conn, f);
	ws_send_shared(deflated.conn, f);
	ws_send_shared(small.conn, f);
	ws_shared_unref(f);
	peer_run_ms(&plain.p, 10);
	peer_run_ms(&deflated.p, 10);
	peer_run_ms(&small.p, 10);
	assert_int_equal(plain.received.n, sizeof(text) + 4);
	assert_int_equal(small.received.n, sizeof(text) + 4); /* longer than its window */
	assert_deflated(&deflated, text, sizeof(text));
	ws_send(deflated.conn, WS_TEXT, text, sizeof(text));
	peer_run_ms(&deflated.p, 10);
	assert_deflated(&deflated, text, sizeof(text));
	ws_send(deflated.conn, WS_TEXT, "short", 5);
	peer_run_ms(&deflated.p, 10);
	assert_received(&deflated, "\x81\x05short", 7);
	stream_write(deflated.client, "\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0", 13);
	peer_run_ms(&deflated.p, 10);
	assert_string_equal(deflated.messages.p, "T:Hello;");
	stream_write(plain.client, "\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0", 13);
	peer_run_ms(&plain.p, 10);
	peer_run_ms(&plain.p, 10);
	assert_int_equal(plain.code, 1002);
	room_close(&plain);
	room_close(&deflated);
	room_close(&small);
}

static void a_slow_peer_is_told_apart_and_drains(void **state)
{
	static char block[60000];
	struct room r;
	int n = 0;

	room_open_ws(&r);
	stream_pause(r.client);
	while (ws_send(r.conn, WS_BINARY, block, sizeof(block)) && n < 1000) {
		n++;
		peer_run_ms(&r.p, 1);
	}
	assert_true(n < 1000);
	assert_true(ws_queued(r.conn) > STREAM_LOW_WATER);
	stream_resume(r.client);
	peer_run_until(&r.p, &r.drains, 1);
	peer_run_ms(&r.p, 50);
	assert_int_equal(r.received.n, (size_t)(n + 1) * (sizeof(block) + 4));
	room_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_handshake_opens_the_connection),
		cmocka_unit_test(other_handshakes_are_refused),
		cmocka_unit_test(frames_behind_the_handshake_are_not_lost),
		cmocka_unit_test(pings_and_closes_are_answered),
		cmocka_unit_test(a_violation_is_told_and_ends_the_connection),
		cmocka_unit_test(the_server_can_close_and_hears_no_more),
		cmocka_unit_test(one_frame_goes_to_many),
		cmocka_unit_test(a_frame_is_compressed_once_for_those_who_can_read_it),
		cmocka_unit_test(a_slow_peer_is_told_apart_and_drains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
