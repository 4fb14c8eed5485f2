#include <errno.h>

#include "base/clock.h"
#include "data/driver.h"

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

static int apply(struct db_conn *c, const struct migration *m, size_t version)
{
	int r = c->driver->run(c, sql_for(m, c->driver->dialect));

	if (r < 0)
		return r;
	int64_t rows = db_exec(c, "insert into schema_migrations (version, name, applied_at) values (?, ?, ?)",
			       DB_INT((int64_t)version), DB_TEXT(m->name), DB_INT(clock_now_us()));
	return rows < 0 ? (int)rows : 0;
}

static int migrate(struct db_conn *c, const struct migration *list, size_t n, struct error *err)
{
	size_t applied;
	int r;

	r = c->driver->run(c, "create table if not exists schema_migrations (version integer primary key, "
			      "name varchar(100) not null, applied_at bigint not null)");
	if (r < 0)
		return failed(c, err, "schema_migrations");
	r = check_applied(c, list, n, &applied, err);
	for (size_t i = applied; r == 0 && i < n; i++)
		if ((r = apply(c, &list[i], i + 1)) < 0)
			failed(c, err, list[i].name);
	return r;
}

static int migrate_on(struct db_conn *c, const struct migration *list, size_t n, struct error *err)
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
	return r;
}

/* Everything that is missing in one transaction, so that two processes that start together do not meet halfway. */
int db_migrate(struct db *db, const struct migration *list, size_t n, struct error *err)
{
	struct db_conn *c = db_main_conn(db, err);
	int r = c ? migrate_on(c, list, n, err) : -ENOTCONN;

	db_release_main_conn(db);
	return r;
}
