#include "rules.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "answers.h"

static const struct {
	const char *text, *command; /* NULL = it runs nothing */
} questions[] = {
	{"How much disk space is free?", "df -h ."},
	{"Is my disk full?", "df -h ."},
	{"what's the free space here", "df -h ."},
	{"How much storage do I have left", "df -h ."},
	{"How much memory is available?", "head -n 3 /proc/meminfo"},
	{"show me the RAM usage", "head -n 3 /proc/meminfo"},
	{"Which kernel version are you running?", "uname -a"},
	{"what Linux is this", "uname -a"},
	{"Who am I?", "id"},
	{"whoami", "id"},
	{"Which user runs the commands?", "id"},
	{"List the files", "ls -la"},
	{"Please show me the files in this folder.", "ls -la"},
	{"what files are there?", "ls -la"},
	{"Count the words in \"the quick brown fox\"", "printf '%s' 'the quick brown fox' | wc -w"},
	{"How many words are in 'it's fine'?", "printf '%s' 'it'\\''s fine' | wc -w"},
	{"count words: one two; rm -rf /", "printf '%s' 'one two; rm -rf /' | wc -w"},
	{"How many words has \xe2\x80\x9ctwo words\xe2\x80\x9d?", "printf '%s' 'two words' | wc -w"},
	{"number of words in \"$(reboot) `reboot` 100%\"", "printf '%s' '$(reboot) `reboot` 100%' | wc -w"},
	{"run: uname -a", "uname -a"},
	{"  RUN:   echo hi  \nthanks", "echo hi"},
	{"Please do this.\nrun: true", "true"},
	{"Count the words", NULL},
	{"Hello!", NULL},
	{"Tell me about diskussions", NULL},
	{"Is the programme good?", NULL},
	{"run:", NULL},
	{"", NULL},
};

static void questions_lead_to_fitting_commands(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		struct demo_wish w;

		demo_wish_read(a, str_of(questions[i].text), &w);
		const char *command = w.n_steps ? w.steps[0].commands[0] : NULL;
		if ((command == NULL) != (questions[i].command == NULL) ||
		    (command && strcmp(command, questions[i].command) != 0))
			fail_msg("%s: %s", questions[i].text, command ? command : "nothing");
	}
}

static void run_lines_are_called_at_once_and_then_lines_one_after_the_other(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct demo_wish w;

	demo_wish_read(a, STR("run: a\nrun: b\nthen: c\nrun: d\nthen: e"), &w);
	assert_int_equal(w.topic, DEMO_RUN);
	assert_int_equal(w.n_steps, 3);
	assert_int_equal(w.steps[0].n, 2);
	assert_string_equal(w.steps[0].commands[1], "b");
	assert_int_equal(w.steps[1].n, 2);
	assert_string_equal(w.steps[1].commands[1], "d");
	assert_string_equal(w.steps[2].commands[0], "e");
}

static void more_than_the_limits_is_left_out(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	struct demo_wish w;

	for (int i = 0; i < 100; i++)
		buf_add_str(&text, i % 2 ? "then: a\n" : "run: b\n");
	demo_wish_read(a, buf_str(&text), &w);
	assert_int_equal(w.n_steps, DEMO_MAX_STEPS);
	assert_int_equal(w.steps[DEMO_MAX_STEPS - 1].n, DEMO_MAX_CALLS);
}

static void check_answer(const char *question, const char *content, const char *expected)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct demo_result r;
	struct demo_wish w;

	demo_wish_read(a, str_of(question), &w);
	demo_result_read(a, w.steps[0].commands[0], str_of(content), &r);
	demo_answer(&out, &w, &r, 1);
	assert_string_equal(out.p, expected);
}

static void answers_say_what_the_output_says(void **state)
{
	check_answer(
		"disk space?",
		"Exit status: 0\nFilesystem      Size  Used Avail Use% Mounted on\ntmpfs            64G   20G   41G  "
		"33% /workspace\n",
		"41G of 64G are free on the disk of the workspace (33% used).\n\n```\nFilesystem      Size  Used "
		"Avail Use% Mounted on\ntmpfs            64G   20G   41G  33% /workspace\n```\n");
	check_answer(
		"memory?",
		"Exit status: 0\nMemTotal:        8000000 kB\nMemFree:         1000 kB\nMemAvailable:    4000000 kB\n",
		"3906 MiB of 7812 MiB of memory are available.\n\n```\nMemTotal:        8000000 kB\nMemFree:         "
		"1000 kB\nMemAvailable:    4000000 kB\n```\n");
	check_answer("kernel?", "{\"output\":\"Linux box 6.1.0 #1 SMP x86_64\\n\",\"exit_code\":0}",
		     "The kernel is Linux 6.1.0.\n\n```\nLinux box 6.1.0 #1 SMP x86_64\n```\n");
	check_answer("who am i", "Exit status: 0\nuid=1000(ann) gid=1000(ann) groups=1000(ann)\n",
		     "Commands run here as the user ann, with the number 1000.\n\n```\nuid=1000(ann) gid=1000(ann) "
		     "groups=1000(ann)\n```\n");
	check_answer("list files", "Exit status: 0\ntotal 4\ndrwx 1 a a 1 Nov 1 .\ndrwx 1 a a 1 Nov 1 ..\n",
		     "The folder is empty.\n\n```\ntotal 4\ndrwx 1 a a 1 Nov 1 .\ndrwx 1 a a 1 Nov 1 ..\n```\n");
	check_answer("count words: a b", "Exit status: 0\n2\n", "The text has 2 words.\n\n```\n2\n```\n");
}

static void unexpected_output_is_quoted_as_it_is(void **state)
{
	check_answer("disk space?", "Exit status: 1\ndf: not found\n",
		     "`df -h .` ended with status 1:\n\n```\ndf: not found\n```\n");
	check_answer("kernel?", "Exit status: 0\nIt wrote nothing.\n", "`uname -a` ran and wrote nothing.\n");
	check_answer("run: x", "Exit status: 3\nIt wrote nothing.\n", "`x` ended with status 3 and wrote nothing.\n");
	check_answer("run: x", "The command was stopped: it ran out of time.\n",
		     "`x` was not run to its end:\n\n```\nThe command was stopped: it ran out of time.\n```\n");
	check_answer("run: x", "Exit status: 0\na ```` b", "`x` says:\n\n`````\na ```` b\n`````\n");
	check_answer("who am i", "Exit status: 0\nnobody", "`id` says:\n\n```\nnobody\n```\n");
}

static void long_output_is_cut_between_characters(void **state)
{
	_cleanup_(buf_deinit) struct buf content = BUF_INIT, out = BUF_INIT;
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct demo_result r;
	struct demo_wish w;

	buf_add_str(&content, "Exit status: 0\nx");
	for (int i = 0; i < 5000; i++)
		buf_add_str(&content, "\xc3\xa9");
	demo_wish_read(a, STR("run: x"), &w);
	demo_result_read(a, "x", buf_str(&content), &r);
	demo_answer(&out, &w, &r, 1);
	assert_non_null(strstr(out.p, "\xc3\xa9\n```\n\n… and 6002 bytes more.\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_lead_to_fitting_commands),
		cmocka_unit_test(run_lines_are_called_at_once_and_then_lines_one_after_the_other),
		cmocka_unit_test(more_than_the_limits_is_left_out),
		cmocka_unit_test(answers_say_what_the_output_says),
		cmocka_unit_test(unexpected_output_is_quoted_as_it_is),
		cmocka_unit_test(long_output_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
