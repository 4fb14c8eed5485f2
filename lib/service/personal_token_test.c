#include "service/personal_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define MANY 10000

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void ten_thousand_are_ten_thousand(void **state)
{
	char(*all)[PERSONAL_TOKEN_SIZE] = malloc(MANY * sizeof(*all));
	char id[ID_SIZE];

	id_new(id);
	for (int i = 0; i < MANY; i++)
		personal_token_new(id, all[i]);
	qsort(all, MANY, sizeof(*all), compare);
	for (int i = 1; i < MANY; i++)
		assert_string_not_equal(all[i - 1], all[i]);
	free(all);
}

static void one_that_is_mistyped_is_refused_by_itself(void **state)
{
	char id[ID_SIZE], token[PERSONAL_TOKEN_SIZE], read[ID_SIZE];

	id_new(id);
	personal_token_new(id, token);
	assert_int_equal(strlen(token), PERSONAL_TOKEN_LEN);
	assert_true(personal_token_read(str_of(token), read));
	assert_string_equal(read, id);
	for (size_t i = 0; i < PERSONAL_TOKEN_LEN; i++) {
		char was = token[i];

		token[i] = was == 'a' ? 'b' : 'a';
		assert_false(personal_token_read(str_of(token), read));
		token[i] = was;
	}
	assert_false(personal_token_read((struct str){token, PERSONAL_TOKEN_LEN - 1}, read));
	assert_false(personal_token_read(STR(""), read));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_thousand_are_ten_thousand),
		cmocka_unit_test(one_that_is_mistyped_is_refused_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
