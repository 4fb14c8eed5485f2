#include "base/arena.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

static void a_buffer_grows_and_stays_terminated(void **state)
{
	struct buf b = BUF_INIT;

	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.n, 3890);
	assert_int_equal(b.p[b.n], 0);
	assert_memory_equal(b.p + b.n - 4, "999,", 4);
	buf_consume(&b, b.n - 4);
	assert_string_equal(b.p, "999,");
	buf_consume(&b, 100);
	assert_int_equal(b.n, 0);
	buf_add(&b, NULL, 0);
	buf_add(&b, "a\0b", 3);
	buf_add_char(&b, 'c');
	buf_add_str(&b, "d");
	assert_memory_equal(b.p, "a\0bcd", 6);
	buf_deinit(&b);
	assert_null(b.p);
}

static void stealing_an_empty_buffer_gives_an_empty_string(void **state)
{
	struct buf b = BUF_INIT;
	size_t n = 9;
	char *s = buf_steal(&b, &n);

	assert_string_equal(s, "");
	assert_int_equal(n, 0);
	free(s);
	buf_add_str(&b, "x");
	s = buf_steal(&b, NULL);
	assert_string_equal(s, "x");
	assert_null(b.p);
	free(s);
}

static void arena_memory_is_zeroed_aligned_and_apart(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	char *pieces[300];

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
			size_t n = i * i / 3;
			pieces[i] = arena_alloc(a, n + 1);
			assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
			for (size_t j = 0; j <= n; j++)
				assert_int_equal(pieces[i][j], 0);
			memset(pieces[i], (int)i | 1, n + 1);
		}
		for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
			assert_int_equal((unsigned char)pieces[i][i * i / 3], (unsigned char)(i | 1));
		arena_reset(a);
		assert_int_equal(arena_used(a), 0);
	}
}

static void strings_are_copied_into_the_arena(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	assert_string_equal(arena_strdup(a, "abc"), "abc");
	assert_string_equal(arena_strndup(a, "abc", 2), "ab");
	assert_string_equal(arena_str(a, (struct str){0}).p, "");
	assert_string_equal(arena_printf(a, "%s-%d", "x", 7), "x-7");
	char *large = arena_printf(a, "%0100000d", 1);
	assert_int_equal(strlen(large), 100000);
}

static struct buf order;

static void note(void *arg)
{
	buf_add_str(&order, arg);
}

static void deferred_calls_run_last_first_on_reset_and_on_free(void **state)
{
	struct arena *a = arena_new();

	arena_defer(a, note, arena_strdup(a, "1"));
	arena_defer(a, note, arena_strdup(a, "2"));
	arena_reset(a);
	assert_string_equal(order.p, "21");
	arena_defer(a, note, arena_strdup(a, "3"));
	arena_free(a);
	assert_string_equal(order.p, "213");
	arena_free(NULL);
	buf_deinit(&order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_grows_and_stays_terminated),
		cmocka_unit_test(stealing_an_empty_buffer_gives_an_empty_string),
		cmocka_unit_test(arena_memory_is_zeroed_aligned_and_apart),
		cmocka_unit_test(strings_are_copied_into_the_arena),
		cmocka_unit_test(deferred_calls_run_last_first_on_reset_and_on_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
