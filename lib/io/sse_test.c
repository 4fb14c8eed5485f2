#include "io/sse.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Events are written down as "type|data|id;". */
struct seen {
	struct buf text;
	int stop_after; /* 0 = never */
	int n;
};

static bool on_event(void *owner, const struct sse_event *ev)
{
	struct seen *s = owner;

	buf_printf(&s->text, "%.*s|%.*s|%.*s;", STR_ARG(ev->type), STR_ARG(ev->data), STR_ARG(ev->id));
	return ++s->n != s->stop_after;
}

static void check(const char *stream, size_t n, size_t step, const char *expected)
{
	struct seen seen = {0};
	struct sse_parser p;

	sse_parser_init(&p, 1000, on_event, &seen);
	for (size_t i = 0; i < n; i += step)
		assert_int_equal(sse_parser_feed(&p, stream + i, MIN(step, n - i)), 0);
	assert_string_equal(seen.text.n ? seen.text.p : "", expected);
	sse_parser_deinit(&p);
	buf_deinit(&seen.text);
}

static void streams_of_the_standard_are_read_in_pieces_of_any_size(void **state)
{
	static const struct {
		const char *stream, *events;
	} cases[] = {
		{"data: a\n\n", "|a|;"},
		{"data:a\r\rdata:b\r\n\r\n", "|a|;|b|;"},
		{"\xef\xbb\xbf"
		 "data: a\n\n",
		 "|a|;"},
		{"data: a\n\xef\xbb\xbf"
		 "data: b\n\n",
		 "|a|;"},
		{"data: YHOO\ndata: +2\ndata: 10\n\n", "|YHOO\n+2\n10|;"},
		{": comment\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n",
		 "|first|1;|second|;| third|;"},
		{"data\n\ndata\ndata\n\ndata:", "||;|\n|;"},
		{"data:test\n\ndata: test\n\n", "|test|;|test|;"},
		{"event: x\ndata: 1\n\ndata: 2\n\n", "x|1|;|2|;"},
		{"event: lost\n\ndata: 2\n\n", "|2|;"},
		{"id: 7\ndata: a\n\ndata: b\n\n", "|a|7;|b|7;"},
		{"retry: 10\nunknown: x\nnocolon\ndata: a\n\n", "|a|;"},
		{"data: unfinished", ""},
		{"data: unfinished\n", ""},
		{"\n\n\n", ""},
		{"data: a:b\n\n", "|a:b|;"},
		{"data: \r\n\r\n", "||;"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t step = 1; step <= 9; step++)
			check(cases[i].stream, strlen(cases[i].stream), step, cases[i].events);
}

static void an_id_with_nul_is_ignored(void **state)
{
	static const char stream[] = "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n";

	check(stream, sizeof(stream) - 1, 3, "|a|1;|b|1;");
}

static void an_event_above_the_limit_is_refused(void **state)
{
	char text[2000];
	struct seen seen = {0};
	struct sse_parser p;

	memset(text, 'x', sizeof(text));
	sse_parser_init(&p, 1000, on_event, &seen);
	assert_int_equal(sse_parser_feed(&p, text, 500), 0);
	assert_int_equal(sse_parser_feed(&p, text, 501), -EMSGSIZE);
	sse_parser_deinit(&p);

	sse_parser_init(&p, 1000, on_event, &seen);
	int err = 0;
	for (int i = 0; i < 300 && !err; i++)
		err = sse_parser_feed(&p, "data: abc\n", 10);
	assert_int_equal(err, -EMSGSIZE);
	sse_parser_deinit(&p);
}

static void the_owner_can_stop(void **state)
{
	struct seen seen = {.stop_after = 1};
	struct sse_parser p;

	sse_parser_init(&p, 1000, on_event, &seen);
	assert_int_equal(sse_parser_feed(&p, "data: a\n\ndata: b\n\n", 18), 0);
	assert_string_equal(seen.text.p, "|a|;");
	sse_parser_deinit(&p);
	buf_deinit(&seen.text);
}

static void what_is_written_is_read_back(void **state)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	sse_write(&out, 12, "text.delta", STR("{\"a\":1}"));
	assert_string_equal(out.p, "id: 12\nevent: text.delta\ndata: {\"a\":1}\n\n");
	buf_clear(&out);
	sse_write(&out, 0, NULL, STR("a\nb\r\nc\rd\n"));
	assert_string_equal(out.p, "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
	check(out.p, out.n, 4, "|a\nb\nc\nd\n|;");
	buf_clear(&out);
	sse_write(&out, 0, NULL, (struct str){NULL, 0});
	assert_string_equal(out.p, "data: \n\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_of_the_standard_are_read_in_pieces_of_any_size),
		cmocka_unit_test(an_id_with_nul_is_ignored),
		cmocka_unit_test(an_event_above_the_limit_is_refused),
		cmocka_unit_test(the_owner_can_stop),
		cmocka_unit_test(what_is_written_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
