#include "data_dir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_sink.h"
#include "output.h"
#include "public_address.h"

static char folder[64], data[96];

static int setup(void **state)
{
	strcpy(folder, "/tmp/ogent-folder-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(data, sizeof(data), "%s/a/b", folder);
	assert_int_equal(data_dir_prepare(data, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static const char *path_in_data(const char *name)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/%s", data, name);
	return path;
}

static void the_folders_are_closed_to_others(void **state)
{
	static const char *const names[] = {"", "db", "run", "secrets", "keys", "log"};
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(stat(path_in_data(names[i]), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0700);
	}
	assert_int_equal(data_dir_prepare(data, NULL), 0);
}

static void a_folder_that_cannot_be_used_is_told(void **state)
{
	struct error err = {0};
	char longer[200];

	assert_true(data_dir_prepare("/proc/nowhere/ogent", &err) < 0);
	assert_non_null(strstr(err.message, "/proc/nowhere"));
	snprintf(longer, sizeof(longer), "%s/%0100d", folder, 1);
	assert_int_equal(data_dir_prepare(longer, &err), -ENAMETOOLONG);
}

static void root_does_not_take_an_account_s_folder(void **state)
{
	struct error err = {0};

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(data, 1, 1), 0);
	assert_int_equal(data_dir_prepare(data, &err), -EPERM);
	assert_non_null(strstr(err.message, "belongs to the account"));
	assert_int_equal(chown(data, 0, 0), 0);
	assert_int_equal(data_dir_prepare(data, &err), 0);
}

static void a_second_lock_names_the_first_ones_process(void **state)
{
	struct error err = {0};
	char pid[32];
	int fd = data_dir_lock(data, &err);

	assert_true(fd >= 0);
	assert_int_equal(data_dir_lock(data, &err), -EBUSY);
	snprintf(pid, sizeof(pid), "process %d:", (int)getpid());
	assert_non_null(strstr(err.message, pid));
	close(fd);
	fd = data_dir_lock(data, &err);
	assert_true(fd >= 0);
	close(fd);
}

static void a_free_port_is_found_and_a_taken_one_is_told(void **state)
{
	struct error err = {0};
	char *listen = public_address_settle("127.0.0.1:0", 0, &err);

	assert_non_null(listen);
	assert_int_not_equal(atoi(strchr(listen, ':') + 1), 0);
	free(listen);
	assert_null(public_address_settle("192.0.2.1:8420", 0, &err));
	assert_string_equal(err.code, "address_unknown");
	assert_null(public_address_settle("nonsense", 0, &err));
	assert_string_equal(err.code, "address_invalid");
}

static void a_client_connects_to_loopback_when_everything_is_listened_on(void **state)
{
	static const char *const pairs[][2] = {
		{"0.0.0.0:80", "127.0.0.1:80"}, {"[::]:80", "[::1]:80"}, {"10.0.0.1:80", "10.0.0.1:80"}};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		char *reachable = public_address_reachable(pairs[i][0]);
		assert_string_equal(reachable, pairs[i][1]);
		free(reachable);
	}
}

static size_t size_of(const char *name)
{
	struct stat st;

	return stat(path_in_data(name), &st) == 0 ? (size_t)st.st_size : 0;
}

/* Two roles write in pieces; their lines must not mix. stderr cannot be written meanwhile: it must not matter. */
static void lines_of_two_roles_stay_whole(void **state)
{
	struct log_sink s;
	struct buf a = BUF_INIT, b = BUF_INIT;
	char text[64] = "";
	int saved = dup(STDERR_FILENO), full = open("/dev/full", O_WRONLY);

	dup2(full, STDERR_FILENO);
	close(full);
	log_sink_open(&s, data);
	log_sink_take(&s, &a, "one ", 4);
	log_sink_take(&s, &b, "two\nthr", 7);
	log_sink_take(&s, &a, "more\n", 5);
	log_sink_flush(&s, &a);
	log_sink_flush(&s, &b);
	log_sink_close(&s);
	dup2(saved, STDERR_FILENO);
	close(saved);
	FILE *f = fopen(path_in_data("log/ogent.log"), "r");
	assert_int_equal(fread(text, 1, sizeof(text), f), 17);
	fclose(f);
	assert_string_equal(text, "two\none more\nthr\n");
}

static void the_log_is_rotated_and_old_ones_are_dropped(void **state)
{
	struct log_sink s;
	struct buf partial = BUF_INIT;
	char line[60000];
	int saved = dup(STDERR_FILENO), full = open("/dev/full", O_WRONLY);

	dup2(full, STDERR_FILENO);
	close(full);
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	log_sink_open(&s, data);
	for (int i = 0; i < 5 * 180; i++)
		log_sink_take(&s, &partial, line, sizeof(line));
	log_sink_close(&s);
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_in_range(size_of("log/ogent.log"), 1, 11 << 20);
	assert_in_range(size_of("log/ogent.log.1"), 10 << 20, 11 << 20);
	assert_in_range(size_of("log/ogent.log.3"), 10 << 20, 11 << 20);
	assert_int_equal(size_of("log/ogent.log.4"), 0);
}

static void a_text_becomes_one_line_of_whole_characters(void **state)
{
	struct arena *a = arena_new();

	assert_string_equal(one_line(a, "a\nb\tc", 10), "a b c");
	assert_string_equal(one_line(a, "0123456789", 10), "0123456789");
	assert_string_equal(one_line(a, "0123456789a", 10), "012345678…");
	assert_string_equal(one_line(a, "01234567\xc3\xa9z", 10), "01234567…");
	setenv("TZ", "UTC", 1);
	assert_string_equal(local_time(a, "2026-11-22T16:21:42.123456Z"), "2026-11-22 16:21");
	assert_string_equal(local_time(a, NULL), "-");
	arena_free(a);
}

static void a_terminal_gets_no_escape_sequences(void **state)
{
	struct buf b = BUF_INIT;

	output_tame(STR("\x1b[1;31mred\x1b[0m\n\x1b]0;title\a\tb\x07\xc2\x9b\xc3\xa9\x1b(x\x1b["), &b);
	assert_string_equal(b.p, "red\n\tb\xc3\xa9(x");
	buf_deinit(&b);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_folders_are_closed_to_others),
		TEST(a_folder_that_cannot_be_used_is_told),
		TEST(root_does_not_take_an_account_s_folder),
		TEST(a_second_lock_names_the_first_ones_process),
		TEST(a_free_port_is_found_and_a_taken_one_is_told),
		TEST(a_client_connects_to_loopback_when_everything_is_listened_on),
		TEST(lines_of_two_roles_stay_whole),
		TEST(the_log_is_rotated_and_old_ones_are_dropped),
		TEST(a_terminal_gets_no_escape_sequences),
		TEST(a_text_becomes_one_line_of_whole_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
