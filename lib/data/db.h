/* One interface over the databases. SQL runs as plain sequential C in jobs on worker threads; each thread has a
 * connection of its own. Reads go to the reader lane, writes to the writer lane.
 *
 * SQLite has one writer: the write jobs that wait when a commit starts are committed together, with WAL and
 * synchronous=FULL: when a write's `done` comes with 0, it is on disk. One that fails leaves no trace: when it had
 * written something, all of them are repeated, each in a savepoint.
 *
 * A server (PostgreSQL, MySQL) runs each job as one transaction on one of several connections, so write jobs run at the
 * same time and see what others have committed (READ COMMITTED). A job that meets another one is repeated. It may also
 * ask for that itself by returning -EDEADLK. A job that reads what it is going to change locks it with DB_FOR_UPDATE.
 * So a job's `run` must be repeatable: it sets its results anew each time and touches nothing else. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "io/jobs.h"

struct db;      /* the process's handle */
struct db_conn; /* one connection, on a worker thread */
struct db_stmt; /* a running query */

/* url: "sqlite:/path/file.db", "postgres://user:password@host:port/database?sslmode=…",
 * "mysql://user:password@host:port/database?ssl=…" (mysql_url.h). Opens and checks one connection before returning.
 * Returns 0 or -errno with err set. */
int db_open(uv_loop_t *loop, const char *url, unsigned n_readers, struct db **ret, struct error *err);
/* Waits for running jobs. */
void db_close(struct db *db);

struct db_job {
	/* On a worker thread. Returns 0 to commit; anything else rolls the job back and is passed on to `done`:
	 * negative -errno, positive the job's own outcomes. */
	int (*run)(struct db_conn *c, struct db_job *job);
	/* On the loop's thread, exactly once, also when refused. -EAGAIN: the queue is full; -ENOSPC: disk full;
	 * -EBUSY: locked for more than 5 s; -EIO; -EEXIST: a unique constraint; -ENOENT by the job itself; … Servers
	 * also: -ENOTCONN: cannot be reached, nothing was done; -ECONNRESET: the connection broke off while
	 * committing, so it may have been done or not; -ETIMEDOUT: a statement took too long. */
	void (*done)(struct db_job *job, int result);

	/* Its own. */
	struct job job;
	struct db *db;
	int result;
};

/* Where its jobs run: one lane for reads and one for writes, or the same for both. */
struct job_lane *db_lane(const struct db *db, bool is_write);

void db_write(struct db *db, struct db_job *job);
void db_read(struct db *db, struct db_job *job);

/* Values bound to the `?` of a statement. */
enum db_type { DB_T_NULL, DB_T_INT, DB_T_REAL, DB_T_TEXT, DB_T_LONG, DB_T_BLOB };
struct db_value {
	enum db_type type;
	int64_t i;
	double f;
	const char *p;
	size_t n;
};
#define DB_NULL() ((struct db_value){.type = DB_T_NULL})
#define DB_INT(v) ((struct db_value){.type = DB_T_INT, .i = (v)})
#define DB_REAL(v) ((struct db_value){.type = DB_T_REAL, .f = (v)})
#define DB_BLOB(ptr, len) ((struct db_value){.type = DB_T_BLOB, .p = (ptr), .n = (len)})
#define DB_STR(s) db_text_n((s).p, (s).n)
#define DB_TEXT(s) db_text(s) /* NULL binds NULL */
/* Text that no SQL looks into, except by text_of: SQLite may keep it compressed (below). */
#define DB_LONG_TEXT(s) db_long_text(s) /* NULL binds NULL */
#define DB_LONG_STR(s) db_long((s).p, (s).n)
struct db_value db_text(const char *s);
struct db_value db_text_n(const char *p, size_t n);
struct db_value db_long(const char *p, size_t n);
struct db_value db_long_text(const char *s);

#define DB_ARGS_(...)                                \
	(struct db_value[]){{0}, ##__VA_ARGS__} + 1, \
		sizeof((struct db_value[]){{0}, ##__VA_ARGS__}) / sizeof(struct db_value) - 1

/* Behind a select in a write job: keeps the rows as they are until the job ends. Servers read the comment as SQL (so
 * does MySQL by itself), SQLite has one writer anyway. */
#define DB_FOR_UPDATE " /*! for update */"

/* Runs a statement that returns no rows. Returns the number of rows changed (>= 0) or -errno. `sql` must be a string
 * that lives as long as the program: prepared statements are kept by its address. */
#define db_exec(c, sql, ...) db_exec_v(c, sql, DB_ARGS_(__VA_ARGS__))
int64_t db_exec_v(struct db_conn *c, const char *sql, const struct db_value *args, size_t n);

/* Starts a query. Returns NULL on failure (db_error says which; db_step(NULL) returns that error too). End it with
 * db_done (accepts NULL), before the next use of the same SQL on this connection. */
#define db_query(c, sql, ...) db_query_v(c, sql, DB_ARGS_(__VA_ARGS__))
struct db_stmt *db_query_v(struct db_conn *c, const char *sql, const struct db_value *args, size_t n);
/* For SQL made at run time from our own parts only, in few forms: a connection keeps the latest prepared, by text. */
struct db_stmt *db_query_dynamic(struct db_conn *c, const char *sql, const struct db_value *args, size_t n);
/* 1 = a row, 0 = no more, or -errno. */
int db_step(struct db_conn *c, struct db_stmt *st);
void db_done(struct db_stmt *st);
DEFINE_CLEANUP(struct db_stmt *, db_done)

/* Columns of the current row, from 0; valid until the next step. */
bool db_col_is_null(struct db_stmt *st, int col);
int64_t db_col_int(struct db_stmt *st, int col);
double db_col_real(struct db_stmt *st, int col);
struct str db_col_str(struct db_stmt *st, int col);
/* A NUL-terminated copy in the arena; NULL for NULL. */
char *db_col_dup(struct db_stmt *st, int col, struct arena *a);

/* One value of one row: 1 found, 0 none, -errno. */
#define db_get_int(c, ret, sql, ...) db_get_int_v(c, ret, sql, DB_ARGS_(__VA_ARGS__))
int db_get_int_v(struct db_conn *c, int64_t *ret, const char *sql, const struct db_value *args, size_t n);

/* The last failure on this connection, for the log; never shown to clients. */
const char *db_error(struct db_conn *c);
/* "sqlite", "postgres", "mysql", for the few statements that have no common form. */
const char *db_dialect(const struct db_conn *c);
const char *db_url_dialect(const struct db *db);

/* ---- Several processes on one database ---- */

/* Microseconds since 1970 by a clock that all processes on this database share. Returns 0 or -errno. */
int db_clock_us(struct db_conn *c, int64_t *ret);

/* Messages between the processes on a database, by its own means: PostgreSQL's LISTEN and NOTIFY. SQLite has one
 * process, so db_listen returns NULL and db_notify does nothing. A message is a hint, not a record: some are lost with
 * a connection, so whoever waits for one also looks into the database from time to time.
 *
 * on_message runs on the loop's thread for each message, the process's own included, and with NULL when messages may
 * have been missed: at first, and after each reconnect. */
struct db_listener;
struct db_listener *db_listen(uv_loop_t *loop, struct db *db, const char *channel,
			      void (*on_message)(void *arg, const char *message), void *arg);
/* On the loop's thread, before db_close; no more messages come. */
void db_listener_free(struct db_listener *l);
/* Inside a write job: the message goes out when the job is committed. At most 7,000 bytes. Returns 0 or -errno. */
int db_notify(struct db_conn *c, const char *channel, const char *message);

/* A migration may switch a SQLite database to packing (packed.h), by `select pack_ids()`: from then on every text that
 * is an id takes 16 bytes in it, and what is bound by DB_LONG_TEXT or DB_LONG_STR may be compressed. Both are texts
 * again when they are read, and ids are compared and sorted as before. But a function of SQL that wants text gets a
 * blob: put text_of() around a column of such, as in `length(text_of(content))`. text_has(column, ?) says whether a
 * text is in it, in either case of letters. On texts that are not packed both do the same; on PostgreSQL the schema
 * makes them. */

/* Migrations: numbered from 1, each applied once, in one transaction, recorded in schema_migrations(version, name,
 * applied_at). A database that is newer than the program is refused. Blocking, at start. Returns 0 or -errno with err
 * set. */
struct migration {
	const char *name;
	const char *sql;              /* one or more statements */
	const char *postgres, *mysql; /* instead, where the dialect needs another text; NULL = the same */
};
int db_migrate(struct db *db, const struct migration *list, size_t n, struct error *err);
