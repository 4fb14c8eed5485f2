/* What only PostgreSQL has, and how its driver meets what cannot be had from another server the same way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "data/db_for_tests.h"
#include "data/driver.h"

struct fixture {
	uv_loop_t loop;
	struct test_database database;
	struct db *db;
	char heard[400]; /* messages, each with a space behind it; "-" for NULL */
};

#define FIXTURE                     \
	struct fixture *f = *state; \
	assert_non_null(f);

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = {0};

	*state = NULL;
	if (!test_database_make("postgres", &f->database)) {
		free(f);
		return 0;
	}
	uv_loop_init(&f->loop);
	if (db_open(&f->loop, f->database.url, 2, &f->db, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(test_database_run(f->database.url, "create table t (a text, b bytea, n bigint)"), 0);
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

struct test_job {
	struct db_job job;
	const char *sql;
	int outcome, result, runs;
	bool is_done;
};

static void on_done(struct db_job *job, int result)
{
	struct test_job *t = container_of(job, struct test_job, job);

	t->result = result;
	t->is_done = true;
}

static int run_sql(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);
	int64_t r = db_exec(c, t->sql);

	t->runs++;
	return r < 0 ? (int)r : t->outcome;
}

static void run_job(struct fixture *f, struct test_job *t, int (*run)(struct db_conn *c, struct db_job *job))
{
	t->job.run = run;
	t->job.done = on_done;
	db_write(f->db, &t->job);
	while (!t->is_done)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static int sql(struct fixture *f, const char *text, int *ret_runs)
{
	struct test_job t = {.sql = text};

	run_job(f, &t, run_sql);
	if (ret_runs)
		*ret_runs = t.runs;
	return t.result;
}

static void errors_of_the_server_become_ours(void **state)
{
	static const struct {
		const char *sql;
		int result, runs;
	} cases[] = {
		{"do 'begin raise exception using errcode = ''53100''; end'", -ENOSPC, 1},
		{"do 'begin raise exception using errcode = ''53200''; end'", -EAGAIN, 1},
		{"do 'begin raise exception using errcode = ''55P03''; end'", -EBUSY, 1},
		{"do 'begin raise exception using errcode = ''XX001''; end'", -EIO, 1},
		{"do 'begin raise exception using errcode = ''23505''; end'", -EEXIST, 1},
		{"do 'begin raise exception using errcode = ''23503''; end'", -EINVAL, 1},
		/* Repeated until it is enough. */
		{"do 'begin raise exception using errcode = ''40001''; end'", -EBUSY, 20},
		{"do 'begin raise exception using errcode = ''40P01''; end'", -EBUSY, 20},
	};
	FIXTURE;
	int runs;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(sql(f, cases[i].sql, &runs), cases[i].result);
		assert_int_equal(runs, cases[i].runs);
	}
	assert_int_equal(sql(f, "insert into t (n) values (1)", NULL), 0);
}

static int sleep_too_long(struct db_conn *c, struct db_job *job)
{
	int64_t one;

	if (db_exec(c, "set local statement_timeout = 50") < 0)
		return -EIO;
	return db_get_int(c, &one, "select 1 from pg_sleep(20)");
}

static void a_statement_that_takes_too_long_is_given_up(void **state)
{
	FIXTURE;
	struct test_job t = {0};

	run_job(f, &t, sleep_too_long);
	assert_int_equal(t.result, -ETIMEDOUT);
}

static void a_commit_whose_answer_is_lost_is_not_repeated(void **state)
{
	FIXTURE;
	int runs;

	assert_int_equal(test_database_run(f->database.url,
					   "create function die() returns trigger language plpgsql as 'begin perform "
					   "pg_terminate_backend(pg_backend_pid()); return null; end';"
					   "create constraint trigger die after insert on t deferrable initially "
					   "deferred for each row execute function die()"),
			 0);
	assert_int_equal(sql(f, "insert into t (n) values (1)", &runs), -ECONNRESET);
	assert_int_equal(runs, 1);
	assert_int_equal(sql(f, "update t set n = 2", NULL), 0);
}

static int ignore_failure(struct db_conn *c, struct db_job *job)
{
	if (db_exec(c, "insert into t (n) values (1)") != 1)
		return -EIO;
	return db_exec(c, "insert into nowhere values (1)") < 0 ? 0 : -EIO;
}

static void a_job_that_passes_over_a_failure_is_not_taken_for_done(void **state)
{
	FIXTURE;
	struct test_job t = {0};

	run_job(f, &t, ignore_failure);
	assert_int_equal(t.result, -EINVAL);
}

static int store_odd_text(struct db_conn *c, struct db_job *job)
{
	static const char text[] = "a\0b\xff"
				   "c\0";
	_cleanup_(db_done_p) struct db_stmt *st = NULL;

	if (db_exec(c, "insert into t (a, b) values (?, ?)", DB_STR(((struct str){text, 6})), DB_BLOB(text, 6)) != 1)
		return -EIO;
	st = db_query(c, "select a, b, a is null from t");
	assert_int_equal(db_step(c, st), 1);
	assert_true(str_is(db_col_str(st, 0), "a\xef\xbf\xbd"
					      "b\xef\xbf\xbd"
					      "c\xef\xbf\xbd"));
	assert_true(str_eq(db_col_str(st, 1), (struct str){text, 6}));
	assert_int_equal(db_col_int(st, 2), 0);
	return 0;
}

static void text_that_the_server_would_refuse_is_mended_and_bytes_are_exact(void **state)
{
	FIXTURE;
	struct test_job t = {0};

	run_job(f, &t, store_odd_text);
	assert_int_equal(t.result, 0);
}

static int look_at_clock(struct db_conn *c, struct db_job *job)
{
	int64_t a, b, own = clock_now_us();

	assert_int_equal(db_clock_us(c, &a), 0);
	assert_int_equal(db_clock_us(c, &b), 0);
	/* It goes on within a transaction; the server is on this machine. */
	assert_true(b > a);
	assert_in_range(a, own - 5000000, own + 60000000);
	return 0;
}

static void the_clock_is_the_servers(void **state)
{
	FIXTURE;
	struct test_job t = {0};

	run_job(f, &t, look_at_clock);
	assert_int_equal(t.result, 0);
}

/* ---- Messages ---- */

static void on_message(void *arg, const char *message)
{
	struct fixture *f = arg;

	strcat(f->heard, message ? message : "-");
	strcat(f->heard, " ");
}

static void hear(struct fixture *f, const char *what)
{
	while (!strstr(f->heard, what))
		uv_run(&f->loop, UV_RUN_ONCE);
}

static int tell(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);
	int r = db_notify(c, "test", t->sql);

	return r < 0 ? r : t->outcome;
}

static void messages_come_with_the_commit_only(void **state)
{
	FIXTURE;
	struct db_listener *l = db_listen(&f->loop, f->db, "test", on_message, f);
	struct test_job a = {.sql = "first"}, b = {.sql = "undone", .outcome = 1}, c = {.sql = "last 'quoted'"};

	assert_non_null(l);
	hear(f, "- ");
	run_job(f, &a, tell);
	run_job(f, &b, tell);
	run_job(f, &c, tell);
	hear(f, "quoted");
	assert_string_equal(f->heard, "- first last 'quoted' ");
	db_listener_free(l);
}

static void a_listener_whose_connection_is_cut_comes_back_and_says_so(void **state)
{
	FIXTURE;
	struct db_listener *l = db_listen(&f->loop, f->db, "test", on_message, f);
	struct test_job a = {.sql = "again"};

	hear(f, "- ");
	/* A listening connection's last statement is its listen. */
	assert_int_equal(test_database_run(f->database.url,
					   "select pg_terminate_backend(pid) from pg_stat_activity "
					   "where query like 'listen%' and datname = current_database()"),
			 0);
	hear(f, "- - ");
	run_job(f, &a, tell);
	hear(f, "again");
	db_listener_free(l);
}

/* It takes the connection and says nothing. */
static void a_server_that_does_not_answer_is_not_waited_for(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct error err = {0};
	struct db_conn *c;
	char url[100];

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	snprintf(url, sizeof(url), "postgres://u:hidden@127.0.0.1:%d/d?connect_timeout=2", ntohs(address.sin_port));
	assert_int_equal(db_driver_postgres.open(url, true, &c, &err), -ENOTCONN);
	assert_non_null(strstr(err.message, "timeout"));
	assert_null(strstr(err.message, "hidden"));
	close(fd);
}

static void addresses_that_cannot_be_right_are_told_without_their_password(void **state)
{
	static const char *const urls[] = {
		"postgres://u:se@cret@h/d",          "postgres://u:se/cret@h/d",   "postgres://u:12/cret@h/d",
		"postgres://u:cret@h/d?sslmod=cret", "postgres://u:cret@h:cret/d", "postgres://u:cret%zz@h/d",
	};

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		struct error err = {0};
		struct db_conn *c;
		assert_true(db_driver_postgres.open(urls[i], true, &c, &err) < 0);
		if (strcmp(err.code, "db_url") != 0)
			fail_msg("%s: %s", urls[i], err.message);
		assert_null(strstr(err.message, "cret"));
	}
}

/* cmocka tells a test that is skipped as one that failed: without a server only those run that need none. */
int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest with_server[] = {
		T(errors_of_the_server_become_ours),
		T(a_statement_that_takes_too_long_is_given_up),
		T(a_commit_whose_answer_is_lost_is_not_repeated),
		T(a_job_that_passes_over_a_failure_is_not_taken_for_done),
		T(text_that_the_server_would_refuse_is_mended_and_bytes_are_exact),
		T(the_clock_is_the_servers),
		T(messages_come_with_the_commit_only),
		T(a_listener_whose_connection_is_cut_comes_back_and_says_so),
		cmocka_unit_test(a_server_that_does_not_answer_is_not_waited_for),
		cmocka_unit_test(addresses_that_cannot_be_right_are_told_without_their_password),
	};
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(a_server_that_does_not_answer_is_not_waited_for),
		cmocka_unit_test(addresses_that_cannot_be_right_are_told_without_their_password),
	};

	if (getenv("OGENT_TEST_POSTGRES"))
		return cmocka_run_group_tests(with_server, NULL, NULL);
	return cmocka_run_group_tests(alone, NULL, NULL);
}
