#include "io/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The manager's side, and a loop of the process that it waits for. */
struct bench {
	uv_loop_t loop;
	int fd;
	char name[64];
};

static int setup(void **state)
{
	static struct bench b;
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(b.name, sizeof(b.name), "/tmp/ogent-notify-test-%d", (int)getpid());
	strcpy(at.sun_path, b.name);
	unlink(b.name);
	b.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(b.fd, (struct sockaddr *)&at, sizeof(at)), 0);
	setenv("NOTIFY_SOCKET", b.name, 1);
	uv_loop_init(&b.loop);
	*state = &b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	close(b->fd);
	unlink(b->name);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return 0;
}

static void assert_told(struct bench *b, const char *line)
{
	char text[64];
	ssize_t n = recv(b->fd, text, sizeof(text), 0);

	assert_int_equal(n, strlen(line));
	assert_memory_equal(text, line, (size_t)n);
}

static void assert_silent(struct bench *b)
{
	char text[64];

	assert_int_equal(recv(b->fd, text, sizeof(text), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void ready_and_stopping_are_told_in_one_datagram_each(void **state)
{
	struct bench *b = *state;
	struct notify *n = notify_new(&b->loop);

	assert_non_null(n);
	notify_ready(n);
	assert_told(b, "READY=1");
	notify_stopping(n);
	assert_told(b, "STOPPING=1");
	assert_silent(b);
	notify_free(n);
}

static void a_name_with_an_at_sign_is_an_abstract_socket(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char name[64];

	int n = snprintf(name, sizeof(name), "@ogent-notify-test-%d", (int)getpid());
	memcpy(at.sun_path + 1, name + 1, (size_t)n - 1);
	close(b->fd);
	b->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		bind(b->fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)),
		0);
	setenv("NOTIFY_SOCKET", name, 1);
	struct notify *told = notify_new(&b->loop);
	notify_ready(told);
	assert_told(b, "READY=1");
	notify_free(told);
}

static void children_do_not_inherit_the_manager(void **state)
{
	struct bench *b = *state;

	setenv("WATCHDOG_USEC", "30000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_free(notify_new(&b->loop));
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
}

static void nobody_is_told_without_a_socket_or_with_a_wrong_name(void **state)
{
	struct bench *b = *state;
	char longest[200];

	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	const char *const names[] = {"", "relative", "/", longest};
	unsetenv("NOTIFY_SOCKET");
	assert_null(notify_new(&b->loop));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		struct notify *n = notify_new(&b->loop);
		assert_null(n);
		notify_ready(n);
		notify_stopping(n);
		notify_free(n);
	}
	assert_silent(b);
}

static void the_watchdog_is_fed_from_the_loop_until_the_end(void **state)
{
	struct bench *b = *state;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_USEC", "4000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	struct notify *n = notify_new(&b->loop);
	static uv_timer_t keeps_running; /* closed after this function */
	uv_timer_init(&b->loop, &keeps_running);
	uv_timer_start(&keeps_running, (uv_timer_cb)(void (*)(void))abort, 60000, 0);
	notify_ready(n);
	assert_told(b, "READY=1");
	assert_silent(b); /* a process whose loop stands still says nothing */
	char text[64];
	for (unsigned fed = 0; fed < 3;) {
		uv_run(&b->loop, UV_RUN_ONCE);
		if (recv(b->fd, text, sizeof(text), MSG_DONTWAIT) == 10) {
			assert_memory_equal(text, "WATCHDOG=1", 10);
			fed++;
		}
	}
	uv_close((uv_handle_t *)&keeps_running, NULL);
	notify_free(n);
}

static void another_process_s_watchdog_is_not_fed(void **state)
{
	struct bench *b = *state;

	setenv("WATCHDOG_USEC", "2000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	struct notify *n = notify_new(&b->loop);
	notify_ready(n);
	assert_told(b, "READY=1");
	usleep(5000);
	uv_run(&b->loop, UV_RUN_NOWAIT);
	assert_silent(b);
	notify_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ready_and_stopping_are_told_in_one_datagram_each, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_with_an_at_sign_is_an_abstract_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(children_do_not_inherit_the_manager, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_is_told_without_a_socket_or_with_a_wrong_name, setup, teardown),
		cmocka_unit_test_setup_teardown(the_watchdog_is_fed_from_the_loop_until_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(another_process_s_watchdog_is_not_fed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
