#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/stream.h"

static uv_loop_t loop;
static struct wheel *wheel;
static struct stream *stream; /* one end of a socketpair */
static int peer;              /* the other */

static struct buf got;
static unsigned n_ends, n_drains, n_closes, n_released;
static int end_err;

static void on_data(void *owner, const char *data, size_t n)
{
	buf_add(&got, data, n);
}

static void on_end(void *owner, int err)
{
	n_ends++;
	end_err = err;
}

static void on_drain(void *owner)
{
	n_drains++;
}

static void on_close(void *owner)
{
	n_closes++;
}

static const struct stream_events events = {on_data, on_end, on_drain, on_close};

static int setup(void **state)
{
	int fds[2];

	n_ends = n_drains = n_closes = n_released = 0;
	end_err = 1;
	buf_clear(&got);
	uv_loop_init(&loop);
	wheel = wheel_new(&loop);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return -1;
	stream = stream_from_fd(&loop, wheel, fds[0]);
	peer = fds[1];
	stream_set_owner(stream, &events, NULL);
	return 0;
}

static int teardown(void **state)
{
	if (n_closes == 0)
		stream_close(stream, false);
	if (peer >= 0)
		close(peer);
	uv_run(&loop, UV_RUN_NOWAIT);
	wheel_free(wheel);
	uv_run(&loop, UV_RUN_DEFAULT);
	buf_deinit(&got);
	return n_closes == 1 ? uv_loop_close(&loop) : -1;
}

static void turns(int n)
{
	for (int i = 0; i < n; i++) {
		struct pollfd p = {.fd = uv_backend_fd(&loop), .events = POLLIN};

		uv_run(&loop, UV_RUN_NOWAIT);
		poll(&p, 1, 1);
	}
}

/* What the peer can read now. */
static struct str peer_read(void)
{
	static char data[4 << 20];
	ssize_t n = recv(peer, data, sizeof(data), MSG_DONTWAIT);

	return (struct str){data, n > 0 ? (size_t)n : 0};
}

static void release(void *arg)
{
	n_released++;
}

static void writes_of_a_turn_go_out_together(void **state)
{
	stream_write(stream, "one ", 4);
	stream_write_shared(stream, "two ", 4, release, NULL);
	stream_writev(stream, (struct str[]){STR("three "), STR(""), STR("four")}, 3);
	assert_int_equal(peer_read().n, 0);
	assert_int_equal(n_released, 0);
	assert_int_equal(stream_queued(stream), 18);
	turns(1);
	assert_true(str_is(peer_read(), "one two three four"));
	assert_int_equal(n_released, 1);
	assert_int_equal(stream_queued(stream), 0);
}

/* Long enough for a hold of 1 ms to be over, by the wheel's ticks. */
static void wait_for_peer(void)
{
	struct pollfd p = {.fd = peer, .events = POLLIN};

	for (int i = 0; i < 1000 && poll(&p, 1, 0) == 0; i++)
		turns(1);
}

static void held_bytes_wait_for_the_next_write(void **state)
{
	stream_write(stream, "one ", 4);
	stream_hold(stream, 60000);
	turns(3);
	assert_int_equal(peer_read().n, 0);
	stream_write(stream, "two", 3);
	turns(1);
	assert_true(str_is(peer_read(), "one two"));
	stream_write(stream, "three", 5);
	turns(1);
	assert_true(str_is(peer_read(), "three"));
}

static void held_bytes_go_when_their_time_is_over(void **state)
{
	stream_hold(stream, 1); /* nothing: nothing is held */
	stream_write(stream, "one", 3);
	stream_hold(stream, 1);
	assert_int_equal(peer_read().n, 0);
	wait_for_peer();
	assert_true(str_is(peer_read(), "one"));
	assert_int_equal(n_closes, 0);
}

static void held_bytes_go_with_the_end(void **state)
{
	stream_write(stream, "one", 3);
	stream_hold(stream, 60000);
	stream_close(stream, true);
	turns(2);
	assert_true(str_is(peer_read(), "one"));
	assert_int_equal(close(peer), 0);
	peer = -1;
	turns(3);
	assert_int_equal(n_closes, 1);
}

static void held_bytes_are_dropped_when_it_closes_at_once(void **state)
{
	stream_write(stream, "one", 3);
	stream_hold(stream, 1);
	stream_close(stream, false);
	turns(100);
	assert_int_equal(peer_read().n, 0);
	assert_int_equal(n_closes, 1);
}

static void held_bytes_to_nobody_end_with_an_error(void **state)
{
	stream_resume(stream);
	stream_write(stream, "one", 3);
	stream_hold(stream, 1);
	close(peer);
	peer = -1;
	for (int i = 0; i < 1000 && n_ends == 0; i++)
		turns(1);
	turns(100);
	assert_int_equal(n_ends, 1);
}

static void reading_starts_paused_and_can_pause(void **state)
{
	assert_int_equal(write(peer, "abc", 3), 3);
	turns(3);
	assert_int_equal(got.n, 0);
	stream_resume(stream);
	turns(3);
	assert_string_equal(got.p, "abc");
	stream_pause(stream);
	assert_int_equal(write(peer, "def", 3), 3);
	turns(3);
	assert_int_equal(got.n, 3);
	stream_resume(stream);
	turns(3);
	assert_string_equal(got.p, "abcdef");
}

/* The n-th byte of what is written. */
static char byte_at(size_t n)
{
	return (char)(n * 7 + n / 251);
}

static void a_slow_reader_holds_the_writer_up_and_gets_every_byte_in_order(void **state)
{
	static char all[8000000];
	size_t written = 0, read_by_peer = 0;
	bool has_room = true;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = byte_at(i);
	for (unsigned i = 0; has_room; i++) {
		size_t n = 1000 + i % 7 * 6000; /* copied, shared, small and large ones by turns */

		has_room = i % 3 == 0 ? stream_write_shared(stream, all + written, n, release, NULL)
				      : stream_write(stream, all + written, n);
		written += n;
		if (i % 5 == 0)
			turns(1);
		assert_true(written < sizeof(all) - 100000);
	}
	assert_int_equal(n_drains, 0);
	assert_true(stream_queued(stream) > STREAM_HIGH_WATER);
	stream_write(stream, all + written, 5000);
	written += 5000;
	while (read_by_peer < written) {
		struct str data = peer_read();

		assert_memory_equal(data.p, all + read_by_peer, data.n);
		read_by_peer += data.n;
		turns(1);
	}
	assert_int_equal(n_drains, 1);
	assert_int_equal(stream_queued(stream), 0);
	assert_true(stream_write(stream, "x", 1));
}

static void short_pieces_fill_the_kernel_and_arrive_whole_and_in_order(void **state)
{
	static char all[2000000];
	size_t written = 0, read_by_peer = 0;
	unsigned n_shared = 0;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = byte_at(i);
	for (unsigned i = 0; stream_queued(stream) < 50000; i++) {
		size_t n = 1 + i % 200;

		if (i % 3) {
			stream_write_shared(stream, all + written, n, release, NULL);
			n_shared++;
		} else {
			stream_write(stream, all + written, n);
		}
		written += n;
		if (i % 97 < i / 97 % 97) /* few or many pieces in a turn */
			turns(1);
		assert_true(written < sizeof(all) - 200);
	}
	while (read_by_peer < written) {
		struct str data = peer_read();

		assert_memory_equal(data.p, all + read_by_peer, data.n);
		read_by_peer += data.n;
		turns(1);
	}
	assert_int_equal(stream_queued(stream), 0);
	assert_int_equal(n_released, n_shared);
}

static void the_peers_end_comes_once(void **state)
{
	stream_resume(stream);
	shutdown(peer, SHUT_WR);
	turns(5);
	assert_int_equal(n_ends, 1);
	assert_int_equal(end_err, 0);
	assert_false(stream_peer_is_gone(stream));
	stream_write(stream, "still", 5);
	turns(2);
	assert_true(str_is(peer_read(), "still"));
	close(peer);
	peer = -1;
	assert_true(stream_peer_is_gone(stream));
	stream_write(stream, "nobody", 6);
	turns(5);
	assert_int_equal(n_ends, 1);
}

static void a_write_to_nobody_ends_with_an_error_later(void **state)
{
	close(peer);
	peer = -1;
	stream_write(stream, "nobody", 6);
	stream_write_shared(stream, "nobody", 6, release, NULL);
	assert_int_equal(n_ends, 0);
	turns(5);
	assert_int_equal(n_ends, 1);
	assert_int_equal(end_err, -EPIPE);
	assert_int_equal(n_released, 1);
	assert_true(stream_write(stream, "dropped", 7));
	stream_write_shared(stream, "nobody", 6, release, NULL);
	assert_int_equal(n_released, 2);
}

static void shutting_down_sends_the_rest_first(void **state)
{
	stream_write(stream, "last words", 10);
	stream_shutdown(stream);
	turns(3);
	assert_true(str_is(peer_read(), "last words"));
	assert_int_equal(recv(peer, (char[1]){0}, 1, MSG_DONTWAIT), 0);
	stream_resume(stream);
	assert_int_equal(write(peer, "abc", 3), 3);
	turns(3);
	assert_string_equal(got.p, "abc");
}

static void closing_with_flush_writes_all_and_waits_for_the_peer(void **state)
{
	static char big[3000000];
	size_t total = 0;

	stream_resume(stream);
	stream_write(stream, big, sizeof(big));
	stream_close(stream, true);
	for (int i = 0; i < 1000 && total < sizeof(big); i++) {
		turns(1);
		total += peer_read().n;
	}
	assert_int_equal(total, sizeof(big));
	assert_int_equal(write(peer, "unread", 6), 6);
	turns(3);
	assert_int_equal(n_closes, 0);
	close(peer);
	peer = -1;
	turns(3);
	assert_int_equal(n_closes, 1);
	assert_int_equal(n_ends, 0);
	assert_int_equal(got.n, 0);
}

static void closing_without_flush_drops_what_is_queued(void **state)
{
	static char big[3000000];

	stream_write_shared(stream, big, sizeof(big), release, NULL);
	turns(1);
	stream_write_shared(stream, big, sizeof(big), release, NULL);
	stream_close(stream, false);
	assert_int_equal(n_closes, 0); /* never from inside */
	turns(2);
	assert_int_equal(n_closes, 1);
	assert_int_equal(n_released, 2);
}

/* ---- Connecting ---- */

static struct stream *accepted, *connected;
static int connect_err;
static unsigned n_connects;

static void on_accept(void *arg, struct stream *s)
{
	accepted = s;
}

static void on_connect(void *arg, int err, struct stream *s)
{
	n_connects++;
	connect_err = err;
	connected = s;
}

static void wait_connect(void)
{
	n_connects = 0;
	connected = accepted = NULL;
	for (int i = 0; i < 3000 && n_connects == 0; i++)
		turns(1);
	turns(3);
	assert_int_equal(n_connects, 1);
}

static void a_listener_is_connected_to_by_number_and_by_name(void **state)
{
	struct listener *l;
	char by_name[64];

	assert_int_equal(listener_open(&loop, wheel, "127.0.0.1:0", 16, on_accept, NULL, &l), 0);
	snprintf(by_name, sizeof(by_name), "localhost:%s", strrchr(listener_address(l), ':') + 1);
	const char *addresses[] = {listener_address(l), by_name};
	for (int i = 0; i < 2; i++) {
		stream_connect(&loop, wheel, addresses[i], 2000, on_connect, NULL);
		wait_connect();
		assert_int_equal(connect_err, 0);
		assert_non_null(accepted);
		assert_true(IN6_IS_ADDR_V4MAPPED(stream_peer(accepted)) && stream_peer(accepted)->s6_addr[12] == 127);
		stream_close(connected, false);
		stream_close(accepted, false);
	}
	const char *address = strdup(listener_address(l));
	listener_close(l);
	turns(2);
	stream_connect(&loop, wheel, address, 2000, on_connect, NULL);
	wait_connect();
	assert_int_equal(connect_err, -ECONNREFUSED);
	assert_null(connected);
	free((char *)address);
}

static void wrong_addresses_are_told(void **state)
{
	static const char *const wrong[] = {"",    "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000",
					    ":80", "::1:80",    "unix:"};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct listener *l;

		assert_int_equal(listener_open(&loop, wheel, wrong[i], 16, on_accept, NULL, &l), -EINVAL);
		stream_connect(&loop, wheel, wrong[i], 2000, on_connect, NULL);
		wait_connect();
		assert_int_equal(connect_err, -EINVAL);
	}
	stream_connect(&loop, wheel, "unix:/nowhere/at/all", 2000, on_connect, NULL);
	wait_connect();
	assert_int_equal(connect_err, -ENOENT);
}

static void a_cancelled_connection_tells_so_later(void **state)
{
	struct connecting *c = stream_connect(&loop, wheel, "127.0.0.1:1", 2000, on_connect, NULL);

	n_connects = 0;
	connecting_cancel(c);
	assert_int_equal(n_connects, 0);
	wait_connect();
	assert_int_equal(connect_err, -ECANCELED);
	c = stream_connect(&loop, wheel, "localhost:1", 2000, on_connect, NULL);
	uv_run(&loop, UV_RUN_NOWAIT); /* it resolves now */
	connecting_cancel(c);
	wait_connect();
	assert_int_equal(connect_err, -ECANCELED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_of_a_turn_go_out_together, setup, teardown),
		cmocka_unit_test_setup_teardown(held_bytes_wait_for_the_next_write, setup, teardown),
		cmocka_unit_test_setup_teardown(held_bytes_go_when_their_time_is_over, setup, teardown),
		cmocka_unit_test_setup_teardown(held_bytes_go_with_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(held_bytes_are_dropped_when_it_closes_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(held_bytes_to_nobody_end_with_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(reading_starts_paused_and_can_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_reader_holds_the_writer_up_and_gets_every_byte_in_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(short_pieces_fill_the_kernel_and_arrive_whole_and_in_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_peers_end_comes_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_write_to_nobody_ends_with_an_error_later, setup, teardown),
		cmocka_unit_test_setup_teardown(shutting_down_sends_the_rest_first, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_with_flush_writes_all_and_waits_for_the_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_without_flush_drops_what_is_queued, setup, teardown),
		cmocka_unit_test_setup_teardown(a_listener_is_connected_to_by_number_and_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_addresses_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cancelled_connection_tells_so_later, setup, teardown),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
