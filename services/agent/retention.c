#include "agent/retention.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/runner.h"
#include "base/alloc.h"
#include "base/clock.h"

#define BATCH 20
#define FIRST_MS 1000
#define EVERY_MS 60000
#define SWEEP_EVERY_MS (3600 * 1000)
#define MORE_MS 50 /* a full batch: there is more */
#define ANSWER_MS 30000
#define ANSWER_MAX 4096
#define LEASE_US (3 * EVERY_MS * 1000ll)

/* What it waits for. */
enum retention_state {
	RESTING,
	LEADING,    /* the lease */
	RULING,     /* the rules */
	FINDING,    /* what of one kind is to go */
	ERASING,    /* one of what was found */
	LISTING,    /* what exec is to remove */
	LEAVING,    /* a workspace's parts on other hosts: exec keeps in mind that they are to go */
	REMOVING,   /* a workspace */
	CLEARING,   /* what is kept of its commands */
	FORGETTING, /* the row that says so */
};

struct retention {
	struct agent *agent;
	enum retention_state state;
	struct deadline rest;
	struct db_job job;
	uint64_t sweep_at; /* monotonic ms */
	bool is_leader;

	/* A sweep: where it is. */
	struct arena *rules_arena;
	struct retention_rules rules;
	struct retention_look look;
	size_t at_found;
	bool has_gone; /* what was to go just now */
	unsigned n_gone[RETAIN_KINDS];

	/* What exec is to remove. */
	struct arena *arena; /* of a request */
	struct http_fetch *fetch;
	struct {
		char workspace[65], user_id[65];
		int64_t commands_before; /* 0: the workspace and all its commands */
	} list[BATCH];
	size_t n, at;
	bool is_woken, is_stopped, has_failed;

	struct metric *deleted[RETAIN_KINDS], *deleted_workspaces;
};

/* ---- On the worker threads ---- */

static int lead(struct db_conn *c, struct db_job *job)
{
	struct retention *r = container_of(job, struct retention, job);
	const char *owner = runner_owner(r->agent->runner);
	int64_t now, n;
	int err = db_clock_us(c, &now);

	if (err < 0)
		return err;
	n = db_exec(c,
		    "update retention_leader set owner = ?, lease_until = ? where id = 1 and (owner = ? or lease_until "
		    "< ?)",
		    DB_TEXT(owner), DB_INT(now + LEASE_US), DB_TEXT(owner), DB_INT(now));
	r->is_leader = n == 1;
	return (int)MIN(n, 0);
}

static int load_rules(struct db_conn *c, struct db_job *job)
{
	struct retention *r = container_of(job, struct retention, job);

	arena_reset(r->rules_arena);
	retention_rules_of(service_options(r->agent->service), &r->rules);
	return retention_rules_load(c, r->rules_arena, &r->rules);
}

static int find(struct db_conn *c, struct db_job *job)
{
	struct retention *r = container_of(job, struct retention, job);

	return retention_find(c, &r->rules, clock_now_us(), &r->look);
}

static int erase(struct db_conn *c, struct db_job *job)
{
	struct retention *r = container_of(job, struct retention, job);
	int n = retention_erase(c, r->look.kind, &r->look.found[r->at_found]);

	r->has_gone = n > 0;
	return MIN(n, 0);
}

static int list(struct db_conn *c, struct db_job *job)
{
	struct retention *r = container_of(job, struct retention, job);
	struct db_stmt *st = db_query(c,
				      "select workspace, user_id, coalesce(commands_before, 0) from workspace_removals "
				      "order by created_at limit ?",
				      DB_INT(BATCH));
	int n;

	r->n = r->at = 0;
	while ((n = db_step(c, st)) == 1) {
		snprintf(r->list[r->n].workspace, sizeof(r->list[0].workspace), "%.*s", STR_ARG(db_col_str(st, 0)));
		snprintf(r->list[r->n].user_id, sizeof(r->list[0].user_id), "%.*s", STR_ARG(db_col_str(st, 1)));
		r->list[r->n++].commands_before = db_col_int(st, 2);
	}
	db_done(st);
	return n;
}

/* Unless there is more to be removed by now. */
static int forget(struct db_conn *c, struct db_job *job)
{
	struct retention *r = container_of(job, struct retention, job);

	return error_only(
		db_exec(c, "delete from workspace_removals where workspace = ? and coalesce(commands_before, 0) = ?",
			DB_TEXT(r->list[r->at].workspace), DB_INT(r->list[r->at].commands_before)));
}

/* ---- The flow ---- */

static enum retention_state next(struct retention *r, int err);

static enum retention_state submit(struct retention *r, enum retention_state state)
{
	static int (*const runs[])(struct db_conn * c, struct db_job * job) = {
		[LEADING] = lead,  [RULING] = load_rules, [FINDING] = find,
		[ERASING] = erase, [LISTING] = list,      [FORGETTING] = forget};

	r->job.run = runs[state];
	if (state == RULING || state == FINDING || state == LISTING)
		db_read(r->agent->db, &r->job);
	else
		db_write(r->agent->db, &r->job);
	return state;
}

static enum retention_state rest(struct retention *r, uint64_t ms)
{
	if (!r->is_stopped)
		deadline_set(service_wheel(r->agent->service), &r->rest, r->is_woken ? MORE_MS : ms);
	r->is_woken = false;
	return RESTING;
}

/* By rules, or what exec is to remove alone. */
static enum retention_state go(struct retention *r)
{
	if (!r->is_leader)
		return rest(r, EVERY_MS);
	if (clock_mono_ms() < r->sweep_at)
		return submit(r, LISTING);
	r->sweep_at = clock_mono_ms() + SWEEP_EVERY_MS;
	return submit(r, RULING);
}

/* SQLite has one process. */
static enum retention_state begin(struct retention *r)
{
	r->has_failed = false;
	if (strcmp(db_url_dialect(r->agent->db), "sqlite") != 0)
		return submit(r, LEADING);
	r->is_leader = true;
	return go(r);
}

static void log_sweep(struct retention *r)
{
	for (size_t i = 0; i < RETAIN_KINDS; i++)
		if (r->n_gone[i])
			log_info("retention: %u %s are older than is kept and were deleted", r->n_gone[i],
				 retention_kind_names[i]);
	memset(r->n_gone, 0, sizeof(r->n_gone));
}

/* From the first of that kind on; behind the last kind, what exec is to remove. */
static enum retention_state find_kind(struct retention *r, enum retention_kind kind)
{
	if (kind == RETAIN_KINDS) {
		log_sweep(r);
		return submit(r, LISTING);
	}
	r->look.kind = kind;
	r->look.after[0] = '\0';
	return submit(r, FINDING);
}

/* What could not go now is passed over, and found at the next sweep. */
static enum retention_state erase_next(struct retention *r)
{
	if (r->at_found < r->look.n)
		return submit(r, ERASING);
	return r->look.has_more ? submit(r, FINDING) : find_kind(r, r->look.kind + 1);
}

static enum retention_state erased(struct retention *r, int err)
{
	if (err == 0 && r->has_gone) {
		metric_add(r->deleted[r->look.kind], 1);
		r->n_gone[r->look.kind]++;
	}
	r->at_found++;
	return erase_next(r);
}

static void on_removed(void *arg, int err, int status, struct str body);

static enum retention_state ask(struct retention *r, enum retention_state state, const char *path)
{
	struct service *s = r->agent->service;

	/* On our own behalf: its user may be gone by now. */
	r->fetch = http_fetch(service_peer(s, "exec"), "DELETE", path,
			      service_peer_headers(s, "exec", "", NULL, NULL, r->arena), NULL, (struct str){0},
			      ANSWER_MAX, ANSWER_MS, on_removed, r);
	return state;
}

/* What began before the run had ended; all, when the workspace is gone. */
static enum retention_state clear_one(struct retention *r)
{
	const char *path;
	char time[TIME_TEXT_SIZE];

	arena_reset(r->arena);
	path = arena_printf(r->arena, "/api/commands?workspace=%s&user=%s", r->list[r->at].workspace,
			    r->list[r->at].user_id);
	if (r->list[r->at].commands_before) {
		time_format(r->list[r->at].commands_before, time);
		path = arena_printf(r->arena, "%s&before=%s", path, time);
	}
	return ask(r, CLEARING, path);
}

static enum retention_state remove_one(struct retention *r)
{
	if (r->at == r->n)
		return rest(r, r->n == BATCH && !r->has_failed ? MORE_MS : EVERY_MS);
	if (r->list[r->at].commands_before)
		return clear_one(r);
	arena_reset(r->arena);
	return ask(r, LEAVING, arena_printf(r->arena, "/api/workspaces/%s?target=*", r->list[r->at].workspace));
}

static enum retention_state removed(struct retention *r, int err)
{
	if (err == 0 && r->state == LEAVING)
		return ask(r, REMOVING, arena_printf(r->arena, "/api/workspaces/%s", r->list[r->at].workspace));
	if (err == 0)
		return r->state == REMOVING ? clear_one(r) : submit(r, FORGETTING);
	r->has_failed = true;
	r->at++;
	return remove_one(r);
}

static enum retention_state next(struct retention *r, int err)
{
	if (r->is_stopped)
		return RESTING;
	switch (r->state) {
	case RESTING: return begin(r);
	case LEADING: return err < 0 ? rest(r, EVERY_MS) : go(r);
	case RULING: return err < 0 ? submit(r, LISTING) : find_kind(r, 0);
	case FINDING: r->at_found = 0; return err < 0 ? find_kind(r, r->look.kind + 1) : erase_next(r);
	case ERASING: return erased(r, err);
	case LISTING: return err < 0 ? rest(r, EVERY_MS) : remove_one(r);
	case LEAVING:
	case REMOVING:
	case CLEARING: return removed(r, err);
	case FORGETTING:
		if (err == 0 && !r->list[r->at].commands_before)
			metric_add(r->deleted_workspaces, 1);
		r->at++;
		return remove_one(r);
	}
	abort();
}

/* One that is not there is gone too; any other refusal may pass. */
static void on_removed(void *arg, int err, int status, struct str body)
{
	struct retention *r = arg;

	r->fetch = NULL;
	r->state = next(r, err == 0 && (status == 202 || status == 204 || status == 404) ? 0 : -EAGAIN);
}

static void on_job_done(struct db_job *job, int result)
{
	struct retention *r = container_of(job, struct retention, job);

	r->state = next(r, result);
}

static void on_rested(struct deadline *d)
{
	struct retention *r = container_of(d, struct retention, rest);

	r->state = next(r, 0);
}

static struct metric *counter(struct arena *a, const char *kind)
{
	return metric_counter("ogent_retention_deleted_total", "What was not kept any longer, by kind",
			      arena_printf(a, "kind=\"%s\"", kind));
}

struct retention *retention_new(struct agent *agent)
{
	struct retention *r = xcalloc(1, sizeof(*r));

	r->agent = agent;
	r->arena = arena_new();
	r->rules_arena = arena_new();
	r->job.done = on_job_done;
	deadline_init(&r->rest, on_rested);
	for (size_t i = 0; i < RETAIN_KINDS; i++)
		r->deleted[i] = counter(r->arena, retention_kind_names[i]);
	r->deleted_workspaces = counter(r->arena, "workspaces");
	return r;
}

void retention_start(struct retention *r)
{
	r->state = rest(r, FIRST_MS);
}

void retention_wake(struct retention *r)
{
	r->is_woken = true;
	if (r->state == RESTING && deadline_is_set(&r->rest))
		rest(r, MORE_MS);
}

void retention_stop(struct retention *r)
{
	r->is_stopped = true;
	deadline_clear(&r->rest);
	if (r->fetch)
		http_fetch_cancel(r->fetch);
}

void retention_free(struct retention *r)
{
	arena_free(r->arena);
	arena_free(r->rules_arena);
	free(r);
}
