#include "agent/runner.h"

#include <stdlib.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/model_choice.h"
#include "agent/run.h"
#include "base/alloc.h"
#include "base/clock.h"

#define MAX_LIVE 20000
#define SWEEP_MS 1000
#define SWEEP_MAX 256
#define RENEW_EVERY 10 /* sweeps */

/* An execution that nobody works on. */
struct found {
	char id[ID_SIZE], conversation_id[ID_SIZE], user_id[65];
	int64_t claim;
	bool is_taken;
};

/* What a sweep does next. */
enum sweep_state { SWEEP_RESTING, SWEEP_RENEWING, SWEEP_LOOKING, SWEEP_TAKING };

struct runner {
	struct agent *agent;
	char owner[190];
	struct run *runs; /* uthash, by id */
	unsigned n_live;
	bool is_stopped;

	/* Renews the leases and takes what nobody works on. */
	enum sweep_state state;
	struct deadline rest;
	struct db_job job;
	unsigned sweeps;
	int64_t started_at;
	struct found found[SWEEP_MAX];
	size_t n_found;
};

/* ---- On the worker threads ---- */

static int renew(struct db_conn *c, struct db_job *job)
{
	struct runner *r = container_of(job, struct runner, job);

	/* 0 = accepted when there was no room: it is to be found. */
	return (int)MIN(db_exec(c, "update executions set lease_until = ? where owner = ? and lease_until > 0",
				DB_INT(clock_now_us() + RUNNER_LEASE_US), DB_TEXT(r->owner)),
			0);
}

/* Anybody's whose lease has run out, and own ones from before this process began. */
static int look(struct db_conn *c, struct db_job *job)
{
	struct runner *r = container_of(job, struct runner, job);
	struct db_stmt *st;
	int n;

	r->n_found = 0;
	st = db_query(c,
		      "select id, conversation_id, user_id, claim from executions where owner is not null and "
		      "(lease_until < ? or (owner = ? and lease_until < ?)) order by id limit ?",
		      DB_INT(clock_now_us()), DB_TEXT(r->owner), DB_INT(r->started_at + RUNNER_LEASE_US),
		      DB_INT(SWEEP_MAX));
	while ((n = db_step(c, st)) > 0 && r->n_found < SWEEP_MAX) {
		struct found *f = &r->found[r->n_found++];
		snprintf(f->id, sizeof(f->id), "%.*s", STR_ARG(db_col_str(st, 0)));
		snprintf(f->conversation_id, sizeof(f->conversation_id), "%.*s", STR_ARG(db_col_str(st, 1)));
		snprintf(f->user_id, sizeof(f->user_id), "%.*s", STR_ARG(db_col_str(st, 2)));
		f->claim = db_col_int(st, 3);
	}
	db_done(st);
	return MIN(n, 0);
}

/* The numbers reserved before may have been used: more are reserved. */
static int take(struct db_conn *c, struct db_job *job)
{
	struct runner *r = container_of(job, struct runner, job);

	for (size_t i = 0; i < r->n_found; i++) {
		int64_t n = db_exec(c,
				    "update executions set owner = ?, lease_until = ?, claim = claim + 1, seq_limit = "
				    "seq_limit + ? where id = ? and claim = ? and owner is not null",
				    DB_TEXT(r->owner), DB_INT(clock_now_us() + RUNNER_LEASE_US), DB_INT(RUN_LOG_AHEAD),
				    DB_TEXT(r->found[i].id), DB_INT(r->found[i].claim));
		if (n < 0)
			return (int)n;
		r->found[i].is_taken = n == 1;
	}
	return 0;
}

/* ---- Live runs ---- */

static struct run *find(const struct runner *r, const char *id)
{
	struct run *run;

	HASH_FIND_STR(r->runs, id, run);
	return run;
}

static struct run *begin(struct runner *r, const char *id, const char *conversation_id, const char *user_id,
			 int64_t claim)
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
	run_start(run);
	return run;
}

void runner_take(struct runner *r, const char *execution_id, const char *conversation_id, const char *user_id,
		 const char *traceparent, const char *request_id)
{
	struct run *run;

	if (r->is_stopped)
		return;
	run = begin(r, execution_id, conversation_id, user_id, 1);
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
	HASH_DEL(r->runs, run);
	r->n_live--;
	run_free(run);
}

void runner_cancel(struct runner *r, const char *execution_id)
{
	struct run *run = find(r, execution_id);

	if (run)
		run_stop(run, "cancelled", NULL, NULL);
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
	return r->n_found;
}

/* ---- The sweep ---- */

static void drop_live(struct runner *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_found && r->n_live + n < MAX_LIVE; i++)
		if (!find(r, r->found[i].id))
			r->found[n++] = r->found[i];
	r->n_found = n;
}

static void begin_taken(struct runner *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_found && !r->is_stopped; i++) {
		struct found *f = &r->found[i];
		if (!f->is_taken || find(r, f->id))
			continue;
		begin(r, f->id, f->conversation_id, f->user_id, f->claim + 1);
		n++;
	}
	if (n > 0)
		log_info("%zu unfinished runs go on", n);
}

static enum sweep_state rest(struct runner *r, uint64_t ms)
{
	if (!r->is_stopped)
		deadline_set(service_wheel(r->agent->service), &r->rest, ms);
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
	if (err < 0 || r->is_stopped)
		return rest(r, SWEEP_MS);
	switch (r->state) {
	case SWEEP_RESTING: return submit(r, r->sweeps++ % RENEW_EVERY == 0 ? SWEEP_RENEWING : SWEEP_LOOKING);
	case SWEEP_RENEWING: return submit(r, SWEEP_LOOKING);
	case SWEEP_LOOKING: drop_live(r); return r->n_found > 0 ? submit(r, SWEEP_TAKING) : rest(r, SWEEP_MS);
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
	r->started_at = clock_now_us();
	r->job.done = on_job_done;
	deadline_init(&r->rest, on_rested);
	name_owner(r);
	return r;
}

void runner_start(struct runner *r)
{
	/* First what was left behind, before the leases are renewed. */
	r->sweeps = 1;
	r->state = sweep_next(r, 0);
}

void runner_stop(struct runner *r)
{
	struct run *run, *next;

	r->is_stopped = true;
	deadline_clear(&r->rest);
	HASH_ITER(hh, r->runs, run, next)
	{
		run_drop(run);
	}
}

void runner_free(struct runner *r)
{
	free(r);
}
