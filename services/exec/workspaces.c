/* /api/workspaces: the folders that stay between commands, as things of their own. */
#include <errno.h>
#include <string.h>

#include "lookup.h"
#include "workspace.h"

/* ---- Many ---- */

struct listing {
	struct job job;
	struct exchange *x;
	struct page page;
	const struct target *target;
	bool any;
	struct workspace_list list;
	int result;
};

static void list_run(struct job *job)
{
	struct listing *l = container_of(job, struct listing, job);
	struct exec *e = l->x->self;

	l->result = journal_list_workspaces(&e->journal, workspace_target_name(l->target),
					    l->any ? NULL : l->x->who.user_id, l->page.after, (size_t)l->page.limit + 1,
					    l->x->arena, &l->list);
}

static void list_done(struct job *job)
{
	struct listing *l = container_of(job, struct listing, job);
	struct exchange *x = l->x;
	size_t n = MIN(l->list.n, (size_t)l->page.limit);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");

	if (l->result < 0 && x->req) {
		workspace_reply_failure(x, l->result, NULL);
	} else if (x->req) {
		for (size_t i = 0; i < n; i++)
			workspace_add_json(doc, yyjson_mut_arr_add_obj(doc, items), x->self, l->target,
					   &l->list.items[i]);
		json_add_str(doc, obj, "next", l->list.n > n ? page_cursor(x->arena, l->list.items[n - 1].name) : NULL);
		reply_json(x, 200, doc);
	}
	exchange_drop(x);
}

void workspaces_list(struct exchange *x)
{
	struct exec *e = x->self;
	struct listing *l = arena_new_of(x->arena, struct listing);

	*l = (struct listing){.job = {.run = list_run, .done = list_done}, .x = x};
	l->any = identity_may(&x->who, "commands.read_any") || !x->who.user_id[0];
	l->target = page_read(x, &l->page) ? workspace_target(x) : NULL;
	if (!l->target)
		return;
	if (job_submit(e->files_lane, &l->job) < 0)
		reply_busy(x);
	else
		exchange_hold(x);
}

/* ---- One ---- */

struct one {
	struct workspace_job w;
	struct workspace_entry entry;
};

static int get_entry(struct workspace_job *w)
{
	struct one *o = container_of(w, struct one, w);

	return journal_workspace_entry(&w->exec->journal, w->name, workspace_target_name(w->target), w->x->arena,
				       &o->entry);
}

static void get_done(struct workspace_job *w)
{
	struct one *o = container_of(w, struct one, w);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(w->x->arena, &doc);

	workspace_add_json(doc, obj, w->exec, w->target, &o->entry);
	if (w->r.is_measured) {
		yyjson_mut_obj_add_uint(doc, obj, "bytes", w->r.size.bytes);
		yyjson_mut_obj_add_uint(doc, obj, "files", w->r.size.files);
	} else {
		yyjson_mut_obj_add_null(doc, obj, "bytes");
		yyjson_mut_obj_add_null(doc, obj, "files");
	}
	yyjson_mut_obj_add_uint(doc, obj, "snapshots", w->r.list.n);
	reply_json(w->x, 200, doc);
}

void workspaces_get(struct exchange *x)
{
	struct one *o = arena_new_of(x->arena, struct one);

	o->w.before = get_entry;
	o->w.step.op = ERRAND_MEASURE;
	o->w.done = get_done;
	workspace_start(x, &o->w, WORKSPACE_READ);
}

struct creating {
	struct workspace_job w;
	uid_t uid;
	bool is_new; /* nobody had its name before */
	struct workspace_entry entry;
};

static int create_here(struct workspace_job *w)
{
	struct creating *c = container_of(w, struct creating, w);
	struct journal *j = &w->exec->journal;
	int r = journal_make_workspace(j, w->name, w->x->who.user_id, c->uid);

	return r < 0 ? r : journal_workspace_entry(j, w->name, "", w->x->arena, &c->entry);
}

static int create_claim(struct workspace_job *w)
{
	struct creating *c = container_of(w, struct creating, w);
	int r = journal_claim(&w->exec->journal, w->name, w->target->name, w->x->who.user_id);

	c->is_new = r == 1;
	if (r >= 0)
		r = journal_workspace_entry(&w->exec->journal, w->name, w->target->name, w->x->arena, &c->entry);
	return r == -EACCES ? -EEXIST : r;
}

/* One that may have been made all the same stays his. */
static void create_unclaim(struct workspace_job *w)
{
	struct creating *c = container_of(w, struct creating, w);

	if (w->result < 0 && w->result != -ECONNRESET && c->is_new)
		journal_disclaim(&w->exec->journal, w->name, w->target->name);
}

static void create_done(struct workspace_job *w)
{
	struct creating *c = container_of(w, struct creating, w);
	struct exchange *x = w->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	workspace_add_json(doc, obj, x->self, w->target, &c->entry);
	reply_header(x, "Location", arena_printf(x->arena, "/api/workspaces/%s", w->name));
	reply_json(x, 201, doc);
}

void workspaces_create(struct exchange *x)
{
	static const struct json_field fields[] = {{"id", JSON_STRING, false, 1, 64}};
	struct exec *e = x->self;
	struct creating *c = arena_new_of(x->arena, struct creating);
	struct error err = {0};
	char id[ID_SIZE];

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	id_new(id);
	c->w.name = arena_strdup(x->arena, json_get_str(x->body, "id", id));
	if (!workspace_is_valid(str_of(c->w.name))) {
		reply_problem(x, 422, "invalid_field", "id has letters, digits, '-' and '_' only, at most 64.");
		return;
	}
	c->w.target = workspace_target(x);
	if (!c->w.target)
		return;
	c->w.step.op = ERRAND_MAKE;
	c->w.done = create_done;
	if (*workspace_target_name(c->w.target)) {
		c->w.before = create_claim;
		c->w.after = create_unclaim;
	} else {
		c->w.run = create_here;
		c->uid = e->next_uid++;
	}
	workspace_start(x, &c->w, WORKSPACE_WRITE);
}

static void forget_owner(struct workspace_job *w)
{
	if (w->result < 0)
		return;
	w->result = journal_disclaim(&w->exec->journal, w->name, workspace_target_name(w->target));
}

static void reply_gone(struct workspace_job *w)
{
	reply_empty(w->x, 204);
}

/* Its snapshots go too. */
void workspaces_delete(struct exchange *x)
{
	struct workspace_job *w = arena_new_of(x->arena, struct workspace_job);
	const char *target = http_query_get(x->arena, x->req->query, "target");

	if (target && strcmp(target, "*") == 0) {
		workspaces_give_up(x);
		return;
	}
	w->step.op = ERRAND_ERASE;
	w->after = forget_owner;
	w->done = reply_gone;
	workspace_start(x, w, WORKSPACE_ALONE);
}
