/* /api/workspaces: the folders that stay between commands, as things of their own. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lookup.h"
#include "snapshot.h"
#include "workspace.h"

/* ---- Many ---- */

struct listing {
	struct job job;
	struct exchange *x;
	struct page page;
	bool any;
	struct workspace_list list;
	int result;
};

static void list_run(struct job *job)
{
	struct listing *l = container_of(job, struct listing, job);
	struct exec *e = l->x->self;

	l->result = journal_list_workspaces(&e->journal, l->any ? NULL : l->x->who.user_id, l->page.after,
					    (size_t)l->page.limit + 1, l->x->arena, &l->list);
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
			workspace_add_json(doc, yyjson_mut_arr_add_obj(doc, items), x->self, &l->list.items[i]);
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
	if (!page_read(x, &l->page))
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
	struct tree_size size;
	bool is_measured;
	size_t snapshots;
};

static int get_run(struct workspace_job *w)
{
	struct one *o = container_of(w, struct one, w);
	struct tree_size max = {UINT64_MAX, 1000000};
	struct snapshot_list snapshots;
	int r = journal_workspace_entry(&w->exec->journal, w->name, w->x->arena, &o->entry);

	o->is_measured = tree_measure(w->root, &max, &o->size) == 0;
	if (r == 0)
		r = snapshot_list(w->exec, w->name, w->x->arena, &snapshots);
	if (r == 0)
		o->snapshots = snapshots.n;
	return r;
}

static void get_done(struct workspace_job *w)
{
	struct one *o = container_of(w, struct one, w);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(w->x->arena, &doc);

	workspace_add_json(doc, obj, w->exec, &o->entry);
	if (o->is_measured) {
		yyjson_mut_obj_add_uint(doc, obj, "bytes", o->size.bytes);
		yyjson_mut_obj_add_uint(doc, obj, "files", o->size.files);
	} else {
		yyjson_mut_obj_add_null(doc, obj, "bytes");
		yyjson_mut_obj_add_null(doc, obj, "files");
	}
	yyjson_mut_obj_add_uint(doc, obj, "snapshots", o->snapshots);
	reply_json(w->x, 200, doc);
}

void workspaces_get(struct exchange *x)
{
	struct one *o = arena_new_of(x->arena, struct one);

	o->w.run = get_run;
	o->w.done = get_done;
	workspace_start(x, &o->w, WORKSPACE_READ);
}

struct creating {
	struct job job;
	struct exchange *x;
	const char *name;
	uid_t uid;
	struct workspace_entry entry;
	int result;
};

static void create_run(struct job *job)
{
	struct creating *c = container_of(job, struct creating, job);
	struct exec *e = c->x->self;

	c->result = journal_make_workspace(&e->journal, c->name, c->x->who.user_id, c->uid);
	if (c->result == 0)
		c->result = journal_workspace_entry(&e->journal, c->name, c->x->arena, &c->entry);
}

static void create_done(struct job *job)
{
	struct creating *c = container_of(job, struct creating, job);
	struct exchange *x = c->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (c->result < 0 && x->req) {
		workspace_reply_failure(x, c->result, NULL);
	} else if (x->req) {
		obj = json_new_obj(x->arena, &doc);
		workspace_add_json(doc, obj, x->self, &c->entry);
		reply_header(x, "Location", arena_printf(x->arena, "/api/workspaces/%s", c->name));
		reply_json(x, 201, doc);
	}
	exchange_drop(x);
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
	*c = (struct creating){.job = {.run = create_run, .done = create_done}, .x = x, .uid = e->next_uid++};
	c->name = arena_strdup(x->arena, json_get_str(x->body, "id", id));
	if (!workspace_is_valid(str_of(c->name)))
		reply_problem(x, 422, "invalid_field", "id has letters, digits, '-' and '_' only, at most 64.");
	else if (job_submit(e->files_lane, &c->job) < 0)
		reply_busy(x);
	else
		exchange_hold(x);
}

/* Its snapshots go too. */
static int delete_run(struct workspace_job *w)
{
	int r = journal_drop_workspace(&w->exec->journal, w->name);

	return r < 0 ? r : snapshot_drop_all(w->exec, w->name);
}

static void reply_gone(struct workspace_job *w)
{
	reply_empty(w->x, 204);
}

void workspaces_delete(struct exchange *x)
{
	struct workspace_job *w = arena_new_of(x->arena, struct workspace_job);

	w->run = delete_run;
	w->done = reply_gone;
	workspace_start(x, w, WORKSPACE_ALONE);
}
