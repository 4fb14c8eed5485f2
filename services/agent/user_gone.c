/* POST /users/{id}/gone, from auth: a user was deleted. What he shared goes to the heir that is named, his other agents
 * are archived, so that nobody starts them any more, his executions stop, what agents remember of him is forgotten, the
 * APIs that he described are removed with their credentials; and a job begins that takes away all that was his
 * (account/erase.c). Auth asks until it is answered, so this may come twice. */
#include "agent/account/jobs.h"
#include "agent/agent.h"
#include "agent/apis/source.h"
#include "agent/bus.h"
#include "agent/execution.h"
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

/* What others use: agents that are shared or have conversations of others, collections for everybody. */
static int hand_over(struct db_conn *c, const char *user_id, const char *heir)
{
	int64_t r = db_exec(c,
			    "update agents set owner_id = ? where owner_id = ? and archived_at is null and (shares <> "
			    "'[]' or exists (select 1 from conversations c where c.agent_id = agents.id and c.user_id "
			    "<> ?))",
			    DB_TEXT(heir), DB_TEXT(user_id), DB_TEXT(user_id));

	if (r >= 0)
		r = db_exec(c, "update knowledge_collections set owner_id = ? where owner_id = ? and is_shared <> 0",
			    DB_TEXT(heir), DB_TEXT(user_id));
	return (int)MIN(r, 0);
}

static int begin_erasing(struct db_conn *c, const char *user_id, const char *heir)
{
	char id[ID_SIZE];
	int64_t one;
	int r = db_get_int(c, &one, "select 1 from account_jobs where user_id = ? and kind = 'erase' limit 1",
			   DB_TEXT(user_id));

	id_new(id);
	return r != 0 ? MIN(r, 0) : account_job_add(c, id, "erase", user_id, heir);
}

static int gone_run(struct db_conn *c, struct exchange_job *job)
{
	struct user_gone *g = (struct user_gone *)job;
	const char *user_id = job->x->params[0].p;
	const char *heir = json_get_str(job->x->body, "heir", NULL);
	int64_t now = clock_now_us();
	int64_t r = heir ? hand_over(c, user_id, heir) : 0;

	if (r >= 0)
		r = begin_erasing(c, user_id, heir);
	if (r >= 0)
		r = db_exec(
			c,
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
		r = execution_cancel(c, e->id, now);
	return r < 0 ? (int)r : bus_tell(c, BUS_QUEUE, NULL);
}

static void gone_done(struct exchange_job *job)
{
	struct user_gone *g = (struct user_gone *)job;
	struct agent *agent = job->x->self;

	for (struct gone_execution *e = g->running; e; e = e->next)
		runner_cancel(agent->runner, e->id);
	account_jobs_wake(agent->account_jobs);
	log_event(LOG_INFO, "a deleted user's executions stop, and what was his goes", "user_id", job->x->params[0].p,
		  "request_id", job->x->request_id, NULL);
	reply_empty(job->x, 204);
}

void user_gone(struct exchange *x)
{
	struct agent *agent = x->self;
	struct user_gone *g = arena_new_of(x->arena, struct user_gone);

	g->job = (struct exchange_job){.x = x, .run = gone_run, .done_ok = gone_done};
	exchange_write(agent->db, &g->job);
}
