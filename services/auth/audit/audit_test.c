#include "audit/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "data/db_for_tests.h"
#include "start.h"

static const struct audit_key key = {{1, 2, 3}}, other_key = {{4}};

struct fixture {
	struct test_database database;
	uv_loop_t loop;
	struct db *db;
	int (*body)(struct db_conn *c, void *arg);
	void *arg;
	struct db_job job;
	bool is_done;
};

static int setup(void **state)
{
	const char *dialect = *state;
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = {0};

	*state = NULL;
	if (!test_database_make(dialect, &f->database)) {
		free(f);
		return 0;
	}
	uv_loop_init(&f->loop);
	if (db_open(&f->loop, f->database.url, 1, &f->db, &err) < 0 ||
	    db_migrate(f->db, auth_migrations, auth_migrations_n, &err) < 0)
		fail_msg("%s", err.message);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return 0;
	db_close(f->db);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	test_database_drop(&f->database);
	free(f);
	return 0;
}

static int run_body(struct db_conn *c, struct db_job *job)
{
	struct fixture *f = container_of(job, struct fixture, job);

	return f->body(c, f->arg);
}

static void body_done(struct db_job *job, int result)
{
	container_of(job, struct fixture, job)->is_done = true;
	assert_int_equal(result, 0);
}

/* One transaction. */
static void run(struct fixture *f, int (*body)(struct db_conn *c, void *arg), void *arg)
{
	f->body = body;
	f->arg = arg;
	f->is_done = false;
	f->job = (struct db_job){.run = run_body, .done = body_done};
	db_write(f->db, &f->job);
	while (!f->is_done)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static int add_rows(struct db_conn *c, void *arg)
{
	const struct audit_event e = {.event = "user.changed",
				      .actor_kind = "user",
				      .actor_id = "u1",
				      .actor_name = "Ada \xc3\x84 \xff",
				      .target = "user:u2",
				      .address = "127.0.0.1",
				      .detail = "{\"name\":\"Bob\"}"};
	int r = 0;

	for (int i = 0; r == 0 && i < 5; i++)
		r = audit_append(c, &key, &e, 1000 + i);
	return r;
}

static int run_sql(struct db_conn *c, void *arg)
{
	return error_only(db_exec(c, arg));
}

struct look {
	const struct audit_key *key;
	struct audit_check check;
};

static int look(struct db_conn *c, void *arg)
{
	struct look *l = arg;
	int r = 0;

	while (r == 0 && !l->check.is_done)
		r = audit_check_some(c, l->key, 2, &l->check);
	return r;
}

static struct audit_check check(struct fixture *f)
{
	struct look l = {.key = &key};

	run(f, look, &l);
	return l.check;
}

static void assert_broken(struct fixture *f, const char *what, int64_t at)
{
	struct audit_check c = check(f);

	assert_true(c.is_broken);
	assert_string_equal(c.what, what);
	assert_int_equal(c.broken_at, at);
}

static void a_log_as_it_was_written_is_good(void **state)
{
	struct fixture *f = *state;
	struct look foreign = {.key = &other_key};

	if (!f)
		return;
	assert_false(check(f).is_broken);
	run(f, add_rows, NULL);
	run(f, add_rows, NULL);
	assert_false(check(f).is_broken);
	assert_int_equal(check(f).rows, 10);
	assert_int_equal(check(f).newest, 10);
	run(f, look, &foreign);
	assert_true(foreign.check.is_broken);
}

static void a_changed_row_is_found(void **state)
{
	static const char *const changes[] = {
		"update audit_log set actor_id = 'u9' where seq = 3", "update audit_log set at = 7 where seq = 3",
		"update audit_log set detail = '{}' where seq = 3",
		"update audit_log set actor_name = 'x', target = 'user:u2 ' where seq = 3"};
	struct fixture *f = *state;

	if (!f)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		run(f, run_sql, (void *)"delete from audit_log");
		run(f, run_sql, (void *)"update audit_head set newest = 0, hash = '', mac = ''");
		run(f, add_rows, NULL);
		run(f, run_sql, (void *)changes[i]);
		assert_broken(f, "changed", 3);
	}
}

static void a_removed_row_is_found(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return;
	run(f, add_rows, NULL);
	run(f, run_sql, (void *)"delete from audit_log where seq = 2");
	assert_broken(f, "removed", 2);
	run(f, run_sql, (void *)"delete from audit_log where seq < 2");
	assert_broken(f, "removed", 1);
}

static void rows_removed_at_the_end_are_missed(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return;
	run(f, add_rows, NULL);
	run(f, run_sql, (void *)"delete from audit_log where seq >= 4");
	assert_broken(f, "removed", 4);
	/* The head can be turned back, but not signed. */
	run(f, run_sql, (void *)"update audit_head set newest = 3, hash = (select hash from audit_log where seq = 3)");
	assert_broken(f, "head", 3);
	run(f, run_sql, (void *)"delete from audit_head");
	assert_broken(f, "head", 3);
}

static void an_inserted_row_is_found(void **state)
{
	static const char copy[] = "insert into audit_log (" AUDIT_COLUMNS
				   ") select 6, at, event, outcome, actor_kind, actor_id, actor_name, target, address, "
				   "session_id, request_id, detail, hash from audit_log where seq = 5";
	struct fixture *f = *state;

	if (!f)
		return;
	run(f, add_rows, NULL);
	run(f, run_sql, (void *)copy);
	assert_broken(f, "changed", 6); /* no hash fits behind the last one */
	run(f, run_sql, (void *)"update audit_log set seq = 0 where seq = 6");
	assert_broken(f, "inserted", 0);
}

#define ON(server, test)                                                   \
	{                                                                  \
		server ": " #test, test, setup, teardown, (char *)(server) \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON("sqlite", a_log_as_it_was_written_is_good),
		ON("mysql", a_log_as_it_was_written_is_good),
		ON("sqlite", a_changed_row_is_found),
		ON("mysql", a_changed_row_is_found),
		ON("sqlite", a_removed_row_is_found),
		ON("mysql", a_removed_row_is_found),
		ON("sqlite", rows_removed_at_the_end_are_missed),
		ON("mysql", rows_removed_at_the_end_are_missed),
		ON("sqlite", an_inserted_row_is_found),
		ON("mysql", an_inserted_row_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
