#include "agent/event_fold.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "base/json.h"
#include "data/db_for_tests.h"
#include "data/driver.h"

#define CONVERSATION "01a20000-0000-7000-8000-00000000000c"
#define EXECUTION "01a20000-0000-7000-8000-00000000000e"
#define MESSAGE "01a20000-0000-7000-8000-00000000000a"
#define TEXT "Hello \"you\", \xe2\x82\xac and more, more, more of it all."

struct fixture {
	struct test_database d;
	uv_loop_t loop;
	struct db *db;
	struct db_conn *c;
	struct list events;
	uint64_t last_seq, offset;
	int64_t at;
};

static struct fixture *begin(const char *dialect)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = {0};

	if (!test_database_make(dialect, &f->d)) {
		print_message("# not here: there is no %s server\n", dialect);
		free(f);
		return NULL;
	}
	uv_loop_init(&f->loop);
	assert_int_equal(db_open(&f->loop, f->d.url, 1, &f->db, &err), 0);
	assert_int_equal(db_migrate(f->db, agent_migrations, agent_migrations_n, &err), 0);
	f->c = db_main_conn(f->db, &err);
	assert_non_null(f->c);
	list_init(&f->events);
	f->at = 1700000000000000;
	return f;
}

static void end(struct fixture *f)
{
	struct event *e;

	while ((e = list_first(&f->events, struct event, link))) {
		list_remove(&e->link);
		event_free(e);
	}
	db_release_main_conn(f->db);
	db_close(f->db);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	test_database_drop(&f->d);
	free(f);
}

static void add(struct fixture *f, struct event *e)
{
	e->seq = ++f->last_seq;
	e->at = f->at += 1000;
	list_append(&f->events, &e->link);
}

static void add_stored(struct fixture *f, enum event_type type, const char *stored)
{
	add(f, event_new(type, strdup(stored), NULL));
}

static void add_piece(struct fixture *f, const char *text, size_t n)
{
	add(f, event_new_piece(EVENT_TEXT_DELTA, MESSAGE, NULL, f->offset, (struct str){text, n}));
	f->offset += n;
}

static void add_output(struct fixture *f, uint64_t offset, const char *text)
{
	add(f, event_new_piece(EVENT_CALL_OUTPUT, "call_1", "stdout", offset, str_of(text)));
}

/* A run with an answer that was begun twice, a call with output, and a jump in the numbers. */
static void make_events(struct fixture *f)
{
	static const size_t cuts[] = {1, 5, 2, 40, 0};
	const char *text = TEXT;

	add_stored(f, EVENT_STARTED, "{\"message_seq\":1}");
	add_stored(f, EVENT_STATE, "{\"state\":\"thinking\",\"step\":1}");
	add_piece(f, "Never mi", 8);
	add_stored(f, EVENT_TEXT_RESET, "{\"message_id\":\"" MESSAGE "\"}");
	f->offset = 0;
	f->last_seq += 4096;
	for (size_t i = 0; *text; i++) {
		size_t n = MIN(cuts[i % ARRAY_SIZE(cuts)], strlen(text));
		add_piece(f, text, n);
		text += n;
	}
	add_stored(f, EVENT_MESSAGE_DONE, "{\"message_seq\":2}");
	add_stored(f, EVENT_STATE, "{\"state\":\"tooling\",\"step\":1}");
	add_stored(f, EVENT_CALL_STARTED, "{\"call_id\":\"call_1\",\"name\":\"shell\"}");
	add_output(f, 0, "one\n");
	add_output(f, 4, "two\n");
	add_stored(f, EVENT_CALL_DONE, "{\"call_id\":\"call_1\",\"exit_code\":0}");
	add_stored(f, EVENT_ENDED,
		   "{\"message_seq\":2,\"status\":\"succeeded\",\"error\":null,\"usage\":{},\"duration_ms\":1}");
}

static void store_messages(struct fixture *f)
{
	static const char *const texts[] = {"What is it?", TEXT};
	static const char *const ids[] = {"01a20000-0000-7000-8000-00000000000b", MESSAGE};

	for (int i = 0; i < 2; i++)
		assert_int_equal(db_exec(f->c,
					 "insert into messages (conversation_id, seq, id, execution_id, role, content, "
					 "created_at) values (?, ?, ?, ?, ?, ?, 1)",
					 DB_TEXT(CONVERSATION), DB_INT(i + 1), DB_TEXT(ids[i]), DB_TEXT(EXECUTION),
					 DB_TEXT(i ? "assistant" : "user"), DB_LONG_TEXT(texts[i])),
				 1);
}

static void add_line(void *arg, uint64_t seq, const char *type, int64_t at, struct str data)
{
	event_write(arg, EXECUTION, CONVERSATION, seq, type, at, data);
	buf_add_char(arg, '\n');
}

static void read_events(struct fixture *f, uint64_t after, struct buf *out)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct event_row *rows;
	int n = event_rows_read(f->c, a, EXECUTION, CONVERSATION, after, 100, &rows);

	assert_true(n >= 0);
	buf_clear(out);
	buf_add_char(out, '\n');
	for (int i = 0; i < n; i++)
		assert_int_equal(event_row_split(&rows[i], after, add_line, out), 0);
}

static size_t make_rows(struct fixture *f, struct arena *a, struct event_row **ret)
{
	return event_rows_make(a, &f->events, f->last_seq, ret);
}

static int64_t number(struct fixture *f, const char *sql)
{
	int64_t n;

	assert_int_equal(db_get_int(f->c, &n, sql), 1);
	return n;
}

static void what_is_folded_reads_as_before_from_every_number_on(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct fixture *f = begin(*state);
	struct event_row *rows;

	if (!f)
		return;
	make_events(f);
	store_messages(f);
	size_t n = make_rows(f, a, &rows);
	struct buf *wanted = calloc(f->last_seq + 1, sizeof(*wanted)), got = BUF_INIT;

	assert_int_equal(event_rows_insert(f->c, EXECUTION, rows, n), 0);
	for (uint64_t after = 0; after <= f->last_seq; after++)
		read_events(f, after, &wanted[after]);
	assert_non_null(strstr(wanted[0].p, "Never mi"));
	/* Whatever part of it was stored before the end. */
	for (size_t stored = 0; stored <= n; stored++) {
		assert_true(db_exec(f->c, "delete from execution_events") > 0);
		assert_int_equal(event_rows_insert(f->c, EXECUTION, rows, stored), 0);
		assert_int_equal(event_rows_fold(f->c, EXECUTION, CONVERSATION, rows + stored, n - stored), 0);
		/* A log, the output, a log. */
		assert_int_equal(number(f, "select count(*) from execution_events"), 3);
		for (uint64_t after = 0; after <= f->last_seq; after++) {
			read_events(f, after, &got);
			assert_string_equal(got.p, wanted[after].p);
		}
	}
	assert_int_equal(number(f, "select count(*) from execution_events where text_of(data) like '%more of it%'"), 0);
	for (uint64_t after = 0; after <= f->last_seq; after++)
		buf_deinit(&wanted[after]);
	free(wanted);
	buf_deinit(&got);
	end(f);
}

static void text_that_its_message_has_not_stays_in_the_log(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct buf wanted = BUF_INIT, got = BUF_INIT;
	struct fixture *f = begin(*state);
	struct event_row *rows;

	if (!f)
		return;
	store_messages(f);
	add_piece(f, "Something ", 10);
	add_piece(f, "else", 4);
	add_stored(f, EVENT_MESSAGE_DONE, "{\"message_seq\":2}");
	size_t n = make_rows(f, a, &rows);
	assert_int_equal(event_rows_insert(f->c, EXECUTION, rows, n), 0);
	read_events(f, 0, &wanted);
	assert_int_equal(event_rows_fold(f->c, EXECUTION, CONVERSATION, rows, 0), 0);
	assert_int_equal(number(f, "select count(*) from execution_events"), 1);
	read_events(f, 0, &got);
	assert_string_equal(got.p, wanted.p);
	buf_deinit(&wanted);
	buf_deinit(&got);
	end(f);
}

static void a_very_long_execution_keeps_its_rows(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct fixture *f = begin(*state);
	struct event_row *rows;

	if (!f)
		return;
	for (int i = 0; i < 2100; i++)
		add_stored(f, EVENT_STATE, "{\"state\":\"thinking\",\"step\":1}");
	size_t n = make_rows(f, a, &rows);
	assert_int_equal(f->c->driver->run(f->c, "begin"), 0);
	assert_int_equal(event_rows_insert(f->c, EXECUTION, rows, n - 1), 0);
	assert_int_equal(event_rows_fold(f->c, EXECUTION, CONVERSATION, rows + n - 1, 1), 0);
	assert_int_equal(f->c->driver->run(f->c, "commit"), 0);
	assert_int_equal(number(f, "select count(*) from execution_events"), 2100);
	end(f);
}

static void the_state_at_an_event_is_found_in_a_log_too(void **state)
{
	static const struct {
		uint64_t event;
		const char *state;
	} cases[] = {{1, NULL}, {2, "thinking"}, {4, "thinking"}, {4105, "thinking"}, {5000, "tooling"}};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct fixture *f = begin(*state);
	struct event_row *rows;
	const char *found;

	if (!f)
		return;
	make_events(f);
	store_messages(f);
	size_t n = make_rows(f, a, &rows);
	assert_int_equal(event_rows_insert(f->c, EXECUTION, rows, n), 0);
	for (int folded = 0; folded < 2; folded++) {
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			int r = event_state_at(f->c, a, EXECUTION, cases[i].event, &found);
			assert_int_equal(r, cases[i].state ? 1 : 0);
			if (cases[i].state)
				assert_non_null(strstr(found, cases[i].state));
		}
		if (!folded)
			assert_int_equal(event_rows_fold(f->c, EXECUTION, CONVERSATION, rows, 0), 0);
	}
	end(f);
}

static void a_log_that_makes_no_sense_is_refused(void **state)
{
	static const char *const data[] = {"[[0,9,0,\"execution.state\",{}]]", "[[0,0,0,\"execution.state\",{}]]",
					   "[7]"};
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		struct event_row row = {.seq = 1, .last_seq = 2, .data = str_of(data[i])};
		assert_int_equal(event_log_read(a, &row, 0), -EBADMSG);
	}
	struct event_row row = {
		.seq = 1, .last_seq = 1, .data = str_of("{\"message_seq\":2,\"offset\":9,\"bytes\":1}")};
	assert_int_equal(event_pieces_fill(a, &row, MESSAGE, STR("short")), -EBADMSG);
}

#define ON(server, test)                                              \
	{                                                             \
		server ": " #test, test, NULL, NULL, (char *)(server) \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON("sqlite", what_is_folded_reads_as_before_from_every_number_on),
		ON("postgres", what_is_folded_reads_as_before_from_every_number_on),
		ON("sqlite", text_that_its_message_has_not_stays_in_the_log),
		ON("postgres", text_that_its_message_has_not_stays_in_the_log),
		ON("sqlite", a_very_long_execution_keeps_its_rows),
		ON("sqlite", the_state_at_an_event_is_found_in_a_log_too),
		ON("postgres", the_state_at_an_event_is_found_in_a_log_too),
		cmocka_unit_test(a_log_that_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
