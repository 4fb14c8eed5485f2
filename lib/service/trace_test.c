#include "service/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char parent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

static void a_trace_goes_on_below_the_caller(void **state)
{
	struct trace t;
	char text[TRACEPARENT_SIZE];

	trace_begin(&t, parent, "some-request");
	assert_string_equal(t.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
	assert_string_equal(t.parent_id, "00f067aa0ba902b7");
	assert_true(t.is_sampled);
	trace_write(&t, text);
	assert_int_equal(strlen(text), 55);
	assert_memory_equal(text, parent, 36);
	assert_memory_equal(text + 36, t.span_id, 16);
	assert_string_equal(text + 52, "-01");
	assert_string_not_equal(t.span_id, t.parent_id);
}

static void a_caller_that_does_not_sample_is_followed(void **state)
{
	struct trace t;

	trace_set_sampled(true);
	trace_begin(&t, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", NULL);
	assert_false(t.is_sampled);
	trace_begin(&t, NULL, NULL);
	assert_true(t.is_sampled);
	trace_set_sampled(false);
	trace_begin(&t, NULL, NULL);
	assert_false(t.is_sampled);
}

static void a_new_trace_has_the_digits_of_its_request(void **state)
{
	struct trace t, other;

	trace_begin(&t, NULL, "01a2043f-8338-7040-93e5-341baf4be216");
	assert_string_equal(t.trace_id, "01a2043f8338704093e5341baf4be216");
	assert_string_equal(t.parent_id, "");
	trace_begin(&t, NULL, "some-request");
	trace_begin(&other, NULL, "some-request");
	assert_int_equal(strlen(t.trace_id), 32);
	assert_string_not_equal(t.trace_id, other.trace_id);
	/* All zeros are no trace. */
	trace_begin(&t, NULL, "00000000-0000-0000-0000-000000000000");
	assert_int_not_equal(strspn(t.trace_id, "0"), 32);
}

static void spans_of_one_trace_differ(void **state)
{
	struct trace t, child, sibling;

	trace_begin(&t, parent, NULL);
	trace_child(&child, &t);
	trace_child(&sibling, &t);
	assert_string_equal(child.trace_id, t.trace_id);
	assert_string_equal(child.parent_id, t.span_id);
	assert_string_not_equal(child.span_id, sibling.span_id);
	assert_int_equal(strspn(child.span_id, "0123456789abcdef"), 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trace_goes_on_below_the_caller),
		cmocka_unit_test(a_caller_that_does_not_sample_is_followed),
		cmocka_unit_test(a_new_trace_has_the_digits_of_its_request),
		cmocka_unit_test(spans_of_one_trace_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
