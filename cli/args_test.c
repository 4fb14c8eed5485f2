#include "args.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

static const struct command command = {"test", "[--json] [TEXT]", "test things", NULL, NULL};

struct line {
	const char *agent;
	bool is_json, ok;
	int exit_code;
	struct args args;
};

static struct line read_line(const char *first, ...)
{
	static char words[16][100];
	static struct line l;
	char *argv[17];
	int argc = 0;
	va_list ap;

	l = (struct line){.exit_code = -1};
	const struct flag flags[] = {{"agent", &l.agent, NULL}, {"json", NULL, &l.is_json}};
	va_start(ap, first);
	for (const char *word = first; word; word = va_arg(ap, const char *)) {
		snprintf(words[argc], sizeof(words[argc]), "%s", word);
		argv[argc] = words[argc];
		argc++;
	}
	va_end(ap);
	argv[argc] = NULL;
	l.ok = args_read(&command, argc, argv, flags, ARRAY_SIZE(flags), &l.args, &l.exit_code);
	return l;
}

static void flags_options_and_texts_may_be_mixed(void **state)
{
	struct line l =
		read_line("test", "one", "--agent", "a b", "--log-level=debug", "two", "--json", "--", "--three", NULL);

	assert_true(l.ok && l.is_json);
	assert_string_equal(l.agent, "a b");
	assert_string_equal(option_str(l.args.options, "log_level"), "debug");
	assert_int_equal(l.args.n_rest, 3);
	assert_string_equal(l.args.rest[1], "two");
	assert_string_equal(l.args.rest[2], "--three");
	args_deinit(&l.args);
}

static void a_wrong_line_ends_with_the_usage_code(void **state)
{
	static const char *const wrong[] = {"--nonsense",
					    "--json=yes",
					    "--agent",
					    "-j",
					    "--log-level=loud",
					    "--rate-limit=x",
					    "--config=/nowhere/x.conf"};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct line l = read_line("test", wrong[i], NULL);
		assert_false(l.ok);
		assert_int_equal(l.exit_code, EXIT_USAGE);
	}
}

static void the_configuration_of_the_data_folder_is_found(void **state)
{
	char folder[] = "/tmp/ogent-args-test-XXXXXX", path[64];

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/ogent.conf", folder);
	FILE *f = fopen(path, "w");
	fputs("rate_limit = 77\n", f);
	fclose(f);
	struct line l = read_line("test", "--data", folder, NULL);
	assert_true(l.ok);
	assert_int_equal(option_int(l.args.options, "rate_limit"), 77);
	args_deinit(&l.args);
	unlink(path);
	rmdir(folder);
}

/* `help` lists every command with a line, and each has help of its own. */
static void every_command_says_what_it_does(void **state)
{
	for (const struct command *c = commands; c->name; c++) {
		assert_ptr_equal(command_find(c->name), c);
		assert_true(strlen(c->summary) > 10 && strlen(c->name) <= 12);
		assert_in_range(c->summary[0], 'a', 'z');
		assert_non_null(c->run);
	}
	assert_null(command_find("nonsense"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_options_and_texts_may_be_mixed),
		cmocka_unit_test(a_wrong_line_ends_with_the_usage_code),
		cmocka_unit_test(the_configuration_of_the_data_folder_is_found),
		cmocka_unit_test(every_command_says_what_it_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
