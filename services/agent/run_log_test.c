#include "agent/run_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/agent.h"

#define EXECUTION "01a20449-0000-7000-8000-000000000001"
#define CONVERSATION "01a20449-0000-7000-8000-000000000002"
#define MESSAGE "01a20449-0000-7000-8000-000000000003"

static struct agent agent;

/* A listener that keeps what it gets, one event a line. */
struct witness {
	struct log_listener listener;
	struct buf text;
	uint64_t last;
	int n, closed;
};

static void on_event(struct log_listener *l, uint64_t seq, enum event_type type, struct str event)
{
	struct witness *w = container_of(l, struct witness, listener);

	assert_true(seq > w->last);
	w->last = seq;
	w->n++;
	buf_add(&w->text, event.p, event.n);
	buf_add_char(&w->text, '\n');
}

static void on_close(struct log_listener *l)
{
	container_of(l, struct witness, listener)->closed++;
}

static void witness_init(struct witness *w)
{
	*w = (struct witness){.listener = {.on_event = on_event, .on_close = on_close}};
	list_init(&w->listener.link);
}

static void start(struct run_log *l, uint64_t limit)
{
	run_log_init(l, &agent, EXECUTION, CONVERSATION, "user", "");
	l->seq_limit = limit;
}

static void add_text(struct run_log *l, uint64_t *offset, const char *text)
{
	run_log_add(l, event_new_piece(EVENT_TEXT_DELTA, MESSAGE, NULL, *offset, str_of(text)), false);
	*offset += strlen(text);
}

static void add_plain(struct run_log *l, bool is_held)
{
	run_log_add(l, event_new(EVENT_STATE, strdup("{\"state\":\"thinking\",\"step\":1}"), NULL), is_held);
}

static void events_are_shown_at_once_and_in_order(void **state)
{
	struct run_log l;
	struct witness w;
	uint64_t offset = 0;

	start(&l, 100);
	witness_init(&w);
	run_log_follow(&l, &w.listener, 0);
	add_plain(&l, false);
	add_text(&l, &offset, "a");
	add_text(&l, &offset, "b");
	assert_int_equal(w.n, 3);
	assert_int_equal(w.last, 3);
	run_log_close(&l);
	assert_int_equal(w.closed, 1);
	run_log_deinit(&l);
	buf_deinit(&w.text);
}

static void a_held_event_and_those_behind_it_wait_for_the_disk(void **state)
{
	struct run_log l;
	struct witness w;
	uint64_t offset = 0;

	start(&l, 100);
	witness_init(&w);
	run_log_follow(&l, &w.listener, 0);
	add_text(&l, &offset, "a");
	add_plain(&l, true);
	add_text(&l, &offset, "b");
	assert_int_equal(w.n, 1);
	run_log_stored(&l, 2, 200);
	assert_int_equal(w.n, 3);
	assert_int_equal(l.stored_seq, 2);
	run_log_deinit(&l);
	buf_deinit(&w.text);
}

static void no_number_is_shown_that_is_not_reserved_on_disk(void **state)
{
	struct run_log l;
	struct witness w;
	uint64_t offset = 0;

	start(&l, 2);
	witness_init(&w);
	run_log_follow(&l, &w.listener, 0);
	for (int i = 0; i < 5; i++)
		add_text(&l, &offset, "x");
	assert_int_equal(w.last, 2);
	run_log_stored(&l, 3, 4);
	assert_int_equal(w.last, 4);
	run_log_stored(&l, 5, 100);
	assert_int_equal(w.last, 5);
	assert_true(list_is_empty(&l.events));
	run_log_deinit(&l);
	buf_deinit(&w.text);
}

static void who_comes_later_gets_what_is_not_stored_yet_and_nothing_twice(void **state)
{
	struct run_log l;
	struct witness w;
	uint64_t offset = 0;

	start(&l, 100);
	witness_init(&w);
	for (int i = 0; i < 6; i++)
		add_text(&l, &offset, "x");
	run_log_stored(&l, 2, 100);
	run_log_follow(&l, &w.listener, 4);
	assert_int_equal(w.n, 2);
	add_text(&l, &offset, "y");
	assert_int_equal(w.n, 3);
	assert_int_equal(w.last, 7);
	run_log_deinit(&l);
	buf_deinit(&w.text);
}

/* ---- Rows ---- */

struct lines {
	struct buf text;
};

static void add_line(void *arg, uint64_t seq, const char *type, int64_t at, struct str data)
{
	struct lines *s = arg;

	event_write(&s->text, EXECUTION, CONVERSATION, seq, type, at, data);
	buf_add_char(&s->text, '\n');
}

static void make_mixed_log(struct run_log *l)
{
	uint64_t offset = 0, out = 0;

	add_plain(l, false);
	add_text(l, &offset, "Hel");
	add_text(l, &offset, "lo \"you\" \xe2\x82\xac");
	add_text(l, &offset, "\n");
	add_plain(l, false);
	add_text(l, &offset, "more");
	for (int i = 0; i < 4; i++) {
		const char *text = i % 2 ? "error\n" : "line\n";
		run_log_add(
			l, event_new_piece(EVENT_CALL_OUTPUT, "call_1", i < 2 ? "stdout" : "stderr", out, str_of(text)),
			false);
		out += strlen(text);
	}
	run_log_add(l, event_new_piece(EVENT_CALL_OUTPUT, "call_1", "stderr", out + 7, STR("behind a gap")), false);
}

static void what_is_read_back_is_what_was_shown_from_every_number_on(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct event_row *rows;
	struct run_log l;
	struct witness w;

	start(&l, 1000);
	witness_init(&w);
	run_log_follow(&l, &w.listener, 0);
	make_mixed_log(&l);
	size_t n = event_rows_make(a, &l.events, l.last_seq, &rows);
	assert_int_equal(w.n, 11);
	assert_int_equal(n, 7); /* state, 3 pieces, state, 1, 2 of stdout, 2 of stderr, 1 behind the gap */
	const char *expected = w.text.p;
	for (uint64_t after = 0; after <= l.last_seq; after++) {
		struct lines lines = {BUF_INIT};
		for (size_t i = 0; i < n; i++)
			assert_int_equal(event_row_split(&rows[i], after, add_line, &lines), 0);
		assert_string_equal(lines.text.n ? lines.text.p : "", expected);
		expected = after < l.last_seq ? strchr(expected, '\n') + 1 : expected;
		buf_deinit(&lines.text);
	}
	run_log_deinit(&l);
	buf_deinit(&w.text);
}

static void rows_go_up_to_the_number_asked_for(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct event_row *rows;
	struct run_log l;
	uint64_t offset = 0;

	start(&l, 1000);
	for (int i = 0; i < 10; i++)
		add_text(&l, &offset, "x");
	assert_int_equal(event_rows_make(a, &l.events, 4, &rows), 1);
	assert_int_equal(rows[0].seq, 1);
	assert_int_equal(rows[0].last_seq, 4);
	run_log_deinit(&l);
}

static void a_row_that_makes_no_sense_is_refused(void **state)
{
	static const char *const data[] = {
		"",
		"{}",
		"{\"message_id\":\"m\",\"text\":\"ab\"}",
		"{\"message_id\":\"m\",\"text\":\"ab\",\"cuts\":[9,0,1,0]}",
		"{\"message_id\":\"m\",\"text\":\"ab\",\"cuts\":[1,0]}",
		"{\"message_id\":\"m\",\"text\":\"ab\",\"cuts\":[-1,0,1,0]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		struct event_row row = {.seq = 1, .last_seq = 2, .type = EVENT_TEXT_DELTA, .data = str_of(data[i])};
		struct lines lines = {BUF_INIT};
		assert_true(event_row_split(&row, 0, add_line, &lines) < 0);
		buf_deinit(&lines.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_shown_at_once_and_in_order),
		cmocka_unit_test(a_held_event_and_those_behind_it_wait_for_the_disk),
		cmocka_unit_test(no_number_is_shown_that_is_not_reserved_on_disk),
		cmocka_unit_test(who_comes_later_gets_what_is_not_stored_yet_and_nothing_twice),
		cmocka_unit_test(what_is_read_back_is_what_was_shown_from_every_number_on),
		cmocka_unit_test(rows_go_up_to_the_number_asked_for),
		cmocka_unit_test(a_row_that_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests_name("run_log", tests, NULL, NULL);
}
