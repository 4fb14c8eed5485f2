#include "agent/runner.h"

#include <stdlib.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/bus.h"
#include "agent/handlers.h"
#include "agent/models/choice.h"
#include "agent/run.h"
#include "base/alloc.h"
#include "base/clock.h"

#define MAX_LIVE 20000
#define SWEEP_MS 1000
/* At once; then the others have their turn. */
#define SWEEP_MAX 64
#define CANCELS_MAX 64
#define FORGET_AFTER_US (24 * 3600 * 1000000ll)
/* What a follower elsewhere renews sooner. */
#define FOLLOWED_US (10 * 1000000ull)

/* Executions that nobody works on: values are the time, this process, and the time. */
#define FREE                                                                                                       \
	" owner is not null and (lease_until = 0 or (owner = '" RUNNER_PARKED "' and lease_until <= ?) or (owner " \
	"<> ? and owner <> '" RUNNER_PARKED "' and not exists (select 1 from agent_processes p "                   \
	"where p.owner = executions.owner and p.lease_until >= ?)))"

/* An execution that nobody works on. */
struct found {
	char id[ID_SIZE], conversation_id[ID_SIZE], user_id[65];
	int64_t claim;
};

/* What a sweep does next. */
enum sweep_state { SWEEP_RESTING, SWEEP_RENEWING, SWEEP_LOOKING, SWEEP_TAKING };

struct runner {
	struct agent *agent;
	char owner[190];
	struct run *runs; /* uthash, by id */
	unsigned n_live;
	bool is_stopped;

	/* Renews the lease and takes what nobody works on. */
	enum sweep_state state;
	struct deadline rest;
	struct db_job job;
	bool is_woken;
	int64_t n_free; /* executions that nobody works on, 10,000 at most */
	struct found found[SWEEP_MAX];
	size_t n_found;
	char cancelled[CANCELS_MAX][ID_SIZE]; /* own ones with a wish to stop */
	size_t n_cancelled;

	struct db_job leaving;
};

/* ---- On the worker threads ---- */

static int set_lease(struct db_conn *c, const struct runner *r, int64_t us)
{
	int64_t now;
	int n = db_clock_us(c, &now);

	if (n < 0)
		return n;
	return error_only(
		db_exec(c,
			"insert into agent_processes (owner, lease_until) values (?, ?) on conflict (owner) do "
			"update set lease_until = excluded.lease_until",
			DB_TEXT(r->owner), DB_INT(now + us)));
}

/* The first job, which is waited for. */
struct entering {
	struct db_job db;
	const struct runner *runner;
	int result;
	bool is_done;
};

/* What is still its own is from before a restart. Processes that are gone for long are forgotten. */
static int enter(struct db_conn *c, struct db_job *job)
{
	const struct runner *r = container_of(job, struct entering, db)->runner;
	int64_t n = set_lease(c, r, RUNNER_LEASE_US);

	if (n == 0)
		n = db_exec(c, "update executions set lease_until = 0 where owner = ?", DB_TEXT(r->owner));
	if (n >= 0)
		n = db_exec(c, "delete from agent_processes where lease_until < ?",
			    DB_INT(clock_now_us() - FORGET_AFTER_US));
	return (int)MIN(n, 0);
}

/* The others need not wait for the lease's end. */
static int leave(struct db_conn *c, struct db_job *job)
{
	struct runner *r = container_of(job, struct runner, leaving);
	int n = set_lease(c, r, -1);

	return n < 0 ? n : bus_tell(c, BUS_QUEUE, NULL);
}

static int renew(struct db_conn *c, struct db_job *job)
{
	return set_lease(c, container_of(job, struct runner, job), RUNNER_LEASE_US);
}

static int look_for_cancelled(struct db_conn *c, struct runner *r)
{
	struct db_stmt *st;
	int n;

	r->n_cancelled = 0;
	st = db_query(c, "select id from executions where owner = ? and cancel_at is not null limit ?",
		      DB_TEXT(r->owner), DB_INT(CANCELS_MAX));
	while ((n = db_step(c, st)) > 0)
		snprintf(r->cancelled[r->n_cancelled++], ID_SIZE, "%.*s", STR_ARG(db_col_str(st, 0)));
	db_done(st);
	return n;
}

static int look(struct db_conn *c, struct db_job *job)
{
	struct runner *r = container_of(job, struct runner, job);
	int64_t now;
	int n = db_clock_us(c, &now);

	if (n == 0)
		n = look_for_cancelled(c, r);
	if (n == 0)
		n = db_get_int(c, &r->n_free,
			       "select count(*) from (select 1 from executions where" FREE " limit 10000) as waiting",
			       DB_INT(now), DB_TEXT(r->owner), DB_INT(now));
	return MIN(n, 0);
}

static int find_free(struct db_conn *c, struct runner *r, int64_t now)
{
	struct db_stmt *st;
	int n;

	r->n_found = 0;
	st = db_query(c,
		      "select id, conversation_id, user_id, claim from executions where" FREE
		      " order by id limit ? /*! for update skip locked */",
		      DB_INT(now), DB_TEXT(r->owner), DB_INT(now), DB_INT(SWEEP_MAX));
	while ((n = db_step(c, st)) > 0) {
		struct found *f = &r->found[r->n_found++];
		snprintf(f->id, sizeof(f->id), "%.*s", STR_ARG(db_col_str(st, 0)));
		snprintf(f->conversation_id, sizeof(f->conversation_id), "%.*s", STR_ARG(db_col_str(st, 1)));
		snprintf(f->user_id, sizeof(f->user_id), "%.*s", STR_ARG(db_col_str(st, 2)));
		f->claim = db_col_int(st, 3);
	}
	db_done(st);
	return n;
}

/* The numbers reserved before may have been used: more are reserved. */
static int take_one(struct db_conn *c, const struct runner *r, const struct found *f, int64_t now)
{
	return (int)db_exec(c,
			    "update executions set owner = ?, lease_until = ?, claim = claim + 1, seq_limit = "
			    "seq_limit + ? where id = ? and claim = ? and" FREE,
			    DB_TEXT(r->owner), DB_INT(RUNNER_TAKEN), DB_INT(RUN_LOG_AHEAD), DB_TEXT(f->id),
			    DB_INT(f->claim), DB_INT(now), DB_TEXT(r->owner), DB_INT(now));
}

/* What another process has taken in between drops out. */
static int take(struct db_conn *c, struct db_job *job)
{
	struct runner *r = container_of(job, struct runner, job);
	size_t n_taken = 0;
	int64_t now;
	int n = db_clock_us(c, &now);

	if (n == 0)
		n = find_free(c, r, now);
	for (size_t i = 0; n >= 0 && i < r->n_found; i++) {
		n = take_one(c, r, &r->found[i], now);
		if (n == 1)
			r->found[n_taken++] = r->found[i];
	}
	r->n_found = n_taken;
	return MIN(n, 0);
}

/* ---- Live runs ---- */

static struct run *find(const struct runner *r, const char *id)
{
	struct run *run;

	HASH_FIND_STR(r->runs, id, run);
	return run;
}

static struct run *begin(struct runner *r, const char *id, const char *conversation_id, const char *user_id,
			 int64_t claim, struct run_preload *preload)
{
	struct run *run = xcalloc(1, sizeof(*run));

	run->agent = r->agent;
	snprintf(run->id, sizeof(run->id), "%s", id);
	snprintf(run->conversation_id, sizeof(run->conversation_id), "%s", conversation_id);
	snprintf(run->user_id, sizeof(run->user_id), "%s", user_id);
	run->claim = claim;
	run->is_resumed = claim > 1;
	HASH_ADD_STR(r->runs, id, run);
	r->n_live++;
	run_start(run, preload);
	return run;
}

void runner_take(struct runner *r, const char *execution_id, const char *conversation_id, const char *user_id,
		 const char *traceparent, const char *request_id, struct run_preload *preload)
{
	struct run *run;

	if (r->is_stopped)
		return;
	run = begin(r, execution_id, conversation_id, user_id, 1, preload);
	run_trace(run, traceparent);
	snprintf(run->request_id, sizeof(run->request_id), "%s", request_id);
	/* Its first event is stored already. */
	run->log.last_seq = run->log.stored_seq = run->log.shown_seq = 1;
	run->log.seq_limit = RUN_LOG_AHEAD;
}

bool runner_has_room(const struct runner *r)
{
	return r->n_live < MAX_LIVE && models_is_ready(r->agent->models) && !r->is_stopped;
}

static void count_end(struct agent *a, const struct run *run)
{
	if (!run->ended_at || run->is_lost || run->err == -ESTALE)
		return;
	if (!run->stop.status)
		metric_add(a->metrics.runs_succeeded, 1);
	else if (strcmp(run->stop.status, "cancelled") == 0)
		metric_add(a->metrics.runs_cancelled, 1);
	else
		metric_add(a->metrics.runs_failed, 1);
	metric_observe(a->metrics.run_seconds, (double)(run->ended_at - run->created_at) / 1e6);
}

void runner_on_ended(struct runner *r, struct run *run)
{
	count_end(r->agent, run);
	run_trace_end(run);
	if (!run->is_unlisted)
		HASH_DEL(r->runs, run);
	r->n_live--;
	/* It may have been woken while it was being parked. */
	if (run->is_parking)
		runner_wake(r);
	run_free(run);
}

void runner_cancel(struct runner *r, const char *execution_id)
{
	struct run *run = find(r, execution_id);

	if (run)
		run_stop(run, "cancelled", NULL, NULL);
}

bool runner_tell_events(struct runner *r, const char *execution_id)
{
	struct run *run = find(r, execution_id);

	if (run)
		run->followed_until = clock_mono_us() + FOLLOWED_US;
	return run != NULL;
}

bool runner_follow(struct runner *r, const char *execution_id, struct log_listener *listener, uint64_t after)
{
	struct run *run = find(r, execution_id);

	if (run)
		run_log_follow(&run->log, listener, after);
	return run != NULL;
}

uint64_t runner_stored_seq(struct runner *r, const char *execution_id)
{
	struct run *run = find(r, execution_id);

	return run ? run->log.stored_seq : 0;
}

const char *runner_owner(const struct runner *r)
{
	return r->owner;
}

unsigned runner_n_live(const struct runner *r)
{
	return r->n_live;
}

size_t runner_n_queued(const struct runner *r)
{
	return (size_t)r->n_free;
}

/* ---- The sweep ---- */

/* Another process had it in between, which this run has not noticed. */
static void give_up(struct runner *r, struct run *run)
{
	HASH_DEL(r->runs, run);
	run->is_unlisted = true;
	run_drop(run);
}

static void begin_taken(struct runner *r)
{
	for (size_t i = 0; i < r->n_found && !r->is_stopped; i++) {
		const struct found *f = &r->found[i];
		struct run *old = find(r, f->id);
		if (old && old->claim == f->claim + 1)
			continue;
		if (old)
			give_up(r, old);
		begin(r, f->id, f->conversation_id, f->user_id, f->claim + 1, NULL);
		events_wake(r->agent, f->id);
	}
	if (r->n_found > 0)
		log_info("%zu unfinished runs go on", r->n_found);
}

static void cancel_wished(struct runner *r)
{
	for (size_t i = 0; i < r->n_cancelled; i++)
		runner_cancel(r, r->cancelled[i]);
	r->n_cancelled = 0;
}

static enum sweep_state rest(struct runner *r, uint64_t ms)
{
	if (!r->is_stopped)
		deadline_set(service_wheel(r->agent->service), &r->rest, r->is_woken ? 0 : ms);
	r->is_woken = false;
	return SWEEP_RESTING;
}

static enum sweep_state submit(struct runner *r, enum sweep_state state)
{
	r->job.run = state == SWEEP_RENEWING ? renew : state == SWEEP_LOOKING ? look : take;
	if (state == SWEEP_LOOKING)
		db_read(r->agent->db, &r->job);
	else
		db_write(r->agent->db, &r->job);
	return state;
}

/* The whole flow of a sweep. */
static enum sweep_state sweep_next(struct runner *r, int err)
{
	/* Whether they are ours is seen when they are loaded. */
	if (err == -ECONNRESET && r->state == SWEEP_TAKING)
		begin_taken(r);
	if (err < 0 || r->is_stopped)
		return rest(r, SWEEP_MS);
	switch (r->state) {
	case SWEEP_RESTING: return submit(r, bus_is_shared(r->agent->bus) ? SWEEP_RENEWING : SWEEP_LOOKING);
	case SWEEP_RENEWING: return submit(r, SWEEP_LOOKING);
	case SWEEP_LOOKING:
		cancel_wished(r);
		return r->n_free > 0 && r->n_live < MAX_LIVE ? submit(r, SWEEP_TAKING) : rest(r, SWEEP_MS);
	case SWEEP_TAKING: begin_taken(r); return rest(r, r->n_found > 0 ? 0 : SWEEP_MS);
	}
	abort();
}

static void on_job_done(struct db_job *job, int result)
{
	struct runner *r = container_of(job, struct runner, job);

	r->state = sweep_next(r, result);
}

static void on_rested(struct deadline *d)
{
	struct runner *r = container_of(d, struct runner, rest);

	r->state = sweep_next(r, 0);
}

void runner_wake(struct runner *r)
{
	r->is_woken = true;
	if (r->state == SWEEP_RESTING && deadline_is_set(&r->rest))
		rest(r, 0);
}

/* ---- The runner ---- */

/* A process is the same after a restart when it listens at the same place of the same machine. */
static void name_owner(struct runner *r)
{
	const struct options *o = service_options(r->agent->service);
	const char *listen = option_str(o, "agent_listen");
	char host[65] = "";

	gethostname(host, sizeof(host) - 1);
	snprintf(r->owner, sizeof(r->owner), "%s %s", host, *listen ? listen : service_data_dir(r->agent->service));
}

struct runner *runner_new(struct agent *agent)
{
	struct runner *r = xcalloc(1, sizeof(*r));

	r->agent = agent;
	r->job.done = on_job_done;
	deadline_init(&r->rest, on_rested);
	name_owner(r);
	return r;
}

static void on_entered(struct db_job *job, int result)
{
	struct entering *e = container_of(job, struct entering, db);

	e->result = result;
	e->is_done = true;
}

int runner_register(struct runner *r)
{
	struct entering e = {.db = {.run = enter, .done = on_entered}, .runner = r};

	db_write(r->agent->db, &e.db);
	while (!e.is_done)
		uv_run(service_loop(r->agent->service), UV_RUN_ONCE);
	return e.result;
}

void runner_start(struct runner *r)
{
	r->state = sweep_next(r, 0);
}

static void on_left(struct db_job *job, int result)
{
}

void runner_stop(struct runner *r)
{
	struct run *run, *next;

	if (r->is_stopped)
		return;
	r->is_stopped = true;
	deadline_clear(&r->rest);
	HASH_ITER(hh, r->runs, run, next)
	{
		run_drop(run);
	}
	r->leaving = (struct db_job){.run = leave, .done = on_left};
	db_write(r->agent->db, &r->leaving);
}

void runner_free(struct runner *r)
{
	free(r);
}
