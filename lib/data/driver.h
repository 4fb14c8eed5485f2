/* What a database must offer to stand below db.h: one struct of functions, one file each (sqlite.c), chosen by the
 * URL's scheme in db.c. Everything here runs on one thread at a time for one connection. */
#pragma once

#include <uthash.h>

#include "data/db.h"

struct db_stmt {
	struct db_conn *conn;
	const char *sql;   /* the key among the kept ones: its address */
	bool is_kept;      /* otherwise made for one use and freed by db_done */
	bool is_busy;      /* between db_query and db_done */
	UT_hash_handle hh; /* in conn->kept */
};

struct db_conn {
	const struct db_driver *driver;
	struct db_stmt *kept; /* prepared statements, by the address of their SQL */
	int err;              /* the last failure, -errno */
	char error[400];
};

struct db_driver {
	const char *scheme; /* of the URL, without the colon */
	const char *dialect;
	/* One writer, whose waiting jobs are committed together; otherwise each write job is a transaction. */
	bool has_group_commit;
	const char *begin_write, *begin_read;

	int (*open)(const char *url, bool for_writing, struct db_conn **ret, struct error *err);
	void (*close)(struct db_conn *c);
	/* Runs one or more statements without values or rows. 0 or -errno. */
	int (*run)(struct db_conn *c, const char *sql);
	/* Whether a transaction is open; some failures end it by themselves. */
	bool (*is_in_transaction)(struct db_conn *c);

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

extern const struct db_driver db_driver_sqlite;
/* How long a statement waits for another process's lock; 5000. */
extern int db_sqlite_busy_ms;

/* Keeps the failure for db_error and returns it. */
int db_fail(struct db_conn *c, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Frees the kept statements; a driver's close calls it first. */
void db_forget_statements(struct db_conn *c);
/* The connection for migrations, on the loop's thread while no job runs. */
struct db_conn *db_main_conn(struct db *db);
