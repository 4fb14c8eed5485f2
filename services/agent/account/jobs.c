#include "agent/account/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/runner.h"
#include "base/alloc.h"
#include "base/clock.h"

#define LOOK_MS 5000
#define RETRY_US (5 * 1000000ll)
#define RETRY_MAX_US (300 * 1000000ll)

/* Values: the time, this process, the time. A process that is gone has no lease. */
#define FREE                                                                                                    \
	" status in ('queued', 'running') and run_after <= ? and (owner is null or (owner <> ? and not exists " \
	"(select 1 from agent_processes p where p.owner = account_jobs.owner and p.lease_until >= ?)))"

/* What it waits for. */
enum jobs_state { RESTING, ENTERING, LOOKING, EXPIRING, TAKING, WORKING, ENDING };

struct account_jobs {
	struct agent *agent;
	enum jobs_state state;
	struct deadline rest;
	struct db_job db;
	bool is_woken, is_stopped;

	int64_t n_free, n_expired;
	bool has_taken;
	struct arena *arena; /* of the job */
	struct account_job job;
	int result;              /* how it ended */
	struct erasure *erasure; /* the one or the other */
	struct exporting *exporting;
};

/* ---- On the worker threads ---- */

int account_job_add(struct db_conn *c, const char *id, const char *kind, const char *user_id, const char *heir_id)
{
	return error_only(
		db_exec(c,
			"insert into account_jobs (id, kind, user_id, heir_id, status, stage, counts, claim, "
			"attempts, run_after, size, created_at) values (?, ?, ?, ?, 'queued', '', '{}', 0, 0, "
			"0, 0, ?)",
			DB_TEXT(id), DB_TEXT(kind), DB_TEXT(user_id), DB_TEXT(heir_id), DB_INT(clock_now_us())));
}

int account_job_check(struct db_conn *c, const struct account_job *job)
{
	int64_t one;
	int r = db_get_int(c, &one, "select 1 from account_jobs where id = ? and claim = ? and owner = ?" DB_FOR_UPDATE,
			   DB_TEXT(job->id), DB_INT(job->claim), DB_TEXT(runner_owner(job->agent->runner)));

	return r < 0 ? r : r == 1 ? 0 : ACCOUNT_LOST;
}

int account_job_note(struct db_conn *c, const struct account_job *job, const char *stage, const char *counts)
{
	return error_only(db_exec(c, "update account_jobs set stage = ?, counts = ? where id = ?", DB_TEXT(stage),
				  DB_TEXT(counts), DB_TEXT(job->id)));
}

/* What is still this process's own is from before a restart. */
static int enter(struct db_conn *c, struct db_job *db)
{
	struct account_jobs *j = container_of(db, struct account_jobs, db);

	return error_only(db_exec(c, "update account_jobs set owner = null where owner = ?",
				  DB_TEXT(runner_owner(j->agent->runner))));
}

static int look(struct db_conn *c, struct db_job *db)
{
	struct account_jobs *j = container_of(db, struct account_jobs, db);
	int64_t now;
	int r = db_clock_us(c, &now);

	j->n_free = 0;
	if (r == 0)
		r = db_get_int(c, &j->n_free,
			       "select count(*) from (select 1 from account_jobs where" FREE " limit 1) as waiting",
			       DB_INT(now), DB_TEXT(runner_owner(j->agent->runner)), DB_INT(now));
	if (r == 1)
		r = db_get_int(c, &j->n_expired,
			       "select count(*) from account_jobs where kind = 'export' and expires_at < ?",
			       DB_INT(clock_now_us()));
	return MIN(r, 0);
}

static int erase_export(struct db_conn *c, const char *id)
{
	int64_t r = db_exec(c, "delete from account_job_parts where job_id = ?", DB_TEXT(id));

	return (int)(r < 0 ? r : db_exec(c, "delete from account_jobs where id = ?", DB_TEXT(id)));
}

static int erase_found(struct db_conn *c, struct db_stmt *st)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const char *ids[16];
	int r, n = 0;

	while ((r = db_step(c, st)) == 1 && n < (int)ARRAY_SIZE(ids))
		ids[n++] = db_col_dup(st, 0, a);
	db_done(st);
	for (int i = 0; r >= 0 && i < n; i++)
		r = erase_export(c, ids[i]);
	return r < 0 ? r : n;
}

int account_exports_erase(struct db_conn *c, const char *user_id, const char *id)
{
	return erase_found(c, db_query(c,
				       "select id from account_jobs where user_id = ? and (? = '' or id = ?) and "
				       "kind = 'export' and ended_at is not null",
				       DB_TEXT(user_id), DB_TEXT(id), DB_TEXT(id)));
}

static int expire(struct db_conn *c, struct db_job *db)
{
	return error_only(
		erase_found(c, db_query(c,
					"select id from account_jobs where kind = 'export' and expires_at < ? limit "
					"1",
					DB_INT(clock_now_us()))));
}

static int find_free(struct db_conn *c, struct account_jobs *j)
{
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	struct account_job *job = &j->job;
	int64_t now;
	int r = db_clock_us(c, &now);

	if (r < 0)
		return r;
	st = db_query(c,
		      "select id, user_id, claim, attempts, counts, kind, created_at from account_jobs where" FREE
		      " order by run_after, id limit 1 /*! for update skip locked */",
		      DB_INT(now), DB_TEXT(runner_owner(j->agent->runner)), DB_INT(now));
	r = db_step(c, st);
	if (r != 1)
		return r;
	*job = (struct account_job){.agent = j->agent,
				    .claim = db_col_int(st, 2) + 1,
				    .attempts = db_col_int(st, 3) + 1,
				    .counts = db_col_dup(st, 4, j->arena),
				    .created_at = db_col_int(st, 6)};
	snprintf(job->id, sizeof(job->id), "%.*s", STR_ARG(db_col_str(st, 0)));
	snprintf(job->user_id, sizeof(job->user_id), "%.*s", STR_ARG(db_col_str(st, 1)));
	job->is_export = strcmp(db_col_dup(st, 5, j->arena), "export") == 0;
	return 1;
}

static int take(struct db_conn *c, struct db_job *db)
{
	struct account_jobs *j = container_of(db, struct account_jobs, db);
	int64_t n;
	int r;

	arena_reset(j->arena);
	j->has_taken = false;
	r = find_free(c, j);
	if (r != 1)
		return r;
	n = db_exec(c,
		    "update account_jobs set owner = ?, claim = ?, attempts = ?, status = 'running', started_at = "
		    "coalesce(started_at, ?) where id = ? and claim = ?",
		    DB_TEXT(runner_owner(j->agent->runner)), DB_INT(j->job.claim), DB_INT(j->job.attempts),
		    DB_INT(clock_now_us()), DB_TEXT(j->job.id), DB_INT(j->job.claim - 1));
	j->has_taken = n == 1;
	return (int)MIN(n, 0);
}

static int put_back(struct db_conn *c, struct account_jobs *j)
{
	int64_t now, wait = MIN(RETRY_US * j->job.attempts, RETRY_MAX_US);
	int r = db_clock_us(c, &now);

	return r < 0 ? r
		     : error_only(
			       db_exec(c,
				       "update account_jobs set owner = null, status = 'queued', run_after = ? where "
				       "id = ? and claim = ?",
				       DB_INT(now + wait), DB_TEXT(j->job.id), DB_INT(j->job.claim)));
}

static int end(struct db_conn *c, struct db_job *db)
{
	struct account_jobs *j = container_of(db, struct account_jobs, db);
	bool is_done = j->result == 0;

	if (j->result == -EAGAIN)
		return put_back(c, j);
	return error_only(db_exec(c,
				  "update account_jobs set owner = null, status = ?, stage = '', ended_at = ?, "
				  "error_code = ?, error_message = ? where id = ? and claim = ?",
				  DB_TEXT(is_done ? "succeeded" : "failed"), DB_INT(clock_now_us()),
				  is_done ? DB_NULL() : DB_TEXT(j->job.error.code),
				  is_done ? DB_NULL() : DB_TEXT(j->job.error.message), DB_TEXT(j->job.id),
				  DB_INT(j->job.claim)));
}

/* ---- The flow ---- */

static enum jobs_state next(struct account_jobs *j, int result);

static enum jobs_state submit(struct account_jobs *j, enum jobs_state state)
{
	static int (*const runs[])(struct db_conn * c, struct db_job * db) = {
		[ENTERING] = enter, [LOOKING] = look, [EXPIRING] = expire, [TAKING] = take, [ENDING] = end};

	j->db.run = runs[state];
	if (state == LOOKING)
		db_read(j->agent->db, &j->db);
	else
		db_write(j->agent->db, &j->db);
	return state;
}

static enum jobs_state rest(struct account_jobs *j, uint64_t ms)
{
	deadline_set(service_wheel(j->agent->service), &j->rest, j->is_woken ? 1 : ms);
	j->is_woken = false;
	return RESTING;
}

static void on_ended(struct account_job *job, int result)
{
	struct account_jobs *j = container_of(job, struct account_jobs, job);

	j->state = next(j, result);
}

static enum jobs_state ended(struct account_jobs *j, int result)
{
	erasure_free(j->erasure);
	exporting_free(j->exporting);
	j->erasure = NULL;
	j->exporting = NULL;
	j->result = result;
	log_event(result == -ECANCELED ? LOG_WARN : LOG_INFO, "a job of an account", "job_id", j->job.id, "user_id",
		  j->job.user_id, "outcome",
		  result == 0              ? "succeeded"
		  : result == ACCOUNT_LOST ? "lost"
		  : result == -EAGAIN      ? "waits for another try"
					   : "failed",
		  "why", result ? j->job.error.message : "", NULL);
	return result == ACCOUNT_LOST ? rest(j, LOOK_MS) : submit(j, ENDING);
}

static enum jobs_state work(struct account_jobs *j)
{
	j->job.on_ended = on_ended;
	if (!j->job.is_export)
		j->erasure = erasure_start(&j->job);
	else if (!(j->exporting = exporting_start(&j->job)))
		return ended(j, -ECANCELED);
	return WORKING;
}

static enum jobs_state next(struct account_jobs *j, int result)
{
	if (j->is_stopped)
		return j->state; /* what it has taken is left to who comes next */
	switch (j->state) {
	case RESTING: return submit(j, LOOKING);
	case ENTERING: return result < 0 ? rest(j, LOOK_MS) : submit(j, LOOKING);
	case LOOKING:
		if (result == 0 && j->n_expired > 0)
			return submit(j, EXPIRING);
		return result == 0 && j->n_free > 0 ? submit(j, TAKING) : rest(j, LOOK_MS);
	case EXPIRING: return result == 0 ? submit(j, LOOKING) : rest(j, LOOK_MS);
	case TAKING: return result == 0 && j->has_taken ? work(j) : rest(j, LOOK_MS);
	case WORKING: return ended(j, result);
	/* What could not be stored is found to be ours at the next start, or when the lease has run out. */
	case ENDING: return result == 0 ? submit(j, LOOKING) : submit(j, ENTERING);
	}
	abort();
}

static void on_db(struct db_job *db, int result)
{
	struct account_jobs *j = container_of(db, struct account_jobs, db);

	j->state = next(j, result);
}

static void on_rested(struct deadline *d)
{
	struct account_jobs *j = container_of(d, struct account_jobs, rest);

	j->state = next(j, 0);
}

struct account_jobs *account_jobs_new(struct agent *agent)
{
	struct account_jobs *j = xcalloc(1, sizeof(*j));

	j->agent = agent;
	j->arena = arena_new();
	j->db.done = on_db;
	deadline_init(&j->rest, on_rested);
	return j;
}

void account_jobs_start(struct account_jobs *j)
{
	j->state = submit(j, ENTERING);
}

void account_jobs_wake(struct account_jobs *j)
{
	j->is_woken = true;
	if (j->state == RESTING && deadline_is_set(&j->rest))
		rest(j, 0);
}

void account_jobs_stop(struct account_jobs *j)
{
	j->is_stopped = true;
	deadline_clear(&j->rest);
	if (j->erasure)
		erasure_stop(j->erasure);
	if (j->exporting)
		exporting_stop(j->exporting);
}

void account_jobs_free(struct account_jobs *j)
{
	erasure_free(j->erasure);
	exporting_free(j->exporting);
	arena_free(j->arena);
	free(j);
}
