#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>

#include "io/http.h"

static const struct range_case {
	const char *value;
	uint64_t size;
	enum http_range found;
	uint64_t first, n;
} cases[] = {
	{"bytes=0-0", 10, HTTP_RANGE_OK, 0, 1},
	{"bytes=2-5", 10, HTTP_RANGE_OK, 2, 4},
	{"bytes=2-", 10, HTTP_RANGE_OK, 2, 8},
	{"bytes=-3", 10, HTTP_RANGE_OK, 7, 3},
	{"bytes=-30", 10, HTTP_RANGE_OK, 0, 10},
	{"bytes=5-99", 10, HTTP_RANGE_OK, 5, 5},
	{"bytes=0-99999999999999999999999", 10, HTTP_RANGE_OK, 0, 10},
	{"Bytes = 1-2", 10, HTTP_RANGE_OK, 1, 2},
	{"bytes=10-", 10, HTTP_RANGE_UNSATISFIABLE},
	{"bytes=99999999999999999999999-", 10, HTTP_RANGE_UNSATISFIABLE},
	{"bytes=-0", 10, HTTP_RANGE_UNSATISFIABLE},
	{"bytes=0-0", 0, HTTP_RANGE_UNSATISFIABLE},
	{"bytes=-1", 0, HTTP_RANGE_UNSATISFIABLE},
	{"", 10, HTTP_RANGE_NONE},
	{"bytes", 10, HTTP_RANGE_NONE},
	{"bytes=", 10, HTTP_RANGE_NONE},
	{"bytes=-", 10, HTTP_RANGE_NONE},
	{"bytes=5", 10, HTTP_RANGE_NONE},
	{"bytes=5-2", 10, HTTP_RANGE_NONE},
	{"bytes=0-1,3-4", 10, HTTP_RANGE_NONE},
	{"bytes=+1-2", 10, HTTP_RANGE_NONE},
	{"bytes=1--2", 10, HTTP_RANGE_NONE},
	{"items=0-1", 10, HTTP_RANGE_NONE},
};

static void a_range_is_one_piece_within_the_size_or_is_ignored(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct range_case *c = &cases[i];
		uint64_t first = 0, n = 0;

		if (http_range_parse(str_of(c->value), c->size, &first, &n) != c->found ||
		    (c->found == HTTP_RANGE_OK && (first != c->first || n != c->n)))
			fail_msg("%s of %llu", c->value, (unsigned long long)c->size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_is_one_piece_within_the_size_or_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
