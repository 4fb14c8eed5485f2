#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>

#include "refresh_token.h"

static const struct refresh_key key = {{1, 2, 3}};

static void make(struct refresh_token *token, char text[static REFRESH_TOKEN_SIZE])
{
	id_new(token->session_id);
	token->counter = randombytes_random();
	refresh_token_format(&key, token, text);
}

static void a_token_comes_back_as_it_was(void **state)
{
	char text[REFRESH_TOKEN_SIZE];
	struct refresh_token token, back;

	for (int i = 0; i < 1000; i++) {
		make(&token, text);
		assert_int_equal(strlen(text), REFRESH_TOKEN_SIZE - 1);
		assert_int_equal(refresh_token_parse(&key, str_of(text), &back), 0);
		assert_string_equal(back.session_id, token.session_id);
		assert_int_equal(back.counter, token.counter);
	}
}

static void the_same_session_and_counter_give_the_same_text(void **state)
{
	char one[REFRESH_TOKEN_SIZE], two[REFRESH_TOKEN_SIZE];
	struct refresh_token token;

	make(&token, one);
	refresh_token_format(&key, &token, two);
	assert_string_equal(one, two);
	token.counter++;
	refresh_token_format(&key, &token, two);
	assert_string_not_equal(one, two);
}

static void every_changed_character_is_noticed(void **state)
{
	char text[REFRESH_TOKEN_SIZE];
	struct refresh_token token, back;

	make(&token, text);
	for (size_t i = 0; i < REFRESH_TOKEN_SIZE - 1; i++) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		assert_true(refresh_token_parse(&key, str_of(text), &back) < 0);
		text[i] = was;
	}
	assert_int_equal(refresh_token_parse(&key, str_of(text), &back), 0);
}

static void another_key_is_refused_by_the_mac(void **state)
{
	static const struct refresh_key other = {{1, 2, 4}};
	char text[REFRESH_TOKEN_SIZE];
	struct refresh_token token, back;

	make(&token, text);
	assert_int_equal(refresh_token_parse(&other, str_of(text), &back), -EBADMSG);
}

static void junk_is_refused(void **state)
{
	char text[REFRESH_TOKEN_SIZE + 1];
	struct refresh_token token, back;

	assert_int_equal(refresh_token_parse(&key, STR(""), &back), -EINVAL);
	assert_int_equal(refresh_token_parse(&key, STR("ogr_"), &back), -EINVAL);
	make(&token, text);
	assert_int_equal(refresh_token_parse(&key, (struct str){text, REFRESH_TOKEN_SIZE - 2}, &back), -EINVAL);
	strcat(text, "A");
	assert_int_equal(refresh_token_parse(&key, str_of(text), &back), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_comes_back_as_it_was),
		cmocka_unit_test(the_same_session_and_counter_give_the_same_text),
		cmocka_unit_test(every_changed_character_is_noticed),
		cmocka_unit_test(another_key_is_refused_by_the_mac),
		cmocka_unit_test(junk_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
