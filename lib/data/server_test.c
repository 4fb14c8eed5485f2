/* What holds for every database that is a server: the same tests on MySQL or MariaDB and on PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/db_for_tests.h"
#include "data/driver.h"

struct fixture {
	bool is_mysql;
	uv_loop_t loop;
	struct test_database database;
	struct db *db;
};

static const struct migration tables[] = {
	{.name = "tables",
	 .sql = "create table t (id bigint not null, text varchar(100), n bigint not null, primary key (id));"
		"create unique index t_text on t (text);"
		"create table child (t bigint not null, foreign key (t) references t (id));"
		"insert into t (id, text, n) values (1, 'one', 0); insert into t (id, text, n) values (2, 'two', 0)"},
};

static void open_db(struct fixture *f)
{
	struct error err = {0};

	if (db_open(&f->loop, f->database.url, 2, &f->db, &err) < 0)
		fail_msg("%s", err.message);
}

static void close_db(struct fixture *f)
{
	db_close(f->db);
	f->db = NULL;
	uv_run(&f->loop, UV_RUN_DEFAULT);
}

static void set_up(void **state, bool with_tables)
{
	const char *dialect = *state;
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = {0};

	f->is_mysql = !strcmp(dialect, "mysql");
	*state = NULL;
	if (!test_database_make(dialect, &f->database)) {
		free(f);
		return;
	}
	uv_loop_init(&f->loop);
	open_db(f);
	if (with_tables && db_migrate(f->db, tables, 1, &err) < 0)
		fail_msg("%s", err.message);
	*state = f;
}

static int setup(void **state)
{
	set_up(state, true);
	return 0;
}

static int setup_empty(void **state)
{
	set_up(state, false);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return 0;
	if (f->db)
		close_db(f);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	test_database_drop(&f->database);
	free(f);
	return 0;
}

#define FIXTURE                     \
	struct fixture *f = *state; \
	assert_non_null(f);

/* ---- Jobs ---- */

struct test_job {
	struct db_job job;
	struct fixture *f;
	const char *sql;
	int64_t value, a, b;
	int result, calls, runs, outcome;
	bool forgives; /* takes a failure for none */
};

static void on_done(struct db_job *job, int result)
{
	struct test_job *t = container_of(job, struct test_job, job);

	t->result = result;
	t->calls++;
}

static void start(struct fixture *f, struct test_job *t, void (*how)(struct db *, struct db_job *),
		  int (*run)(struct db_conn *, struct db_job *))
{
	t->f = f;
	t->job.run = run;
	t->job.done = on_done;
	how(f->db, &t->job);
	assert_int_equal(t->calls, 0);
}

static int finish(struct fixture *f, struct test_job *t)
{
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(t->calls, 1);
	return t->result;
}

static int run_sql(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);
	int64_t r = db_exec(c, t->sql);

	t->value = r;
	return r < 0 ? (int)r : t->outcome;
}

static int get_value(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);
	int r = db_get_int(c, &t->value, t->sql);

	return r == 1 ? 0 : r;
}

static int sql(struct fixture *f, const char *text)
{
	struct test_job t = {.sql = text};

	start(f, &t, db_write, run_sql);
	return finish(f, &t);
}

static int64_t value(struct fixture *f, const char *text)
{
	struct test_job t = {.sql = text, .value = -1};

	start(f, &t, db_read, get_value);
	assert_int_equal(finish(f, &t), 0);
	return t.value;
}

/* ---- Values ---- */

#define LONG_TEXT 1000000

static int check_values(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);
	static const char text[] = "it's \"quoted\" \\ ; drop table t; -- \xc3\xa9 \xf0\x9f\x90\x91 ?";
	static const char blob[] = "\xff\0\x01'";
	struct arena *a = arena_new();
	char *big = malloc(LONG_TEXT + 1);

	memset(big, 'x', LONG_TEXT);
	big[LONG_TEXT] = '\0';
	assert_int_equal(db_exec(c, "insert into v (a, b, c, d, e, f) values (?, ?, ?, ?, ?, ?)", DB_TEXT(text),
				 DB_BLOB(blob, 4), DB_INT(INT64_MIN), DB_REAL(0.1), DB_TEXT(NULL), DB_TEXT("")),
			 1);
	assert_int_equal(db_exec(c, "insert into v (a, c) values (?, ?)", DB_TEXT(big), DB_INT(INT64_MAX)), 1);
	struct db_stmt *st = db_query(c, "select a, b, c, d, e, f from v where c < ?", DB_INT(0));
	assert_int_equal(db_step(c, st), 1);
	assert_string_equal(db_col_dup(st, 0, a), text);
	assert_true(str_eq(db_col_str(st, 1), (struct str){blob, 4}));
	assert_true(db_col_int(st, 2) == INT64_MIN);
	assert_string_equal(db_col_dup(st, 2, a), "-9223372036854775808");
	assert_true(db_col_real(st, 3) == 0.1);
	assert_true(db_col_is_null(st, 4));
	assert_null(db_col_dup(st, 4, a));
	assert_false(db_col_is_null(st, 5));
	assert_string_equal(db_col_dup(st, 5, a), "");
	assert_int_equal(db_step(c, st), 0);
	db_done(st);

	/* A short row, a long one and a short one, on kept buffers. */
	assert_int_equal(db_exec(c, "insert into v (a, c) values (?, ?)", DB_TEXT("short"), DB_INT(INT64_MAX)), 1);
	st = db_query(c, "select a, c from v order by c, length(a) desc");
	assert_int_equal(db_step(c, st), 1);
	assert_string_equal(db_col_dup(st, 0, a), text);
	assert_int_equal(db_step(c, st), 1);
	assert_string_equal(db_col_dup(st, 0, a), big);
	assert_true(db_col_int(st, 1) == INT64_MAX);
	assert_int_equal(db_step(c, st), 1);
	assert_string_equal(db_col_dup(st, 0, a), "short");
	assert_int_equal(db_step(c, st), 0);
	db_done(st);
	assert_int_equal(db_get_int(c, &t->value, "select count(*) from v where a = ?", DB_TEXT(text)), 1);
	assert_int_equal(t->value, 1);
	assert_int_equal(db_get_int(c, &t->value, "select sum(n) + 1 from t"), 1);
	assert_int_equal(t->value, 1);
	free(big);
	arena_free(a);
	return 0;
}

static void bound_values_arrive_exact(void **state)
{
	FIXTURE
	struct test_job t = {0};

	assert_int_equal(
		sql(f, f->is_mysql ? "create table v (a longtext, b longblob, c bigint, d double, e text, f text)"
				   : "create table v (a text, b bytea, c bigint, d double precision, e text, f text)"),
		0);
	start(f, &t, db_write, check_values);
	assert_int_equal(finish(f, &t), 0);
}

static void text_is_compared_byte_by_byte(void **state)
{
	FIXTURE

	assert_int_equal(sql(f, "insert into t (id, text, n) values (11, 'a', 0)"), 0);
	assert_int_equal(sql(f, "insert into t (id, text, n) values (12, 'A', 0)"), 0);
	assert_int_equal(sql(f, "insert into t (id, text, n) values (13, 'a ', 0)"), 0);
	assert_int_equal(sql(f, "insert into t (id, text, n) values (14, '\xc3\xa4', 0)"), 0);
	assert_int_equal(sql(f, "insert into t (id, text, n) values (15, 'a', 0)"), -EEXIST);
	assert_int_equal(value(f, "select id from t where text = 'A'"), 12);
	assert_int_equal(value(f, "select id from t where text = 'a '"), 13);
	assert_int_equal(value(f, "select count(*) from t where text like 'a%'"), 2);
	assert_int_equal(value(f, "select id from t where id > 10 order by text limit 1"), 12);
}

static int use_statements(struct db_conn *c, struct db_job *job)
{
	static const char numbers[] = "select id from t where id >= ? order by id";
	int64_t sum = 0;
	struct db_stmt *outer = db_query(c, numbers, DB_INT(1));

	/* The same SQL inside its own loop. */
	while (db_step(c, outer) == 1) {
		struct db_stmt *inner = db_query(c, numbers, DB_INT(2));
		while (db_step(c, inner) == 1)
			sum += db_col_int(outer, 0) * db_col_int(inner, 0);
		db_done(inner);
	}
	db_done(outer);
	assert_int_equal(sum, 6);
	struct db_value one = DB_INT(2);
	struct db_stmt *st = db_query_dynamic(c, numbers, &one, 1);
	assert_int_equal(db_step(c, st), 1);
	assert_int_equal(db_step(c, st), 0);
	db_done(st);
	assert_null(db_query(c, numbers));
	assert_int_equal(db_step(c, NULL), -EINVAL);
	return 0;
}

static void statements_are_kept_and_can_be_nested(void **state)
{
	FIXTURE
	struct test_job t = {0};

	start(f, &t, db_read, use_statements);
	assert_int_equal(finish(f, &t), 0);
}

/* ---- Transactions ---- */

static void a_job_that_fails_leaves_no_trace(void **state)
{
	FIXTURE
	struct test_job t = {.sql = "insert into t (id, text, n) values (5, 'five', 0)", .outcome = 7};

	start(f, &t, db_write, run_sql);
	assert_int_equal(finish(f, &t), 7);
	assert_int_equal(value(f, "select count(*) from t"), 2);
}

static void constraints_have_their_errors(void **state)
{
	FIXTURE

	assert_int_equal(sql(f, "insert into t (id, text, n) values (1, 'b', 0)"), -EEXIST);
	assert_int_equal(sql(f, "insert into t (id, text, n) values (3, 'one', 0)"), -EEXIST);
	assert_int_equal(sql(f, "insert into child (t) values (99)"), -EINVAL);
	assert_int_equal(sql(f, "insert into child (t) values (null)"), -EINVAL);
	assert_int_equal(sql(f, "insert into t (id, n) values (3, null)"), -EINVAL);
	assert_int_equal(sql(f, "no sql at all"), -EINVAL);
	assert_int_equal(sql(f, "delete from child; delete from t"), -EINVAL);
}

static void rows_found_count_as_changed_even_if_they_stay_the_same(void **state)
{
	FIXTURE
	struct test_job t = {.sql = "update t set n = 0"};

	start(f, &t, db_write, run_sql);
	assert_int_equal(finish(f, &t), 0);
	assert_int_equal(t.value, 2);
}

static void a_reader_cannot_write(void **state)
{
	FIXTURE
	struct test_job t = {.sql = "insert into t (id, n) values (3, 0)"};

	start(f, &t, db_read, run_sql);
	assert_true(finish(f, &t) < 0);
	assert_int_equal(value(f, "select count(*) from t"), 2);
}

static int increment(struct db_conn *c, struct db_job *job)
{
	int64_t n;
	int r = db_get_int(c, &n, "select n from t where id = 1" DB_FOR_UPDATE);

	return r == 1 ? error_only(db_exec(c, "update t set n = ? where id = 1", DB_INT(n + 1))) : r;
}

static void jobs_at_the_same_time_wait_for_each_others_rows(void **state)
{
	FIXTURE
	struct test_job jobs[40] = {{{0}}};

	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		start(f, &jobs[i], db_write, increment);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		assert_int_equal(finish(f, &jobs[i]), 0);
	assert_int_equal(value(f, "select n from t where id = 1"), 40);
}

static atomic_int holding; /* jobs that have their first row */

/* Takes row `a`, waits for the other job to take its own, then takes row `b`. */
static int cross(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);
	int64_t r = db_exec(c, "update t set n = n + 1 where id = ?", DB_INT(t->a));

	if (r > 0 && t->runs++ == 0)
		for (atomic_fetch_add(&holding, 1); atomic_load(&holding) < 2;)
			usleep(1000);
	/* What is tried again in a transaction that is over changes nothing and has the same failure. */
	for (int i = 0; i < 2 && (i == 0 || r < 0); i++)
		r = db_exec(c, "update t set n = n + 1 where id = ?", DB_INT(t->b));
	return t->forgives ? 0 : error_only(r);
}

static void check_deadlock(struct fixture *f, bool forgives)
{
	struct test_job a = {.a = 1, .b = 2, .forgives = forgives}, b = {.a = 2, .b = 1, .forgives = forgives};

	atomic_store(&holding, 0);
	start(f, &a, db_write, cross);
	start(f, &b, db_write, cross);
	assert_int_equal(finish(f, &a), 0);
	assert_int_equal(finish(f, &b), 0);
	assert_true(a.runs + b.runs > 2);
	assert_int_equal(value(f, "select n from t where id = 1"), 2);
	assert_int_equal(value(f, "select n from t where id = 2"), 2);
}

static void of_two_jobs_in_a_deadlock_one_is_repeated_and_both_succeed(void **state)
{
	FIXTURE
	check_deadlock(f, false);
}

/* What it wrote before is gone, whatever it says. */
static void so_is_one_that_takes_the_failure_for_none(void **state)
{
	FIXTURE
	check_deadlock(f, true);
}

/* ---- Time-outs and lost connections ---- */

static void a_row_locked_for_long_is_busy(void **state)
{
	FIXTURE
	const struct db_driver *driver = f->is_mysql ? &db_driver_mysql : &db_driver_postgres;
	struct db_conn *other;

	assert_int_equal(driver->open(f->database.url, true, &other, NULL), 0);
	assert_int_equal(driver->run(other, driver->begin_write), 0);
	assert_int_equal(driver->run(other, "update t set n = 7 where id = 1"), 0);
	assert_int_equal(sql(f, "update t set n = 8 where id = 1"), -EBUSY);
	assert_int_equal(driver->run(other, "rollback"), 0);
	driver->close(other);
	assert_int_equal(sql(f, "update t set n = 8 where id = 1"), 0);
}

static atomic_llong own_id; /* of the connection that the job has */
static atomic_bool is_killed;

static int change_while_killed(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);
	int64_t id = 0, r;

	r = db_exec(c, "update t set n = n + 1 where id = 1");
	if (r > 0 && t->runs++ == 0) {
		r = db_get_int_v(c, &id, t->f->is_mysql ? "select connection_id()" : "select pg_backend_pid()", NULL,
				 0);
		for (atomic_store(&own_id, id); !atomic_load(&is_killed);)
			usleep(1000);
	}
	if (r > 0)
		r = db_exec(c, "update t set n = n + 1 where id = 2");
	return (int)MIN(r, 0);
}

static void a_job_whose_connection_breaks_off_before_its_commit_is_repeated(void **state)
{
	FIXTURE
	struct test_job t = {0};
	char text[100];

	atomic_store(&own_id, 0);
	atomic_store(&is_killed, false);
	start(f, &t, db_write, change_while_killed);
	while (!atomic_load(&own_id))
		usleep(1000);
	snprintf(text, sizeof(text), f->is_mysql ? "kill %lld" : "select pg_terminate_backend(%lld)",
		 atomic_load(&own_id));
	assert_int_equal(test_database_run(f->database.server, text), 0);
	atomic_store(&is_killed, true);
	assert_int_equal(finish(f, &t), 0);
	assert_int_equal(t.runs, 2);
	assert_int_equal(value(f, "select n from t where id = 1"), 1);
	assert_int_equal(value(f, "select n from t where id = 2"), 1);
}

static void a_statement_that_takes_too_long_is_given_up(void **state)
{
	FIXTURE
	struct error err = {0};

	close_db(f);
	strcat(f->database.url, "?statement_timeout=1");
	assert_int_equal(db_open(&f->loop, f->database.url, 1, &f->db, &err), 0);
	assert_int_equal(sql(f, "select benchmark(100000000, sha2('x', 512)) from t"), -ETIMEDOUT);
	assert_int_equal(sql(f, "update t set n = 3"), 0);
}

static void what_keeps_it_from_opening_is_told_without_the_password(void **state)
{
	FIXTURE
	static const struct {
		const char *tail, *part;
	} bad[] = {
		{"stranger:tiger@%s/%s", ""},
		{"root:tiger@127.0.0.1:1/%s%s", "127.0.0.1"},
		{"root:tiger@nowhere.invalid/%s%s", "nowhere.invalid"},
	};
	const char *host = strchr(f->database.server, '@') + 1;
	char url[600], place[200];

	snprintf(place, sizeof(place), "%.*s", (int)strcspn(host, "/"), host);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = {0};
		struct db *db;
		int n = snprintf(url, sizeof(url), "%s://", f->is_mysql ? "mysql" : "postgres");

		snprintf(url + n, sizeof(url) - (size_t)n, bad[i].tail, i ? "" : place, f->database.name);
		if (!f->is_mysql && i == 0)
			continue; /* the tests' server lets everybody in */
		assert_true(db_open(&f->loop, url, 1, &db, &err) < 0);
		assert_non_null(strstr(err.message, bad[i].part));
		assert_null(strstr(err.message, "tiger"));
	}
}

/* ---- MySQL's numbers for what went wrong ---- */

static void the_servers_errors_become_those_of_db_h(void **state)
{
	FIXTURE
	static const struct {
		int code, wanted;
	} errors[] = {
		{1021, -ENOSPC},    {1114, -ENOSPC},    {1062, -EEXIST}, {1586, -EEXIST},
		{1213, -EDEADLK},   {1020, -EDEADLK},   {1205, -EBUSY},  {1206, -EBUSY},
		{1969, -ETIMEDOUT}, {3024, -ETIMEDOUT}, {1290, -EROFS},  {1836, -EROFS},
		{1044, -EACCES},    {1153, -E2BIG},     {1406, -EINVAL}, {1053, -ENOTCONN},
	};
	char text[200];

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct db_conn *c = db_main_conn(f->db, NULL);

		snprintf(text, sizeof(text), "signal sqlstate 'HY000' set mysql_errno = %d, message_text = 'so'",
			 errors[i].code);
		if (c->driver->run(c, text) != errors[i].wanted)
			fail_msg("%d became %d: %s", errors[i].code, c->err, c->error);
		assert_int_equal(c->driver->is_connected(c), errors[i].wanted != -ENOTCONN);
	}
	db_release_main_conn(f->db);
	struct db_conn *c = db_main_conn(f->db, NULL);
	assert_int_equal(c->driver->run(c, "signal sqlstate 'HY000' set mysql_errno = 1030, message_text = "
					   "'Got error 28 \"No space left on device\" from storage engine InnoDB'"),
			 -ENOSPC);
}

/* ---- Migrations ---- */

static const struct migration migrations[] = {
	{.name = "first", .sql = "create table m (n integer); insert into m values (1)"},
	{.name = "second", .sql = "insert into m select n + 1 from m; create index m_n on m (n)"},
	{.name = "third", .sql = "insert into m values (100)"},
};

static void migrations_apply_once_and_in_order(void **state)
{
	FIXTURE

	assert_int_equal(db_migrate(f->db, migrations, 2, NULL), 0);
	assert_int_equal(value(f, "select sum(n) from m"), 3);
	assert_int_equal(db_migrate(f->db, migrations, 3, NULL), 0);
	assert_int_equal(db_migrate(f->db, migrations, 3, NULL), 0);
	close_db(f);
	open_db(f);
	assert_int_equal(db_migrate(f->db, migrations, 3, NULL), 0);
	assert_int_equal(value(f, "select sum(n) from m"), 103);
	assert_int_equal(value(f, "select max(version) from schema_migrations where applied_at > 0"), 3);
	assert_true(db_migrate(f->db, migrations, 2, NULL) < 0);
}

static void migrate_too(void *arg)
{
	const char *url = arg;
	uv_loop_t loop;
	struct db *db;

	uv_loop_init(&loop);
	assert_int_equal(db_open(&loop, url, 1, &db, NULL), 0);
	assert_int_equal(db_migrate(db, migrations, 3, NULL), 0);
	db_close(db);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
}

static void of_processes_that_start_together_one_migrates(void **state)
{
	FIXTURE
	uv_thread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(uv_thread_create(&threads[i], migrate_too, f->database.url), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		uv_thread_join(&threads[i]);
	assert_int_equal(value(f, "select sum(n) from m"), 103);
	assert_int_equal(value(f, "select count(*) from schema_migrations"), 3);
}

/* The third statement fails: as if the program had been killed in front of it. */
static const struct migration in_steps[] = {
	{.name = "steps",
	 .sql = "create table s (n integer); insert into s values (1); insert into later values (1);"
		"create index s_n on s (n); alter table s add column m integer"},
};

static void a_migration_that_was_interrupted_goes_on_where_it_stopped(void **state)
{
	FIXTURE
	struct error err = {0};

	assert_true(db_migrate(f->db, in_steps, 1, &err) < 0);
	assert_non_null(strstr(err.message, "steps"));
	assert_non_null(strstr(err.message, "later"));
	assert_int_equal(sql(f, "create table later (n integer)"), 0);
	assert_int_equal(db_migrate(f->db, in_steps, 1, &err), 0);
	assert_int_equal(value(f, "select count(*) from s"), 1);
	assert_int_equal(value(f, "select count(*) from later"), 1);
	assert_int_equal(value(f, "select count(*) from schema_migrations"), 1);
}

/* Killed between the change of the schema and the note of it, at every change there is. */
static void a_change_that_was_not_noted_is_not_made_twice(void **state)
{
	FIXTURE
	static const char *const undo[] = {
		"update schema_steps set done = 0 where version = 1",
		"update schema_steps set done = 3 where version = 1",
		"update schema_steps set done = 4 where version = 1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(undo); i++) {
		sql(f, "drop table if exists s");
		sql(f, "drop table if exists later");
		sql(f, "drop table if exists schema_steps");
		sql(f, "drop table if exists schema_migrations");
		/* Stops in front of the third, or comes to the end. */
		if (i > 0)
			assert_int_equal(sql(f, "create table later (n integer)"), 0);
		assert_int_equal(db_migrate(f->db, in_steps, 1, NULL) == 0, i > 0);
		if (i > 0) {
			assert_int_equal(sql(f, "delete from schema_migrations"), 0);
			assert_int_equal(sql(f, "insert into schema_steps values (1, 0)"), 0);
		} else {
			assert_int_equal(sql(f, "delete from s"), 0);
			assert_int_equal(sql(f, "create table later (n integer)"), 0);
		}
		if (i == 1)
			assert_int_equal(sql(f, "alter table s drop column m"), 0);
		assert_int_equal(sql(f, undo[i]), 0);
		assert_int_equal(db_migrate(f->db, in_steps, 1, NULL), 0);
		assert_int_equal(value(f, "select count(*) from s where m is null"), 1);
		assert_int_equal(value(f, "select count(*) from schema_steps"), 0);
		assert_int_equal(value(f, "select count(*) from schema_migrations"), 1);
	}
}

#define ON(server, t, with)                                         \
	{                                                           \
		server ": " #t, t, with, teardown, (char *)(server) \
	}
#define ON_BOTH(t) ON("mysql", t, setup), ON("postgres", t, setup)
#define ON_BOTH_EMPTY(t) ON("mysql", t, setup_empty), ON("postgres", t, setup_empty)

/* cmocka tells a test that is skipped as one that failed: without its server a test is not in the list. */
static size_t keep(const struct CMUnitTest *from, size_t n, struct CMUnitTest *to)
{
	bool has_mysql = getenv("OGENT_TEST_MYSQL"), has_postgres = getenv("OGENT_TEST_POSTGRES");
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (from[i].name[0] == 'm' ? has_mysql : has_postgres)
			to[kept++] = from[i];
	return kept;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(bound_values_arrive_exact),
		ON_BOTH(text_is_compared_byte_by_byte),
		ON_BOTH(statements_are_kept_and_can_be_nested),
		ON_BOTH(a_job_that_fails_leaves_no_trace),
		ON_BOTH(constraints_have_their_errors),
		ON_BOTH(rows_found_count_as_changed_even_if_they_stay_the_same),
		ON_BOTH(a_reader_cannot_write),
		ON_BOTH(jobs_at_the_same_time_wait_for_each_others_rows),
		ON_BOTH(of_two_jobs_in_a_deadlock_one_is_repeated_and_both_succeed),
		ON_BOTH(so_is_one_that_takes_the_failure_for_none),
		ON_BOTH(a_row_locked_for_long_is_busy),
		ON_BOTH(a_job_whose_connection_breaks_off_before_its_commit_is_repeated),
		ON("mysql", a_statement_that_takes_too_long_is_given_up, setup),
		ON_BOTH(what_keeps_it_from_opening_is_told_without_the_password),
		ON("mysql", the_servers_errors_become_those_of_db_h, setup),
		ON_BOTH_EMPTY(migrations_apply_once_and_in_order),
		ON_BOTH_EMPTY(of_processes_that_start_together_one_migrates),
		ON_BOTH_EMPTY(a_migration_that_was_interrupted_goes_on_where_it_stopped),
		ON("mysql", a_change_that_was_not_noted_is_not_made_twice, setup_empty),
	};
	struct CMUnitTest here[ARRAY_SIZE(tests)];
	size_t n = keep(tests, ARRAY_SIZE(tests), here);

	if (n == 0)
		puts("1..0 # SKIP there is no server");
	return n ? _cmocka_run_group_tests("servers", here, n, NULL, NULL) : 0;
}
