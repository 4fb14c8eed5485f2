/* Everything of a person goes: what is in the database, in small transactions, then what exec has. At the end it looks
 * once more from the first step on, for what was under way meanwhile. */
#include <errno.h>
#include <stdlib.h>

#include "agent/account/erase_steps.h"
#include "agent/account/jobs.h"
#include "agent/models/choice.h"
#include "agent/models/connection.h"
#include "agent/retention.h"
#include "base/alloc.h"
#include "base/clock.h"

#define ANSWER_MS 30000
#define ANSWER_MAX (256 * 1024)
#define AGAIN_MS 500
#define STEPS_MAX 16

/* What it waits for. */
enum erase_state { ERASING, ASKING, NOTING, RESTING, ENDED };

struct erasure {
	struct account_job *job;
	enum erase_state state;
	bool is_stopped;
	struct db_job db;
	struct deadline rest;
	struct http_fetch *fetch;
	struct arena *arena; /* of an answer */

	size_t step;
	int n_gone;        /* in the last turn */
	bool has_found;    /* in this pass */
	bool is_exec_done; /* in this pass exec had nothing more */
	int64_t counts[STEPS_MAX];
	yyjson_val *left; /* workspaces that exec has */
};

static const char *counts_text(struct arena *a, const struct erasure *e)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	for (size_t i = 0; i < erase_steps_n; i++)
		if (e->counts[i])
			yyjson_mut_obj_add_int(doc, obj, erase_steps[i].name, e->counts[i]);
	return json_text(a, doc).p;
}

static int erase(struct db_conn *c, struct db_job *db)
{
	struct erasure *e = container_of(db, struct erasure, db);
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	int r = account_job_check(c, e->job);

	e->n_gone = 0;
	if (r)
		return r;
	r = erase_steps[e->step].run(c, e->job->user_id);
	if (r <= 0)
		return r;
	e->n_gone = r;
	e->counts[e->step] += r;
	r = account_job_note(c, e->job, erase_steps[e->step].name, counts_text(a, e));
	/* The job may be run again. */
	e->counts[e->step] -= e->n_gone;
	return r;
}

/* The workspaces go as those of deleted conversations do (retention.h). */
static int note(struct db_conn *c, struct db_job *db)
{
	struct erasure *e = container_of(db, struct erasure, db);
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	int64_t r = account_job_check(c, e->job);
	size_t i, n;
	yyjson_val *name;

	if (r)
		return (int)r;
	yyjson_arr_foreach(e->left, i, n, name)
	{
		if (r >= 0)
			r = db_exec(c,
				    "insert into workspace_removals (workspace, user_id, created_at) values (?, ?, ?) "
				    "on conflict (workspace) do update set commands_before = null",
				    DB_TEXT(yyjson_get_str(name)), DB_TEXT(e->job->user_id), DB_INT(clock_now_us()));
	}
	return r < 0 ? (int)r : account_job_note(c, e->job, "workspaces", counts_text(a, e));
}

/* ---- The flow ---- */

static enum erase_state next(struct erasure *e, int result);

/* Behind its end it may be gone. */
static void advance(struct erasure *e, int result)
{
	enum erase_state state = next(e, result);

	if (state != ENDED)
		e->state = state;
}

static enum erase_state submit(struct erasure *e, enum erase_state state)
{
	e->db.run = state == ERASING ? erase : note;
	db_write(e->job->agent->db, &e->db);
	return state;
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct erasure *e = arg;
	yyjson_val *root = NULL;

	e->fetch = NULL;
	if (!err && status == 200)
		root = yyjson_doc_get_root(json_parse(e->arena, body.p, body.n, NULL));
	e->left = json_get_arr(root, "workspaces");
	e->is_exec_done = yyjson_arr_size(e->left) == 0 && json_get_int(root, "commands", 1) == 0;
	advance(e, root ? 0 : -EAGAIN);
}

static enum erase_state ask(struct erasure *e)
{
	struct service *s = e->job->agent->service;

	arena_reset(e->arena);
	e->fetch =
		http_fetch(service_peer(s, "exec"), "POST", arena_printf(e->arena, "/users/%s/gone", e->job->user_id),
			   service_peer_headers(s, "exec", "", NULL, NULL, e->arena), NULL, (struct str){0}, ANSWER_MAX,
			   ANSWER_MS, on_answer, e);
	return ASKING;
}

static enum erase_state rest(struct erasure *e)
{
	deadline_set(service_wheel(e->job->agent->service), &e->rest, AGAIN_MS);
	return RESTING;
}

static enum erase_state end(struct erasure *e, int result)
{
	/* Connections of providers that are gone are used no more. */
	if (result == 0)
		connections_reload(models_connections(e->job->agent->models), NULL, NULL);
	e->job->on_ended(e->job, result);
	return ENDED;
}

static enum erase_state fail(struct erasure *e, const char *what)
{
	error_set(&e->job->error, "unreachable", "%s", what);
	return end(e, -EAGAIN);
}

/* Of a pass that found something there is another one. */
static enum erase_state pass(struct erasure *e)
{
	e->step = 0;
	e->has_found = false;
	return submit(e, ERASING);
}

static enum erase_state erased(struct erasure *e)
{
	e->counts[e->step] += e->n_gone;
	e->has_found = e->has_found || e->n_gone > 0;
	e->step += e->n_gone == 0;
	return e->step < erase_steps_n ? submit(e, ERASING) : ask(e);
}

static enum erase_state asked(struct erasure *e)
{
	if (!e->is_exec_done)
		return submit(e, NOTING);
	return e->has_found ? pass(e) : end(e, 0);
}

static enum erase_state next(struct erasure *e, int result)
{
	if (e->is_stopped)
		return ENDED;
	if (result == ACCOUNT_LOST)
		return end(e, ACCOUNT_LOST);
	switch (e->state) {
	case ERASING: return result < 0 ? fail(e, "The database did not take it.") : erased(e);
	case ASKING: return result < 0 ? fail(e, "The exec service did not answer.") : asked(e);
	case NOTING:
		retention_wake(e->job->agent->retention);
		return result < 0 ? fail(e, "The database did not take it.") : rest(e);
	case RESTING: return ask(e);
	case ENDED: break;
	}
	abort();
}

static void on_db(struct db_job *db, int result)
{
	struct erasure *e = container_of(db, struct erasure, db);
	advance(e, result);
}

static void on_rested(struct deadline *d)
{
	struct erasure *e = container_of(d, struct erasure, rest);

	advance(e, 0);
}

static void read_counts(struct erasure *e)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(e->arena, e->job->counts, strlen(e->job->counts), NULL));

	for (size_t i = 0; i < erase_steps_n; i++)
		e->counts[i] = json_get_int(root, erase_steps[i].name, 0);
}

struct erasure *erasure_start(struct account_job *job)
{
	struct erasure *e = xcalloc(1, sizeof(*e));

	e->job = job;
	e->arena = arena_new();
	e->db.done = on_db;
	deadline_init(&e->rest, on_rested);
	read_counts(e);
	e->state = pass(e);
	return e;
}

void erasure_stop(struct erasure *e)
{
	e->is_stopped = true;
	deadline_clear(&e->rest);
	if (e->fetch)
		http_fetch_cancel(e->fetch);
}

void erasure_free(struct erasure *e)
{
	if (!e)
		return;
	arena_free(e->arena);
	free(e);
}
