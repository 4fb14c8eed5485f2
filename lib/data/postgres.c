/* PostgreSQL by libpq. Statements are sent with their values at once (bind) and their rows read one by one (step): a
 * long result takes no memory. A connection can read one result at a time, so what another statement has not read yet
 * is taken into memory when a new one begins. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "data/driver.h"
#include "data/postgres_connect.h"
#include "data/postgres_sql.h"

#define MAX_VALUES 40
/* The server ends a statement before (see postgres_connect.c); this is for one that does not answer at all. */
#define ANSWER_MS 25000
/* Migrations have no time-out. */
#define MIGRATION_ANSWER_MS (30 * 60 * 1000)

/* pg_type.h: these never change. */
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_FLOAT8 = 701 };

struct pg_stmt;

struct pg_conn {
	struct db_conn base;
	const struct pq_api *pq;
	PGconn *pg;
	struct pg_stmt *reading; /* whose rows come next on the connection */
	unsigned serial;         /* of prepared statements */
	int answer_ms;
	bool is_dead;
};

struct pg_stmt {
	struct db_stmt base;
	struct buf sql; /* translated */
	size_t n_values;
	char name[16];
	bool is_prepared;
	PGresult *row;      /* the current one */
	PGresult **waiting; /* rows taken into memory */
	size_t n_waiting, at;
	int end; /* what step answers behind the last row: 0 or -errno */
	int64_t changes;
	struct arena *bytes; /* decoded bytea of the current row, made when needed */
};

/* Values on their way: PQsendQueryPrepared's arrays. */
struct pg_values {
	Oid types[MAX_VALUES];
	const char *values[MAX_VALUES];
	int lengths[MAX_VALUES], formats[MAX_VALUES];
	char numbers[MAX_VALUES][32];
	struct buf clean[MAX_VALUES];
};

static struct pg_conn *conn(struct db_conn *c)
{
	return container_of(c, struct pg_conn, base);
}

static struct pg_stmt *stmt(struct db_stmt *st)
{
	return container_of(st, struct pg_stmt, base);
}

/* ---- Errors ---- */

static const struct {
	const char *state; /* SQLSTATE, or its class */
	int err;
} states[] = {
	{"23505", -EEXIST}, {"40001", -EDEADLK}, {"40P01", -EDEADLK}, {"55P03", -EBUSY},  {"57014", -ETIMEDOUT},
	{"53100", -ENOSPC}, {"53", -EAGAIN},     {"54", -E2BIG},      {"58", -EIO},       {"XX", -EIO},
	{"25006", -EROFS},  {"42501", -EROFS},   {"08", -ENOTCONN},   {"57P", -ENOTCONN},
};

static int state_to_errno(const char *state)
{
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (strncmp(state, states[i].state, strlen(states[i].state)) == 0)
			return states[i].err;
	return -EINVAL;
}

static int lose(struct pg_conn *c, int err, const char *why)
{
	c->is_dead = true;
	return db_fail(&c->base, err, "%.*s", (int)strcspn(why, "\n"), why);
}

/* The primary message only: the detail holds values. */
static int fail(struct pg_conn *c, const PGresult *result)
{
	const char *state = c->pq->resultErrorField(result, PG_DIAG_SQLSTATE);
	const char *severity = c->pq->resultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *message = c->pq->resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (!state || !message)
		return lose(c, -ENOTCONN, c->pq->errorMessage(c->pg));
	if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
		c->is_dead = true;
	return db_fail(&c->base, c->is_dead ? -ENOTCONN : state_to_errno(state), "%s: %s", state, message);
}

/* ---- Results ---- */

/* Whether there is a result to take, or the connection is lost. */
static bool wait_for_answer(struct pg_conn *c)
{
	uint64_t until = clock_mono_us() + (uint64_t)c->answer_ms * 1000;

	while (c->pq->isBusy(c->pg)) {
		struct pollfd fd = {.fd = c->pq->socket(c->pg), .events = POLLIN};
		uint64_t now = clock_mono_us();
		int n = now < until ? poll(&fd, 1, (int)((until - now) / 1000) + 1) : 0;
		if (n == 0 || (n < 0 && errno != EINTR) || !c->pq->consumeInput(c->pg))
			return false;
	}
	return true;
}

/* The next result; NULL when there are no more, or the connection is lost (is_dead). */
static PGresult *next_result(struct pg_conn *c)
{
	if (c->is_dead)
		return NULL;
	if (!wait_for_answer(c)) {
		lose(c, -ENOTCONN, "the server does not answer");
		return NULL;
	}
	return c->pq->getResult(c->pg);
}

static void discard_results(struct pg_conn *c)
{
	PGresult *result;

	while ((result = next_result(c)))
		c->pq->clear(result);
}

/* The last result of a statement: 0 or -errno. */
static int take_end(struct pg_conn *c, PGresult *result, int64_t *ret_changes)
{
	ExecStatusType status = result ? c->pq->resultStatus(result) : PGRES_FATAL_ERROR;
	int r = 0;

	if (!result)
		r = c->is_dead ? c->base.err : lose(c, -ENOTCONN, "the connection broke off");
	else if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		r = fail(c, result);
	else if (strncmp(c->pq->cmdStatus(result), "SELECT", 6) != 0)
		*ret_changes = strtoll(c->pq->cmdTuples(result), NULL, 10);
	c->pq->clear(result);
	discard_results(c);
	return r < 0 ? r : c->is_dead ? c->base.err : 0;
}

/* 1 = a row, 0 = no more, -errno. */
static int read_row(struct pg_stmt *st)
{
	struct pg_conn *c = conn(st->base.conn);
	PGresult *result = next_result(c);

	if (result && c->pq->resultStatus(result) == PGRES_SINGLE_TUPLE) {
		st->row = result;
		return 1;
	}
	c->reading = NULL;
	st->end = take_end(c, result, &st->changes);
	return st->end;
}

/* Takes into memory what the statement has not read yet, so that another one can be sent. */
static void make_way(struct pg_conn *c)
{
	struct pg_stmt *st = c->reading;
	PGresult *current = st ? st->row : NULL;
	size_t room = 0;

	while (c->reading && read_row(st) == 1) {
		if (st->n_waiting == room)
			st->waiting = xrealloc(st->waiting, (room = room * 2 + 16) * sizeof(PGresult *));
		st->waiting[st->n_waiting++] = st->row;
	}
	if (st)
		st->row = current;
}

static void clear_row(struct pg_stmt *st)
{
	if (st->row)
		conn(st->base.conn)->pq->clear(st->row);
	st->row = NULL;
	if (st->bytes)
		arena_reset(st->bytes);
}

static int pg_step(struct db_stmt *base)
{
	struct pg_stmt *st = stmt(base);

	clear_row(st);
	if (st->at < st->n_waiting) {
		st->row = st->waiting[st->at++];
		return 1;
	}
	return conn(base->conn)->reading == st ? read_row(st) : st->end;
}

static void pg_reset(struct db_stmt *base)
{
	struct pg_stmt *st = stmt(base);
	struct pg_conn *c = conn(base->conn);

	clear_row(st);
	while (st->at < st->n_waiting)
		c->pq->clear(st->waiting[st->at++]);
	free(st->waiting);
	st->waiting = NULL;
	st->n_waiting = st->at = 0;
	if (c->reading == st) {
		c->reading = NULL;
		discard_results(c);
	}
}

/* ---- Statements ---- */

static struct db_stmt *pg_prepare(struct db_conn *c, const char *sql)
{
	struct pg_stmt *st = xcalloc(1, sizeof(*st));

	st->n_values = postgres_sql_translate(&st->sql, sql);
	return &st->base;
}

/* The server forgets it with the connection: a kept one is there as long. */
static void pg_unprepare(struct db_stmt *base)
{
	struct pg_stmt *st = stmt(base);

	arena_free(st->bytes);
	buf_deinit(&st->sql);
	free(st);
}

static void set_value(struct pg_values *v, size_t i, const char *p, size_t n, Oid type)
{
	v->types[i] = type;
	v->values[i] = p;
	v->lengths[i] = (int)n;
}

/* Text that PostgreSQL would refuse, with NUL or broken UTF-8 in it, is stored with U+FFFD in those places. */
static void set_text(struct pg_values *v, size_t i, const char *p, size_t n)
{
	struct utf8_carry carry = {0};
	struct buf *clean = &v->clean[i];
	const char *nul;

	if (!memchr(p, '\0', n) && utf8_is_valid((struct str){p, n})) {
		set_value(v, i, p, n, 0);
		v->formats[i] = 1; /* of known length, without a NUL behind it */
		return;
	}
	while ((nul = memchr(p, '\0', n))) {
		utf8_clean(&carry, p, (size_t)(nul - p), true, clean);
		buf_add_str(clean, "\xef\xbf\xbd");
		n -= (size_t)(nul - p) + 1;
		p = nul + 1;
	}
	utf8_clean(&carry, p, n, true, clean);
	set_value(v, i, clean->p, clean->n, 0);
	v->formats[i] = 1;
}

static void take_value(struct pg_values *v, size_t i, const struct db_value *arg)
{
	v->formats[i] = 0;
	switch (arg->type) {
	case DB_T_NULL: set_value(v, i, NULL, 0, 0); break;
	case DB_T_INT:
		snprintf(v->numbers[i], sizeof(v->numbers[i]), "%lld", (long long)arg->i);
		set_value(v, i, v->numbers[i], 0, OID_INT8);
		break;
	case DB_T_REAL:
		snprintf(v->numbers[i], sizeof(v->numbers[i]), "%.17g", arg->f);
		set_value(v, i, v->numbers[i], 0, OID_FLOAT8);
		break;
	case DB_T_TEXT:
	case DB_T_LONG: set_text(v, i, arg->p ? arg->p : "", arg->n); break;
	case DB_T_BLOB:
		set_value(v, i, arg->p ? arg->p : "", arg->n, OID_BYTEA);
		v->formats[i] = 1;
		break;
	}
}

static int take_values(struct pg_conn *c, struct pg_values *v, const struct db_value *args, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (args[i].n > INT32_MAX / 2)
			return db_fail(&c->base, -E2BIG, "a value is too long");
		take_value(v, i, &args[i]);
	}
	return 0;
}

static int prepare_on_server(struct pg_conn *c, struct pg_stmt *st, const struct pg_values *v)
{
	int64_t ignored;

	if (!st->name[0])
		snprintf(st->name, sizeof(st->name), "s%u", ++c->serial);
	if (!c->pq->sendPrepare(c->pg, st->name, st->sql.p, (int)st->n_values, v->types))
		return lose(c, -ENOTCONN, c->pq->errorMessage(c->pg));
	int r = take_end(c, next_result(c), &ignored);
	st->is_prepared = r == 0;
	return r;
}

static int send_values(struct pg_conn *c, struct pg_stmt *st, const struct pg_values *v)
{
	int n = (int)st->n_values, is_sent, r = 0;

	if (st->base.is_kept && !st->is_prepared && (r = prepare_on_server(c, st, v)) < 0)
		return r;
	if (st->base.is_kept)
		is_sent = c->pq->sendQueryPrepared(c->pg, st->name, n, v->values, v->lengths, v->formats, 0);
	else
		is_sent = c->pq->sendQueryParams(c->pg, st->sql.p, n, v->types, v->values, v->lengths, v->formats, 0);
	if (!is_sent)
		return lose(c, -ENOTCONN, c->pq->errorMessage(c->pg));
	c->pq->setSingleRowMode(c->pg);
	c->reading = st;
	return 0;
}

static int pg_bind(struct db_stmt *base, const struct db_value *args, size_t n, bool copy)
{
	struct pg_stmt *st = stmt(base);
	struct pg_conn *c = conn(base->conn);
	struct pg_values v;
	int r;

	if (n != st->n_values || n > MAX_VALUES)
		return db_fail(&c->base, -EINVAL, "%zu values for the %zu of: %s", n, st->n_values, st->sql.p);
	make_way(c);
	if (c->is_dead)
		return c->base.err;
	st->changes = 0;
	st->end = 0;
	memset(v.clean, 0, sizeof(v.clean));
	r = take_values(c, &v, args, n);
	if (r == 0)
		r = send_values(c, st, &v);
	for (size_t i = 0; i < n; i++)
		buf_deinit(&v.clean[i]);
	return r;
}

static int64_t pg_changes(struct db_stmt *base)
{
	return stmt(base)->changes;
}

/* ---- Columns, all as text ---- */

static const char *col(struct pg_stmt *st, int i)
{
	return conn(st->base.conn)->pq->getvalue(st->row, 0, i);
}

static Oid col_type(struct pg_stmt *st, int i)
{
	return conn(st->base.conn)->pq->ftype(st->row, i);
}

static bool pg_col_is_null(struct db_stmt *base, int i)
{
	return conn(base->conn)->pq->getisnull(stmt(base)->row, 0, i);
}

static int64_t pg_col_int(struct db_stmt *base, int i)
{
	struct pg_stmt *st = stmt(base);

	return col_type(st, i) == OID_BOOL ? col(st, i)[0] == 't' : strtoll(col(st, i), NULL, 10);
}

static double pg_col_real(struct db_stmt *base, int i)
{
	return strtod(col(stmt(base), i), NULL);
}

static struct str decode_bytes(struct pg_stmt *st, int i)
{
	const struct pq_api *pq = conn(st->base.conn)->pq;
	size_t n;
	unsigned char *bytes = pq->unescapeBytea((const unsigned char *)col(st, i), &n);
	char *copy;

	if (!bytes)
		abort();
	if (!st->bytes)
		st->bytes = arena_new();
	copy = arena_strndup(st->bytes, (const char *)bytes, n);
	pq->freemem(bytes);
	return (struct str){copy, n};
}

static struct str pg_col_str(struct db_stmt *base, int i)
{
	struct pg_stmt *st = stmt(base);

	if (pg_col_is_null(base, i))
		return (struct str){NULL, 0};
	if (col_type(st, i) == OID_BYTEA)
		return decode_bytes(st, i);
	return (struct str){col(st, i), (size_t)conn(base->conn)->pq->getlength(st->row, 0, i)};
}

/* ---- The connection ---- */

static int pg_run(struct db_conn *base, const char *sql)
{
	struct pg_conn *c = conn(base);
	PGresult *result;
	int r = 0;

	make_way(c);
	if (c->is_dead)
		return base->err;
	if (sql == db_driver_postgres.begin_migration)
		c->answer_ms = MIGRATION_ANSWER_MS;
	if (!c->pq->sendQuery(c->pg, sql))
		return lose(c, -ENOTCONN, c->pq->errorMessage(c->pg));
	while ((result = next_result(c))) {
		ExecStatusType status = c->pq->resultStatus(result);
		if (r == 0 && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
			r = fail(c, result);
		/* A transaction in which something failed is ended so, without an error. */
		if (r == 0 && strcmp(sql, "commit") == 0 && strcmp(c->pq->cmdStatus(result), "ROLLBACK") == 0)
			r = db_fail(base, -EINVAL, "a statement before the commit had failed");
		c->pq->clear(result);
	}
	return c->is_dead ? base->err : r;
}

static bool pg_is_in_transaction(struct db_conn *base)
{
	struct pg_conn *c = conn(base);
	PGTransactionStatusType status = c->pq->transactionStatus(c->pg);

	return status != PQTRANS_IDLE && status != PQTRANS_UNKNOWN;
}

static bool pg_is_connected(struct db_conn *base)
{
	struct pg_conn *c = conn(base);

	return !c->is_dead && c->pq->status(c->pg) == CONNECTION_OK;
}

static int pg_open(const char *url, bool for_writing, struct db_conn **ret, struct error *err)
{
	PGconn *pg = postgres_connect(url, err);

	if (!pg)
		return -ENOTCONN;
	struct pg_conn *c = xcalloc(1, sizeof(*c));
	c->base.driver = &db_driver_postgres;
	c->pq = pq_api_load();
	c->pg = pg;
	c->answer_ms = ANSWER_MS;
	*ret = &c->base;
	return 0;
}

static void pg_close(struct db_conn *base)
{
	struct pg_conn *c = conn(base);

	db_forget_statements(base);
	c->pq->finish(c->pg);
	free(c);
}

/* ---- Several processes ---- */

static int pg_clock_us(struct db_conn *c, int64_t *ret)
{
	int r = db_get_int(c, ret, "select (extract(epoch from clock_timestamp()) * 1000000)::bigint");

	return MIN(r, 0);
}

/* The channel's name is ours. */
static int pg_listen(struct db_conn *c, const char *channel)
{
	char sql[80];

	snprintf(sql, sizeof(sql), "listen \"%s\"", channel);
	return pg_run(c, sql);
}

static int pg_wait(struct db_conn *base, int wake, int ms, void (*fn)(void *arg, const char *message), void *arg)
{
	struct pg_conn *c = conn(base);
	struct pollfd fds[] = {{.fd = c->pq->socket(c->pg), .events = POLLIN}, {.fd = wake, .events = POLLIN}};
	PGnotify *n;

	if (poll(fds, 2, ms) < 0 && errno != EINTR)
		return lose(c, -ENOTCONN, "poll failed");
	if (fds[0].revents && !c->pq->consumeInput(c->pg))
		return lose(c, -ENOTCONN, c->pq->errorMessage(c->pg));
	while ((n = c->pq->notifies(c->pg))) {
		fn(arg, n->extra);
		c->pq->freemem(n);
	}
	return pg_is_connected(base) ? 0 : -ENOTCONN;
}

static int pg_notify(struct db_conn *c, const char *channel, const char *message)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select pg_notify(?, ?)", DB_TEXT(channel), DB_TEXT(message));

	return error_only(db_step(c, st));
}

const struct db_driver db_driver_postgres = {
	.scheme = "postgres",
	.other_scheme = "postgresql",
	.dialect = "postgres",
	.begin_write = "begin isolation level read committed read write",
	.begin_read = "begin isolation level repeatable read read only",
	/* The number is only ours: any that nobody else is likely to take. */
	.begin_migration =
		"begin isolation level read committed read write; set local statement_timeout = 0; set local "
		"lock_timeout = 0; select pg_advisory_xact_lock(6074921850447172)",
	.open = pg_open,
	.close = pg_close,
	.run = pg_run,
	.is_in_transaction = pg_is_in_transaction,
	.is_connected = pg_is_connected,
	.clock_us = pg_clock_us,
	.listen = pg_listen,
	.wait = pg_wait,
	.notify = pg_notify,
	.prepare = pg_prepare,
	.unprepare = pg_unprepare,
	.bind = pg_bind,
	.step = pg_step,
	.changes = pg_changes,
	.reset = pg_reset,
	.col_is_null = pg_col_is_null,
	.col_int = pg_col_int,
	.col_real = pg_col_real,
	.col_str = pg_col_str,
};
