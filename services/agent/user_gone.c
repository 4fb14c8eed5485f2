/* POST /users/{id}/gone, from auth: a user was deleted. His agents are archived, so that nobody starts them any more,
 * his executions stop, and what agents remember of him is forgotten; the APIs that he described and their credentials
 * are removed. What they did stays: who may see everybody's executions still does. Auth asks until it is answered, so
 * this may come twice. */
#include "agent/agent.h"
#include "agent/apis/source.h"
#include "agent/bus.h"
#include "agent/handlers.h"
#include "agent/memory/store.h"
#include "agent/run.h"
#include "agent/runner.h"
#include "base/clock.h"

struct gone_execution {
	struct gone_execution *next;
	const char *id;
};

struct user_gone {
	struct exchange_job job;
	struct gone_execution *running;
};

static int find_running(struct db_conn *c, struct user_gone *g, const char *user_id)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select id from executions where user_id = ? and ended_at is null", DB_TEXT(user_id));
	int r;

	g->running = NULL;
	while ((r = db_step(c, st)) == 1) {
		struct gone_execution *e = arena_new_of(g->job.x->arena, struct gone_execution);

		*e = (struct gone_execution){g->running, db_col_dup(st, 0, g->job.x->arena)};
		g->running = e;
	}
	return r;
}

static int stop_one(struct db_conn *c, const char *id, int64_t now)
{
	int64_t r = db_exec(
		c,
		"update executions set cancel_at = ?, lease_until = case when owner = ? then 0 else lease_until end "
		"where id = ? and ended_at is null",
		DB_INT(now), DB_TEXT(RUNNER_PARKED), DB_TEXT(id));

	return r > 0 ? bus_tell(c, BUS_CANCEL, id) : (int)r;
}

static int gone_run(struct db_conn *c, struct exchange_job *job)
{
	struct user_gone *g = (struct user_gone *)job;
	const char *user_id = job->x->params[0].p;
	int64_t now = clock_now_us();
	int64_t r =
		db_exec(c,
			"update agents set archived_at = ?, slug = slug || '~' || text_of(id) where owner_id = ? and "
			"archived_at is null",
			DB_INT(now), DB_TEXT(user_id));

	if (r >= 0)
		r = memory_delete_user(c, user_id);
	if (r >= 0)
		r = api_sources_delete_user(c, user_id);
	if (r >= 0)
		r = find_running(c, g, user_id);
	for (struct gone_execution *e = g->running; r >= 0 && e; e = e->next)
		r = stop_one(c, e->id, now);
	return r < 0 ? (int)r : bus_tell(c, BUS_QUEUE, NULL);
}

static void gone_done(struct exchange_job *job)
{
	struct user_gone *g = (struct user_gone *)job;
	struct agent *agent = job->x->self;

	for (struct gone_execution *e = g->running; e; e = e->next)
		runner_cancel(agent->runner, e->id);
	log_event(LOG_INFO, "a deleted user's agents are archived and his executions stopped", "user_id",
		  job->x->params[0].p, "request_id", job->x->request_id, NULL);
	reply_empty(job->x, 204);
}

void user_gone(struct exchange *x)
{
	struct agent *agent = x->self;
	struct user_gone *g = arena_new_of(x->arena, struct user_gone);

	g->job = (struct exchange_job){.x = x, .run = gone_run, .done_ok = gone_done};
	exchange_write(agent->db, &g->job);
}
