#include "data/db.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "data/driver.h"
#include "data/pool.h"

#define MAX_QUEUE 16384
/* Jobs in one commit: enough to share the sync, few enough that the first does not wait long for the last. */
#define MAX_BATCH 256
/* Connections to a server that write; as many as n_readers read. */
#define POOL_WRITERS 4
/* Statements made at run time that a connection keeps. */
#define RECENT_MAX 16

static const struct db_driver *const drivers[] = {&db_driver_sqlite, &db_driver_postgres, &db_driver_mysql};

struct db {
	const struct db_driver *driver;
	char *url;
	struct db_conn *main; /* opened at the start: the writer thread's, or a server's for migrations only */
	struct db_pool *pool; /* of a server, otherwise NULL */
	struct job_lane *writer, *readers;
	uv_timer_t refusing;
	struct list
		refused; /* struct db_job by job.link: the lane was full, done comes with -EAGAIN at the next turn */
};

/* ---- Jobs ---- */

/* One of the statements around jobs, which are kept like any other. */
static int control(struct db_conn *c, const char *sql)
{
	return error_only(db_exec_v(c, sql, NULL, 0));
}

static int finish_transaction(struct db_conn *c, int result)
{
	int r = 0;

	if (result == 0)
		r = control(c, "commit");
	if ((result != 0 || r < 0) && c->driver->is_in_transaction(c))
		control(c, "rollback");
	return r < 0 ? r : result;
}

/* Runs one job as a transaction of its own. */
static void run_alone(struct db_conn *c, struct db_job *job, const char *begin)
{
	int r = control(c, begin);

	job->result = r < 0 ? r : finish_transaction(c, job->run(c, job));
}

/* A job inside a batch's transaction. Returns false when the whole transaction is gone with it. */
static bool run_in_batch(struct db_conn *c, struct db_job *job)
{
	job->result = control(c, "savepoint job");
	if (job->result == 0) {
		job->result = job->run(c, job);
		int r = 0;
		if (job->result != 0 && c->driver->is_in_transaction(c))
			r = control(c, "rollback to job");
		if (r == 0 && c->driver->is_in_transaction(c))
			r = control(c, "release job");
		if (job->result == 0 && r < 0)
			job->result = r;
	}
	return c->driver->is_in_transaction(c);
}

static struct db_job *job_at(struct list *link)
{
	return container_of(list_entry(link, struct job, link), struct db_job, job);
}

/* Those of the batch that had succeeded lose their work with the transaction. */
static void fail_batch(struct list *ran, int err)
{
	for (struct list *l = ran->next; l != ran; l = l->next)
		if (job_at(l)->result == 0)
			job_at(l)->result = err;
}

/* One transaction over jobs of `waiting`, which move to `ran`: all of them unless a failure ends the transaction early.
 */
static void run_in_savepoints(struct db_conn *c, struct list *waiting, struct list *ran)
{
	int r = control(c, c->driver->begin_write);
	bool is_open = r == 0;

	while (!list_is_empty(waiting) && (r < 0 || is_open)) {
		struct list *link = waiting->next;
		list_remove(link);
		list_append(ran, link);
		if (r < 0)
			job_at(link)->result = r;
		else if (!run_in_batch(c, job_at(link))) {
			is_open = false;
			fail_batch(ran, c->err ? c->err : -EIO);
		}
	}
	if (is_open && (r = finish_transaction(c, 0)) < 0)
		fail_batch(ran, r);
}

/* The jobs as one transaction without a savepoint for each, for which SQLite would copy every page that a job touches.
 * One that fails before it has written anything leaves no trace by itself. False, and nothing is done, when one fails
 * later. */
static bool run_together(struct db_conn *c, struct list *jobs)
{
	int r = control(c, c->driver->begin_write);

	for (struct list *l = jobs->next; r == 0 && l != jobs; l = l->next) {
		struct db_job *job = job_at(l);
		int64_t before = c->driver->n_written(c);
		job->result = job->run(c, job);
		if (!c->driver->is_in_transaction(c) || (job->result != 0 && c->driver->n_written(c) != before)) {
			finish_transaction(c, -ECANCELED);
			return false;
		}
	}
	if (r == 0)
		r = finish_transaction(c, 0);
	if (r < 0)
		fail_batch(jobs, r);
	return true;
}

/* The first job of a batch, on the writer's thread: takes the others that wait along. */
static void run_write(struct job *job)
{
	struct db_job *first = container_of(job, struct db_job, job);
	struct db *db = first->db;
	struct list batch, ran, all;

	list_init(&batch);
	list_init(&all);
	if (job_take_waiting(db->writer, &batch, MAX_BATCH - 1) == 0) {
		run_alone(db->main, first, db->driver->begin_write);
		return;
	}
	list_init(&job->link);
	list_prepend(&batch, &job->link);
	if (run_together(db->main, &batch))
		list_splice(&all, &batch);
	while (!list_is_empty(&batch)) {
		list_init(&ran);
		run_in_savepoints(db->main, &batch, &ran);
		list_splice(&all, &ran);
	}
	/* In order, the first one too. */
	while (!list_is_empty(&all)) {
		struct list *link = all.next;
		list_remove(link);
		job_finish(db->writer, list_entry(link, struct job, link));
	}
}

/* A reader's connection is opened by its first job, and again when that failed. */
static void run_read(struct job *job)
{
	struct db_job *self = container_of(job, struct db_job, job);
	struct db_conn **c = job_thread_data();
	int r = 0;

	if (!*c)
		r = self->db->driver->open(self->db->url, false, c, NULL);
	if (r < 0)
		self->result = r;
	else
		run_alone(*c, self, self->db->driver->begin_read);
}

static void run_pool_write(struct job *job)
{
	struct db_job *self = container_of(job, struct db_job, job);

	db_pool_run(self->db->pool, job_thread_data(), self, true);
}

static void run_pool_read(struct job *job)
{
	struct db_job *self = container_of(job, struct db_job, job);

	db_pool_run(self->db->pool, job_thread_data(), self, false);
}

static void on_done(struct job *job)
{
	struct db_job *self = container_of(job, struct db_job, job);

	self->done(self, self->result);
}

static void *start_thread(void *arg)
{
	return xcalloc(1, sizeof(struct db_conn *));
}

static void stop_thread(void *data)
{
	struct db_conn **c = data;

	if (*c)
		(*c)->driver->close(*c);
	free(c);
}

static void deliver_refused(struct db *db)
{
	while (!list_is_empty(&db->refused)) {
		struct db_job *job = job_at(db->refused.next);
		list_remove(&job->job.link);
		job->done(job, -EAGAIN);
	}
}

static void on_refusing(uv_timer_t *timer)
{
	deliver_refused(container_of(timer, struct db, refusing));
}

static void submit(struct db *db, struct job_lane *lane, struct db_job *job, void (*run)(struct job *))
{
	job->db = db;
	job->result = 0;
	job->job.run = run;
	job->job.done = on_done;
	list_init(&job->job.link);
	if (job_submit(lane, &job->job) == 0)
		return;
	list_append(&db->refused, &job->job.link);
	uv_timer_start(&db->refusing, on_refusing, 0, 0);
}

struct job_lane *db_lane(const struct db *db, bool is_write)
{
	return is_write ? db->writer : db->readers;
}

void db_write(struct db *db, struct db_job *job)
{
	submit(db, db->writer, job, db->pool ? run_pool_write : run_write);
}

void db_read(struct db *db, struct db_job *job)
{
	submit(db, db->readers, job, db->pool ? run_pool_read : run_read);
}

/* ---- Opening ---- */

static const struct db_driver *find_driver(const char *url)
{
	struct str rest = str_of(url), scheme = str_cut(&rest, ':');

	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (rest.p && (str_is(scheme, drivers[i]->scheme) ||
			       (drivers[i]->other_scheme && str_is(scheme, drivers[i]->other_scheme))))
			return drivers[i];
	return NULL;
}

int db_open(uv_loop_t *loop, const char *url, unsigned n_readers, struct db **ret, struct error *err)
{
	const struct db_driver *driver = find_driver(url);
	struct db_conn *c;

	if (!driver) {
		/* The address may hold a password: only its scheme is told. */
		error_set(err, "db_url",
			  "the database address %.*s:... is not supported: use sqlite:/path/to/file, postgres://... or "
			  "mysql://...",
			  (int)MIN(strcspn(url, ":"), 20), url);
		return -EINVAL;
	}
	int r = driver->open(url, true, &c, err);
	if (r < 0)
		return r;
	struct db *db = xcalloc(1, sizeof(*db));
	db->driver = driver;
	db->url = xstrdup(url);
	db->main = c;
	list_init(&db->refused);
	uv_timer_init(loop, &db->refusing);
	if (driver->has_group_commit) {
		db->writer = job_lane_new(loop, "db-write", 1, MAX_QUEUE, NULL, NULL, db);
	} else {
		db->pool = db_pool_new(driver, url);
		db->writer = job_lane_new(loop, "db-write", POOL_WRITERS, MAX_QUEUE, start_thread, stop_thread, db);
	}
	db->readers = job_lane_new(loop, "db-read", MAX(n_readers, 1), MAX_QUEUE, start_thread, stop_thread, db);
	*ret = db;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct db *db = container_of((uv_timer_t *)handle, struct db, refusing);

	explicit_bzero(db->url, strlen(db->url));
	free(db->url);
	free(db);
}

void db_close(struct db *db)
{
	if (!db)
		return;
	job_lane_free(db->readers);
	job_lane_free(db->writer);
	deliver_refused(db);
	if (db->main)
		db->driver->close(db->main);
	db_pool_free(db->pool);
	uv_close((uv_handle_t *)&db->refusing, on_closed);
}

struct db_conn *db_main_conn(struct db *db, struct error *err)
{
	if (!db->main && db->driver->open(db->url, true, &db->main, err) < 0)
		db->main = NULL;
	return db->main;
}

void db_release_main_conn(struct db *db)
{
	if (db->pool && db->main) {
		db->driver->close(db->main);
		db->main = NULL;
	}
}

const struct db_driver *db_driver_of(const struct db *db)
{
	return db->driver;
}

const char *db_url_of(const struct db *db)
{
	return db->url;
}

/* ---- Statements ---- */

int db_fail(struct db_conn *c, int err, const char *fmt, ...)
{
	va_list ap;

	c->err = err;
	c->is_over = c->is_over || err == -EDEADLK;
	va_start(ap, fmt);
	vsnprintf(c->error, sizeof(c->error), fmt, ap);
	va_end(ap);
	return err;
}

static void forget_recent(struct db_conn *c, struct db_stmt *st)
{
	HASH_DELETE(hh, c->recent, st);
	free(st->text);
	c->driver->unprepare(st);
}

void db_forget_statements(struct db_conn *c)
{
	struct db_stmt *st, *next;

	HASH_ITER(hh, c->kept, st, next)
	{
		HASH_DELETE(hh, c->kept, st);
		c->driver->unprepare(st);
	}
	HASH_ITER(hh, c->recent, st, next)
	forget_recent(c, st);
}

static struct db_stmt *prepare(struct db_conn *c, const char *sql)
{
	struct db_stmt *st = c->is_over ? NULL : c->driver->prepare(c, sql);

	if (st) {
		st->conn = c;
		st->sql = sql;
	}
	return st;
}

/* The kept statement for this SQL, or a passing one when that is in use. */
static struct db_stmt *find_statement(struct db_conn *c, const char *sql)
{
	struct db_stmt *st;

	HASH_FIND_PTR(c->kept, &sql, st);
	if (st && !st->is_busy)
		return st;
	bool keep = !st;
	st = prepare(c, sql);
	if (st && keep) {
		st->is_kept = true;
		HASH_ADD_PTR(c->kept, sql, st);
	}
	return st;
}

static struct db_stmt *start(struct db_conn *c, struct db_stmt *st, const struct db_value *args, size_t n, bool copy)
{
	if (!st || c->is_over)
		return NULL;
	st->is_busy = true;
	if (c->driver->bind(st, args, n, copy) < 0) {
		db_done(st);
		return NULL;
	}
	return st;
}

struct db_stmt *db_query_v(struct db_conn *c, const char *sql, const struct db_value *args, size_t n)
{
	return start(c, find_statement(c, sql), args, n, true);
}

/* Room for one more. Returns false when all are in use. */
static bool make_room(struct db_conn *c)
{
	struct db_stmt *st, *next;

	if (HASH_COUNT(c->recent) < RECENT_MAX)
		return true;
	HASH_ITER(hh, c->recent, st, next)
	{
		if (st->is_busy)
			continue;
		forget_recent(c, st);
		return true;
	}
	return false;
}

/* As find_statement, for SQL that does not live on. */
static struct db_stmt *find_recent(struct db_conn *c, const char *sql)
{
	struct db_stmt *st;

	HASH_FIND_STR(c->recent, sql, st);
	if (st && !st->is_busy)
		return st;
	bool keep = !st && make_room(c);
	char *text = keep ? xstrdup(sql) : NULL;
	st = prepare(c, keep ? text : sql);
	if (st && keep) {
		st->is_kept = true;
		st->text = text;
		HASH_ADD_KEYPTR(hh, c->recent, text, strlen(text), st);
	} else {
		free(text);
	}
	return st;
}

struct db_stmt *db_query_dynamic(struct db_conn *c, const char *sql, const struct db_value *args, size_t n)
{
	return start(c, find_recent(c, sql), args, n, true);
}

int64_t db_exec_v(struct db_conn *c, const char *sql, const struct db_value *args, size_t n)
{
	struct db_stmt *st = start(c, find_statement(c, sql), args, n, false);
	int64_t r;

	if (!st)
		return c->err;
	do
		r = c->driver->step(st);
	while (r == 1);
	if (r == 0)
		r = c->driver->changes(st);
	db_done(st);
	return r;
}

int db_step(struct db_conn *c, struct db_stmt *st)
{
	return st ? c->driver->step(st) : c->err;
}

void db_done(struct db_stmt *st)
{
	if (!st)
		return;
	st->conn->driver->reset(st);
	st->is_busy = false;
	if (!st->is_kept)
		st->conn->driver->unprepare(st);
}

int db_get_int_v(struct db_conn *c, int64_t *ret, const char *sql, const struct db_value *args, size_t n)
{
	struct db_stmt *st = start(c, find_statement(c, sql), args, n, false);
	int r = db_step(c, st);

	if (r == 1)
		*ret = db_col_int(st, 0);
	db_done(st);
	return r;
}

bool db_col_is_null(struct db_stmt *st, int col)
{
	return st->conn->driver->col_is_null(st, col);
}

int64_t db_col_int(struct db_stmt *st, int col)
{
	return st->conn->driver->col_int(st, col);
}

double db_col_real(struct db_stmt *st, int col)
{
	return st->conn->driver->col_real(st, col);
}

struct str db_col_str(struct db_stmt *st, int col)
{
	return st->conn->driver->col_str(st, col);
}

char *db_col_dup(struct db_stmt *st, int col, struct arena *a)
{
	if (db_col_is_null(st, col))
		return NULL;
	return (char *)arena_str(a, db_col_str(st, col)).p;
}

struct db_value db_text_n(const char *p, size_t n)
{
	return (struct db_value){.type = DB_T_TEXT, .p = p, .n = n};
}

struct db_value db_long(const char *p, size_t n)
{
	return (struct db_value){.type = DB_T_LONG, .p = p, .n = n};
}

struct db_value db_long_text(const char *s)
{
	return s ? db_long(s, strlen(s)) : DB_NULL();
}

struct db_value db_text(const char *s)
{
	return s ? db_text_n(s, strlen(s)) : DB_NULL();
}

const char *db_error(struct db_conn *c)
{
	return c->error;
}

const char *db_dialect(const struct db_conn *c)
{
	return c->driver->dialect;
}

const char *db_url_dialect(const struct db *db)
{
	return db->driver->dialect;
}

int db_clock_us(struct db_conn *c, int64_t *ret)
{
	if (c->driver->clock_us)
		return c->driver->clock_us(c, ret);
	*ret = clock_now_us();
	return 0;
}
