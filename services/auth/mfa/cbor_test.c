#include "mfa/cbor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ITEM(text) ((struct str){text, sizeof(text) - 1})

static void items_have_their_size_whatever_follows(void **state)
{
	assert_int_equal(cbor_item_size(ITEM("\x00")), 1);
	assert_int_equal(cbor_item_size(ITEM("\x18\x18rest")), 2);
	assert_int_equal(cbor_item_size(ITEM("\x43"
					     "abcd")),
			 4);
	assert_int_equal(cbor_item_size(ITEM("\xa1\x01\x82\x02\x03")), 5);
	assert_int_equal(cbor_item_size(ITEM("\xf5")), 1);
}

static void what_is_not_in_the_canonical_form_is_refused(void **state)
{
	static const struct str bad[] = {
		{"", 0},
		{"\x18\x17", 2},                             /* a number that fits in one byte */
		{"\x19\x00\xff", 3},                         /* in two */
		{"\x1b\x00\x00\x00\x00\xff\xff\xff\xff", 9}, /* in four */
		{"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", 9}, /* above what we hold */
		{"\x5f\x41\x61\xff", 4},                     /* of unknown length */
		{"\x43\x61\x62", 3},                         /* cut */
		{"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", 9},
		{"\x62\xc3\x28", 3},         /* no UTF-8 */
		{"\xa2\x01\x02\x01\x03", 5}, /* a key twice */
		{"\xa1\x01", 2},             /* a key without a value */
		{"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", 9},
		{"\xc0\x00", 2},     /* a tag */
		{"\xf9\x3c\x00", 3}, /* floating point */
		{"\xf7", 1},         /* undefined */
		{"\xf8\x20", 2},
		{"\x81\x81\x81\x81\x00", 5}, /* too deep */
		{"\xb8\x21", 2},             /* too many */
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cbor_item_size(bad[i]), 0);
	assert_int_equal(cbor_item_size(ITEM("\x81\x81\x81\x00")), 4);
}

static void members_are_found_by_number_and_by_name(void **state)
{
	struct str map = ITEM("\xa3\x01\x02\x20\x43"
			      "abc\x63"
			      "fmt\x64"
			      "none"),
		   value;
	int64_t n;

	assert_int_equal(cbor_item_size(map), map.n);
	assert_true(cbor_is_map(map));
	assert_true(cbor_find_int(map, 1, &value));
	assert_true(cbor_int(value, &n));
	assert_int_equal(n, 2);
	assert_true(cbor_find_int(map, -1, &value));
	assert_true(cbor_bytes(value, &value));
	assert_true(str_is(value, "abc"));
	assert_true(cbor_find(map, "fmt", &value));
	assert_false(cbor_int(value, &n));
	assert_true(cbor_text(value, &value));
	assert_true(str_is(value, "none"));
	assert_false(cbor_find(map, "fm", &value));
	assert_false(cbor_find_int(map, 3, &value));
	assert_false(cbor_find_int(ITEM("\x01"), 1, &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_have_their_size_whatever_follows),
		cmocka_unit_test(what_is_not_in_the_canonical_form_is_refused),
		cmocka_unit_test(members_are_found_by_number_and_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
