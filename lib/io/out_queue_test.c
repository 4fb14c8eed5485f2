#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>

#include "io/out_queue.h"

static unsigned n_released;

static void release(void *arg)
{
	n_released++;
}

/* All that waits, as text. */
static struct str front(const struct out_queue *q)
{
	static char text[256];
	uv_buf_t bufs[16];
	unsigned n = out_queue_front(q, bufs, 16);
	size_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		memcpy(text + at, bufs[i].base, bufs[i].len);
		at += bufs[i].len;
	}
	return (struct str){text, at};
}

static void what_is_added_comes_out_in_order_however_it_is_consumed(void **state)
{
	struct out_queue *q = out_queue_take();

	n_released = 0;
	out_queue_add(q, "one ", 4);
	out_queue_add(q, "two ", 4);
	out_queue_add_shared(q, "three ", 6, release, NULL);
	out_queue_add(q, "four", 4);
	assert_int_equal(q->total, 18);
	assert_true(str_is(front(q), "one two three four"));
	out_queue_consume(q, 6);
	assert_true(str_is(front(q), "o three four"));
	out_queue_consume(q, 7);
	assert_int_equal(n_released, 0);
	assert_true(str_is(front(q), " four"));
	out_queue_consume(q, 1);
	assert_int_equal(n_released, 1);
	out_queue_consume(q, 4);
	assert_int_equal(q->total, 0);
	out_queue_give(q);
	out_queue_thread_end();
}

static void a_queue_that_was_given_back_is_empty_when_it_is_taken_again(void **state)
{
	struct out_queue *q = out_queue_take(), *other;

	n_released = 0;
	out_queue_add(q, "kept", 4);
	out_queue_add_shared(q, "shared", 6, release, NULL);
	out_queue_consume(q, 2);
	out_queue_give(q);
	assert_int_equal(n_released, 1);
	assert_ptr_equal(out_queue_take(), q);
	assert_int_equal(q->total, 0);
	other = out_queue_take();
	assert_ptr_not_equal(other, q);
	out_queue_add(q, "new", 3);
	assert_true(str_is(front(q), "new"));
	assert_int_equal(front(other).n, 0);
	out_queue_give(q);
	out_queue_give(other);
	out_queue_thread_end();
}

static void queues_beyond_those_that_are_kept_are_freed(void **state)
{
	static struct out_queue *many[5000];

	n_released = 0;
	for (unsigned i = 0; i < 5000; i++) {
		many[i] = out_queue_take();
		out_queue_add(many[i], "own", 3);
		for (unsigned k = 0; k < 20; k++)
			out_queue_add_shared(many[i], "shared", 6, release, NULL);
	}
	for (unsigned i = 0; i < 5000; i++)
		out_queue_give(many[i]);
	assert_int_equal(n_released, 100000);
	out_queue_give(NULL);
	out_queue_thread_end(); /* the sanitizer sees what is left */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_added_comes_out_in_order_however_it_is_consumed),
		cmocka_unit_test(a_queue_that_was_given_back_is_empty_when_it_is_taken_again),
		cmocka_unit_test(queues_beyond_those_that_are_kept_are_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
