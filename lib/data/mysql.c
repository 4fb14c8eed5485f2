/* MySQL 8 or newer and MariaDB 10.11 or newer. A statement is executed as soon as it is bound, so that nothing of what
 * was bound is copied, and its rows are fetched from the server at once, so that others can run between two steps. */
#include <errmsg.h>
#include <errno.h>
#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "data/driver.h"
#include "data/mysql_api.h"
#include "data/mysql_url.h"
#include "data/statements.h"

/* Of MySQL, not among MariaDB's names. */
#define ER_QUERY_TIMEOUT 3024
#define ER_READ_ONLY_MODE 1836
#define ER_FK_DUP_NAME 1826

#define FIRST_COLUMN 64 /* bytes for a text, grown as needed */
#define KEEP_COLUMN 16384
#define LOCK_WAIT_S 5
#define SCHEMA_WAIT_S 20

static const struct mysql_api *const my = &mysql_api;

struct mysql_conn {
	struct db_conn base;
	MYSQL *m;
	unsigned code; /* of the last failure */
	bool is_broken;
	bool is_mariadb;
};

struct column {
	char *text; /* of texts and numbers that are asked for as text; one byte more than `cap` */
	unsigned long cap, n;
	int64_t i;
	double f;
	my_bool is_null;
};

struct mysql_statement {
	struct db_stmt base;
	MYSQL_STMT *st;
	unsigned n_params, n_columns;
	MYSQL_BIND *params, *results;
	struct column *columns;
};

static struct mysql_conn *conn(struct db_conn *c)
{
	return container_of(c, struct mysql_conn, base);
}

static struct mysql_statement *stmt(struct db_stmt *st)
{
	return container_of(st, struct mysql_statement, base);
}

/* ---- Errors ---- */

static bool is_lost(unsigned code)
{
	switch (code) {
	case CR_SERVER_GONE_ERROR:
	case CR_SERVER_LOST:
	case CR_SERVER_LOST_EXTENDED:
	case CR_SOCKET_CREATE_ERROR:
	case CR_CONNECTION_ERROR:
	case CR_CONN_HOST_ERROR:
	case CR_UNKNOWN_HOST:
	case CR_SERVER_HANDSHAKE_ERR:
	case CR_MALFORMED_PACKET:
	case CR_COMMANDS_OUT_OF_SYNC:
	case CR_ERR_NET_READ:
	case CR_ERR_NET_WRITE:
	case ER_SERVER_SHUTDOWN:
	case ER_NORMAL_SHUTDOWN:
	case ER_CONNECTION_KILLED:
	case ER_CON_COUNT_ERROR:
	case ER_TOO_MANY_USER_CONNECTIONS:
	case ER_USER_LIMIT_REACHED: return true;
	}
	return false;
}

static bool says_disk_full(const char *text)
{
	return strstr(text, "rror 28") || strstr(text, "rrcode: 28") || strstr(text, "rrno: 28") ||
	       strstr(text, "o space left");
}

static int to_errno(unsigned code, const char *text)
{
	if (is_lost(code))
		return -ENOTCONN;
	if (code == ER_DISK_FULL || code == ER_RECORD_FILE_FULL || says_disk_full(text))
		return -ENOSPC;
	switch (code) {
	case ER_DUP_ENTRY:
	case ER_DUP_ENTRY_WITH_KEY_NAME: return -EEXIST;
	case ER_LOCK_DEADLOCK:
	case ER_CHECKREAD: return -EDEADLK;
	case ER_LOCK_WAIT_TIMEOUT:
	case ER_LOCK_TABLE_FULL:
	case ER_TOO_MANY_CONCURRENT_TRXS: return -EBUSY;
	case ER_STATEMENT_TIMEOUT:
	case ER_QUERY_TIMEOUT:
	case ER_QUERY_INTERRUPTED: return -ETIMEDOUT;
	case ER_NET_PACKET_TOO_LARGE:
	case CR_NET_PACKET_TOO_LARGE: return -E2BIG;
	case ER_OPTION_PREVENTS_STATEMENT:
	case ER_READ_ONLY_MODE:
	case ER_INNODB_READ_ONLY:
	case ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION: return -EROFS;
	case ER_ACCESS_DENIED_ERROR:
	case ER_DBACCESS_DENIED_ERROR:
	case ER_ACCESS_DENIED_NO_PASSWORD_ERROR: return -EACCES;
	case ER_BAD_DB_ERROR: return -ENOENT;
	case CR_OUT_OF_MEMORY: abort();
	}
	return -EINVAL;
}

static int fail(struct mysql_conn *c, unsigned code, const char *text)
{
	c->code = code;
	c->is_broken |= is_lost(code);
	return db_fail(&c->base, to_errno(code, text), "%s (%u)", text, code);
}

static int fail_conn(struct mysql_conn *c)
{
	return fail(c, my->mysql_errno(c->m), my->mysql_error(c->m));
}

static int fail_stmt(struct db_stmt *st)
{
	return fail(conn(st->conn), my->mysql_stmt_errno(stmt(st)->st), my->mysql_stmt_error(stmt(st)->st));
}

/* ---- Running without values ---- */

static int query(struct mysql_conn *c, struct str sql)
{
	if (my->mysql_real_query(c->m, sql.p, sql.n) != 0)
		return fail_conn(c);
	my->mysql_free_result(my->mysql_store_result(c->m));
	return 0;
}

static int mysql_run(struct db_conn *c, const char *sql)
{
	struct str rest = str_of(sql), one;
	int r = 0;

	while (r == 0 && (one = sql_cut(&rest)).n)
		r = query(conn(c), one);
	return r;
}

static bool mysql_is_in_transaction(struct db_conn *c)
{
	return conn(c)->m->server_status & SERVER_STATUS_IN_TRANS;
}

static bool mysql_is_connected(struct db_conn *c)
{
	return !conn(c)->is_broken;
}

/* ---- Opening ---- */

/* Text is compared byte by byte and blanks at the end count, as in SQLite; the two servers have different names for it.
 */
static const char *collation(const struct mysql_conn *c)
{
	return c->is_mariadb ? "utf8mb4_nopad_bin" : "utf8mb4_0900_bin";
}

static int check_version(struct mysql_conn *c, struct error *err)
{
	const char *version = my->mysql_get_server_info(c->m);

	c->is_mariadb = strstr(version, "MariaDB") != NULL;
	if (my->mysql_get_server_version(c->m) >= (c->is_mariadb ? 101100 : 80000))
		return 0;
	return error_set(err, "db_version",
			 "the database server is %.60s: MySQL 8.0 or newer or MariaDB 10.11 or newer is needed",
			 version);
}

static int configure(struct mysql_conn *c, const struct mysql_url *u, bool for_writing)
{
	char sql[800];

	snprintf(sql, sizeof(sql),
		 "set names utf8mb4 collate %s;"
		 "set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY,ANSI_QUOTES,"
		 "PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES', time_zone = '+00:00', default_storage_engine = InnoDB, "
		 "foreign_key_checks = 1, autocommit = 1, innodb_lock_wait_timeout = %u, lock_wait_timeout = %u, "
		 "%s = %u;"
		 "set session transaction isolation level %s",
		 collation(c), LOCK_WAIT_S, u->statement_s, c->is_mariadb ? "max_statement_time" : "max_execution_time",
		 c->is_mariadb ? u->statement_s : u->statement_s * 1000,
		 for_writing ? "read committed" : "repeatable read");
	return mysql_run(&c->base, sql);
}

static void set_options(MYSQL *m, const struct mysql_url *u, bool with_tls)
{
	/* Behind the server's own limit, so that the server gives up first. */
	unsigned answer_s = u->statement_s + 5, off_int = 0;
	unsigned protocol = u->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	/* From 3.4 on, the library checks all of the certificate or nothing. */
	bool checks_name = u->tls == MYSQL_TLS_VERIFY_FULL ||
			   (u->tls == MYSQL_TLS_VERIFY_CA && my->mysql_get_client_version() >= 30400);
	my_bool tls = with_tls, verify = checks_name;

	my->mysql_options(m, MYSQL_OPT_CONNECT_TIMEOUT, &u->connect_s);
	my->mysql_options(m, MYSQL_OPT_READ_TIMEOUT, &answer_s);
	my->mysql_options(m, MYSQL_OPT_WRITE_TIMEOUT, &answer_s);
	my->mysql_options(m, MYSQL_OPT_PROTOCOL, &protocol);
	my->mysql_options(m, MYSQL_OPT_LOCAL_INFILE, &off_int);
	my->mysql_options(m, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	my->mysql_options(m, MYSQL_OPT_SSL_ENFORCE, &tls);
	my->mysql_options(m, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
	if (with_tls && u->ssl_ca && u->tls >= MYSQL_TLS_VERIFY_CA)
		my->mysql_options(m, MYSQL_OPT_SSL_CA, u->ssl_ca);
}

static int connect_once(struct mysql_conn *c, const struct mysql_url *u, bool with_tls)
{
	c->m = my->mysql_init(NULL);
	if (!c->m)
		abort();
	set_options(c->m, u, with_tls);
	if (!my->mysql_real_connect(c->m, u->host, u->user, u->password, u->database, u->port, u->socket,
				    CLIENT_FOUND_ROWS))
		return fail_conn(c);
	if (with_tls && !my->mysql_get_ssl_cipher(c->m))
		return fail(c, CR_SSL_CONNECTION_ERROR, "the server does not speak TLS");
	return 0;
}

static int connect_by(struct mysql_conn *c, const struct mysql_url *u)
{
	int r = connect_once(c, u, u->tls != MYSQL_TLS_DISABLE && !u->socket);

	if (r < 0 && c->code == CR_SSL_CONNECTION_ERROR && u->tls == MYSQL_TLS_PREFER) {
		my->mysql_close(c->m);
		r = connect_once(c, u, false);
	}
	return r;
}

static void mysql_close_conn(struct db_conn *c)
{
	if (!c)
		return;
	db_forget_statements(c);
	if (conn(c)->m)
		my->mysql_close(conn(c)->m);
	free(conn(c));
}

static int explain(struct mysql_conn *c, const struct mysql_url *u, int r, struct error *err)
{
	if (err && !*err->code)
		error_set(err, "db_open", "the database %s at %s cannot be used: %s", u->database,
			  u->socket ? u->socket : u->host, c->base.error);
	return r;
}

static int open_by(const struct mysql_url *u, bool for_writing, struct db_conn **ret, struct error *err)
{
	struct mysql_conn *c = xcalloc(1, sizeof(*c));

	c->base.driver = &db_driver_mysql;
	int r = connect_by(c, u);
	if (r == 0)
		r = check_version(c, err);
	if (r == 0)
		r = configure(c, u, for_writing);
	if (r < 0) {
		explain(c, u, r, err);
		mysql_close_conn(&c->base);
		return r;
	}
	*ret = &c->base;
	return 0;
}

static int mysql_open_conn(const char *url, bool for_writing, struct db_conn **ret, struct error *err)
{
	struct mysql_url u;
	int r = mysql_url_parse(url, &u, err);

	if (r < 0)
		return r;
	if (mysql_api_load()) {
		r = open_by(&u, for_writing, ret, err);
	} else {
		error_set(err, "db_library",
			  "the library libmariadb.so.3 is missing: install it (Debian: apt install libmariadb3)");
		r = -ENOSYS;
	}
	mysql_url_deinit(&u);
	return r;
}

/* ---- Statements ---- */

static void mysql_unprepare(struct db_stmt *st)
{
	struct mysql_statement *s = stmt(st);

	for (unsigned i = 0; i < s->n_columns; i++)
		free(s->columns[i].text);
	my->mysql_stmt_close(s->st);
	free(s->columns);
	free(s->results);
	free(s->params);
	free(s);
}

static struct db_stmt *mysql_prepare(struct db_conn *c, const char *sql)
{
	struct mysql_statement *s = xcalloc(1, sizeof(*s));
	my_bool tell = true;

	s->base.conn = c;
	s->st = my->mysql_stmt_init(conn(c)->m);
	if (!s->st) {
		fail_conn(conn(c));
		free(s);
		return NULL;
	}
	if (my->mysql_stmt_prepare(s->st, sql, strlen(sql)) != 0) {
		fail_stmt(&s->base);
		mysql_unprepare(&s->base);
		return NULL;
	}
	my->mysql_stmt_attr_set(s->st, STMT_ATTR_UPDATE_MAX_LENGTH, &tell);
	s->n_params = (unsigned)my->mysql_stmt_param_count(s->st);
	s->params = xcalloc(s->n_params + 1, sizeof(*s->params));
	return &s->base;
}

static void set_param(MYSQL_BIND *b, const struct db_value *v)
{
	*b = (MYSQL_BIND){0};
	switch (v->type) {
	case DB_T_NULL: b->buffer_type = MYSQL_TYPE_NULL; return;
	case DB_T_INT:
		b->buffer_type = MYSQL_TYPE_LONGLONG;
		b->buffer = (void *)&v->i;
		return;
	case DB_T_REAL:
		b->buffer_type = MYSQL_TYPE_DOUBLE;
		b->buffer = (void *)&v->f;
		return;
	case DB_T_TEXT:
	case DB_T_LONG: b->buffer_type = MYSQL_TYPE_STRING; break;
	case DB_T_BLOB: b->buffer_type = MYSQL_TYPE_BLOB; break;
	}
	b->buffer = (void *)(v->p ? v->p : "");
	b->buffer_length = v->n;
}

static enum enum_field_types type_to_fetch(enum enum_field_types type)
{
	switch (type) {
	case MYSQL_TYPE_TINY:
	case MYSQL_TYPE_SHORT:
	case MYSQL_TYPE_INT24:
	case MYSQL_TYPE_LONG:
	case MYSQL_TYPE_LONGLONG:
	case MYSQL_TYPE_YEAR: return MYSQL_TYPE_LONGLONG;
	case MYSQL_TYPE_FLOAT:
	case MYSQL_TYPE_DOUBLE: return MYSQL_TYPE_DOUBLE;
	default: return MYSQL_TYPE_STRING;
	}
}

static void grow_column(struct column *col, unsigned long cap)
{
	if (col->text && col->cap >= cap)
		return;
	free(col->text);
	col->text = xmalloc(cap + 1);
	col->cap = cap;
}

static void set_result(MYSQL_BIND *b, struct column *col, const MYSQL_FIELD *field)
{
	*b = (MYSQL_BIND){
		.buffer_type = type_to_fetch(field->type),
		.is_unsigned = (field->flags & UNSIGNED_FLAG) != 0,
		.is_null = &col->is_null,
		.length = &col->n,
	};
	if (b->buffer_type == MYSQL_TYPE_LONGLONG) {
		b->buffer = &col->i;
	} else if (b->buffer_type == MYSQL_TYPE_DOUBLE) {
		b->buffer = &col->f;
	} else {
		grow_column(col, MAX(field->max_length, (unsigned long)FIRST_COLUMN));
		b->buffer = col->text;
		b->buffer_length = col->cap;
	}
}

/* The columns as this execution has them: their types may follow from the values bound. Each gets room for its longest
 * value, which is known once all rows are here; fetching one again that did not fit gives nothing in libmariadb
 * 10.11.18. */
static int fetch_all(struct db_stmt *st)
{
	struct mysql_statement *s = stmt(st);
	unsigned n = my->mysql_stmt_field_count(s->st);

	if (n == 0)
		return 0;
	if (my->mysql_stmt_store_result(s->st) != 0)
		return fail_stmt(st);
	MYSQL_RES *meta = my->mysql_stmt_result_metadata(s->st);
	if (!meta)
		return fail_stmt(st);
	if (n > s->n_columns) {
		s->columns = xrealloc(s->columns, n * sizeof(*s->columns));
		memset(s->columns + s->n_columns, 0, (n - s->n_columns) * sizeof(*s->columns));
		s->results = xrealloc(s->results, n * sizeof(*s->results));
		s->n_columns = n;
	}
	for (unsigned i = 0; i < n; i++)
		set_result(&s->results[i], &s->columns[i], &my->mysql_fetch_fields(meta)[i]);
	my->mysql_free_result(meta);
	return my->mysql_stmt_bind_result(s->st, s->results) != 0 ? fail_stmt(st) : 0;
}

static int mysql_bind(struct db_stmt *st, const struct db_value *args, size_t n, bool copy)
{
	struct mysql_statement *s = stmt(st);

	if (n != s->n_params)
		return db_fail(st->conn, -EINVAL, "%zu values for the %u of: %s", n, s->n_params, st->sql);
	for (size_t i = 0; i < n; i++)
		set_param(&s->params[i], &args[i]);
	if ((n && my->mysql_stmt_bind_param(s->st, s->params) != 0) || my->mysql_stmt_execute(s->st) != 0)
		return fail_stmt(st);
	return fetch_all(st);
}

static int mysql_step(struct db_stmt *st)
{
	struct mysql_statement *s = stmt(st);

	if (my->mysql_stmt_field_count(s->st) == 0)
		return 0;
	switch (my->mysql_stmt_fetch(s->st)) {
	case 0: return 1;
	case MYSQL_NO_DATA: return 0;
	case MYSQL_DATA_TRUNCATED: return db_fail(st->conn, -EIO, "a value is longer than was told: %s", st->sql);
	}
	return fail_stmt(st);
}

static int64_t mysql_changes(struct db_stmt *st)
{
	return my->mysql_stmt_field_count(stmt(st)->st) ? 0 : (int64_t)my->mysql_stmt_affected_rows(stmt(st)->st);
}

static void mysql_reset(struct db_stmt *st)
{
	struct mysql_statement *s = stmt(st);

	my->mysql_stmt_free_result(s->st);
	for (unsigned i = 0; i < s->n_columns; i++) {
		if (s->columns[i].cap <= KEEP_COLUMN)
			continue;
		free(s->columns[i].text);
		s->columns[i].text = NULL;
		s->columns[i].cap = 0;
	}
}

/* ---- Columns ---- */

static bool mysql_col_is_null(struct db_stmt *st, int col)
{
	return stmt(st)->columns[col].is_null;
}

static struct str mysql_col_str(struct db_stmt *st, int col)
{
	struct column *c = &stmt(st)->columns[col];

	if (c->is_null)
		return (struct str){0};
	switch (stmt(st)->results[col].buffer_type) {
	case MYSQL_TYPE_LONGLONG:
		grow_column(c, FIRST_COLUMN);
		c->n = (unsigned long)snprintf(c->text, c->cap, "%" PRId64, c->i);
		break;
	case MYSQL_TYPE_DOUBLE:
		grow_column(c, FIRST_COLUMN);
		c->n = (unsigned long)snprintf(c->text, c->cap, "%.17g", c->f);
		break;
	default: break;
	}
	c->text[c->n] = '\0';
	return (struct str){c->text, c->n};
}

static int64_t mysql_col_int(struct db_stmt *st, int col)
{
	struct column *c = &stmt(st)->columns[col];

	if (c->is_null)
		return 0;
	switch (stmt(st)->results[col].buffer_type) {
	case MYSQL_TYPE_LONGLONG: return c->i;
	case MYSQL_TYPE_DOUBLE: return (int64_t)c->f;
	default: return strtoll(mysql_col_str(st, col).p, NULL, 10);
	}
}

static double mysql_col_real(struct db_stmt *st, int col)
{
	struct column *c = &stmt(st)->columns[col];

	if (c->is_null)
		return 0;
	switch (stmt(st)->results[col].buffer_type) {
	case MYSQL_TYPE_LONGLONG: return (double)c->i;
	case MYSQL_TYPE_DOUBLE: return c->f;
	default: return strtod(mysql_col_str(st, col).p, NULL);
	}
}

/* ---- Migrations ---- */

static int check(int r, struct db_conn *c, const char *what)
{
	return r == 1 ? 0 : r < 0 ? r : db_fail(c, -EBUSY, "%s", what);
}

static int set_collation(struct db_conn *c)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, "select @@collation_database");
	const char *wanted = collation(conn(c));
	char sql[100];
	int r = check(db_step(c, st), c, "no default collation");

	if (r < 0 || str_is(db_col_str(st, 0), wanted))
		return r;
	snprintf(sql, sizeof(sql), "alter database character set utf8mb4 collate %s", wanted);
	return mysql_run(c, sql);
}

static int begin_steps(struct db_conn *c)
{
	int64_t got = 0;
	int r = db_get_int(c, &got, "select get_lock(concat('ogent:', left(sha2(database(), 256), 40)), ?)",
			   DB_INT(SCHEMA_WAIT_S));

	r = check(r < 0 ? r : got == 1, c, "another process is changing the schema: try again");
	return r < 0 ? r : set_collation(c);
}

static void end_steps(struct db_conn *c)
{
	mysql_run(c, "do release_lock(concat('ogent:', left(sha2(database(), 256), 40)))");
}

static bool was_done(struct db_conn *c)
{
	switch (conn(c)->code) {
	case ER_TABLE_EXISTS_ERROR:
	case ER_BAD_TABLE_ERROR:
	case ER_DUP_FIELDNAME:
	case ER_DUP_KEYNAME:
	case ER_CANT_DROP_FIELD_OR_KEY:
	case ER_FK_DUP_NAME: return true;
	}
	return false;
}

static const struct db_stepwise stepwise = {.begin = begin_steps, .end = end_steps, .was_done = was_done};

const struct db_driver db_driver_mysql = {
	.scheme = "mysql",
	.other_scheme = "mariadb",
	.dialect = "mysql",
	.begin_write = "start transaction",
	.begin_read = "start transaction with consistent snapshot, read only",
	.stepwise = &stepwise,
	.open = mysql_open_conn,
	.close = mysql_close_conn,
	.run = mysql_run,
	.is_in_transaction = mysql_is_in_transaction,
	.is_connected = mysql_is_connected,
	.prepare = mysql_prepare,
	.unprepare = mysql_unprepare,
	.bind = mysql_bind,
	.step = mysql_step,
	.changes = mysql_changes,
	.reset = mysql_reset,
	.col_is_null = mysql_col_is_null,
	.col_int = mysql_col_int,
	.col_real = mysql_col_real,
	.col_str = mysql_col_str,
};
