/* The caller's shared sandbox in a workspace: whether it lives, and its end. */
#include "shared.h"
#include "workspace.h"

struct asking {
	struct workspace_job w;
	const char *name;
	struct shared_status status;
};

static int ask_run(struct workspace_job *w)
{
	struct asking *q = container_of(w, struct asking, w);

	return shared_ask(w->exec->journal.dir_fd, q->name, &q->status);
}

static void ask_done(struct workspace_job *w)
{
	struct asking *q = container_of(w, struct asking, w);
	const struct shared_status *s = &q->status;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(w->x->arena, &doc);

	yyjson_mut_obj_add_bool(doc, obj, "live", s->is_live);
	json_add_time(doc, obj, "started_at", s->started_us);
	yyjson_mut_obj_add_uint(doc, obj, "running_commands", s->running);
	yyjson_mut_obj_add_uint(doc, obj, "processes", s->processes);
	yyjson_mut_obj_add_uint(doc, obj, "idle_ms", s->idle_ms);
	reply_json(w->x, 200, doc);
}

static int end_run(struct workspace_job *w)
{
	return shared_end(w->exec->journal.dir_fd, container_of(w, struct asking, w)->name);
}

static void end_done(struct workspace_job *w)
{
	reply_empty(w->x, 204);
}

static struct asking *asking_new(struct exchange *x)
{
	struct asking *q = arena_new_of(x->arena, struct asking);

	q->name = shared_name(x->arena, x->params[0].p, x->who.user_id);
	return q;
}

void workspace_session_get(struct exchange *x)
{
	struct asking *q = asking_new(x);

	q->w.run = ask_run;
	q->w.done = ask_done;
	workspace_start(x, &q->w, WORKSPACE_READ);
}

void workspace_session_delete(struct exchange *x)
{
	struct asking *q = asking_new(x);

	q->w.run = end_run;
	q->w.done = end_done;
	workspace_start(x, &q->w, WORKSPACE_READ);
}
