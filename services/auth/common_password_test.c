#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "common_password.h"

static const char *list_path;

static void every_entry_of_the_list_is_found(void **state)
{
	FILE *f = fopen(list_path, "re");
	char line[256];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		struct str word = {line, strcspn(line, "\n")};

		if (word.n == 0 || str_has_prefix(word, STR("#!")))
			continue;
		if (!password_is_common(word))
			fail_msg("%.*s is not found", STR_ARG(word));
		n++;
	}
	fclose(f);
	assert_true(n > 20000);
}

static void a_repeated_entry_is_one(void **state)
{
	assert_true(password_is_common(STR("password")));
	assert_true(password_is_common(STR("passwordpassword")));
	assert_true(password_is_common(STR("iloveyouiloveyouiloveyou")));
	assert_false(password_is_common(STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
	assert_false(password_is_common(STR("abcdabcdabcdabcdabcd")));
	assert_false(password_is_common(STR("")));
}

/* With 16 bits 200,000 others give three on average. */
static void few_others_are_taken_for_one(void **state)
{
	char word[32];
	int n = 0;

	for (int i = 0; i < 200000; i++) {
		int length = snprintf(word, sizeof(word), "not on any list %d", i);

		n += password_is_common((struct str){word, (size_t)length});
	}
	assert_in_range(n, 0, 20);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_entry_of_the_list_is_found),
		cmocka_unit_test(a_repeated_entry_is_one),
		cmocka_unit_test(few_others_are_taken_for_one),
	};

	list_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
