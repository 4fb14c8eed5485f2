#include <errno.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "data/driver.h"
#include "data/statements.h"

static int failed(struct db_conn *c, struct error *err, const char *name)
{
	error_set(err, "db_migrate", "the database could not be brought up to date (%s): %s", name, db_error(c));
	return c->err;
}

/* What was applied must be the beginning of the list: anything else is another program's database, or a newer one's. */
static int check_applied(struct db_conn *c, const struct migration *list, size_t n, size_t *ret, struct error *err)
{
	struct db_stmt *st = db_query(c, "select version, name from schema_migrations order by version");
	size_t applied = 0;
	int r;

	while ((r = db_step(c, st)) == 1) {
		struct str name = db_col_str(st, 1);
		if (++applied > n)
			r = error_set(
				err, "db_newer",
				"the database was made by a newer version (migration \"%.*s\"): use that version or a "
				"backup from before it",
				STR_ARG(name));
		else if (!str_is(name, list[applied - 1].name))
			r = error_set(
				err, "db_foreign",
				"the database belongs to something else: its migration %zu is \"%.*s\", not \"%s\"",
				applied, STR_ARG(name), list[applied - 1].name);
		if (r < 0)
			break;
	}
	db_done(st);
	if (r < 0 && !(err && *err->code))
		failed(c, err, "schema_migrations");
	*ret = applied;
	return r;
}

static const char *sql_for(const struct migration *m, const char *dialect)
{
	const char *own = strcmp(dialect, "postgres") == 0 ? m->postgres
			  : strcmp(dialect, "mysql") == 0  ? m->mysql
							   : NULL;

	return own ? own : m->sql;
}

static int record(struct db_conn *c, const struct migration *m, size_t version)
{
	int64_t r = db_exec(c, "insert into schema_migrations (version, name, applied_at) values (?, ?, ?)",
			    DB_INT((int64_t)version), DB_TEXT(m->name), DB_INT(clock_now_us()));

	return (int)MIN(r, 0);
}

static int apply(struct db_conn *c, const struct migration *m, size_t version)
{
	int r = c->driver->run(c, sql_for(m, c->driver->dialect));

	return r < 0 ? r : record(c, m, version);
}

/* ---- By statements, where a change of the schema cannot be rolled back ----
 *
 * schema_steps says how many statements of the migration under way are done. A statement that changes rows commits
 * together with its number. One that changes the schema commits before its number does, so the first one after an
 * interruption may have been done: then it says so when it comes again. */

static int in_transaction(struct db_conn *c, int (*body)(struct db_conn *, const struct migration *, size_t),
			  const struct migration *m, size_t version)
{
	int r = c->driver->run(c, c->driver->begin_write);

	if (r == 0)
		r = body(c, m, version);
	if (r == 0)
		r = c->driver->run(c, "commit");
	if (r < 0 && c->driver->is_in_transaction(c))
		c->driver->run(c, "rollback");
	return r;
}

static int finish_steps(struct db_conn *c, const struct migration *m, size_t version)
{
	int64_t r = db_exec(c, "delete from schema_steps where version = ?", DB_INT((int64_t)version));

	return r < 0 ? (int)r : record(c, m, version);
}

/* may_be_done: this is the statement at which the last try may have stopped. */
static int run_step(struct db_conn *c, struct str statement, size_t version, int64_t number, bool may_be_done)
{
	_cleanup_(buf_deinit) struct buf sql = BUF_INIT;
	int64_t r = c->driver->run(c, c->driver->begin_write);

	if (r < 0)
		return (int)r;
	buf_add(&sql, statement.p, statement.n);
	r = c->driver->run(c, sql.p);
	if (r < 0 && may_be_done && c->driver->stepwise->was_done(c))
		r = 0;
	if (r == 0)
		r = db_exec(c, "update schema_steps set done = ? where version = ?", DB_INT(number + 1),
			    DB_INT((int64_t)version));
	if (r >= 0)
		r = c->driver->run(c, "commit");
	if (r < 0 && c->driver->is_in_transaction(c)) {
		int err = c->err;
		char error[sizeof(c->error)];

		/* What is told is why it failed. */
		memcpy(error, c->error, sizeof(error));
		c->driver->run(c, "rollback");
		db_fail(c, err, "%s", error);
	}
	return (int)MIN(r, 0);
}

static int apply_by_steps(struct db_conn *c, const struct migration *m, size_t version)
{
	struct str rest = str_of(sql_for(m, c->driver->dialect)), statement;
	int64_t done = 0, number = 0, r;
	bool is_again;

	r = db_get_int(c, &done, "select done from schema_steps where version = ?", DB_INT((int64_t)version));
	is_again = r == 1;
	if (r == 0)
		r = db_exec(c, "insert into schema_steps (version, done) values (?, 0)", DB_INT((int64_t)version));
	for (; r >= 0 && (statement = sql_cut(&rest)).n; number++)
		if (number >= done)
			r = run_step(c, statement, version, number, is_again && number == done);
	return r < 0 ? (int)r : in_transaction(c, finish_steps, m, version);
}

/* ---- The whole ---- */

static int migrate(struct db_conn *c, const struct migration *list, size_t n, struct error *err)
{
	size_t applied;
	int r;

	r = c->driver->run(c, "create table if not exists schema_migrations (version integer primary key, "
			      "name varchar(100) not null, applied_at bigint not null)");
	if (r < 0)
		return failed(c, err, "schema_migrations");
	r = check_applied(c, list, n, &applied, err);
	for (size_t i = applied; r == 0 && i < n; i++) {
		r = c->driver->stepwise ? apply_by_steps(c, &list[i], i + 1) : apply(c, &list[i], i + 1);
		if (r < 0)
			failed(c, err, list[i].name);
	}
	return r;
}

static int migrate_by_steps(struct db_conn *c, const struct migration *list, size_t n, struct error *err)
{
	int r = c->driver->stepwise->begin(c);

	if (r < 0)
		return failed(c, err, "begin");
	r = c->driver->run(c, "create table if not exists schema_steps (version integer primary key, "
			      "done integer not null)");
	r = r < 0 ? failed(c, err, "schema_steps") : migrate(c, list, n, err);
	c->driver->stepwise->end(c);
	return r;
}

static int migrate_at_once(struct db_conn *c, const struct migration *list, size_t n, struct error *err)
{
	const struct db_driver *d = c->driver;
	int r = d->run(c, d->begin_migration ? d->begin_migration : d->begin_write);

	if (r < 0)
		return failed(c, err, "begin");
	r = migrate(c, list, n, err);
	if (r == 0 && (r = d->run(c, "commit")) < 0)
		failed(c, err, "commit");
	if (r < 0 && d->is_in_transaction(c))
		d->run(c, "rollback");
	if (d->end_migration)
		d->run(c, d->end_migration);
	if (d->migrated)
		d->migrated(c);
	return r;
}

/* Everything that is missing in one transaction, or by steps under a lock, so that two processes that start together
 * do not meet halfway. */
int db_migrate(struct db *db, const struct migration *list, size_t n, struct error *err)
{
	struct db_conn *c = db_main_conn(db, err);
	int r = -ENOTCONN;

	if (c)
		r = c->driver->stepwise ? migrate_by_steps(c, list, n, err) : migrate_at_once(c, list, n, err);
	db_release_main_conn(db);
	return r;
}
