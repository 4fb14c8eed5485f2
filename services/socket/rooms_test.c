#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>
#include <stdio.h>

#include "rooms.h"

static struct rooms *rooms;
static struct member a, b, c;
static char given[32]; /* who got something, in order */

static int setup(void **state)
{
	rooms = rooms_new();
	member_init(&a);
	member_init(&b);
	member_init(&c);
	given[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	rooms_leave_all(rooms, &a);
	rooms_leave_all(rooms, &b);
	rooms_leave_all(rooms, &c);
	assert_int_equal(rooms_count(rooms), 0);
	rooms_free(rooms);
	return 0;
}

static bool give(void *arg, struct member *m)
{
	size_t n = strlen(given);

	given[n] = m == &a ? 'a' : m == &b ? 'b' : 'c';
	given[n + 1] = '\0';
	return true;
}

static void those_in_a_room_get_what_goes_there(void **state)
{
	room_join(rooms, STR("one"), &a);
	room_join(rooms, STR("one"), &b);
	room_join(rooms, STR("two"), &c);
	assert_int_equal(room_give(rooms, STR("one"), 1, give, NULL), 2);
	assert_string_equal(given, "ab");
	assert_int_equal(room_give(rooms, STR("nobody's"), 2, give, NULL), 0);
	assert_int_equal(room_give(rooms, STR("on"), 3, give, NULL), 0);
}

static void an_event_for_several_rooms_comes_once(void **state)
{
	room_join(rooms, STR("one"), &a);
	room_join(rooms, STR("two"), &a);
	room_join(rooms, STR("two"), &b);
	assert_int_equal(room_give(rooms, STR("one"), 1, give, NULL), 1);
	assert_int_equal(room_give(rooms, STR("two"), 1, give, NULL), 1);
	assert_string_equal(given, "ab");
	assert_int_equal(room_give(rooms, STR("two"), 2, give, NULL), 2);
	assert_string_equal(given, "abab");
}

static void joining_twice_is_joining_once(void **state)
{
	room_join(rooms, STR("one"), &a);
	room_join(rooms, STR("one"), &a);
	assert_int_equal(a.n_rooms, 1);
	assert_true(room_has(rooms, STR("one"), &a));
	assert_true(room_leave(rooms, STR("one"), &a));
	assert_false(room_has(rooms, STR("one"), &a));
	assert_false(room_leave(rooms, STR("one"), &a));
	assert_int_equal(a.n_rooms, 0);
}

static void a_room_is_there_while_somebody_is_in_it(void **state)
{
	room_join(rooms, STR("one"), &a);
	room_join(rooms, STR("one"), &b);
	room_join(rooms, STR("two"), &b);
	assert_int_equal(rooms_count(rooms), 2);
	rooms_leave_all(rooms, &b);
	assert_int_equal(rooms_count(rooms), 1);
	rooms_leave_all(rooms, &a);
	assert_int_equal(rooms_count(rooms), 0);
}

static void many_rooms_are_kept_apart(void **state)
{
	char name[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "room:%d", i);
		room_join(rooms, str_of(name), i % 2 ? &a : &b);
	}
	assert_int_equal(rooms_count(rooms), 1000);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "room:%d", i);
		given[0] = '\0';
		assert_int_equal(room_give(rooms, str_of(name), (uint64_t)i + 1, give, NULL), 1);
		assert_string_equal(given, i % 2 ? "a" : "b");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(those_in_a_room_get_what_goes_there, setup, teardown),
		cmocka_unit_test_setup_teardown(an_event_for_several_rooms_comes_once, setup, teardown),
		cmocka_unit_test_setup_teardown(joining_twice_is_joining_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_room_is_there_while_somebody_is_in_it, setup, teardown),
		cmocka_unit_test_setup_teardown(many_rooms_are_kept_apart, setup, teardown),
	};

	return cmocka_run_group_tests_name("rooms", tests, NULL, NULL);
}
