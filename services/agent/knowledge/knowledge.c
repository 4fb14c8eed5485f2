/* The queue of documents: each process takes as many as it works on at once from the rows that nobody has. */
#include "agent/knowledge/knowledge.h"

#include <stdlib.h>

#include "agent/knowledge/blocks.h"
#include "agent/knowledge/work.h"
#include "agent/runner.h"
#include "base/alloc.h"
#include "base/clock.h"

#define LOOK_MS 2000
#define TAKEN_MAX 16
#define LANE_QUEUE 64

/* Values: the time, this process, the time. A process that is gone has no lease. */
#define FREE                                                                                                       \
	" status in ('queued', 'reading', 'embedding') and run_after <= ? and (owner is null or (owner <> ? and "  \
	"not exists (select 1 from agent_processes p where p.owner = knowledge_documents.owner and p.lease_until " \
	">= ?)))"

enum look_state { LOOK_RESTING, LOOK_ENTERING, LOOK_LOOKING, LOOK_TAKING };

struct taken {
	char id[ID_SIZE];
	int64_t claim, attempts;
};

struct knowledge {
	struct agent *agent;
	struct job_lane *lane; /* reads and splits documents */
	struct blocks *blocks;
	struct list works; /* struct work */
	size_t n_works, max_works;
	bool is_stopped, is_woken;

	enum look_state state;
	struct deadline rest;
	struct db_job job;
	int64_t n_free;
	struct taken taken[TAKEN_MAX];
	size_t n_taken;
};

/* ---- On the worker threads ---- */

/* What is still this process's own is from before a restart. */
static int enter(struct db_conn *c, struct db_job *job)
{
	struct knowledge *k = container_of(job, struct knowledge, job);

	return error_only(db_exec(c, "update knowledge_documents set owner = null where owner = ?",
				  DB_TEXT(runner_owner(k->agent->runner))));
}

static int look(struct db_conn *c, struct db_job *job)
{
	struct knowledge *k = container_of(job, struct knowledge, job);
	int64_t now;
	int r = db_clock_us(c, &now);

	k->n_free = 0;
	if (r == 0)
		r = db_get_int(c, &k->n_free,
			       "select count(*) from (select 1 from knowledge_documents where" FREE
			       " limit 100) as waiting",
			       DB_INT(now), DB_TEXT(runner_owner(k->agent->runner)), DB_INT(now));
	return MIN(r, 0);
}

static int find_free(struct db_conn *c, struct knowledge *k, int64_t now)
{
	size_t room = MIN(k->max_works - k->n_works, (size_t)TAKEN_MAX);
	struct db_stmt *st =
		db_query(c,
			 "select id, claim, attempts from knowledge_documents where" FREE
			 " order by run_after, id limit ? /*! for update skip locked */",
			 DB_INT(now), DB_TEXT(runner_owner(k->agent->runner)), DB_INT(now), DB_INT((int64_t)room));
	int r;

	k->n_taken = 0;
	while ((r = db_step(c, st)) == 1 && k->n_taken < TAKEN_MAX) {
		struct taken *t = &k->taken[k->n_taken++];
		snprintf(t->id, sizeof(t->id), "%.*s", STR_ARG(db_col_str(st, 0)));
		t->claim = db_col_int(st, 1) + 1;
		t->attempts = db_col_int(st, 2) + 1;
	}
	db_done(st);
	return MIN(r, 0);
}

static int take(struct db_conn *c, struct db_job *job)
{
	struct knowledge *k = container_of(job, struct knowledge, job);
	int64_t now, n = db_clock_us(c, &now);
	size_t got = 0;

	if (n == 0)
		n = find_free(c, k, now);
	for (size_t i = 0; n >= 0 && i < k->n_taken; i++) {
		const struct taken *t = &k->taken[i];
		n = db_exec(c,
			    "update knowledge_documents set owner = ?, claim = ?, attempts = ?, status = 'reading', "
			    "updated_at = ? where id = ? and claim = ?",
			    DB_TEXT(runner_owner(k->agent->runner)), DB_INT(t->claim), DB_INT(t->attempts),
			    DB_INT(clock_now_us()), DB_TEXT(t->id), DB_INT(t->claim - 1));
		if (n == 1)
			k->taken[got++] = k->taken[i];
	}
	k->n_taken = got;
	return (int)MIN(n, 0);
}

/* ---- On the loop ---- */

static void next(struct knowledge *k, int result);

static void on_job(struct db_job *job, int result)
{
	next(container_of(job, struct knowledge, job), result);
}

static void begin(struct knowledge *k, enum look_state state, int (*run)(struct db_conn *c, struct db_job *job))
{
	k->state = state;
	k->job = (struct db_job){.run = run, .done = on_job};
	if (state == LOOK_LOOKING)
		db_read(k->agent->db, &k->job);
	else
		db_write(k->agent->db, &k->job);
}

static void on_work_ended(struct work *w)
{
	struct knowledge *k = w->knowledge;

	list_remove(&w->link);
	k->n_works--;
	work_free(w);
	knowledge_wake(k);
}

static void start_taken(struct knowledge *k)
{
	for (size_t i = 0; i < k->n_taken; i++) {
		struct work *w = xcalloc(1, sizeof(*w));
		w->knowledge = k;
		w->agent = k->agent;
		w->lane = k->lane;
		w->on_ended = on_work_ended;
		memcpy(w->id, k->taken[i].id, ID_SIZE);
		w->claim = k->taken[i].claim;
		w->attempts = k->taken[i].attempts;
		list_append(&k->works, &w->link);
		k->n_works++;
		work_start(w);
	}
	k->n_taken = 0;
}

static void rest(struct knowledge *k, bool at_once)
{
	k->state = LOOK_RESTING;
	if (!k->is_stopped)
		deadline_set(service_wheel(k->agent->service), &k->rest, at_once || k->is_woken ? 0 : LOOK_MS);
	k->is_woken = false;
}

/* The whole flow of looking for work. */
static void next(struct knowledge *k, int result)
{
	enum look_state was = k->state;
	bool has_room = k->n_works < k->max_works;

	k->state = LOOK_RESTING;
	if (k->is_stopped)
		return; /* what it has taken is left to who comes next */
	if (result == 0 && was == LOOK_LOOKING && k->n_free > 0 && has_room) {
		begin(k, LOOK_TAKING, take);
		return;
	}
	if (result == 0 && was == LOOK_TAKING)
		start_taken(k);
	rest(k, result == 0 && was == LOOK_ENTERING);
}

static void on_rest(struct deadline *d)
{
	struct knowledge *k = container_of(d, struct knowledge, rest);

	if (k->n_works < k->max_works)
		begin(k, LOOK_LOOKING, look);
	else
		rest(k, false);
}

void knowledge_wake(struct knowledge *k)
{
	if (k->state == LOOK_RESTING && !k->is_stopped)
		deadline_set(service_wheel(k->agent->service), &k->rest, 0);
	else
		k->is_woken = true;
}

struct knowledge *knowledge_new(struct agent *agent)
{
	const struct options *o = service_options(agent->service);
	struct knowledge *k = xcalloc(1, sizeof(*k));

	k->agent = agent;
	list_init(&k->works);
	deadline_init(&k->rest, on_rest);
	k->max_works = (size_t)option_int(o, "knowledge_workers");
	k->lane = job_lane_new(service_loop(agent->service), "knowledge", 1, LANE_QUEUE, NULL, NULL, NULL);
	k->blocks = blocks_new((size_t)option_int(o, "knowledge_memory"));
	service_watch_lane(agent->service, "knowledge", k->lane);
	k->state = LOOK_ENTERING; /* a wake-up waits for it */
	return k;
}

void knowledge_start(struct knowledge *k)
{
	begin(k, LOOK_ENTERING, enter);
}

void knowledge_stop(struct knowledge *k)
{
	struct work *w;

	k->is_stopped = true;
	deadline_clear(&k->rest);
	list_foreach (w, &k->works, struct work, link)
		work_stop(w);
}

void knowledge_free(struct knowledge *k)
{
	if (!k)
		return;
	job_lane_free(k->lane);
	blocks_free(k->blocks);
	free(k);
}

struct blocks *knowledge_blocks(struct knowledge *k)
{
	return k->blocks;
}
