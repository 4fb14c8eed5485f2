#include "lookup.h"

void reply_missing(struct exchange *x)
{
	reply_problem(x, 404, "not_found", "There is no such command, or it is not yours.");
}

void reply_busy(struct exchange *x)
{
	reply_header(x, "Retry-After", "1");
	reply_problem(x, 503, "unavailable", "There is too much to do. Try again in a moment.");
}

static void lookup_run(struct job *job)
{
	struct lookup *l = container_of(job, struct lookup, job);
	struct exec *e = l->x->self;

	l->result = journal_load(&e->journal, l->x->params[0].p, l->x->arena, &l->entry);
}

/* Without a result and not among those that run: left behind by a crash. */
static void lookup_done(struct job *job)
{
	struct lookup *l = container_of(job, struct lookup, job);
	struct exchange *x = l->x;
	struct exec *e = x->self;

	if (l->result == 0 && !l->entry.has_result) {
		l->command = command_by_id(e, l->entry.spec.id);
		if (!l->command)
			command_adopt(e, l->entry.spec.id);
		if (!l->command)
			l->command = command_by_id(e, l->entry.spec.id);
		if (!l->command)
			l->result = journal_load(&e->journal, l->entry.spec.id, x->arena, &l->entry);
	}
	if (!x->req)
		; /* the client has left */
	else if (l->result < 0 || !command_is_visible(&x->who, &l->entry.spec))
		reply_missing(x);
	else
		l->then(l);
	if (l->is_paused && x->req)
		http_body_resume(x->req);
	exchange_drop(x);
}

void lookup_command(struct exchange *x, lookup_then *then)
{
	struct exec *e = x->self;
	struct command *c = command_by_id(e, x->params[0].p);
	struct lookup *l = arena_new_of(x->arena, struct lookup);

	*l = (struct lookup){.job = {.run = lookup_run, .done = lookup_done}, .x = x, .then = then, .command = c};
	if (c && c->phase != PHASE_SAVING) {
		if (command_is_visible(&x->who, &c->spec))
			then(l);
		else
			reply_missing(x);
		return;
	}
	if (job_submit(e->lane, &l->job) < 0) {
		reply_busy(x);
		return;
	}
	l->is_paused = (x->route->flags & ROUTE_STREAM) != 0;
	if (l->is_paused)
		http_body_pause(x->req);
	exchange_hold(x);
}
