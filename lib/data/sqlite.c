#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "data/driver.h"
#include "data/packed.h"
#include "data/sqlite_log.h"
#include "data/sqlite_packed.h"

int db_sqlite_busy_ms = 5000;

struct sqlite_conn {
	struct db_conn base;
	sqlite3 *db;
	bool packs; /* the database was switched to it (db.h) */
	struct packer *packer;
};

struct sqlite_stmt {
	struct db_stmt base;
	sqlite3_stmt *st;
	/* Where texts of the present row are that were packed, by column; NULL until there is one. */
	struct buf *texts;
	/* Ids that are bound. */
	uint8_t (*ids)[PACKED_ID_SIZE];
};

static sqlite3 *handle(struct db_conn *c)
{
	return container_of(c, struct sqlite_conn, base)->db;
}

static struct sqlite_conn *own(struct db_conn *c)
{
	return container_of(c, struct sqlite_conn, base);
}

static sqlite3_stmt *stmt(struct db_stmt *st)
{
	return container_of(st, struct sqlite_stmt, base)->st;
}

static int constraint_to_errno(int extended)
{
	switch (extended) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID: return -EEXIST;
	}
	return -EINVAL;
}

static int to_errno(sqlite3 *db)
{
	int code = sqlite3_extended_errcode(db);

	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return -EBUSY;
	case SQLITE_FULL: return -ENOSPC;
	case SQLITE_IOERR: return sqlite3_system_errno(db) == ENOSPC ? -ENOSPC : -EIO;
	case SQLITE_CONSTRAINT: return constraint_to_errno(code);
	case SQLITE_NOMEM: abort();
	case SQLITE_TOOBIG: return -E2BIG;
	case SQLITE_READONLY:
	case SQLITE_PERM: return -EROFS;
	case SQLITE_CANTOPEN: return -ENOENT;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return -EIO;
	}
	return -EINVAL;
}

static int fail(struct db_conn *c)
{
	return db_fail(c, to_errno(handle(c)), "%s", sqlite3_errmsg(handle(c)));
}

/* "sqlite:/path" and "sqlite:///path". */
static const char *path_of(const char *url)
{
	const char *path = strchr(url, ':') + 1;

	return strncmp(path, "//", 2) == 0 ? path + 2 : path;
}

/* SQLite would make the file readable for all; its -wal and -shm files take their mode from it. A file that is there is
 * not opened here: closing it would drop the locks of this process's other connections (POSIX), and whoever looks into
 * the database then with SQLite's own tools takes himself for the last one and removes the -wal file under us. */
static int make_file(const char *path, struct error *err)
{
	char folder[4096];

	if (path[0] != '/' || strlen(path) >= sizeof(folder))
		return error_set(err, "db_url", "the database address sqlite:%s must name an absolute path", path);
	snprintf(folder, sizeof(folder), "%s", path);
	mkdir(dirname(folder), 0700);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == EEXIST) {
		chmod(path, 0600); /* the owner may not be us: then opening it tells */
		return 0;
	}
	int saved = errno;
	error_set(err, "db_open", "the database file %s cannot be opened: %s", path, strerror(saved));
	return -saved;
}

static int configure(struct db_conn *c, bool for_writing)
{
	int r;

	sqlite3_busy_timeout(handle(c), db_sqlite_busy_ms);
	sqlite3_db_config(handle(c), SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	r = c->driver->run(c, "pragma foreign_keys=on; pragma trusted_schema=off; pragma synchronous=full;"
			      "pragma temp_store=memory; pragma cache_size=-1000;");
	if (r == 0 && for_writing)
		r = c->driver->run(c, "pragma journal_mode=wal; pragma journal_size_limit=67108864;");
	if (r == 0 && !for_writing)
		r = c->driver->run(c, "pragma query_only=on");
	return r;
}

static void sqlite_close_conn(struct db_conn *c)
{
	if (!c)
		return;
	db_forget_statements(c);
	sqlite3_close(handle(c));
	packer_free(own(c)->packer);
	free(own(c));
}

/* A migration may have filled the cache of pages, and what comes next reads others. */
static void sqlite_migrated(struct db_conn *c)
{
	sqlite3_db_release_memory(handle(c));
	own(c)->packs = sqlite_packed_is_on(handle(c));
}

/* Nobody asks SQLite how much memory it has; counting it takes a lock for every allocation. */
static void configure_library(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int sqlite_open_conn(const char *url, bool for_writing, struct db_conn **ret, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *path = path_of(url);
	int r = make_file(path, err);

	if (r < 0)
		return r;
	pthread_once(&once, configure_library);
	struct sqlite_conn *c = xcalloc(1, sizeof(*c));
	c->base.driver = &db_driver_sqlite;
	if (sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
			    for_writing ? sqlite_log_vfs() : NULL) != SQLITE_OK)
		r = fail(&c->base);
	sqlite3_extended_result_codes(c->db, 1);
	c->packer = packer_new();
	if (r == 0)
		r = configure(&c->base, for_writing);
	if (r == 0 && sqlite_packed_add(c->db, c->packer) != SQLITE_OK)
		r = fail(&c->base);
	if (r < 0) {
		error_set(err, "db_open", "the database %s cannot be used: %s", path, c->base.error);
		sqlite_close_conn(&c->base);
		return r;
	}
	sqlite_migrated(&c->base);
	*ret = &c->base;
	return 0;
}

static int sqlite_run(struct db_conn *c, const char *sql)
{
	return sqlite3_exec(handle(c), sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(c);
}

static bool sqlite_is_in_transaction(struct db_conn *c)
{
	return !sqlite3_get_autocommit(handle(c));
}

static int64_t sqlite_n_written(struct db_conn *c)
{
	return sqlite3_total_changes64(handle(c));
}

static struct db_stmt *sqlite_prepare(struct db_conn *c, const char *sql)
{
	sqlite3_stmt *st;
	const char *rest;

	if (sqlite3_prepare_v3(handle(c), sql, -1, SQLITE_PREPARE_PERSISTENT, &st, &rest) != SQLITE_OK) {
		fail(c);
		return NULL;
	}
	if (!st || rest[strspn(rest, " \t\n;")]) {
		sqlite3_finalize(st);
		db_fail(c, -EINVAL, "not exactly one statement: %s", sql);
		return NULL;
	}
	struct sqlite_stmt *s = xcalloc(1, sizeof(*s));
	s->st = st;
	return &s->base;
}

static void sqlite_unprepare(struct db_stmt *st)
{
	struct sqlite_stmt *s = container_of(st, struct sqlite_stmt, base);

	for (int i = 0; s->texts && i < sqlite3_column_count(s->st); i++)
		buf_deinit(&s->texts[i]);
	sqlite3_finalize(s->st);
	free(s->texts);
	free(s->ids);
	free(s);
}

/* Returns false when it is bound as it is. */
static bool bind_id(struct sqlite_stmt *s, int i, const struct db_value *v)
{
	uint8_t id[PACKED_ID_SIZE];

	if (v->n != ID_SIZE - 1 || !packed_id_make((struct str){v->p, v->n}, id))
		return false;
	if (!s->ids)
		s->ids = xcalloc((size_t)sqlite3_bind_parameter_count(s->st), PACKED_ID_SIZE);
	memcpy(s->ids[i - 1], id, PACKED_ID_SIZE);
	return sqlite3_bind_blob(s->st, i, s->ids[i - 1], PACKED_ID_SIZE, SQLITE_STATIC) == SQLITE_OK;
}

static bool bind_compressed(struct sqlite_conn *c, struct sqlite_stmt *s, int i, const struct db_value *v)
{
	_cleanup_(buf_deinit) struct buf packed = BUF_INIT;

	return packed_text_make(c->packer, (struct str){v->p, v->n}, &packed) &&
	       sqlite3_bind_blob64(s->st, i, packed.p, packed.n, SQLITE_TRANSIENT) == SQLITE_OK;
}

static int bind_one(struct sqlite_stmt *s, int i, const struct db_value *v, sqlite3_destructor_type how)
{
	struct sqlite_conn *c = own(s->base.conn);
	sqlite3_stmt *st = s->st;

	if (c->packs && v->type == DB_T_TEXT && bind_id(s, i, v))
		return SQLITE_OK;
	if (c->packs && v->type == DB_T_LONG && bind_compressed(c, s, i, v))
		return SQLITE_OK;
	switch (v->type) {
	case DB_T_NULL: return sqlite3_bind_null(st, i);
	case DB_T_INT: return sqlite3_bind_int64(st, i, v->i);
	case DB_T_REAL: return sqlite3_bind_double(st, i, v->f);
	case DB_T_TEXT:
	case DB_T_LONG: return sqlite3_bind_text64(st, i, v->p ? v->p : "", v->n, how, SQLITE_UTF8);
	case DB_T_BLOB: return sqlite3_bind_blob64(st, i, v->p ? v->p : "", v->n, how);
	}
	return SQLITE_MISUSE;
}

static int sqlite_bind(struct db_stmt *st, const struct db_value *args, size_t n, bool copy)
{
	size_t wanted = (size_t)sqlite3_bind_parameter_count(stmt(st));

	if (n != wanted)
		return db_fail(st->conn, -EINVAL, "%zu values for the %zu of: %s", n, wanted, st->sql);
	for (size_t i = 0; i < n; i++)
		if (bind_one(container_of(st, struct sqlite_stmt, base), (int)i + 1, &args[i],
			     copy ? SQLITE_TRANSIENT : SQLITE_STATIC) != SQLITE_OK)
			return fail(st->conn);
	return 0;
}

static int sqlite_step(struct db_stmt *st)
{
	switch (sqlite3_step(stmt(st))) {
	case SQLITE_ROW: return 1;
	case SQLITE_DONE: return 0;
	}
	return fail(st->conn);
}

static int64_t sqlite_changes(struct db_stmt *st)
{
	return sqlite3_stmt_readonly(stmt(st)) ? 0 : sqlite3_changes64(handle(st->conn));
}

static void sqlite_reset(struct db_stmt *st)
{
	sqlite3_reset(stmt(st));
	sqlite3_clear_bindings(stmt(st));
}

static bool sqlite_col_is_null(struct db_stmt *st, int col)
{
	return sqlite3_column_type(stmt(st), col) == SQLITE_NULL;
}

static int64_t sqlite_col_int(struct db_stmt *st, int col)
{
	return sqlite3_column_int64(stmt(st), col);
}

static double sqlite_col_real(struct db_stmt *st, int col)
{
	return sqlite3_column_double(stmt(st), col);
}

/* A text that was packed: p NULL when the column is a blob. */
static struct str unpack(struct sqlite_stmt *s, int col)
{
	struct str blob = {sqlite3_column_blob(s->st, col), (size_t)sqlite3_column_bytes(s->st, col)};

	if (blob.n != PACKED_ID_SIZE && !packed_text_is(blob))
		return (struct str){0};
	const char *type = sqlite3_column_decltype(s->st, col);
	if (type && strcasecmp(type, "blob") == 0)
		return (struct str){0};
	if (!s->texts)
		s->texts = xcalloc((size_t)sqlite3_column_count(s->st), sizeof(*s->texts));
	buf_clear(&s->texts[col]);
	int r = sqlite_packed_read(own(s->base.conn)->packer, blob, &s->texts[col]);
	return r == 0 ? buf_str(&s->texts[col]) : (struct str){0};
}

static struct str sqlite_col_str(struct db_stmt *st, int col)
{
	bool is_blob = sqlite3_column_type(stmt(st), col) == SQLITE_BLOB;

	if (is_blob && own(st->conn)->packs) {
		struct str text = unpack(container_of(st, struct sqlite_stmt, base), col);
		if (text.p)
			return text;
	}
	const void *p = is_blob ? sqlite3_column_blob(stmt(st), col) : sqlite3_column_text(stmt(st), col);

	/* The length after the text: it may have been converted. */
	return (struct str){p, (size_t)sqlite3_column_bytes(stmt(st), col)};
}

const struct db_driver db_driver_sqlite = {
	.scheme = "sqlite",
	.dialect = "sqlite",
	.has_group_commit = true,
	.begin_write = "begin immediate",
	.begin_read = "begin",
	.open = sqlite_open_conn,
	.close = sqlite_close_conn,
	.run = sqlite_run,
	.is_in_transaction = sqlite_is_in_transaction,
	.n_written = sqlite_n_written,
	.migrated = sqlite_migrated,
	.prepare = sqlite_prepare,
	.unprepare = sqlite_unprepare,
	.bind = sqlite_bind,
	.step = sqlite_step,
	.changes = sqlite_changes,
	.reset = sqlite_reset,
	.col_is_null = sqlite_col_is_null,
	.col_int = sqlite_col_int,
	.col_real = sqlite_col_real,
	.col_str = sqlite_col_str,
};
