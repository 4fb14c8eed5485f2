#include "agent/tools/shell_result.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void fill(struct clip *c, const char *unit, int times)
{
	for (int i = 0; i < times; i++)
		clip_add(c, str_of(unit));
}

static void what_fits_is_kept_whole(void **state)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct clip c;

	clip_init(&c, 10, 10);
	fill(&c, "ab", 10);
	clip_write(&c, &out);
	assert_string_equal(out.p, "abababababababababab");
	assert_int_equal(clip_omitted(&c), 0);
	assert_int_equal(clip_tail(&c).n, 0);
	clip_deinit(&c);
}

static void of_a_long_text_head_and_tail_stay_with_the_gap_named(void **state)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct clip c;

	clip_init(&c, 4, 4);
	clip_add(&c, STR("headxxxx"));
	fill(&c, "0123456789", 1000);
	clip_add(&c, STR("tail"));
	clip_write(&c, &out);
	assert_string_equal(out.p, "head\n[... 10004 bytes left out ...]\ntail");
	assert_true(str_is(clip_tail(&c), "tail"));
	clip_deinit(&c);
}

static void one_large_piece_is_cut_like_many_small_ones(void **state)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	char big[5000];
	struct clip c;

	memset(big, 'x', sizeof(big));
	memcpy(big, "head", 4);
	memcpy(big + sizeof(big) - 4, "tail", 4);
	clip_init(&c, 4, 4);
	clip_add(&c, (struct str){big, sizeof(big)});
	clip_write(&c, &out);
	assert_string_equal(out.p, "head\n[... 4992 bytes left out ...]\ntail");
	clip_deinit(&c);
}

static void characters_are_not_split(void **state)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct clip c;

	clip_init(&c, 4, 4);
	fill(&c, "\xe2\x82\xac", 100); /* three bytes each */
	clip_write(&c, &out);
	assert_string_equal(out.p, "\xe2\x82\xac\n[... 294 bytes left out ...]\n\xe2\x82\xac");
	clip_deinit(&c);
}

static void the_end_of_a_command_is_told_in_words(void **state)
{
	static const struct {
		struct tool_result result;
		const char *output, *text;
	} cases[] = {
		{{.status = "exited", .exit_code = 0}, "a\n", "Exit status: 0\na\n"},
		{{.status = "exited", .exit_code = 127},
		 "sh: nope: not found\n",
		 "Exit status: 127\nsh: nope: not found\n"},
		{{.status = "exited", .exit_code = 0}, "", "Exit status: 0\nIt wrote nothing.\n"},
		{{.status = "signalled", .signal = "SIGKILL"}, "a", "The command was killed by signal SIGKILL.\na"},
		{{.status = "timeout", .message = "after 2 s"},
		 "a",
		 "The command was stopped: it ran out of time.\nafter 2 s\na"},
		{{.status = "error", .message = "The command was refused: no sandbox"},
		 "",
		 "The command did not run.\nThe command was refused: no sandbox\nIt wrote nothing.\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(buf_deinit) struct buf out = BUF_INIT;
		struct clip c;
		clip_init(&c, 100, 100);
		clip_add(&c, str_of(cases[i].output));
		shell_result_write(&cases[i].result, &c, &out);
		assert_string_equal(out.p, cases[i].text);
		clip_deinit(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_is_kept_whole),
		cmocka_unit_test(of_a_long_text_head_and_tail_stay_with_the_gap_named),
		cmocka_unit_test(one_large_piece_is_cut_like_many_small_ones),
		cmocka_unit_test(characters_are_not_split),
		cmocka_unit_test(the_end_of_a_command_is_told_in_words),
	};

	return cmocka_run_group_tests_name("shell_result", tests, NULL, NULL);
}
