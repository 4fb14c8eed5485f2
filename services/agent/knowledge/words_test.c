#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/knowledge/words.h"

static void expect(const char *text, const char *words)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	words_write(str_of(text), &out);
	assert_string_equal(out.p ? out.p : "", words);
}

static void words_are_letters_and_digits_in_lower_case_without_accents(void **state)
{
	expect("Hello, World! v2.0", "hello world v2 0");
	expect("Caf\u00e9 NA\u00cfVE \u00dcber stra\u00dfe", "cafe naive uber strasse");
	expect("cafe\u0301 x", "cafe x");
	expect("\u041f\u0440\u0438\u0432\u0435\u0442 \u039c\u0395\u0393\u0391",
	       "\u043f\u0440\u0438\u0432\u0435\u0442 \u03bc\u03b5\u03b3\u03b1");
	expect("it's a \"test\" -- ok?", "it s a test ok");
	expect("", "");
	expect("...", "");
}

static void scripts_without_blanks_come_as_pairs(void **state)
{
	expect("\u4f60\u597d\u4e16\u754c", "\u4f60\u597d \u597d\u4e16 \u4e16\u754c");
	expect("\u732b", "\u732b");
	expect("GPU\u52a0\u901f x", "gpu \u52a0\u901f x");
	expect("\u4f60\u597d\uff0c\u4e16", "\u4f60\u597d \u4e16");
}

static void bytes_that_are_no_text_divide_words(void **state)
{
	expect("a\xff\xfe"
	       "b\xe4\xbd",
	       "a b");
}

static void long_words_are_cut(void **state)
{
	_cleanup_(buf_deinit) struct buf in = BUF_INIT, out = BUF_INIT;

	for (int i = 0; i < 1000; i++)
		buf_add_char(&in, 'x');
	words_write(buf_str(&in), &out);
	assert_true(out.n > 40 && out.n <= WORD_MAX);
}

static void common_words_are_those_of_their_language(void **state)
{
	assert_true(word_is_common(STR("the"), "english"));
	assert_false(word_is_common(STR("th"), "english"));
	assert_false(word_is_common(STR("the"), "german"));
	assert_true(word_is_common(STR("und"), "german"));
	assert_false(word_is_common(STR("the"), "simple"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_letters_and_digits_in_lower_case_without_accents),
		cmocka_unit_test(scripts_without_blanks_come_as_pairs),
		cmocka_unit_test(bytes_that_are_no_text_divide_words),
		cmocka_unit_test(long_words_are_cut),
		cmocka_unit_test(common_words_are_those_of_their_language),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
