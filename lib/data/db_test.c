#include "data/db.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/driver.h"

/* Each test has its own loop and a database file in its own folder. */
struct fixture {
	uv_loop_t loop;
	struct db *db;
	char folder[64], path[96], url[128];
	struct arena *arena;
};

static void open_db(struct fixture *f)
{
	struct error err = {0};

	if (db_open(&f->loop, f->url, 2, &f->db, &err) < 0)
		fail_msg("%s", err.message);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	db_sqlite_busy_ms = 100;
	uv_loop_init(&f->loop);
	strcpy(f->folder, "/tmp/ogent-db-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/db/test.db", f->folder);
	snprintf(f->url, sizeof(f->url), "sqlite:%s", f->path);
	f->arena = arena_new();
	open_db(f);
	*state = f;
	return 0;
}

static void close_db(struct fixture *f)
{
	db_close(f->db);
	f->db = NULL;
	uv_run(&f->loop, UV_RUN_DEFAULT);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[160];

	close_db(f);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	/* The last connection to close leaves no -wal and -shm behind. */
	unlink(f->path);
	snprintf(path, sizeof(path), "%s/db", f->folder);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(f->folder), 0);
	arena_free(f->arena);
	free(f);
	return 0;
}

/* A job that inserts `n` rows of `text` (or runs `sql`) and then answers `outcome`. */
struct test_job {
	struct db_job job;
	const char *sql, *text;
	int n, outcome;
	int result, calls, order, runs;
	int64_t value;
};

static int finished;

static void on_done(struct db_job *job, int result)
{
	struct test_job *t = container_of(job, struct test_job, job);

	t->result = result;
	t->calls++;
	t->order = finished++;
}

static int insert_rows(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);

	t->runs++;
	for (int i = 0; i < t->n; i++) {
		int64_t r = db_exec(c, "insert into t (text) values (?)", DB_TEXT(t->text));
		if (r < 0)
			return (int)r;
		assert_int_equal(r, 1);
	}
	return t->outcome;
}

static int run_sql(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);
	int64_t r = db_exec(c, t->sql);

	return r < 0 ? (int)r : 0;
}

static int get_value(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);
	int r = db_get_int(c, &t->value, t->sql);

	return r == 1 ? 0 : r;
}

static void start(struct fixture *f, struct test_job *t, void (*how)(struct db *, struct db_job *),
		  int (*run)(struct db_conn *, struct db_job *))
{
	t->job.run = run;
	t->job.done = on_done;
	how(f->db, &t->job);
	assert_int_equal(t->calls, 0);
}

static int sql(struct fixture *f, const char *text)
{
	struct test_job t = {.sql = text};

	start(f, &t, db_write, run_sql);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(t.calls, 1);
	return t.result;
}

static int64_t value(struct fixture *f, const char *text)
{
	struct test_job t = {.sql = text, .value = -1};

	start(f, &t, db_read, get_value);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.result, 0);
	return t.value;
}

static int make_table(void **state)
{
	setup(state);
	assert_int_equal(sql(*state, "create table t (id integer primary key, text text unique)"), 0);
	return 0;
}

static int occupy(struct db_conn *c, struct db_job *job)
{
	usleep(30000);
	return 0;
}

/* While the writer is busy the other jobs gather, so that they are taken as one batch. */
static void run_as_batch(struct fixture *f, struct test_job *jobs, size_t n)
{
	struct test_job first = {0};

	finished = 0;
	start(f, &first, db_write, occupy);
	usleep(10000);
	for (size_t i = 0; i < n; i++)
		start(f, &jobs[i], db_write, insert_rows);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(jobs[i].calls, 1);
		assert_int_equal(jobs[i].order, i + 1);
	}
}

static void waiting_jobs_share_one_commit_and_end_in_order(void **state)
{
	struct fixture *f = *state;
	struct test_job jobs[20] = {{{0}}};
	char text[20][8];

	/* Every commit appends the pages it changed to the WAL: one commit of 20 rows changes as many as one of 1. */
	struct stat before, after;
	char wal[128];
	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	for (int i = 0; i < 20; i++) {
		snprintf(text[i], sizeof(text[i]), "row %d", i);
		jobs[i].text = text[i];
		jobs[i].n = 1;
	}
	assert_int_equal(stat(wal, &before), 0);
	run_as_batch(f, jobs, 20);
	assert_int_equal(stat(wal, &after), 0);
	assert_int_equal(value(f, "select count(*) from t"), 20);
	assert_in_range((after.st_size - before.st_size) / 4096, 2, 6);
}

static void a_job_that_fails_leaves_no_trace_and_the_others_stay(void **state)
{
	struct fixture *f = *state;
	struct test_job jobs[] = {{.text = "a", .n = 1},
				  {.text = "b", .n = 1, .outcome = -EPERM},
				  {.text = "a", .n = 1},
				  {.text = "c", .n = 1, .outcome = 7},
				  {.text = "d", .n = 1}};

	run_as_batch(f, jobs, ARRAY_SIZE(jobs));
	assert_int_equal(jobs[0].result, 0);
	assert_int_equal(jobs[1].result, -EPERM);
	assert_int_equal(jobs[2].result, -EEXIST);
	assert_int_equal(jobs[3].result, 7);
	assert_int_equal(jobs[4].result, 0);
	assert_int_equal(value(f, "select count(*) from t where text in ('a', 'd')"), 2);
	assert_int_equal(value(f, "select count(*) from t"), 2);
}

static void jobs_run_once_unless_one_fails_after_it_has_written(void **state)
{
	struct fixture *f = *state;
	struct test_job good[] = {
		{.text = "a", .n = 1}, {.outcome = -EPERM}, {.text = "a", .n = 1}, {.text = "b", .n = 1}};
	struct test_job bad[] = {
		{.text = "c", .n = 1}, {.text = "d", .n = 1, .outcome = -EPERM}, {.text = "e", .n = 1}};

	run_as_batch(f, good, ARRAY_SIZE(good));
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(good[i].runs, 1);
	assert_int_equal(good[1].result, -EPERM);
	assert_int_equal(good[2].result, -EEXIST);
	run_as_batch(f, bad, ARRAY_SIZE(bad));
	assert_int_equal(bad[0].runs, 2);
	assert_int_equal(bad[2].result, 0);
	assert_int_equal(value(f, "select count(*) from t where text in ('a', 'b', 'c', 'e')"), 4);
	assert_int_equal(value(f, "select count(*) from t"), 4);
}

static void a_job_alone_is_rolled_back_too(void **state)
{
	struct fixture *f = *state;
	struct test_job t = {.text = "a", .n = 1, .outcome = 3};

	start(f, &t, db_write, insert_rows);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(t.result, 3);
	assert_int_equal(value(f, "select count(*) from t"), 0);
}

static void unique_and_other_constraints_have_their_errors(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(sql(f, "insert into t values (1, 'a')"), 0);
	assert_int_equal(sql(f, "insert into t values (1, 'b')"), -EEXIST);
	assert_int_equal(sql(f, "insert into t values (2, 'a')"), -EEXIST);
	assert_int_equal(sql(f, "create table child (t integer not null references t (id))"), 0);
	assert_int_equal(sql(f, "insert into child values (99)"), -EINVAL);
	assert_int_equal(sql(f, "insert into child values (null)"), -EINVAL);
	assert_int_equal(sql(f, "no sql at all"), -EINVAL);
	assert_int_equal(sql(f, "delete from t; delete from t"), -EINVAL);
}

/* One job fills the disk; those behind it are small and fit. */
static void a_full_disk_is_told_and_what_fits_goes_on(void **state)
{
	struct fixture *f = *state;
	static char big[200000];
	struct test_job jobs[] = {{.text = "a", .n = 1}, {.text = big, .n = 1}, {.text = "b", .n = 1}};

	memset(big, 'x', sizeof(big) - 1);
	assert_int_equal(value(f, "select 1"), 1);
	db_main_conn(f->db, NULL)->driver->run(db_main_conn(f->db, NULL), "pragma max_page_count=20");
	run_as_batch(f, jobs, ARRAY_SIZE(jobs));
	assert_int_equal(jobs[1].result, -ENOSPC);
	assert_int_equal(jobs[2].result, 0);
	assert_int_equal(value(f, "select count(*) from t where text = 'b'"), 1);
	assert_int_equal(value(f, "select count(*) from t where text = 'a'"), jobs[0].result == 0);
	assert_int_equal(value(f, "select count(*) from t where length(text) > 10"), 0);
}

static void a_database_locked_by_another_process_is_busy(void **state)
{
	struct fixture *f = *state;
	sqlite3 *other;

	assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "begin immediate", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sql(f, "insert into t values (1, 'a')"), -EBUSY);
	assert_int_equal(value(f, "select count(*) from t"), 0);
	sqlite3_exec(other, "rollback", NULL, NULL, NULL);
	sqlite3_close(other);
	assert_int_equal(sql(f, "insert into t values (1, 'a')"), 0);
}

/* System calls of this process that write. */
static long count_writes(void)
{
	FILE *f = fopen("/proc/self/io", "re");
	char line[128];
	long n = 0;

	while (fgets(line, sizeof(line), f))
		sscanf(line, "syscw: %ld", &n);
	fclose(f);
	return n;
}

static off_t log_size(struct fixture *f)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s-wal", f->path);
	return stat(path, &st) == 0 ? st.st_size : 0;
}

/* t->n rows that fill most of a page each, twice with the index. */
static int insert_pages(struct db_conn *c, struct db_job *job)
{
	struct test_job *t = container_of(job, struct test_job, job);
	char text[3000];
	int64_t r = 0;

	for (int i = 0; r >= 0 && i < t->n; i++) {
		snprintf(text, sizeof(text), "%02999d", i);
		r = db_exec(c, "insert into t (text) values (?)", DB_TEXT(text));
	}
	if (r >= 0)
		r = db_get_int(c, &t->value, "select sum(length(text)) from t");
	return r < 0 ? (int)r : t->outcome;
}

static void a_commit_of_many_pages_is_one_write(void **state)
{
	struct fixture *f = *state;
	struct test_job t = {.n = 6};
	off_t size = log_size(f);
	long writes = count_writes();

	start(f, &t, db_write, insert_pages);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	/* The loop is woken by one too. */
	assert_in_range(count_writes() - writes, 1, 3);
	assert_int_equal(t.result, 0);
	assert_true(log_size(f) >= size + 12 * 4096);
}

/* More than the cache of pages holds: they go to the log, and are read from there, before the end. */
static void a_transaction_larger_than_the_cache_is_whole_or_not_there(void **state)
{
	struct fixture *f = *state;
	struct test_job undone = {.n = 1500, .outcome = -EPERM}, kept = {.n = 1500};
	sqlite3 *other;

	start(f, &undone, db_write, insert_pages);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(undone.value, 1500 * 2999);
	assert_int_equal(value(f, "select count(*) from t"), 0);
	start(f, &kept, db_write, insert_pages);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(kept.result, 0);
	/* As others see the file, by SQLite's own access. */
	assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other,
				      "create temp table n (n check (n = 1500));"
				      "insert into n select count(*) from main.t where length(text) = 2999;"
				      "create temp table said (said check (said = 'ok'));"
				      "insert into said select * from pragma_integrity_check",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(other);
}

static int check_values(struct db_conn *c, struct db_job *job)
{
	static const char text[] = "it's \"quoted\"; drop table t; --\0behind the NUL \xc3\xa9";
	static const char blob[] = "\xff\0\x01";
	struct arena *a = arena_new();

	if (db_exec(c, "create table v (a text, b blob, c integer, d real, e text, f text)") < 0)
		return -EIO;
	db_exec(c, "insert into v values (?, ?, ?, ?, ?, ?)", DB_STR(((struct str){text, sizeof(text) - 1})),
		DB_BLOB(blob, 3), DB_INT(INT64_MIN), DB_REAL(0.1), DB_TEXT(NULL), DB_STR(((struct str){NULL, 0})));
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select * from v where a = ?", DB_STR(((struct str){text, sizeof(text) - 1})));
	assert_int_equal(db_step(c, st), 1);
	assert_int_equal(db_col_str(st, 0).n, sizeof(text) - 1);
	assert_memory_equal(db_col_str(st, 0).p, text, sizeof(text));
	assert_memory_equal(db_col_dup(st, 0, a), text, sizeof(text));
	assert_true(str_eq(db_col_str(st, 1), (struct str){blob, 3}));
	assert_true(db_col_int(st, 2) == INT64_MIN);
	assert_true(db_col_real(st, 3) == 0.1);
	assert_true(db_col_is_null(st, 4));
	assert_null(db_col_dup(st, 4, a));
	assert_false(db_col_is_null(st, 5));
	assert_string_equal(db_col_dup(st, 5, a), "");
	assert_int_equal(db_step(c, st), 0);
	arena_free(a);
	return 0;
}

static void bound_values_arrive_exact(void **state)
{
	struct fixture *f = *state;
	struct test_job t = {.text = ""};

	start(f, &t, db_write, check_values);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(t.result, 0);
}

static int use_statements(struct db_conn *c, struct db_job *job)
{
	static const char *const numbers = "select value from json_each('[1,2,3]') where value >= ?";
	int sum = 0;

	/* The same SQL inside its own loop. */
	struct db_stmt *outer = db_query(c, numbers, DB_INT(2));
	while (db_step(c, outer) == 1) {
		struct db_stmt *inner = db_query(c, numbers, DB_INT(1));
		while (db_step(c, inner) == 1)
			sum += (int)(db_col_int(outer, 0) * db_col_int(inner, 0));
		db_done(inner);
	}
	db_done(outer);
	assert_int_equal(sum, 30);

	struct db_value one = DB_INT(3);
	struct db_stmt *st = db_query_dynamic(c, numbers, &one, 1);
	assert_int_equal(db_step(c, st), 1);
	assert_int_equal(db_step(c, st), 0);
	db_done(st);

	st = db_query_dynamic(c, numbers, &one, 1);
	assert_int_equal(db_step(c, st), 1);
	struct db_stmt *again = db_query_dynamic(c, numbers, &one, 1);
	assert_ptr_not_equal(again, st);
	assert_int_equal(db_step(c, again), 1);
	db_done(again);
	assert_int_equal(db_col_int(st, 0), 3);
	db_done(st);

	assert_null(db_query(c, numbers));
	assert_int_equal(db_step(c, NULL), -EINVAL);
	assert_non_null(strstr(db_error(c), "0 values for the 1 of"));
	assert_int_equal(db_exec(c, "select 1 from nothing"), -EINVAL);
	assert_string_equal(db_dialect(c), "sqlite");
	db_done(NULL);
	return 0;
}

/* More forms than are kept, some of them in use, each from memory that is gone afterwards. */
static int use_many_forms(struct db_conn *c, struct db_job *job)
{
	struct db_stmt *busy[20];
	char sql[64];

	for (int i = 0; i < 100; i++) {
		snprintf(sql, sizeof(sql), "select %d + ?", i % 40);
		struct db_value one = DB_INT(1);
		struct db_stmt *st = db_query_dynamic(c, sql, &one, 1);
		memset(sql, 'x', sizeof(sql));
		assert_int_equal(db_step(c, st), 1);
		assert_int_equal(db_col_int(st, 0), i % 40 + 1);
		if (i < 20)
			busy[i] = st;
		else
			db_done(st);
	}
	for (int i = 0; i < 20; i++) {
		assert_int_equal(db_col_int(busy[i], 0), i + 1);
		db_done(busy[i]);
	}
	assert_null(db_query_dynamic(c, "select nothing", NULL, 0));
	return 0;
}

static void statements_are_kept_and_can_be_nested(void **state)
{
	struct fixture *f = *state;
	struct test_job t = {0}, many = {0};

	start(f, &t, db_read, use_statements);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(t.result, 0);
	assert_string_equal(db_url_dialect(f->db), "sqlite");
	start(f, &many, db_read, use_many_forms);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(many.result, 0);
}

/* The program again, as another process. */
static int look(const char *path)
{
	sqlite3 *db;

	return sqlite3_open(path, &db) == SQLITE_OK &&
			       sqlite3_exec(db, "select count(*) from sqlite_master", NULL, NULL, NULL) == SQLITE_OK &&
			       sqlite3_close(db) == SQLITE_OK
		       ? 0
		       : 1;
}

/* It takes itself for the last one, and removes the -wal file, when our locks are gone. */
static void another_process_that_looks_in_takes_nothing_away(void **state)
{
	struct fixture *f = *state;
	char wal[128];
	pid_t child;
	int status;

	value(f, "select count(*) from sqlite_master"); /* every connection is open */
	child = fork();
	if (child == 0) {
		execl("/proc/self/exe", "db_test", "look", f->path, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	assert_int_equal(access(wal, F_OK), 0);
}

static void a_reader_cannot_write(void **state)
{
	struct fixture *f = *state;
	struct test_job t = {.sql = "insert into t values (1, 'a')"};

	start(f, &t, db_read, run_sql);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_true(t.result < 0);
	assert_int_equal(value(f, "select count(*) from t"), 0);
}

static void only_the_owner_may_read_the_files(void **state)
{
	struct fixture *f = *state;
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	struct stat st;

	sql(f, "create table x (a)");
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
}

static void closing_waits_for_what_was_submitted(void **state)
{
	struct fixture *f = *state;
	struct test_job a = {.text = "a", .n = 1}, b = {.text = "b", .n = 1};

	start(f, &a, db_write, insert_rows);
	start(f, &b, db_write, insert_rows);
	close_db(f);
	assert_int_equal(a.calls + b.calls, 2);
	assert_int_equal(a.result, 0);
	open_db(f);
	assert_int_equal(value(f, "select count(*) from t"), 2);
}

static void a_full_queue_refuses_but_still_ends_each_job(void **state)
{
	struct fixture *f = *state;
	size_t n = 20000, refused = 0;
	struct test_job *jobs = calloc(n, sizeof(*jobs));
	struct test_job first = {0};

	start(f, &first, db_write, occupy);
	for (size_t i = 0; i < n; i++)
		start(f, &jobs[i], db_write, insert_rows);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(jobs[i].calls, 1);
		assert_true(jobs[i].result == 0 || jobs[i].result == -EAGAIN);
		refused += jobs[i].result == -EAGAIN;
	}
	/* The first one may wait too. */
	assert_in_range(refused, 1, n + 1 - 16384);
	free(jobs);
}

static void addresses_that_cannot_be_opened_are_told(void **state)
{
	struct fixture *f = *state;
	struct error err = {0};
	char url[160];
	struct db *db;

	assert_int_equal(db_open(&f->loop, "oracle://scott:tiger@h/db", 1, &db, &err), -EINVAL);
	assert_null(strstr(err.message, "tiger"));
	assert_int_equal(db_open(&f->loop, "sqlite:relative.db", 1, &db, &err), -EINVAL);
	assert_int_equal(db_open(&f->loop, "sqlite:/nowhere/at/all.db", 1, &db, &err), -ENOENT);
	snprintf(url, sizeof(url), "sqlite:%s/text", f->folder);
	FILE *text = fopen(strchr(url, '/'), "w");
	fputs("this is no database, only a text that is long enough to be read as one\n", text);
	fclose(text);
	assert_int_equal(db_open(&f->loop, url, 1, &db, &err), -EIO);
	assert_non_null(strstr(err.message, "not a database"));
	unlink(strchr(url, '/'));
}

static const struct migration migrations[] = {
	{"first", "create table m (n integer); insert into m values (1)"},
	{"second", "insert into m select n + 1 from m; create index m_n on m (n)"},
	{"third", "insert into m values (100)"},
};

static void migrations_apply_once_and_in_order(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(db_migrate(f->db, migrations, 2, NULL), 0);
	assert_int_equal(value(f, "select sum(n) from m"), 3);
	assert_int_equal(db_migrate(f->db, migrations, 3, NULL), 0);
	assert_int_equal(db_migrate(f->db, migrations, 3, NULL), 0);
	close_db(f);
	open_db(f);
	assert_int_equal(db_migrate(f->db, migrations, 3, NULL), 0);
	assert_int_equal(value(f, "select sum(n) from m"), 103);
	assert_int_equal(value(f, "select max(version) from schema_migrations where applied_at > 0"), 3);
}

static void a_newer_or_foreign_database_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct migration other[] = {{"another", "select 1"}};
	struct error err = {0};

	assert_int_equal(db_migrate(f->db, migrations, 3, NULL), 0);
	assert_true(db_migrate(f->db, migrations, 2, &err) < 0);
	assert_string_equal(err.code, "db_newer");
	assert_true(db_migrate(f->db, other, 1, &err) < 0);
	assert_string_equal(err.code, "db_foreign");
}

static void a_migration_that_fails_leaves_the_database_as_it_was(void **state)
{
	struct fixture *f = *state;
	const struct migration broken[] = {migrations[0], {"broken", "insert into m values (5); nonsense"}};
	struct error err = {0};

	assert_true(db_migrate(f->db, broken, 2, &err) < 0);
	assert_non_null(strstr(err.message, "broken"));
	assert_int_equal(value(f, "select count(*) from sqlite_master"), 0);
	assert_int_equal(db_migrate(f->db, migrations, 1, NULL), 0);
}

#define PLAIN(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
#define WITH_TABLE(t) cmocka_unit_test_setup_teardown(t, make_table, teardown)

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "look"))
		return look(argv[2]);

	const struct CMUnitTest tests[] = {
		WITH_TABLE(waiting_jobs_share_one_commit_and_end_in_order),
		WITH_TABLE(a_job_that_fails_leaves_no_trace_and_the_others_stay),
		WITH_TABLE(jobs_run_once_unless_one_fails_after_it_has_written),
		WITH_TABLE(a_job_alone_is_rolled_back_too),
		WITH_TABLE(unique_and_other_constraints_have_their_errors),
		WITH_TABLE(a_full_disk_is_told_and_what_fits_goes_on),
		WITH_TABLE(a_database_locked_by_another_process_is_busy),
		WITH_TABLE(a_commit_of_many_pages_is_one_write),
		WITH_TABLE(a_transaction_larger_than_the_cache_is_whole_or_not_there),
		PLAIN(bound_values_arrive_exact),
		PLAIN(statements_are_kept_and_can_be_nested),
		WITH_TABLE(another_process_that_looks_in_takes_nothing_away),
		WITH_TABLE(a_reader_cannot_write),
		PLAIN(only_the_owner_may_read_the_files),
		WITH_TABLE(closing_waits_for_what_was_submitted),
		WITH_TABLE(a_full_queue_refuses_but_still_ends_each_job),
		PLAIN(addresses_that_cannot_be_opened_are_told),
		PLAIN(migrations_apply_once_and_in_order),
		PLAIN(a_newer_or_foreign_database_is_refused),
		PLAIN(a_migration_that_fails_leaves_the_database_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
