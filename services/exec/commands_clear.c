/* DELETE /api/commands?workspace=W: what is kept of the commands that ended there, output and recordings too. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "command.h"
#include "lookup.h"

struct clearing {
	struct job job;
	struct exchange *x;
	const char *workspace, *user_id; /* user_id NULL: everybody's */
	int64_t before_us;
	int result;
};

static void clear_run(struct job *job)
{
	struct clearing *c = container_of(job, struct clearing, job);
	struct exec *e = c->x->self;

	c->result = journal_clear(&e->journal, c->workspace, c->user_id, c->before_us);
}

static void clear_done(struct job *job)
{
	struct clearing *c = container_of(job, struct clearing, job);
	struct exchange *x = c->x;

	if (x->req && c->result < 0)
		reply_problem(x, 500, "internal", "The commands cannot be removed: %s.", strerror(-c->result));
	else if (x->req && c->result > 0)
		reply_problem(x, 409, "workspace_busy", "Commands run there yet: wait until they have ended.");
	else if (x->req)
		reply_empty(x, 204);
	exchange_drop(x);
}

/* A service on its own behalf names the user whose they are. */
static const char *whose(struct exchange *x)
{
	const char *named = http_query_get(x->arena, x->req->query, "user");

	if (x->who.service[0] && !x->who.user_id[0])
		return named && *named ? named : NULL;
	return identity_may(&x->who, "commands.run_any") ? NULL : x->who.user_id;
}

void commands_clear(struct exchange *x)
{
	struct clearing *c = arena_new_of(x->arena, struct clearing);
	const char *before = http_query_get(x->arena, x->req->query, "before");
	struct exec *e = x->self;

	*c = (struct clearing){.job = {.run = clear_run, .done = clear_done}, .x = x, .before_us = INT64_MAX};
	c->workspace = http_query_get(x->arena, x->req->query, "workspace");
	c->user_id = whose(x);
	if (!c->workspace || !workspace_is_valid(str_of(c->workspace)))
		reply_problem(x, 400, "bad_request", "workspace is the id of a workspace.");
	else if (before && time_parse(str_of(before), &c->before_us) < 0)
		reply_problem(x, 400, "bad_request", "before is a time such as 2026-11-22T16:00:00Z.");
	else if (job_submit(e->files_lane, &c->job) < 0)
		reply_busy(x);
	else
		exchange_hold(x);
}
