#include "agent/automation/schedule_sweep.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/automation/schedule.h"
#include "agent/batches/batch.h"
#include "agent/runner.h"
#include "base/alloc.h"
#include "base/clock.h"

#define EACH_MS 1000
#define EACH_BATCH_MS 100 /* while one has runs */
#define AT_ONCE 200

/* What it waits for. */
enum state { SWEEP_IDLE, SWEEP_FINDING, SWEEP_ASKING, SWEEP_GRADING, SWEEP_VISITING };

struct found {
	const char *id, *user_id;
	enum { FOUND_SCHEDULE, FOUND_BATCH, FOUND_EVALUATION } kind;
};

struct schedule_sweep {
	struct agent *agent;
	struct deadline again;
	enum state state;
	bool is_stopped, is_woken, has_batches;
	struct arena *arena;
	struct db_job db;
	struct found found[AT_ONCE];
	size_t n_found, at;
	struct rights_question *question;
	const char *asked_of; /* whose rights are known, in the arena */
	const char *asked_for;
	enum rights rights;
	const struct identity *who;
	struct schedule_visit visit;
	struct batch_visit batch;
};

static void next(struct schedule_sweep *s);

/* ---- Finding ---- */

static int find(struct db_conn *c, struct db_job *job)
{
	struct schedule_sweep *s = container_of(job, struct schedule_sweep, db);
	struct db_stmt *st =
		db_query(c,
			 "select s.id, s.user_id, 0 from schedules s where s.status = 'active' and s.next_at <= ? "
			 "union select b.id, b.user_id, case when b.evaluation_id is null then 1 else 2 end from "
			 "batches b where (b.status = 'running' and ((exists "
			 "(select 1 from batch_rows r where r.batch_id = b.id and r.status = 'waiting') and (select "
			 "count(*) from batch_rows r where r.batch_id = b.id and r.status = 'running') < "
			 "b.concurrency) or not exists (select 1 from batch_rows r where r.batch_id = b.id and "
			 "r.status in ('waiting', 'running')))) or (b.status <> 'ended' and exists (select 1 from "
			 "batch_rows r left join executions e on e.id = r.execution_id where r.batch_id = b.id and "
			 "r.status = 'running' and (e.id is null or e.ended_at is not null))) "
			 "union select s.id, s.user_id, 0 from schedule_firings f join schedules s on s.id = "
			 "f.schedule_id left join executions e on e.id = s.active_execution_id where f.status in "
			 "('waiting', 'started') and (e.id is null or e.ended_at is not null or (f.status = 'waiting' "
			 "and ((s.overlap = 'cancel' and e.cancel_at is null) or (s.overlap = 'skip' and (f.is_late = "
			 "0 or e.status = 'paused'))))) order by 2, 3 limit ?",
			 DB_INT(clock_now_us()), DB_INT(AT_ONCE));
	int64_t one;
	int r;

	s->n_found = 0;
	while ((r = db_step(c, st)) == 1 && s->n_found < AT_ONCE)
		s->found[s->n_found++] = (struct found){db_col_dup(st, 0, s->arena), db_col_dup(st, 1, s->arena),
							(int)db_col_int(st, 2)};
	db_done(st);
	if (r >= 0)
		r = db_get_int(c, &one, "select 1 from batches where status = 'running' limit 1");
	s->has_batches = r == 1;
	return MIN(r, 0);
}

static void on_found(struct db_job *job, int result)
{
	struct schedule_sweep *s = container_of(job, struct schedule_sweep, db);

	if (result < 0)
		s->n_found = 0;
	s->at = 0;
	next(s);
}

/* ---- One schedule ---- */

static int visit(struct db_conn *c, struct db_job *job)
{
	struct schedule_sweep *s = container_of(job, struct schedule_sweep, db);

	return schedule_visit(c, &s->visit);
}

static void on_visited(struct db_job *job, int result)
{
	struct schedule_sweep *s = container_of(job, struct schedule_sweep, db);
	struct schedule_visit *v = &s->visit;

	if (result == -ECONNRESET && v->did_post)
		post_begin_unsure(s->agent, &v->post);
	if (result == 0 && v->did_post) {
		log_event(LOG_INFO, "a schedule began a run", "schedule_id", v->id, "execution_id",
			  v->post.execution_id, NULL);
		post_begin(s->agent, &v->post);
	}
	if (result == 0 && v->cancelled)
		runner_cancel(s->agent->runner, v->cancelled);
	if (result == 0 && v->stopped)
		log_event(LOG_WARN, "a schedule has stopped", "schedule_id", v->id, "reason", v->stopped, NULL);
	if (result < 0)
		log_warn("schedule %s waits: %s", v->id, strerror(-result));
	s->at++;
	next(s);
}

/* ---- One batch ---- */

static int visit_batch(struct db_conn *c, struct db_job *job)
{
	return batch_visit(c, &container_of(job, struct schedule_sweep, db)->batch);
}

static void on_batch_visited(struct db_job *job, int result)
{
	struct schedule_sweep *s = container_of(job, struct schedule_sweep, db);
	struct batch_visit *v = &s->batch;

	for (size_t i = 0; result == 0 && i < v->n_posts; i++)
		post_begin(s->agent, &v->posts[i]);
	/* Also when it is not known whether they were stored. */
	runner_wake(s->agent->runner);
	if (result == 0 && v->stopped)
		log_event(LOG_WARN, "a batch has stopped", "batch_id", v->id, "reason", v->stopped, NULL);
	if (result == 0 && v->has_ended)
		log_event(LOG_INFO, "a batch has ended", "batch_id", v->id, NULL);
	if (result < 0)
		log_warn("batch %s waits: %s", v->id, strerror(-result));
	s->at++;
	next(s);
}

static void visit_this_batch(struct schedule_sweep *s)
{
	s->state = SWEEP_VISITING;
	s->db.run = visit_batch;
	s->db.done = on_batch_visited;
	db_write(s->agent->db, &s->db);
}

/* Grading is work, so it does not hold up those who write: what is graded here is kept by the visit. */
static int grade(struct db_conn *c, struct db_job *job)
{
	struct batch_visit *v = &container_of(job, struct schedule_sweep, db)->batch;

	return evaluation_grade(c, v->arena, v->id, &v->graded, &v->n_graded);
}

static void on_graded(struct db_job *job, int result)
{
	struct schedule_sweep *s = container_of(job, struct schedule_sweep, db);

	if (result < 0)
		on_batch_visited(job, result);
	else if (s->is_stopped)
		next(s);
	else
		visit_this_batch(s);
}

/* Its runs wait in the queue, from which every process takes as many as it has room for. */
static void start_batch(struct schedule_sweep *s)
{
	s->batch = (struct batch_visit){
		.agent = s->agent, .arena = s->arena, .id = s->found[s->at].id, .rights = s->rights, .who = s->who};
	for (size_t i = 0; i < BATCH_STARTS_MAX; i++) {
		s->batch.posts[i].arena = s->arena;
		post_prepare(&s->batch.posts[i], s->agent);
		s->batch.posts[i].lease_until = 0;
	}
	if (s->found[s->at].kind == FOUND_EVALUATION) {
		s->state = SWEEP_GRADING;
		s->db.run = grade;
		s->db.done = on_graded;
		db_read(s->agent->db, &s->db);
		return;
	}
	visit_this_batch(s);
}

static void start_visit(struct schedule_sweep *s)
{
	if (s->found[s->at].kind != FOUND_SCHEDULE) {
		start_batch(s);
		return;
	}
	s->state = SWEEP_VISITING;
	s->visit = (struct schedule_visit){.agent = s->agent,
					   .arena = s->arena,
					   .id = s->found[s->at].id,
					   .rights = s->rights,
					   .who = s->who,
					   .post = {.arena = s->arena}};
	post_prepare(&s->visit.post, s->agent);
	s->db.run = visit;
	s->db.done = on_visited;
	db_write(s->agent->db, &s->db);
}

static void on_rights(void *arg, enum rights rights, const struct identity *who)
{
	struct schedule_sweep *s = arg;

	s->question = NULL;
	s->rights = rights;
	s->who = who;
	start_visit(s);
}

static void end(struct schedule_sweep *s)
{
	s->state = SWEEP_IDLE;
	arena_reset(s->arena);
	if (!s->is_stopped)
		deadline_set(service_wheel(s->agent->service), &s->again,
			     s->is_woken      ? 1
			     : s->has_batches ? EACH_BATCH_MS
					      : EACH_MS);
	s->is_woken = false;
}

/* The next schedule, or the end. */
static void next(struct schedule_sweep *s)
{
	const struct found *f = &s->found[s->at];
	const char *permission = f->kind == FOUND_EVALUATION ? "evaluations.use" : "schedules.use";

	if (s->is_stopped || s->at >= s->n_found) {
		end(s);
		return;
	}
	if (s->asked_of && strcmp(s->asked_of, f->user_id) == 0 && strcmp(s->asked_for, permission) == 0) {
		start_visit(s);
		return;
	}
	s->state = SWEEP_ASKING;
	s->asked_of = f->user_id;
	s->asked_for = permission;
	s->question = rights_ask(s->agent, s->arena, f->user_id, permission, "conversations.use", on_rights, s);
}

static void on_again(struct deadline *d)
{
	struct schedule_sweep *s = container_of(d, struct schedule_sweep, again);

	s->state = SWEEP_FINDING;
	s->asked_of = NULL;
	s->db.run = find;
	s->db.done = on_found;
	db_read(s->agent->db, &s->db);
}

struct schedule_sweep *schedule_sweep_new(struct agent *agent)
{
	struct schedule_sweep *s = xcalloc(1, sizeof(*s));

	s->agent = agent;
	s->arena = arena_new();
	deadline_init(&s->again, on_again);
	return s;
}

void schedule_sweep_start(struct schedule_sweep *s)
{
	deadline_set(service_wheel(s->agent->service), &s->again, 1);
}

void schedule_sweep_stop(struct schedule_sweep *s)
{
	s->is_stopped = true;
	deadline_clear(&s->again);
	if (s->question)
		rights_cancel(s->question);
	s->question = NULL;
}

void schedule_sweep_free(struct schedule_sweep *s)
{
	arena_free(s->arena);
	free(s);
}

void schedule_sweep_wake(struct schedule_sweep *s)
{
	s->is_woken = true;
	if (s->state == SWEEP_IDLE && !s->is_stopped)
		deadline_set(service_wheel(s->agent->service), &s->again, 1);
}
