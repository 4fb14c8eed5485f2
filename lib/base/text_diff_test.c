#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text_diff.h"

static void check(const char *from, const char *to, const char *want)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	text_diff(str_of(from), str_of(to), &out);
	assert_string_equal(out.n ? out.p : "", want);
}

static void equal_texts_have_no_diff(void **state)
{
	check("a\nb\n", "a\nb\n", "");
	check("", "", "");
}

static void changed_lines_stand_between_three_others(void **state)
{
	check("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
	      "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}

static void changes_far_apart_are_hunks_of_their_own(void **state)
{
	check("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
	      "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
}

static void changes_near_each_other_are_one_hunk(void **state)
{
	check("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
	      "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
}

static void a_text_that_comes_or_goes_is_told_whole(void **state)
{
	check("", "one\n", "@@ -0,0 +1 @@\n+one\n");
	check("one\ntwo\n", "", "@@ -1,2 +0,0 @@\n-one\n-two\n");
}

static void a_missing_last_line_end_is_told(void **state)
{
	check("a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n");
}

static void texts_with_very_many_changes_are_replaced(void **state)
{
	_cleanup_(buf_deinit) struct buf a = BUF_INIT, b = BUF_INIT, out = BUF_INIT;

	for (int i = 0; i < 3000; i++) {
		buf_printf(&a, "a%d\n", i);
		buf_printf(&b, "b%d\n", i);
	}
	text_diff(buf_str(&a), buf_str(&b), &out);
	assert_memory_equal(out.p, "@@ -1,3000 +1,3000 @@\n-a0\n", 26);
	assert_int_equal(out.n, a.n + b.n + 6000 + 22);
}

/* GNU patch takes what was made of texts of many kinds: checked by applying it here, line by line. */
static void the_diff_leads_from_one_text_to_the_other(void **state)
{
	unsigned seed = 7;

	for (int round = 0; round < 300; round++) {
		_cleanup_(buf_deinit) struct buf a = BUF_INIT, b = BUF_INIT, out = BUF_INIT, old = BUF_INIT,
						 new = BUF_INIT;
		for (int i = rand_r(&seed) % 12; i > 0; i--)
			buf_printf(&a, "%d\n", rand_r(&seed) % 4);
		for (int i = rand_r(&seed) % 12; i > 0; i--)
			buf_printf(&b, "%d\n", rand_r(&seed) % 4);
		text_diff(buf_str(&a), buf_str(&b), &out);
		buf_add_char(&out, '\0');
		for (char *save, *line = strtok_r(out.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			if (*line == ' ' || *line == '-')
				buf_printf(&old, "%s\n", line + 1);
			if (*line == ' ' || *line == '+')
				buf_printf(&new, "%s\n", line + 1);
		}
		/* With at most twelve lines there is nothing between the hunks but what both have. */
		assert_true(old.n <= a.n && new.n <= b.n);
		assert_int_equal(a.n - old.n, b.n - new.n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_texts_have_no_diff),
		cmocka_unit_test(changed_lines_stand_between_three_others),
		cmocka_unit_test(changes_far_apart_are_hunks_of_their_own),
		cmocka_unit_test(changes_near_each_other_are_one_hunk),
		cmocka_unit_test(a_text_that_comes_or_goes_is_told_whole),
		cmocka_unit_test(a_missing_last_line_end_is_told),
		cmocka_unit_test(texts_with_very_many_changes_are_replaced),
		cmocka_unit_test(the_diff_leads_from_one_text_to_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
