#include "agent/retention.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/attachments/store.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"

#define BATCH 20
#define FIRST_MS 1000
#define EVERY_MS 60000
#define MORE_MS 50 /* a full batch: there is more */
#define ANSWER_MS 30000
#define ANSWER_MAX 4096
#define DAY_US (24 * 3600 * 1000000ll)

/* What it waits for. */
enum retention_state { RESTING, ERASING, LISTING, REMOVING, FORGETTING };

struct retention {
	struct agent *agent;
	enum retention_state state;
	struct deadline rest;
	struct db_job job;
	struct arena *arena; /* of a request */
	struct http_fetch *fetch;
	int64_t days;
	size_t n_erased;
	struct {
		char workspace[65], user_id[65];
	} list[BATCH];
	size_t n, at;
	bool is_woken, is_stopped, has_failed;
};

int conversation_erase(struct db_conn *c, const char *id, const char *user_id)
{
	static const char *const statements[] = {
		/* First no more writes of its runs. */
		"update executions set claim = claim + 1, owner = null where conversation_id = ?",
		"delete from approvals where conversation_id = ?",
		"delete from queued_messages where conversation_id = ?",
		("delete from execution_events "
		 "where execution_id in (select id from executions where conversation_id = ?)"),
		"delete from tool_marks where execution_id in (select id from executions where conversation_id = ?)",
		"delete from executions where conversation_id = ?",
		"delete from context_marks where conversation_id = ?",
		"delete from step_snapshots where conversation_id = ?",
		"delete from messages where conversation_id = ?",
		"delete from conversations where id = ?",
	};
	int64_t r = attachments_erase(c, id);

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(statements); i++)
		r = db_exec(c, statements[i], DB_TEXT(id));
	if (r >= 0)
		r = db_exec(
			c,
			"insert into workspace_removals (workspace, user_id, created_at) values (?, ?, ?) on conflict "
			"(workspace) do nothing",
			DB_TEXT(id), DB_TEXT(user_id), DB_INT(clock_now_us()));
	return (int)MIN(r, 0);
}

/* ---- On the worker threads ---- */

/* Those that nobody has used for so long and in which nothing is on. */
static int find_old(struct db_conn *c, struct retention *r)
{
	struct db_stmt *st =
		db_query(c,
			 "select id, user_id from conversations where updated_at < ? and active_execution_id is null "
			 "order by updated_at limit ? /*! for update skip locked */",
			 DB_INT(clock_now_us() - r->days * DAY_US), DB_INT(BATCH));
	int n;

	r->n = 0;
	while ((n = db_step(c, st)) == 1) {
		snprintf(r->list[r->n].workspace, sizeof(r->list[0].workspace), "%.*s", STR_ARG(db_col_str(st, 0)));
		snprintf(r->list[r->n++].user_id, sizeof(r->list[0].user_id), "%.*s", STR_ARG(db_col_str(st, 1)));
	}
	db_done(st);
	return n;
}

static int erase(struct db_conn *c, struct db_job *job)
{
	struct retention *r = container_of(job, struct retention, job);
	int n = find_old(c, r);

	for (size_t i = 0; n >= 0 && i < r->n; i++)
		n = conversation_erase(c, r->list[i].workspace, r->list[i].user_id);
	r->n_erased = n < 0 ? 0 : r->n;
	return MIN(n, 0);
}

static int list(struct db_conn *c, struct db_job *job)
{
	struct retention *r = container_of(job, struct retention, job);
	struct db_stmt *st = db_query(
		c, "select workspace, user_id from workspace_removals order by created_at limit ?", DB_INT(BATCH));
	int n;

	r->n = r->at = 0;
	while ((n = db_step(c, st)) == 1) {
		snprintf(r->list[r->n].workspace, sizeof(r->list[0].workspace), "%.*s", STR_ARG(db_col_str(st, 0)));
		snprintf(r->list[r->n++].user_id, sizeof(r->list[0].user_id), "%.*s", STR_ARG(db_col_str(st, 1)));
	}
	db_done(st);
	return n;
}

static int forget(struct db_conn *c, struct db_job *job)
{
	struct retention *r = container_of(job, struct retention, job);

	return (int)MIN(
		db_exec(c, "delete from workspace_removals where workspace = ?", DB_TEXT(r->list[r->at].workspace)), 0);
}

/* ---- The flow ---- */

static enum retention_state next(struct retention *r, int err);

static void on_removed(void *arg, int err, int status, struct str body)
{
	struct retention *r = arg;

	r->fetch = NULL;
	/* One that is not there is gone too; any other refusal may pass. */
	bool is_gone = err == 0 && (status == 204 || status == 404);
	r->has_failed = r->has_failed || !is_gone;
	r->state = next(r, is_gone ? 0 : -EAGAIN);
}

static enum retention_state submit(struct retention *r, enum retention_state state)
{
	r->job.run = state == ERASING ? erase : state == LISTING ? list : forget;
	if (state == LISTING)
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

static enum retention_state remove_one(struct retention *r)
{
	struct service *s = r->agent->service;

	if (r->at == r->n)
		return rest(r, (r->n == BATCH && !r->has_failed) || r->n_erased == BATCH ? MORE_MS : EVERY_MS);
	arena_reset(r->arena);
	r->fetch = http_fetch(service_peer(s, "exec"), "DELETE",
			      arena_printf(r->arena, "/api/workspaces/%s", r->list[r->at].workspace),
			      service_peer_headers(s, "exec", r->list[r->at].user_id, NULL, NULL, r->arena), NULL,
			      (struct str){0}, ANSWER_MAX, ANSWER_MS, on_removed, r);
	return REMOVING;
}

static enum retention_state next(struct retention *r, int err)
{
	if (r->is_stopped)
		return RESTING;
	switch (r->state) {
	case RESTING:
		r->has_failed = false;
		r->n_erased = 0;
		return submit(r, r->days > 0 ? ERASING : LISTING);
	case ERASING:
		if (r->n_erased > 0)
			log_info("%zu conversations were older than conversation_days and are deleted", r->n_erased);
		return submit(r, LISTING);
	case LISTING: return err < 0 ? rest(r, EVERY_MS) : remove_one(r);
	case REMOVING:
		if (err == 0)
			return submit(r, FORGETTING);
		r->at++;
		return remove_one(r);
	case FORGETTING: r->at++; return remove_one(r);
	}
	abort();
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

struct retention *retention_new(struct agent *agent)
{
	struct retention *r = xcalloc(1, sizeof(*r));

	r->agent = agent;
	r->arena = arena_new();
	r->days = option_int(service_options(agent->service), "conversation_days");
	r->job.done = on_job_done;
	deadline_init(&r->rest, on_rested);
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
	free(r);
}
