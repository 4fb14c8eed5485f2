#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>

#include "base/util.h"
#include "io/loop_thread.h"
#include "io/stream.h"

#define LETTERS 1000

static struct {
	uv_loop_t loop;
	uv_thread_t here;
	struct mailbox *mailbox;
	struct loop_thread *thread;
	struct mail there, back;
	unsigned n_there, n_back;
	bool has_ended;
	struct deadline deadline;
} t;

static bool is_here(void)
{
	uv_thread_t self = uv_thread_self();

	return uv_thread_equal(&self, &t.here);
}

static void on_back(struct mail *m)
{
	assert_true(is_here());
	if (++t.n_back < LETTERS)
		mailbox_post(loop_thread_mailbox(t.thread), &t.there);
	else
		mailbox_free(t.mailbox);
}

static void on_there(struct mail *m)
{
	if (is_here())
		return;
	t.n_there++;
	mailbox_post(t.mailbox, &t.back);
}

static void on_end(void *arg)
{
	t.has_ended = !is_here();
}

static int set_up(void **state)
{
	t.here = uv_thread_self();
	t.n_there = t.n_back = 0;
	t.has_ended = false;
	t.there = (struct mail){.run = on_there};
	t.back = (struct mail){.run = on_back};
	uv_loop_init(&t.loop);
	t.mailbox = mailbox_new(&t.loop);
	t.thread = loop_thread_new();
	return 0;
}

static int tear_down(void **state)
{
	return uv_loop_close(&t.loop);
}

static void letters_go_to_and_fro(void **state)
{
	loop_thread_start(t.thread, "test");
	mailbox_post(loop_thread_mailbox(t.thread), &t.there);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	loop_thread_free(t.thread, on_end, NULL);
	assert_int_equal(t.n_there, LETTERS);
	assert_int_equal(t.n_back, LETTERS);
	assert_true(t.has_ended);
}

static void never(struct deadline *d)
{
	fail();
}

static void a_thread_ends_though_deadlines_are_set_and_letters_wait(void **state)
{
	deadline_init(&t.deadline, never);
	deadline_set(loop_thread_wheel(t.thread), &t.deadline, 3600 * 1000);
	loop_thread_start(t.thread, "test");
	loop_thread_free(t.thread, on_end, NULL);
	assert_true(t.has_ended);
	mailbox_post(t.mailbox, &t.back);
	mailbox_free(t.mailbox);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_int_equal(t.n_back, 0);
}

static void a_thread_that_never_started_can_be_freed(void **state)
{
	loop_thread_free(t.thread, NULL, NULL);
	mailbox_free(t.mailbox);
	uv_run(&t.loop, UV_RUN_DEFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(letters_go_to_and_fro, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_thread_ends_though_deadlines_are_set_and_letters_wait, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_thread_that_never_started_can_be_freed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
