/* What a database must offer to stand below db.h: one struct of functions, one file each (sqlite.c), chosen by the
 * URL's scheme in db.c. Everything here runs on one thread at a time for one connection. */
#pragma once

#include <uthash.h>

#include "data/db.h"

struct db_stmt {
	struct db_conn *conn;
	const char *sql;   /* the key among the kept ones: its address */
	bool is_kept;      /* otherwise made for one use and freed by db_done */
	char *text;        /* its own copy of the SQL, which is the key then: in conn->recent */
	bool is_busy;      /* between db_query and db_done */
	UT_hash_handle hh; /* in conn->kept or conn->recent */
};

struct db_conn {
	const struct db_driver *driver;
	struct db_stmt *kept;   /* prepared statements, by the address of their SQL */
	struct db_stmt *recent; /* those of SQL made at run time, by its text, the oldest first */
	int err;                /* the last failure, -errno */
	bool is_over; /* -EDEADLK has ended the transaction: nothing more is done before the next one begins */
	char error[400];
};

/* For a database in which a change of the schema cannot be rolled back. */
struct db_stepwise {
	/* Prepares the database and keeps other processes from migrating it until `end` or the connection's end. 0 or
	 * -errno. */
	int (*begin)(struct db_conn *c);
	void (*end)(struct db_conn *c);
	/* Whether the last failure says that the change had been made before. */
	bool (*was_done)(struct db_conn *c);
};

struct db_driver {
	const char *scheme, *other_scheme; /* of the URL, without the colon; the other may be NULL */
	const char *dialect;
	/* One writer, whose waiting jobs are committed together; otherwise it is a server, and each job is a
	 * transaction on one of several connections (pool.h). */
	bool has_group_commit;
	const char *begin_write, *begin_read;
	/* Around migrations, so that two processes that start together come one after the other. NULL: begin_write, and
	 * nothing behind the commit. */
	const char *begin_migration, *end_migration;
	/* Every change of the schema is committed by itself, so migrations are applied by statements (migrate.c). NULL:
	 * they are one transaction. */
	const struct db_stepwise *stepwise;

	/* Failures are -errno as in db.h. A server's driver also has: -EDEADLK, the transaction met another one
	 * (serialization failure, deadlock) and is to be repeated; -ENOTCONN, the server cannot be reached or the
	 * connection broke off; -ETIMEDOUT, the statement took too long. `err` gets a sentence without secrets. */

	int (*open)(const char *url, bool for_writing, struct db_conn **ret, struct error *err);
	void (*close)(struct db_conn *c);
	/* Runs one or more statements without values or rows. 0 or -errno. */
	int (*run)(struct db_conn *c, const char *sql);
	/* Whether a transaction is open; some failures end it by themselves. */
	bool (*is_in_transaction)(struct db_conn *c);
	/* With has_group_commit only: grows with every row that is inserted, changed or deleted. */
	int64_t (*n_written)(struct db_conn *c);
	/* The schema may have changed in what the connection keeps of it. May be NULL. */
	void (*migrated)(struct db_conn *c);
	/* Servers only: false once the connection is of no more use. Does not ask the server. */
	bool (*is_connected)(struct db_conn *c);

	/* May be NULL: the process's own clock. */
	int (*clock_us)(struct db_conn *c, int64_t *ret);
	/* Messages between processes, see db_listen; all NULL where there is no such thing. `wait` gives each message
	 * that has come to fn and returns 0 once there was one, the time is over or `wake` is readable; -errno when
	 * the connection is lost. */
	int (*listen)(struct db_conn *c, const char *channel);
	int (*wait)(struct db_conn *c, int wake, int ms, void (*fn)(void *arg, const char *message), void *arg);
	int (*notify)(struct db_conn *c, const char *channel, const char *message);

	struct db_stmt *(*prepare)(struct db_conn *c, const char *sql);
	void (*unprepare)(struct db_stmt *st);
	/* `copy`: the values must be copied, they may be gone at the first step. */
	int (*bind)(struct db_stmt *st, const struct db_value *args, size_t n, bool copy);
	int (*step)(struct db_stmt *st); /* 1 = a row, 0 = no more, -errno */
	int64_t (*changes)(struct db_stmt *st);
	void (*reset)(struct db_stmt *st);
	bool (*col_is_null)(struct db_stmt *st, int col);
	int64_t (*col_int)(struct db_stmt *st, int col);
	double (*col_real)(struct db_stmt *st, int col);
	struct str (*col_str)(struct db_stmt *st, int col);
};

extern const struct db_driver db_driver_sqlite, db_driver_postgres, db_driver_mysql;
/* How long a statement waits for another process's lock; 5000. */
extern int db_sqlite_busy_ms;

/* Keeps the failure for db_error and returns it. */
int db_fail(struct db_conn *c, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Frees the kept statements; a driver's close calls it first. */
void db_forget_statements(struct db_conn *c);
/* The connection for migrations, on the loop's thread while no job runs. NULL with err set when it cannot be had. A
 * server's is closed by db_release_main_conn. */
struct db_conn *db_main_conn(struct db *db, struct error *err);
void db_release_main_conn(struct db *db);
const struct db_driver *db_driver_of(const struct db *db);
const char *db_url_of(const struct db *db);
