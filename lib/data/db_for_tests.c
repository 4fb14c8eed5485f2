#include "data/db_for_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "data/driver.h"

int test_database_run(const char *url, const char *sql)
{
	const struct db_driver *driver = strstr(url, "mysql:") == url    ? &db_driver_mysql
					 : strstr(url, "sqlite:") == url ? &db_driver_sqlite
									 : &db_driver_postgres;
	struct error err = {0};
	struct db_conn *c;
	int r = driver->open(url, true, &c, &err);

	if (r < 0) {
		fprintf(stderr, "%s\n", err.message);
		return r;
	}
	r = driver->run(c, sql);
	if (r < 0)
		fprintf(stderr, "%s\n", c->error);
	driver->close(c);
	return r;
}

bool test_database_make(const char *dialect, struct test_database *ret)
{
	static int serial;
	bool is_mysql = strcmp(dialect, "mysql") == 0;
	const char *server = getenv(is_mysql ? "OGENT_TEST_MYSQL" : "OGENT_TEST_POSTGRES");
	char sql[100];

	if (strcmp(dialect, "sqlite") == 0) {
		strcpy(ret->name, "/tmp/ogent-unit-XXXXXX");
		assert_non_null(mkdtemp(ret->name));
		snprintf(ret->url, sizeof(ret->url), "sqlite:%s/unit.db", ret->name);
		ret->server[0] = '\0';
		return true;
	}
	if (!server)
		return false;
	snprintf(ret->name, sizeof(ret->name), "unit_%d_%d", (int)getpid(), serial++);
	/* The address of MySQL's server has no database, that of PostgreSQL's has one to begin with. */
	size_t n = is_mysql ? strlen(server) : (size_t)(strrchr(server, '/') - server);
	snprintf(ret->server, sizeof(ret->server), "%.*s/%s", (int)n, server, is_mysql ? "mysql" : "postgres");
	snprintf(ret->url, sizeof(ret->url), "%.*s/%s", (int)n, server, ret->name);
	snprintf(sql, sizeof(sql), "create database %s", ret->name);
	return test_database_run(ret->server, sql) == 0;
}

void test_database_drop(struct test_database *d)
{
	char text[100];

	if (*d->server) {
		snprintf(text, sizeof(text), "drop database %s", d->name);
		test_database_run(d->server, text);
	} else {
		snprintf(text, sizeof(text), "rm -r %s", d->name);
		assert_int_equal(system(text), 0);
	}
}

/* ---- Migrations ---- */

/* Everything but what the migrations themselves are told in. */
static const char *const schema_queries[][2] = {
	{"sqlite", "select name || ' ' || coalesce(sql, '') from sqlite_master where tbl_name not like 'schema_%' "
		   "order by name"},
	{"mysql", "select concat_ws(' ', table_name, column_name, column_type, is_nullable, column_default, "
		  "collation_name, column_key) from information_schema.columns where table_schema = database() and "
		  "table_name not like 'schema_%' order by table_name, column_name"},
	{"mysql", "select concat_ws(' ', table_name, index_name, non_unique, seq_in_index, column_name) from "
		  "information_schema.statistics where table_schema = database() and table_name not like 'schema_%' "
		  "order by table_name, index_name, seq_in_index"},
	{"mysql", "select concat_ws(' ', table_name, constraint_name, referenced_table_name) from "
		  "information_schema.referential_constraints where constraint_schema = database() order by 1"},
	{"postgres", "select concat_ws(' ', table_name, column_name, data_type, character_maximum_length, is_nullable, "
		     "column_default) from information_schema.columns where table_schema = 'public' and table_name not "
		     "like 'schema_%' order by table_name, column_name"},
	{"postgres", "select indexdef from pg_indexes where schemaname = 'public' and tablename not like 'schema_%' "
		     "order by indexdef"},
	{"postgres", "select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint where "
		     "connamespace = 'public'::regnamespace order by 1"},
};

static const char *const table_queries[][2] = {
	{"sqlite", "select name from sqlite_master where type = 'table' and name not like 'schema_%' order by name"},
	{"mysql", "select table_name from information_schema.tables where table_schema = database() and table_name not "
		  "like 'schema_%' order by table_name"},
	{"postgres",
	 "select tablename from pg_tables where schemaname = 'public' and tablename not like 'schema_%' order "
	 "by tablename"},
};

static void add_rows(struct db_conn *c, const char *sql, struct buf *out)
{
	struct db_stmt *st = db_query_dynamic(c, sql, NULL, 0);
	int r;

	while ((r = db_step(c, st)) == 1) {
		struct str s = db_col_str(st, 0);

		buf_add(out, s.p, s.n);
		buf_add_char(out, '\n');
	}
	if (r < 0)
		fail_msg("%s: %s", sql, db_error(c));
	db_done(st);
}

/* The schema, and for each table how many rows it has. */
static void describe(struct db *db, struct buf *schema, struct buf *rows)
{
	const char *dialect = db_url_dialect(db);
	struct buf tables = BUF_INIT;
	struct db_conn *c = db_main_conn(db, NULL);
	char sql[200];

	assert_non_null(c);
	for (size_t i = 0; i < ARRAY_SIZE(schema_queries); i++)
		if (!strcmp(schema_queries[i][0], dialect))
			add_rows(c, schema_queries[i][1], schema);
	for (size_t i = 0; i < ARRAY_SIZE(table_queries); i++)
		if (!strcmp(table_queries[i][0], dialect))
			add_rows(c, table_queries[i][1], &tables);
	for (struct str rest = buf_str(&tables), name; rest.n && (name = str_cut(&rest, '\n')).n;) {
		buf_printf(rows, "%.*s ", STR_ARG(name));
		snprintf(sql, sizeof(sql), "select count(*) from %.*s", STR_ARG(name));
		add_rows(c, sql, rows);
	}
	db_release_main_conn(db);
	buf_deinit(&tables);
}

/* Rows that were there are still there: `before` may know fewer tables. */
static void check_rows(const struct buf *before, const struct buf *after)
{
	for (struct str rest = buf_str(before), line; rest.n && (line = str_cut(&rest, '\n')).n;)
		if (!memmem(after->p, after->n, line.p, line.n + 1))
			fail_msg("before: %.*s, after:\n%s", STR_ARG(line), after->p);
}

static void migrate_from(const char *dialect, const struct migration *list, size_t from, size_t n,
			 const char *const *samples, struct buf *schema)
{
	struct test_database d;
	struct buf before = BUF_INIT, ignored = BUF_INIT, after = BUF_INIT;
	struct error err = {0};
	uv_loop_t loop;
	struct db *db;

	assert_true(test_database_make(dialect, &d));
	uv_loop_init(&loop);
	assert_int_equal(db_open(&loop, d.url, 1, &db, &err), 0);
	for (size_t i = 1; i <= from; i++) {
		if (db_migrate(db, list, i, &err) < 0)
			fail_msg("%s", err.message);
		if (samples[i - 1] && test_database_run(d.url, samples[i - 1]) < 0)
			fail_msg("the sample of version %zu does not fit", i);
	}
	describe(db, &ignored, &before);
	if (db_migrate(db, list, n, &err) < 0)
		fail_msg("from version %zu: %s", from, err.message);
	describe(db, schema, &after);
	check_rows(&before, &after);
	db_close(db);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	buf_deinit(&before);
	buf_deinit(&ignored);
	buf_deinit(&after);
	test_database_drop(&d);
}

void migrations_check(const char *dialect, const struct migration *list, size_t n, const char *const *samples)
{
	struct buf fresh = BUF_INIT, later = BUF_INIT;

	if ((!strcmp(dialect, "mysql") && !getenv("OGENT_TEST_MYSQL")) ||
	    (!strcmp(dialect, "postgres") && !getenv("OGENT_TEST_POSTGRES"))) {
		print_message("not run: there is no %s server\n", dialect);
		return;
	}
	migrate_from(dialect, list, 0, n, samples, &fresh);
	assert_true(fresh.n > 100);
	for (size_t from = 1; from <= n; from++) {
		buf_clear(&later);
		migrate_from(dialect, list, from, n, samples, &later);
		assert_string_equal(later.p, fresh.p);
	}
	buf_deinit(&fresh);
	buf_deinit(&later);
}
