#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/relay.h"

static int result;
static bool has_ended;

static void on_end(void *owner, int err)
{
	has_ended = true;
	result = err;
}

/* The client may leave in the moment in which the other side agrees to an upgrade. */
static void a_side_that_was_closing_already_ends_the_other(void **state)
{
	static const struct relay_events events = {NULL, on_end};
	uv_loop_t loop;
	struct wheel *wheel;
	struct stream *sides[2];
	int first[2], second[2];

	uv_loop_init(&loop);
	wheel = wheel_new(&loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, first), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, second), 0);
	sides[0] = stream_from_fd(&loop, wheel, first[0]);
	sides[1] = stream_from_fd(&loop, wheel, second[0]);
	stream_close(sides[0], false);
	relay_start(wheel, sides, (const struct str[2]){{0}, {0}}, 0, RELAY_END_WITH_FIRST, &events, NULL);
	for (int i = 0; i < 5; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(write(second[1], "x", 1) == 1 || errno == EPIPE, 1);
	close(first[1]);
	close(second[1]);
	for (int i = 0; i < 1000 && !has_ended; i++)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(has_ended);
	assert_int_equal(result, -ECONNRESET);
	wheel_free(wheel);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_side_that_was_closing_already_ends_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
