#include "base/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"

/* stderr goes to a pipe while a line is logged. */
static char text[20000];
static int saved_stderr, pipe_fds[2];

static void capture(void)
{
	assert_int_equal(pipe(pipe_fds), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(pipe_fds[1], STDERR_FILENO);
	close(pipe_fds[1]);
}

static const char *captured(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);
	close(pipe_fds[0]);
	text[n > 0 ? n : 0] = 0;
	return text;
}

static void a_line_cannot_be_broken_nor_play_with_the_terminal(void **state)
{
	log_init("test", LOG_INFO, false);
	capture();
	log_event(LOG_WARN, "two\nlines\x1b[31m", "who", "a b", "c1", "\xc2\x9b", "plain", "\xc3\xa9", "none", NULL,
		  NULL);
	const char *s = captured();
	assert_non_null(
		strstr(s, "Z warn  test: two\\x0alines\\x1b[31m who=\"a b\" c1=\\x9b plain=\xc3\xa9 none=\"\"\n"));
	assert_ptr_equal(strchr(s, '\n'), s + strlen(s) - 1);
}

static void the_json_form_is_one_json_object_a_line(void **state)
{
	struct arena *a = arena_new();

	log_init("test", LOG_INFO, true);
	capture();
	log_event(LOG_ERROR, "a \"b\"\n", "k", "v\xff", NULL);
	const char *s = captured();
	yyjson_doc *doc = json_parse(a, s, strlen(s), NULL);
	assert_non_null(doc);
	yyjson_val *o = yyjson_doc_get_root(doc);
	assert_string_equal(json_get_str(o, "level", ""), "error");
	assert_string_equal(json_get_str(o, "service", ""), "test");
	assert_string_equal(json_get_str(o, "message", ""), "a \"b\"\n");
	assert_string_equal(json_get_str(o, "k", ""), "v\xef\xbf\xbd");
	arena_free(a);
}

static void errno_is_kept_and_levels_are_honoured(void **state)
{
	log_init("test", LOG_WARN, false);
	capture();
	errno = EXDEV;
	log_info("not shown");
	log_debug("not shown");
	log_warn("shown %d", 1);
	assert_int_equal(errno, EXDEV);
	const char *s = captured();
	assert_null(strstr(s, "not shown"));
	assert_non_null(strstr(s, "shown 1"));
	assert_int_equal(log_level_from_name("debug"), LOG_DEBUG);
	assert_int_equal(log_level_from_name("loud"), -EINVAL);
}

static void a_long_message_is_cut(void **state)
{
	static char big[10000];

	memset(big, 'x', sizeof(big) - 1);
	log_init("test", LOG_INFO, false);
	capture();
	log_event(LOG_INFO, big, "field", big, NULL);
	assert_in_range(strlen(captured()), 8192, 8400);
}

/* Every write is a message of its own here. */
static void collected_lines_reach_a_pipe_whole(void **state)
{
	int ends[2], saved = dup(STDERR_FILENO);
	size_t lines = 0, writes = 0;
	ssize_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log_init("test", LOG_INFO, true);
	log_collect(true);
	assert_false(log_waits());
	for (int i = 0; i < 100; i++)
		log_event(LOG_INFO, "one of many lines that wait for each other", "field", "value", NULL);
	assert_true(log_waits());
	assert_true(recv(ends[0], text, sizeof(text), MSG_PEEK) < 0);
	log_collect(false);
	dup2(saved, STDERR_FILENO);
	while ((n = recv(ends[0], text, sizeof(text), 0)) > 0) {
		writes++;
		assert_in_range(n, 1, PIPE_BUF);
		assert_int_equal(text[0], '{');
		assert_int_equal(text[n - 1], '\n');
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
	}
	assert_int_equal(lines, 100);
	assert_in_range(writes, 3, 10);
	close(ends[0]);
	close(ends[1]);
	close(saved);
}

static const char *logged_numbers(uint64_t number, uint64_t us)
{
	struct buf *line;

	capture();
	line = log_begin(LOG_INFO, STR("x"), 1);
	log_number(line, LOG_NAME("n"), number);
	log_ms(line, LOG_NAME("ms"), us);
	log_end(line, LOG_INFO);
	return strstr(captured(), "x") + 1;
}

static void numbers_are_written_with_all_their_digits(void **state)
{
	log_init("te", LOG_INFO, true);
	assert_string_equal(logged_numbers(0, 0), "\",\"n\":\"0\",\"ms\":\"0.000\"}\n");
	assert_string_equal(logged_numbers(10, 1002), "\",\"n\":\"10\",\"ms\":\"1.002\"}\n");
	assert_string_equal(logged_numbers(UINT64_MAX, UINT64_MAX),
			    "\",\"n\":\"18446744073709551615\",\"ms\":\"18446744073709551.615\"}\n");
	log_init("te", LOG_INFO, false);
	assert_string_equal(logged_numbers(7, 999), " n=7 ms=0.999\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_cannot_be_broken_nor_play_with_the_terminal),
		cmocka_unit_test(the_json_form_is_one_json_object_a_line),
		cmocka_unit_test(errno_is_kept_and_levels_are_honoured),
		cmocka_unit_test(a_long_message_is_cut),
		cmocka_unit_test(collected_lines_reach_a_pipe_whole),
		cmocka_unit_test(numbers_are_written_with_all_their_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
