#include "removals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lookup.h"
#include "workspace.h"

#define LIST_MAX 10000
#define FIRST_MS 1000
#define AGAIN_MIN_MS 5000
#define AGAIN_MAX_MS 60000

/* What it waits for. */
enum removals_state {
	RESTING,
	LISTING,    /* the marks */
	ERASING,    /* a target */
	FORGETTING, /* a mark to go */
};

struct removals {
	struct exec *exec;
	enum removals_state state;
	struct deadline rest;
	uint64_t pause_ms;
	bool is_woken, is_stopped;

	/* One look at all of them. */
	struct arena *arena;
	struct job job;
	struct given_up *list;
	size_t n, at, n_removed;
	int result; /* of the job or the errand */

	/* The one that goes. */
	struct target *target;
	const char *key;
	struct remote_errand *remote;
	struct errand_request req;
	struct errand_step step;
	struct errand_result answer;
};

static enum removals_state next(struct removals *r);

static const struct given_up *current(const struct removals *r)
{
	return &r->list[r->at];
}

/* ---- Steps ---- */

static enum removals_state rest(struct removals *r, uint64_t ms)
{
	if (!r->is_stopped)
		deadline_set(service_wheel(r->exec->service), &r->rest, r->is_woken ? 1 : ms);
	r->is_woken = false;
	return RESTING;
}

static void list_run(struct job *job)
{
	struct removals *r = container_of(job, struct removals, job);

	r->result = journal_list_given_up(&r->exec->journal, LIST_MAX, r->arena, &r->list, &r->n);
}

static void forget_run(struct job *job)
{
	struct removals *r = container_of(job, struct removals, job);

	r->result = journal_removed(&r->exec->journal, current(r));
}

static void on_job(struct job *job)
{
	struct removals *r = container_of(job, struct removals, job);

	r->state = next(r);
}

static enum removals_state submit(struct removals *r, enum removals_state state, void (*run)(struct job *))
{
	r->job = (struct job){.run = run, .done = on_job};
	return job_submit(r->exec->trees_lane, &r->job) == 0 ? state : rest(r, r->pause_ms);
}

static enum removals_state list(struct removals *r)
{
	arena_reset(r->arena);
	r->n = r->at = r->n_removed = 0;
	return submit(r, LISTING, list_run);
}

static void on_erased(void *arg)
{
	struct removals *r = arg;

	r->result = r->answer.result;
	r->target->kind->errand_close(r->remote);
	r->remote = NULL;
	workspace_release(r->exec, r->key);
	r->state = next(r);
}

/* It has the workspace alone, here and there. */
static enum removals_state erase(struct removals *r)
{
	r->req = (struct errand_request){
		.workspace = current(r)->name, .alone = true, .bytes_max = r->exec->workspace_max};
	r->step = (struct errand_step){.op = ERRAND_ERASE, .path = "", .other = ""};
	r->remote = r->target->kind->errand_open(r->target, &r->req);
	r->target->kind->errand_step(r->remote, &r->step, r->arena, &r->answer, on_erased, r);
	return ERASING;
}

/* Whether that one can be asked for now: its target is known, and nothing works in it. */
static bool may_erase(struct removals *r)
{
	const struct given_up *w = current(r);

	r->target = target_find(r->exec, w->target);
	if (!r->target || !r->target->kind->errand_open || r->target->kind->unavailable(r->target, r->arena))
		return false;
	r->key = workspace_key(r->arena, w->name, w->target);
	return workspace_take(r->exec, r->key);
}

static enum removals_state erase_first(struct removals *r)
{
	for (; r->at < r->n; r->at++)
		if (may_erase(r))
			return erase(r);
	if (r->n == 0 && !r->is_woken)
		return RESTING;
	r->pause_ms = r->n_removed ? AGAIN_MIN_MS : MIN(r->pause_ms * 2, AGAIN_MAX_MS);
	return rest(r, r->pause_ms);
}

/* Those of a target that is away are passed over. */
static enum removals_state erased(struct removals *r)
{
	const char *target = current(r)->target;
	bool is_away = r->result == -EHOSTUNREACH || r->result == -ECONNRESET;

	if (r->result == 0 || r->result == -ENOENT)
		return submit(r, FORGETTING, forget_run);
	do
		r->at++;
	while (is_away && r->at < r->n && strcmp(current(r)->target, target) == 0);
	return erase_first(r);
}

static enum removals_state forgotten(struct removals *r)
{
	r->n_removed += r->result == 0;
	r->at++;
	return erase_first(r);
}

/* The whole flow. */
static enum removals_state next(struct removals *r)
{
	if (r->is_stopped)
		return RESTING;
	switch (r->state) {
	case RESTING: return list(r);
	case LISTING: return r->result < 0 ? rest(r, r->pause_ms) : erase_first(r);
	case ERASING: return erased(r);
	case FORGETTING: return forgotten(r);
	}
	abort();
}

/* ---- For exec ---- */

static void on_rested(struct deadline *d)
{
	struct removals *r = container_of(d, struct removals, rest);

	r->state = next(r);
}

struct removals *removals_new(struct exec *e)
{
	struct removals *r = xcalloc(1, sizeof(*r));

	r->exec = e;
	r->arena = arena_new();
	r->pause_ms = AGAIN_MIN_MS;
	deadline_init(&r->rest, on_rested);
	r->state = rest(r, FIRST_MS);
	return r;
}

void removals_wake(struct removals *r)
{
	r->is_woken = true;
	r->pause_ms = AGAIN_MIN_MS;
	if (r->state == RESTING)
		rest(r, 0);
}

void removals_stop(struct removals *r)
{
	r->is_stopped = true;
	deadline_clear(&r->rest);
}

void removals_free(struct removals *r)
{
	if (!r)
		return;
	arena_free(r->arena);
	free(r);
}

/* ---- DELETE /api/workspaces/{id}?target=* ---- */

struct giving_up {
	struct job job;
	struct exchange *x;
	const char *user_id; /* NULL: whoever's it is */
	int result;
};

static void give_up_run(struct job *job)
{
	struct giving_up *g = container_of(job, struct giving_up, job);
	struct exec *e = g->x->self;

	g->result = journal_give_up(&e->journal, g->x->params[0].p, g->user_id);
}

static void give_up_done(struct job *job)
{
	struct giving_up *g = container_of(job, struct giving_up, job);
	struct exchange *x = g->x;
	struct exec *e = x->self;

	if (g->result > 0)
		removals_wake(e->removals);
	if (x->req && g->result < 0)
		workspace_reply_failure(x, g->result, NULL);
	else if (x->req)
		reply_empty(x, 202);
	exchange_drop(x);
}

void workspaces_give_up(struct exchange *x)
{
	struct giving_up *g = arena_new_of(x->arena, struct giving_up);
	struct exec *e = x->self;
	bool any = identity_may(&x->who, "commands.run_any") || (x->who.service[0] && !x->who.user_id[0]);

	*g = (struct giving_up){.job = {.run = give_up_run, .done = give_up_done}, .x = x};
	g->user_id = any ? NULL : x->who.user_id;
	if (!workspace_is_valid(str_of(x->params[0].p)))
		workspace_reply_failure(x, -ENOENT, NULL);
	else if (job_submit(e->files_lane, &g->job) < 0)
		reply_busy(x);
	else
		exchange_hold(x);
}
